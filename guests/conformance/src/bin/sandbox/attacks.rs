//! The attacks; see the program's documentation.

use conformance::wasi::{self, CREATE, Errno, FOLLOW, NOFOLLOW, ROOT, errno};

pub(crate) fn run() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let mut wrong = Vec::new();
    match args.first().map(String::as_str) {
        Some("attack") => attack(&mut wrong, args.len() > 1),
        Some("race") => race(&mut wrong, args[1].parse().expect("a number of rounds")),
        _ => panic!("usage: sandbox attack [HOST] | race ROUNDS"),
    }
    for text in &wrong {
        println!("{text}");
    }
    assert!(wrong.is_empty(), "{} calls are wrong", wrong.len());
    println!("ok sandbox");
}

/// A call on a path, by its name.
type Call = (&'static str, fn(&[u8]) -> Errno);

/// What a call does with the directory or file that a path leads to.
const CALLS: &[Call] = &[
    ("open", |path| opened(FOLLOW, path)),
    ("create", created),
    ("stat", |path| wasi::stat(FOLLOW, path)),
    ("set times", |path| wasi::set_times(FOLLOW, path)),
];

/// What a call does with the name at the end of a path.
const NAME_CALLS: &[Call] = &[
    ("create a directory", wasi::create_directory),
    ("remove a directory", wasi::remove_directory),
    ("unlink", wasi::unlink),
    ("read a link", wasi::readlink),
    ("make a link", |path| wasi::symlink(b"target", path)),
    ("link from", |path| wasi::link(path, b"linked")),
    ("link to", |path| wasi::link(b"file", path)),
    ("rename from", |path| wasi::rename(path, b"renamed")),
    ("rename to", |path| wasi::rename(b"file", path)),
];

fn opened(lookup: i32, path: &[u8]) -> Errno {
    wasi::open(ROOT, lookup, path, 0).map_or_else(|errno| errno, wasi::close)
}

fn opened_below(fd: i32, path: &[u8]) -> Errno {
    wasi::open(fd, FOLLOW, path, 0).map_or_else(|errno| errno, wasi::close)
}

fn created(path: &[u8]) -> Errno {
    wasi::open(ROOT, FOLLOW, path, CREATE).map_or_else(|errno| errno, wasi::close)
}

fn attack(wrong: &mut Vec<String>, has_host: bool) {
    prepare();
    let mut expect = |what: &str, path: &[u8], got: Errno, wanted: Errno| {
        if got != wanted {
            let path = String::from_utf8_lossy(&path[..path.len().min(40)]).into_owned();
            wrong.push(format!("{what} {path:?}: errno {got}, not {wanted}"));
        }
    };

    // The way leads out before its last name.
    let mut beyond: Vec<&[u8]> = vec![
        b"../outside",
        b"./../outside",
        b"in/../../outside",
        b"in//.//..//..//outside",
        b"in/deep/../../../outside",
        b"/outside",
        b"//outside",
        b"/",
        b"up/secret",
        b"in/up/secret",
        b"chain/secret",
        b"to-in/up/secret",
        b"to-in/../../outside",
        b"in/to-root/../outside",
        b"up/../file",
    ];
    // A link at the end leads out, if it is followed.
    let mut links: Vec<&[u8]> = vec![b"up", b"in/up", b"chain"];
    if has_host {
        beyond.extend([
            b"outer/absolute/secret" as &[u8],
            b"outer/up/secret",
            b"outer/proc/etc/passwd",
            b"in/../outer/absolute/secret",
        ]);
        links.extend([b"outer/absolute" as &[u8], b"outer/up", b"outer/proc"]);
    }
    for path in beyond {
        for (what, call) in CALLS.iter().chain(NAME_CALLS) {
            expect(what, path, call(path), errno::PERM);
        }
    }
    for path in links {
        for (what, call) in CALLS {
            expect(what, path, call(path), errno::PERM);
        }
        expect("open it", path, opened(NOFOLLOW, path), errno::LOOP);
        expect("stat it", path, wasi::stat(NOFOLLOW, path), 0);
        // A link to a directory, with a slash behind it, is the directory.
        let slash = [path, b"/"].concat();
        expect("open", &slash, opened(NOFOLLOW, &slash), errno::PERM);
    }
    for path in [b".." as &[u8], b"../", b"./..", b"in/../.."] {
        for (what, call) in CALLS {
            expect(what, path, call(path), errno::PERM);
        }
    }

    // What only looks as if it led out.
    for path in [b"to-in/file" as &[u8], b"in/../file", b"in/to-root/file", b"to-in/deep/../file"] {
        expect("open", path, opened(FOLLOW, path), 0);
    }
    for name in [b"..\\outside" as &[u8], b"c:name", b"a\\b", b"...", b".. ", &[b'n'; 255]] {
        expect("create", name, created(name), 0);
        expect("unlink", name, wasi::unlink(name), 0);
    }
    // What is no path.
    let long = vec![b'n'; 1 << 16];
    let deep = b"in/../".repeat(700);
    for (path, wanted) in [
        (b"" as &[u8], errno::NOENT),
        (b"in\0/file", errno::INVAL),
        (b"file\0", errno::INVAL),
        (b"\xff\xfe", errno::ILSEQ),
        (b"in/\xc3", errno::ILSEQ),
        (&[b'n'; 256], errno::NAMETOOLONG),
        (&long, errno::NAMETOOLONG),
        (&deep, errno::NAMETOOLONG),
        (b"loop", errno::LOOP),
        (b"loop/file", errno::LOOP),
        (b"file/", errno::NOTDIR),
        (b"file/..", errno::NOTDIR),
        (b"file/../in", errno::NOTDIR),
        (b"none/../in", errno::NOENT),
    ] {
        expect("open", path, opened(FOLLOW, path), wanted);
        expect("stat", path, wasi::stat(FOLLOW, path), wanted);
    }
    expect("make a link to", b"/etc", wasi::symlink(b"/etc", b"absolute"), errno::PERM);

    // A directory that is open ends there, wherever it came from and goes to.
    let inner = wasi::open(ROOT, FOLLOW, b"in/deep", 0).expect("it was made above");
    for path in [b".." as &[u8], b"../file", b"../deep"] {
        expect("open below", path, opened_below(inner, path), errno::PERM);
    }
    expect("rename", b"in/deep", wasi::rename(b"in/deep", b"moved"), 0);
    expect("make a link", b"in/deep", wasi::symlink(b"../../outside", b"in/deep"), 0);
    let secret = opened_below(inner, b"secret");
    expect("open below what was moved", b"secret", secret, errno::NOENT);

    if has_host {
        let fifo = opened(FOLLOW, b"outer/fifo");
        if fifo != errno::NOTSUP {
            expect("open", b"fifo", fifo, 0);
        }
        let socket = opened(FOLLOW, b"outer/socket");
        if socket != errno::NOTSUP {
            expect("open", b"socket", socket, errno::NXIO);
        }
        expect("stat", b"fifo", wasi::stat(FOLLOW, b"outer/fifo"), 0);
        // It is a name of the file like the other.
        expect("open", b"hard", opened(FOLLOW, b"outer/hard"), 0);
    }
}

/// Files, directories and links to attack with.
fn prepare() {
    for directory in ["in", "in/deep"] {
        assert_eq!(wasi::create_directory(directory.as_bytes()), 0, "{directory}");
    }
    for file in ["file", "in/file"] {
        wasi::open(ROOT, FOLLOW, file.as_bytes(), CREATE).expect("the directory must be empty");
    }
    for (target, link) in [
        ("in", "to-in"),
        ("..", "in/to-root"),
        ("../outside", "up"),
        ("../../outside", "in/up"),
        ("up", "chain"),
        ("loop", "loop"),
    ] {
        assert_eq!(wasi::symlink(target.as_bytes(), link.as_bytes()), 0, "{link}");
    }
}

/// Reads a file of one directory or of none, and writes a new one, again and again.
fn race(wrong: &mut Vec<String>, rounds: u32) {
    let mut found = 0;
    for round in 0..rounds {
        if let Ok(fd) = wasi::open(ROOT, FOLLOW, b"swapped/secret", 0) {
            found += 1;
            let text = wasi::read(fd);
            if text != b"inside" {
                wrong.push(format!("round {round}: read {}", String::from_utf8_lossy(&text)));
            }
        }
        if let Ok(fd) = wasi::open(ROOT, FOLLOW, b"swapped/written", CREATE) {
            wasi::close(fd);
        }
        let _ = wasi::create_directory(b"swapped/made");
        let _ = wasi::rename(b"swapped/written", b"swapped/made/written");
        let _ = wasi::unlink(b"swapped/made/written");
        let _ = wasi::remove_directory(b"swapped/made");
    }
    println!("found {found} of {rounds}");
}
