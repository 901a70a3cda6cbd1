//! `--tcplisten`, on both hosts: a server of std's, which has a thread for each connection, and the
//! bare calls.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::guests::Guests;
use crate::support::{Running, finish, guest, threadwork};

const HOSTS: [&str; 2] = ["engine", "node"];

/// A server that listens, and where.
struct Server {
    running: Running,
    address: String,
}

impl Server {
    fn start(host: &str) -> Self {
        Self::of(host, &Guests::build().wasm("http-server"), &[])
    }

    /// Of another program, which says `listening`.
    fn of(host: &str, program: &Path, args: &[&str]) -> Self {
        // The port is free, until somebody else takes it: then another one is tried.
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
            let address = free.local_addr().expect("it has an address").to_string();
            drop(free);
            let mut command = threadwork();
            command.args(["run", "--host", host, "--tcplisten", &address]);
            command.arg(program).args(args);
            let mut running = Running::start(&mut command);
            let mut line = String::new();
            let stdout = running.child.stdout.as_mut().expect("stdout is a pipe");
            let read = BufReader::new(stdout).read_line(&mut line);
            if read.expect("it can be read") > 0 {
                assert_eq!(line, "listening\n");
                return Self { running, address };
            }
        }
        panic!("no server starts");
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(&self.address).expect("somebody listens");
        Client(BufReader::new(stream))
    }

    /// Ends by itself.
    fn end(self) {
        self.connect().ask("/end");
        self.running.finish().expect_code(0);
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, text: &str) {
        let sent = self.0.get_mut().write_all(text.as_bytes());
        sent.expect("the server is there");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the server is there");
        line
    }

    /// Asks, and returns the body of the answer.
    fn ask(&mut self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\n\r\n"));
        assert_eq!(self.line(), "HTTP/1.1 200 OK\r\n");
        let length = self.line();
        let length = length.trim_end().strip_prefix("Content-Length: ");
        let length = length.and_then(|length| length.parse().ok());
        assert_eq!(self.line(), "\r\n");
        let mut body = vec![0; length.expect("a length")];
        self.0.read_exact(&mut body).expect("the server is there");
        String::from_utf8(body).expect("it is text")
    }
}

#[test]
fn each_connection_has_a_thread() {
    HOSTS.into_iter().for_each(connect_together);
}

fn connect_together(host: &str) {
    let server = Server::start(host);
    // All at once, and none ends before all were answered.
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let answers = thread::scope(|scope| {
        let asks = |client: &'_ mut Client| (0..25).map(|_| client.ask("/")).collect::<Vec<_>>();
        let start = |client| scope.spawn(move || asks(client));
        let threads: Vec<_> = clients.iter_mut().map(start).collect();
        let answers = threads
            .into_iter()
            .map(|thread| thread.join().expect("answers"));
        answers.flatten().collect::<BTreeSet<_>>()
    });
    assert_eq!(answers, (0..200).map(|n| format!("hello {n}\n")).collect());
    server.end();
}

#[test]
fn a_client_that_goes_away_harms_nobody() {
    HOSTS.into_iter().for_each(go_away);
}

fn go_away(host: &str) {
    let server = Server::start(host);
    let mut stays = server.connect();
    assert_eq!(stays.ask("/"), "hello 0\n");
    drop(server.connect());
    server.connect().send("GET / HT");
    // It has not read its answer: the system resets the connection.
    for _ in 0..5 {
        server.connect().send(&"GET / HTTP/1.1\r\n\r\n".repeat(100));
    }
    stays.ask("/");
    server.end();
}

#[test]
fn threads_that_wait_for_clients_end_with_the_program() {
    HOSTS.into_iter().for_each(interrupt);
}

fn interrupt(host: &str) {
    let server = Server::start(host);
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    // Each has a thread, and all of those wait: for a request, or for its rest.
    clients.iter_mut().for_each(|client| drop(client.ask("/")));
    clients[0].send("GET /");
    let pid = Pid::from_child(&server.running.child);
    kill_process(pid, Signal::INT).expect("the server can be signalled");
    server.running.finish().expect_code(130);
    for client in &mut clients {
        let mut rest = [0];
        // What it had not read yet makes it a reset.
        assert!(!matches!(client.0.read(&mut rest), Ok(1..)));
    }
}

/// Without waiting, with polls, by `sock_recv` and `sock_send`, and after a shutdown.
#[test]
fn the_calls_on_sockets() {
    for host in HOSTS {
        let server = Server::of(host, guest(), &["sockets"]);
        let mut client = server.connect();
        client.send("hello");
        // The program says so, and nothing more on this way.
        let mut rest = String::new();
        client.0.read_to_string(&mut rest).expect("it ends");
        assert_eq!(rest, "hello, too", "{host}");
        client.send("end");
        drop(client);
        let outcome = server.running.finish().expect_code(0);
        // What a poll says of a listener that was shut down.
        assert_eq!(outcome.stderr, "[1, 1]\n[1, 1]\n", "{host}");
    }
}

#[test]
fn an_address_that_cannot_be_had_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it has an address").to_string();
    for host in HOSTS {
        for address in [address.as_str(), "nowhere", "127.0.0.1:99999"] {
            let mut command = threadwork();
            command.args(["run", "--host", host, "--tcplisten", address]);
            let outcome = finish(command.arg(Guests::build().wasm("http-server")));
            assert_ne!(outcome.code(), Some(0));
            outcome.expect_stderr(&["threadwork: ", "--tcplisten", address]);
        }
    }
}
