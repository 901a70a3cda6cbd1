//! Connections: each on a thread of its own, which ends when the client does, or when
//! nothing comes from it for a while.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::report;
use crate::serve::answer::{self, Answer, Answers, Status};
use crate::serve::request::{self, LONGEST_HEAD, Parsed};

/// Connections at one time. A browser opens six.
const MOST_CONNECTIONS: usize = 128;
/// How long a client may take for a request's head, and stay idle between requests.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take for each piece of an answer.
const SEND_PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for a client to read the answer to what the server did not read.
const LINGER: Duration = Duration::from_secs(1);
/// How long to wait for others to close files when the system has no more.
const BREATH: Duration = Duration::from_millis(50);

/// Answers on threads of its own until the program ends.
pub(crate) fn start<A: Answers>(listener: TcpListener, answerer: Arc<A>) -> io::Result<()> {
    let connections = Arc::new(());
    let accept = move || accept_for_ever(&listener, &answerer, &connections);
    thread::Builder::new()
        .name("server".to_owned())
        .spawn(accept)?;
    Ok(())
}

fn accept_for_ever<A: Answers>(listener: &TcpListener, answerer: &Arc<A>, connections: &Arc<()>) {
    loop {
        match listener.accept() {
            Ok((client, _)) => serve(client, answerer, connections),
            // The client may be gone already, or the system out of files.
            Err(_) => thread::sleep(BREATH),
        }
    }
}

/// Starts the thread of a connection. Each holds one reference to `connections`, and that
/// is how they are counted.
fn serve<A: Answers>(mut client: TcpStream, answerer: &Arc<A>, connections: &Arc<()>) {
    if Arc::strong_count(connections) > MOST_CONNECTIONS {
        let busy = answer::refusal(Status::Unavailable, false, "too many connections");
        // The client learns it, or is gone.
        let _ = prepare(&client).and_then(|()| send(&mut client, &busy));
        return;
    }
    let (answerer, connection) = (Arc::clone(answerer), Arc::clone(connections));
    let converse = move || {
        let _counted = connection;
        // A connection that breaks is the client's affair.
        let _ = prepare(&client).and_then(|()| converse(&mut client, &*answerer));
    };
    if let Err(error) = thread::Builder::new().spawn(converse) {
        report::error(&report::explain("cannot answer a browser", error), false);
    }
}

fn prepare(client: &TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    client.set_write_timeout(Some(SEND_PATIENCE))
}

/// Request, answer, request, answer.
fn converse<A: Answers>(client: &mut TcpStream, answerer: &A) -> io::Result<()> {
    let mut received = Vec::new();
    loop {
        let deadline = Instant::now() + PATIENCE;
        let refused = match receive(client, &mut received, deadline)? {
            Parsed::Whole(request, taken) => {
                received.drain(..taken);
                let length = request.length.min(A::LONGEST_BODY);
                let body = receive_body(client, &mut received, length, deadline)?;
                send(client, &answerer.answer(&request, &body))?;
                match request.keep_alive {
                    true => continue,
                    false => return linger(client),
                }
            }
            Parsed::Partial => return Ok(()),
            Parsed::Malformed => (Status::BadRequest, "this is not HTTP/1.1"),
            Parsed::TooLarge => (Status::HeadersTooLarge, "too many or too long headers"),
        };
        let (status, text) = refused;
        send(client, &answer::refusal(status, false, text))?;
        return linger(client);
    }
}

/// Reads until `received` begins with a request or with nonsense; [`Parsed::Partial`] if
/// the client has left.
fn receive(
    client: &mut TcpStream,
    received: &mut Vec<u8>,
    deadline: Instant,
) -> io::Result<Parsed> {
    loop {
        let parsed = request::parse(received);
        if parsed != Parsed::Partial {
            return Ok(parsed);
        }
        if receive_more(client, received, deadline)? == 0 {
            return Ok(Parsed::Partial);
        }
    }
}

/// Takes `length` bytes of what follows a head; fewer if the client has left.
fn receive_body(
    client: &mut TcpStream,
    received: &mut Vec<u8>,
    length: usize,
    deadline: Instant,
) -> io::Result<Vec<u8>> {
    while received.len() < length && receive_more(client, received, deadline)? > 0 {}
    Ok(received.drain(..length.min(received.len())).collect())
}

fn receive_more(
    client: &mut TcpStream,
    received: &mut Vec<u8>,
    deadline: Instant,
) -> io::Result<usize> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    client.set_read_timeout(Some(left))?;
    let mut bytes = [0; LONGEST_HEAD];
    let count = client.read(&mut bytes)?;
    received.extend_from_slice(&bytes[..count]);
    Ok(count)
}

fn send(client: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    client.write_all(answer.head.as_bytes())?;
    client.write_all(answer.body.as_ref())
}

/// Ends a connection whose client may still be sending: closing it now would make the
/// system throw away the answer with what it did not let us read.
fn linger(client: &mut TcpStream) -> io::Result<()> {
    client.shutdown(Shutdown::Write)?;
    client.set_read_timeout(Some(LINGER))?;
    let deadline = Instant::now() + LINGER;
    let mut unread = [0; LONGEST_HEAD];
    while Instant::now() < deadline && client.read(&mut unread)? > 0 {}
    Ok(())
}
