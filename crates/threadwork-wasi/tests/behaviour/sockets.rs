//! Listeners that were granted, and connections to them.

use crate::support::*;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use threadwork_wasi::WasiBuilder;

/// A process whose descriptor 3 listens, and where.
fn listening() -> (Guest, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (Guest::new(WasiBuilder::new().listener(listener)), address)
}

fn accept(guest: &mut Guest, flags: u32) -> Result<u32, i32> {
    let result = guest.room(4);
    match guest.call("sock_accept", &[3, flags.into(), result.0.into()]) {
        0 => Ok(guest.number(result)),
        errno => Err(errno),
    }
}

#[test]
fn connections_are_accepted_read_written_and_shut_down() {
    let (mut guest, address) = listening();
    let accepting = guest.asleep(|guest| accept(guest, 0));
    let mut client = TcpStream::connect(address).unwrap();
    let connection = accepting.join().unwrap().unwrap();
    assert_eq!(connection, 4);
    let reading = guest.asleep(move |guest| guest.read_from(connection, 100));
    client.write_all(b"ping").unwrap();
    assert_eq!(reading.join().unwrap(), Ok(b"ping".to_vec()));
    assert_eq!(guest.write_to(connection, b"pong"), Ok(4));
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"pong");

    // Looked at first, then taken.
    client.write_all(b"again").unwrap();
    let (room, result) = (guest.room(16), guest.room(8));
    let vectors = guest.vectors(&[(room, 16)]);
    for flags in [1, 0] {
        let arguments = [
            connection.into(),
            vectors.0.into(),
            1,
            flags,
            result.0.into(),
            u64::from(result.0) + 4,
        ];
        assert_eq!(guest.call("sock_recv", &arguments), 0);
        assert_eq!(guest.bytes(room, guest.number(result) as usize), b"again");
    }
    assert_eq!(guest.call("sock_shutdown", &[connection.into(), 2]), 0);
    assert_eq!(client.read(&mut answer).unwrap(), 0);
    assert_eq!(guest.write_to(connection, b"x"), Err(PIPE));
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(guest.read_from(connection, 1), Ok(Vec::new()));
    let events = guest.poll(&[(1, connection)], None);
    assert!(events[0].is_hangup && events[0].errno == 0);
    assert_eq!(guest.call("sock_shutdown", &[connection.into(), 0]), INVAL);
}

#[test]
fn who_does_not_want_to_wait_is_told_so() {
    let (mut guest, address) = listening();
    assert_eq!(guest.call("fd_fdstat_set_flags", &[3, NONBLOCK.into()]), 0);
    assert_eq!(accept(&mut guest, 0), Err(AGAIN));
    assert_eq!(guest.poll(&[(1, 3)], Some(1))[0].userdata, 99);
    let mut client = TcpStream::connect(address).unwrap();
    // Nobody writes to a listener, which is no error: some programs ask for both.
    let events = guest.poll(&[(2, 3), (1, 3)], None);
    assert_eq!(
        (events.len(), events[0].userdata, events[0].errno),
        (1, 1, 0)
    );
    let connection = accept(&mut guest, NONBLOCK).unwrap();
    assert_eq!(guest.read_from(connection, 1), Err(AGAIN));
    client.write_all(b"ab").unwrap();
    let events = guest.poll(&[(1, connection), (2, connection)], None);
    assert!(events.contains(&Event {
        userdata: 1,
        errno: 0,
        bytes: 1,
        is_hangup: false
    }));
    let events = guest.poll(&[(1, connection)], None);
    assert_eq!(events[0].bytes, 2);
    assert_eq!(guest.read_from(connection, 9), Ok(b"ab".to_vec()));
    assert_eq!(accept(&mut guest, 1), Err(INVAL));
}

#[test]
fn what_waits_ends_with_its_process() {
    let (guest, _address) = listening();
    let accepting = guest.asleep(|guest| {
        let result = guest.room(4).0.into();
        guest.try_call("sock_accept", &[3, 0, result]).is_none()
    });
    guest.end(&[&accepting]);
    assert!(accepting.join().unwrap());

    let (mut guest, address) = listening();
    let client = TcpStream::connect(address).unwrap();
    let connection = accept(&mut guest, 0).unwrap();
    let reading = guest.asleep(move |guest| guest.try_read(connection, 1).is_none());
    guest.end(&[&reading]);
    assert!(reading.join().unwrap());
    drop(client);
}

#[test]
fn files_and_listeners_are_no_connections() {
    let (mut guest, _address) = listening();
    assert_eq!(guest.read_from(3, 1), Err(53));
    assert_eq!(guest.write_to(3, b"x"), Err(BADF));
    let result = guest.room(8).0.into();
    assert_eq!(guest.call("sock_accept", &[0, 0, result]), NOTSOCK);
    assert_eq!(guest.call("sock_accept", &[9, 0, result]), BADF);
    assert_eq!(
        guest.call("sock_recv", &[3, 64, 0, 0, result, result]),
        NOTSOCK
    );
    assert_eq!(guest.call("sock_send", &[1, 64, 0, 0, result]), NOTSOCK);
}
