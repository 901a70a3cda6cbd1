//! Programs that accept connections: a server with a thread for each.

use crate::support::{PATIENCE, Running, guest, read_line, start, until};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use threadwork_engine::{Activity, ExitStatus, Output, ProcessBuilder};

/// The guest `http-server`, and where it listens.
fn server() -> (Running, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let builder = ProcessBuilder::new(&guest("http-server"))
        .preopen_listener(listener)
        .stdout(Output::Pipe);
    let process = start(builder);
    assert_eq!(
        read_line(&mut process.take_stdout().unwrap()),
        "listening\n"
    );
    (process, address)
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// What the server answers.
    fn get(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
        self.0.get_ref().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if let Some(text) = line.strip_prefix("Content-Length: ") {
                length = text.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }
}

#[test]
fn a_server_answers_many_clients_at_the_same_time() {
    const CLIENTS: usize = 8;
    const REQUESTS: usize = 200;
    let (process, address) = server();
    let answers = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::new(address);
                    (0..REQUESTS).map(|_| client.get("/")).collect::<Vec<_>>()
                })
            })
            .collect();
        let answers = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        answers.collect::<BTreeSet<_>>()
    });
    let expected = (0..CLIENTS * REQUESTS).map(|n| format!("hello {n}\n"));
    assert_eq!(answers, expected.collect());
    // One client stays, another one ends it.
    let _idle = Client::new(address);
    Client::new(address).get("/end");
    assert!(process.wait().success());
}

#[test]
fn a_server_is_killed_while_it_waits() {
    let (process, address) = server();
    let clients: Vec<_> = (0..3).map(|_| Client::new(address)).collect();
    // The main thread accepts, the others read.
    until(|| {
        let threads = process.threads();
        threads.len() == 4
            && threads
                .iter()
                .all(|thread| thread.activity == Activity::InHostCall)
    });
    process.kill();
    assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
    for client in clients {
        let mut rest = Vec::new();
        // Its end was closed.
        let _ = client.0.into_inner().read_to_end(&mut rest);
        assert_eq!(rest, b"");
    }
}
