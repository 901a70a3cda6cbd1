//! `threadwork serve`, asked over HTTP.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};

use crate::http::{Answer, Client};
use crate::support::{Outcome, file, finish, temporary_folder, threadwork};

const PROGRAM: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

/// A server, which is killed at the end of its test.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the command starts");
        let stdout = child.stdout.as_mut().expect("stdout is a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let port = line.trim_end().strip_suffix('/').and_then(|address| {
            let (_, port) = address.rsplit_once(':')?;
            port.parse().ok()
        });
        match port {
            Some(port) => Self { child, port },
            None => {
                let mut stderr = String::new();
                let _ = child
                    .stderr
                    .take()
                    .expect("a pipe")
                    .read_to_string(&mut stderr);
                panic!("no address in {line:?}; {stderr}")
            }
        }
    }

    /// Serves a program with these options before it, on a port that nobody else uses.
    fn of(options: &[&str], program: &Path) -> Self {
        Self::start(serve(options).arg(program))
    }

    fn ask(&self, method: &str, target: &str, headers: &[&str]) -> Answer {
        Client::connect(self.port).ask(method, target, headers)
    }

    fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[])
    }
}

fn serve(options: &[&str]) -> Command {
    let mut command = threadwork();
    command.args(["serve", "--port", "0"]).args(options);
    command
}

fn program(folder: &Path) -> std::path::PathBuf {
    file(folder, "program.wat", PROGRAM)
}

#[test]
fn page_is_isolated_and_may_load_only_its_own() {
    let folder = temporary_folder();
    let server = Server::of(&[], &program(folder.path()));
    for target in [
        "/",
        "/main.js",
        "/program.wasm",
        "/program.json",
        "/no-such-file",
    ] {
        let policy = server
            .get(target)
            .expect_header("cross-origin-opener-policy", "same-origin")
            .expect_header("cross-origin-embedder-policy", "require-corp")
            .expect_header("cross-origin-resource-policy", "same-origin")
            .expect_header("x-content-type-options", "nosniff")
            .expect_header("cache-control", "no-cache");
        let policy = policy.header("content-security-policy").expect("a policy");
        assert!(
            policy.contains("script-src 'self' 'wasm-unsafe-eval';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe-inline"), "{policy}");
    }
}

/// Hosts that cannot set headers get the page's own policy: it has to be the same.
#[test]
fn page_states_the_policy_of_the_server() {
    let folder = temporary_folder();
    let page = Server::of(&[], &program(folder.path()))
        .get("/")
        .expect(200);
    let served = page.header("content-security-policy").expect("a policy");
    let (served, only_as_header) = served.rsplit_once("; ").expect("a last directive");
    assert_eq!(only_as_header, "frame-ancestors 'none'");
    assert!(
        page.text().contains(&format!("content=\"{served}\"")),
        "{served}"
    );
}

#[test]
fn media_types() {
    let folder = temporary_folder();
    let server = Server::of(&[], &program(folder.path()));
    for (target, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/main.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/program.wasm", "application/wasm"),
        ("/program.json", "application/json"),
    ] {
        server
            .get(target)
            .expect(200)
            .expect_header("content-type", kind);
    }
    let wasm = server.get("/program.wasm");
    assert!(wasm.body.starts_with(b"\0asm"), "{wasm:?}");
}

#[test]
fn the_page_learns_what_was_asked_for() {
    let folder = temporary_folder();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("deeper")).expect("a folder");
    file(&data, "a b.txt", "hello");
    file(&data.join("deeper"), "empty", "");
    let mapping = format!("{}::/data/", data.display());
    let mut command = serve(&["--dir", &mapping, "--env", "A=b=c", "--threads", "3"]);
    let server = Server::start(
        command
            .arg(program(folder.path()))
            .args(["--", "-x", "y z"]),
    );
    let text = server.get("/program.json").expect(200);
    let about: serde_json::Value = serde_json::from_slice(&text.body).expect("JSON");
    let expected = serde_json::json!({
        "name": "program.wat",
        "program": "program.wasm",
        "args": ["-x", "y z"],
        "env": { "A": "b=c" },
        "maxThreads": 3,
        "directories": ["/data/"],
        "files": [
            { "path": "/data/a b.txt", "url": "files/0/a%20b.txt", "size": 5 },
            { "path": "/data/deeper/empty", "url": "files/0/deeper/empty", "size": 0 },
        ],
    });
    assert_eq!(about, expected);
    let hello = server.get("/files/0/a%20b.txt").expect(200);
    assert_eq!(hello.text(), "hello");
}

/// What a user gives is data: it must not become a page that runs on this origin.
#[test]
fn files_are_data() {
    let folder = temporary_folder();
    file(folder.path(), "page.html", "<script>alert(1)</script>");
    let mapping = format!("{}::/", folder.path().display());
    let server = Server::of(&["--dir", &mapping], &program(folder.path()));
    let page = server.get("/files/0/page.html").expect(200);
    page.expect_header("content-type", "application/octet-stream");
}

#[test]
fn compression_as_the_client_wants_it() {
    let folder = temporary_folder();
    let server = Server::of(&[], &program(folder.path()));
    let plain = server.get("/main.js").expect(200);
    assert_eq!(plain.header("content-encoding"), None);
    let gzip = server.ask("GET", "/main.js", &["Accept-Encoding: gzip, deflate"]);
    let brotli = server.ask("GET", "/main.js", &["Accept-Encoding: gzip, br;q=0.9"]);
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    assert_eq!(brotli.header("content-encoding"), Some("br"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&gzip.body[..])
        .read_to_end(&mut unpacked)
        .expect("gzip");
    assert_eq!(unpacked, plain.body);
    let mut unpacked = Vec::new();
    brotli::Decompressor::new(&brotli.body[..], 4096)
        .read_to_end(&mut unpacked)
        .expect("brotli");
    assert_eq!(unpacked, plain.body);
    for answer in [&plain, &gzip, &brotli] {
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    }
    let tags = [&plain, &gzip, &brotli].map(|answer| answer.header("etag"));
    assert!(
        tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2],
        "{tags:?}"
    );
}

#[test]
fn a_client_that_has_it_gets_no_body() {
    let folder = temporary_folder();
    let server = Server::of(&[], &program(folder.path()));
    for encoding in ["identity", "gzip", "br"] {
        let accept = format!("Accept-Encoding: {encoding}");
        let first = server.ask("GET", "/main.js", &[&accept]).expect(200);
        let known = format!("If-None-Match: {}", first.header("etag").expect("a tag"));
        let second = server
            .ask("GET", "/main.js", &[&accept, &known])
            .expect(304);
        assert!(second.body.is_empty());
        assert_eq!(second.header("etag"), first.header("etag"));
    }
    server
        .ask("GET", "/main.js", &["If-None-Match: \"other\""])
        .expect(200);
}

#[test]
fn head_is_get_without_a_body() {
    let folder = temporary_folder();
    let server = Server::of(&[], &program(folder.path()));
    let mut client = Client::connect(server.port);
    let get = client.ask("GET", "/main.js", &[]).expect(200);
    let head = client.ask("HEAD", "/main.js", &[]).expect(200);
    for name in ["content-length", "content-type", "etag"] {
        assert_eq!(head.header(name), get.header(name));
    }
    // A body after it would be read as the next answer.
    client.ask("GET", "/", &[]).expect(200);
}

#[test]
fn a_program_that_changes_is_read_again() {
    let folder = temporary_folder();
    let path = program(folder.path());
    let server = Server::of(&[], &path);
    let before = server.get("/program.wasm").expect(200);
    file(
        folder.path(),
        "program.wat",
        r#"(module (func (export "_start") nop))"#,
    );
    let known = format!("If-None-Match: {}", before.header("etag").expect("a tag"));
    let after = server.ask("GET", "/program.wasm", &[&known]).expect(200);
    assert_ne!(after.body, before.body);

    // While a compiler writes it, it is broken, and then it is fine again.
    file(folder.path(), "program.wat", "(module (func");
    let broken = server.get("/program.wasm").expect(500);
    assert!(broken.text().contains("program.wat"), "{broken:?}");
    assert_eq!(broken.text().lines().count(), 1, "{broken:?}");
    fs::remove_file(&path).expect("removable");
    let missing = server.get("/program.wasm").expect(500);
    assert!(missing.text().contains("No such file"), "{missing:?}");
    program(folder.path());
    assert_eq!(server.get("/program.wasm").expect(200).body, before.body);
}

#[test]
fn no_way_out_of_the_directory() {
    let folder = temporary_folder();
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    file(folder.path(), "secret", "secret");
    file(&data, "open", "open");
    #[cfg(unix)]
    {
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, data.join(name)).expect("a link");
        };
        link("../secret", "out");
        link("..", "up");
        link("open", "in");
    }
    let mapping = format!("{}::/data", data.display());
    let server = Server::of(&["--dir", &mapping], &program(folder.path()));
    assert_eq!(server.get("/files/0/open").expect(200).text(), "open");
    for target in [
        "/files/0/../secret",
        "/files/0/%2e%2e/secret",
        "/files/0/..%2fsecret",
        "/files/0/..%5csecret",
        "/files/0//etc/passwd",
        "/../../../../etc/passwd",
        "/files/0/%00",
        "/files/0/%ff",
        "/%",
    ] {
        server.get(target).expect(400);
    }
    for target in [
        "/files/1/open",
        "/files/x/open",
        "/files/0",
        "/files",
        "/files/0/none",
        "/src/main.rs",
    ] {
        server.get(target).expect(404);
    }
    let secret = folder.path().join("secret");
    let escaped = secret.display().to_string().replace('/', "%2f");
    server.get(&format!("/files/0/{escaped}")).expect(400);
    if cfg!(unix) {
        server.get("/files/0/out").expect(403);
        server.get("/files/0/up/secret").expect(403);
        assert_eq!(server.get("/files/0/in").expect(200).text(), "open");
        let about = server.get("/program.json").expect(200);
        assert!(about.text().contains("/data/in") && !about.text().contains("/data/out"));
    }
}

/// A FIFO would make the server wait for its other end.
#[test]
#[cfg(unix)]
fn what_is_no_regular_file_is_not_there() {
    let folder = temporary_folder();
    let fifo = Command::new("mkfifo")
        .arg(folder.path().join("fifo"))
        .status();
    assert!(fifo.expect("mkfifo starts").success());
    let mapping = format!("{}::/", folder.path().display());
    let server = Server::of(&["--dir", &mapping], &program(folder.path()));
    server.get("/files/0/fifo").expect(404);
    let about = server.get("/program.json").expect(200);
    assert!(!about.text().contains("fifo"), "{about:?}");
}

/// A foreign page whose name leads to this machine would otherwise read what is served.
#[test]
fn other_names_of_this_machine_are_refused() {
    let folder = temporary_folder();
    let server = Server::of(&[], &program(folder.path()));
    for (host, status) in [
        ("evil.example", 421),
        ("localhost.evil.example:80", 421),
        ("", 421),
        ("LOCALHOST:99", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("app.localhost", 200),
    ] {
        let mut client = Client::connect(server.port);
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.answer("GET").expect(status);
    }
    let mut client = Client::connect(server.port);
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.answer("GET").expect(421);
}

#[test]
fn only_get_and_head() {
    let folder = temporary_folder();
    let server = Server::of(&[], &program(folder.path()));
    for method in ["OPTIONS", "DELETE", "get"] {
        server
            .ask(method, "/", &[])
            .expect(405)
            .expect_header("allow", "GET, HEAD");
    }
    // The body must not be taken for another request, nor its loss for that of the answer.
    let mut client = Client::connect(server.port);
    let body = "GET / HTTP/1.1\r\n".repeat(1 << 16);
    let post = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(post);
    client.send(&body[..1 << 16]);
    client
        .answer("POST")
        .expect(405)
        .expect_header("connection", "close");
    assert!(client.is_closed());
}

#[test]
fn connections_are_kept_and_requests_may_come_in_pieces_or_together() {
    let folder = temporary_folder();
    let server = Server::of(&[], &program(folder.path()));
    let mut client = Client::connect(server.port);
    let request = "GET /icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for byte in request.as_bytes() {
        client.send([*byte]);
    }
    client
        .answer("GET")
        .expect(200)
        .expect_header("connection", "keep-alive");
    client.send(request.repeat(3));
    for _ in 0..3 {
        client.answer("GET").expect(200);
    }
    client.ask("GET", "/", &["Connection: close"]).expect(200);
    assert!(client.is_closed());
}

#[test]
fn broken_clients_harm_nobody() {
    let folder = temporary_folder();
    let server = Server::of(&[], &program(folder.path()));
    let mut silent = Vec::new();
    for bytes in [
        &b""[..],
        b"GET / HT",
        b"GET /program.wasm HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let mut client = Client::connect(server.port);
        client.send(bytes);
        silent.push(client);
        let mut client = Client::connect(server.port);
        client.send(bytes);
        drop(client);
    }
    let mut client = Client::connect(server.port);
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    client.answer("GET").expect(400);
    let mut client = Client::connect(server.port);
    client.send(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(20_000)));
    client.answer("GET").expect(431);
    assert!(client.is_closed());
    server.get("/").expect(200);
}

#[test]
fn more_connections_than_a_browser_opens_are_refused_and_come_back() {
    let folder = temporary_folder();
    let server = Server::of(&[], &program(folder.path()));
    let crowd: Vec<Client> = (0..140).map(|_| Client::connect(server.port)).collect();
    let mut late = Client::connect(server.port);
    late.answer("GET").expect(503);
    drop(crowd);
    let served = || {
        let mut client = Client::connect(server.port);
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.answer("GET").status == 200
    };
    assert!((0..1000).any(|_| served()), "the server has not recovered");
}

#[test]
fn ports() {
    let folder = temporary_folder();
    let program = program(folder.path());
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = holder.local_addr().expect("its address").port().to_string();
    let outcome = finish(threadwork().args(["serve", "--port", &taken]).arg(&program));
    one_line(outcome, &["port", &taken, "in use", "--port"]);
    let outcome = finish(
        threadwork()
            .args(["serve", "--port", "70000"])
            .arg(&program),
    );
    one_line(outcome, &["--port", "70000"]);

    // The usual port may be taken, by another test or by this one.
    let _usual = TcpListener::bind("127.0.0.1:8080");
    let server = Server::start(threadwork().arg("serve").arg(&program));
    assert_ne!(server.port, 8080);
    server.get("/").expect(200);
}

#[test]
fn what_cannot_be_served_is_refused_in_one_line() {
    let folder = temporary_folder();
    let refused = |arguments: &[&str], parts: &[&str]| {
        one_line(finish(serve(&[]).args(arguments)), parts);
    };
    let path = |name, contents: &str| file(folder.path(), name, contents).display().to_string();
    refused(&["no-such.wasm"], &["no-such.wasm", "No such file"]);
    refused(&[&path("empty.wasm", "")], &["empty"]);
    refused(
        &[&path("diary.txt", "Dear diary,")],
        &["diary.txt", "not a WebAssembly"],
    );
    refused(
        &[&path("half.wasm", "\0asm\x01\0\0\0\x01\x04")],
        &["half.wasm"],
    );
    refused(&[folder.path().to_str().expect("UTF-8")], &["directory"]);
    let program = program(folder.path()).display().to_string();
    refused(
        &["--dir", "no-such-folder", &program],
        &["--dir", "no-such-folder"],
    );
    refused(&["--env", "=x", &program], &["--env"]);
}

/// Standard output ends, too: the child does not leave anything behind that holds it.
#[test]
#[cfg(unix)]
fn ctrl_c_ends_it_without_an_error() {
    use rustix::process::{Pid, Signal, kill_process};
    let folder = temporary_folder();
    for signal in [Signal::INT, Signal::TERM] {
        let mut server = Server::of(&[], &program(folder.path()));
        let _idle = TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
        let pid = Pid::from_child(&server.child);
        kill_process(pid, signal).expect("the signal can be sent");
        let status = server.child.wait().expect("it can be waited for");
        assert_eq!(status.code(), Some(0));
        let mut stderr = String::new();
        let pipe = server.child.stderr.take();
        pipe.expect("a pipe")
            .read_to_string(&mut stderr)
            .expect("text");
        assert_eq!(stderr, "");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_browser_is_opened_where_there_is_one() {
    let folder = temporary_folder();
    let program = program(folder.path());
    let opened = folder.path().join("opened");
    let script = format!(
        "#!/bin/sh\necho \"$1\" > {0}.new && mv {0}.new {0}\n",
        opened.display()
    );
    let opener = file(folder.path(), "xdg-open", script);
    Command::new("chmod")
        .arg("+x")
        .arg(opener)
        .status()
        .expect("chmod starts");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let server = Server::start(serve(&["--open"]).arg(&program).env("PATH", path));
    let started = std::time::Instant::now();
    while !opened.exists() && started.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let address = fs::read_to_string(&opened).expect("the browser was started");
    assert_eq!(address.trim(), format!("http://127.0.0.1:{}/", server.port));

    let mut server = Server::start(serve(&["--open"]).arg(&program).env("PATH", "/nowhere"));
    server.get("/").expect(200);
    let mut line = String::new();
    let stderr = server.child.stderr.as_mut().expect("a pipe");
    BufReader::new(stderr).read_line(&mut line).expect("a line");
    assert!(line.contains("by hand"), "{line:?}");
}

#[track_caller]
fn one_line(outcome: Outcome, parts: &[&str]) {
    let outcome = outcome.expect_code(125).expect_stderr(parts);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:#?}");
    assert_eq!(outcome.stdout, "");
}
