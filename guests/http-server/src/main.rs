//! A small HTTP server: std alone, a thread for each connection, which stays open for as
//! many requests as its client has.
//!
//! ```text
//! threadwork run --tcplisten 127.0.0.1:8080 http-server.wasm
//! http-server 127.0.0.1:8080                                   natively
//! ```
//!
//! It answers `hello N`, where N counts all requests, and ends after `GET /end`.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

static REQUESTS: AtomicU64 = AtomicU64::new(0);

fn main() {
    let listener = listener();
    println!("listening");
    for connection in listener.incoming() {
        let connection = connection.expect("a connection");
        std::thread::spawn(move || {
            // A client that goes away in the middle is no error of ours.
            let _ = serve(&connection);
        });
    }
}

/// The socket that the host listens on for us: the first descriptor that is no directory.
#[cfg(target_os = "wasi")]
fn listener() -> TcpListener {
    use std::fs::File;
    use std::mem::ManuallyDrop;
    use std::os::fd::FromRawFd;
    let is_directory = |descriptor: &i32| {
        // SAFETY: it is not closed here.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(*descriptor) });
        file.metadata().is_ok_and(|data| data.is_dir())
    };
    let mut descriptors = (3..).skip_while(is_directory);
    let descriptor = descriptors.next().expect("numbers do not end");
    // SAFETY: nobody else uses the descriptor.
    unsafe { TcpListener::from_raw_fd(descriptor) }
}

#[cfg(not(target_os = "wasi"))]
fn listener() -> TcpListener {
    let address = std::env::args().nth(1);
    TcpListener::bind(address.expect("an address")).expect("an address that is free")
}

/// Answers requests until the client has no more.
fn serve(mut connection: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let ends = line.starts_with("GET /end ");
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        let body = format!("hello {}\n", REQUESTS.fetch_add(1, Ordering::Relaxed));
        let length = body.len();
        // In one piece: the system would keep a second one until the first has arrived.
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        connection.write_all(answer.as_bytes())?;
        if ends {
            std::process::exit(0);
        }
    }
}
