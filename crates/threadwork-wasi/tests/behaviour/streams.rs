//! Standard streams and polls.

use crate::support::*;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use threadwork_wasi::{Input, Output, WasiBuilder};

#[test]
fn a_write_to_a_pipe_is_whole() {
    let (reader, writer) = pipe();
    let mut guest = Guest::new(WasiBuilder::new().stdout(Output::Fd(writer)));
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n >> 3) as u8).collect();
    let sent = bytes.clone();
    let thread = guest.asleep(move |guest| guest.write_to(1, &sent));
    let mut received = vec![0; bytes.len()];
    File::from(reader).read_exact(&mut received).unwrap();
    assert_eq!(thread.join().unwrap(), Ok(300_000));
    assert!(received == bytes);
    assert_eq!(guest.write_to(1, b"x"), Err(PIPE));
}

#[test]
fn who_does_not_want_to_wait_is_told_so() {
    let ((input, input_writer), (output_reader, output)) = (pipe(), pipe());
    let builder = WasiBuilder::new()
        .stdin(Input::Fd(input))
        .stdout(Output::Fd(output));
    let mut guest = Guest::new(builder);
    for fd in [0, 1] {
        assert_eq!(guest.call("fd_fdstat_set_flags", &[fd, NONBLOCK.into()]), 0);
    }
    assert_eq!(guest.read_from(0, 10), Err(AGAIN));
    File::from(input_writer).write_all(b"abc").unwrap();
    assert_eq!(guest.read_from(0, 10), Ok(b"abc".to_vec()));
    assert_eq!(guest.read_from(0, 10), Ok(Vec::new()));
    // A part, until there is no room.
    let part = guest.write_to(1, &vec![0; 200_000]).unwrap();
    assert!(part < 200_000);
    assert_eq!(guest.write_to(1, b"x"), Err(AGAIN));
    let mut received = vec![0; part as usize];
    File::from(output_reader).read_exact(&mut received).unwrap();
}

#[test]
fn nothing_is_read_and_written_at_once() {
    let (input, _writer) = pipe();
    let (_reader, output) = pipe();
    let builder = WasiBuilder::new()
        .stdin(Input::Fd(input))
        .stdout(Output::Fd(output));
    let mut guest = Guest::new(builder);
    assert_eq!(guest.read_from(0, 0), Ok(Vec::new()));
    assert_eq!(guest.write_to(1, b""), Ok(0));
    let result = guest.room(4).0.into();
    assert_eq!(guest.call("fd_read", &[0, 64, 0, result]), 0);
}

/// A thread reads, one writes, one polls, one sleeps; all end with their process.
#[test]
fn what_waits_ends_with_its_process() {
    let bodies: [fn(&mut Guest) -> bool; 4] = [
        |guest| guest.try_read(0, 10).is_none(),
        |guest| {
            let vectors = guest.vectors(&[(At(0), 500_000)]);
            let result = guest.room(4).0.into();
            guest
                .try_call("fd_write", &[1, vectors.0.into(), 1, result])
                .is_none()
        },
        |guest| {
            let mut bytes = [0; 48];
            bytes[8] = 1;
            let at = guest.put(&bytes);
            let room = guest.room(64).0;
            guest
                .try_call(
                    "poll_oneoff",
                    &[at.0.into(), room.into(), 1, (room + 48).into()],
                )
                .is_none()
        },
        |guest| {
            let mut bytes = [0; 48];
            bytes[16] = 1;
            bytes[24..32].fill(0xff);
            let at = guest.put(&bytes);
            let room = guest.room(64).0;
            guest
                .try_call(
                    "poll_oneoff",
                    &[at.0.into(), room.into(), 1, (room + 48).into()],
                )
                .is_none()
        },
    ];
    for body in bodies {
        let (input, _writer) = pipe();
        let (_reader, output) = pipe();
        let builder = WasiBuilder::new()
            .stdin(Input::Fd(input))
            .stdout(Output::Fd(output));
        let guest = Guest::new(builder);
        let thread = guest.asleep(body);
        guest.end(&[&thread]);
        assert!(thread.join().unwrap());
    }
}

#[test]
fn polls_tell_what_is_there() {
    let ((input, writer), (reader, output)) = (pipe(), pipe());
    let builder = WasiBuilder::new()
        .stdin(Input::Fd(input))
        .stdout(Output::Fd(output));
    let mut guest = Guest::new(builder);
    let told = |events: Vec<Event>| -> Vec<_> {
        events
            .iter()
            .map(|event| (event.userdata, event.errno, event.bytes, event.is_hangup))
            .collect()
    };
    let all = [(1, 0), (2, 1), (1, 1), (1, 77)];
    assert_eq!(
        told(guest.poll(&all, Some(1 << 62))),
        [(1, 0, 1, false), (3, BADF, 0, false)]
    );
    assert_eq!(told(guest.poll(&[(1, 0)], Some(1))), [(99, 0, 0, false)]);
    let mut writer = File::from(writer);
    writer.write_all(b"abc").unwrap();
    assert_eq!(
        told(guest.poll(&[(1, 0)], Some(1 << 62))),
        [(0, 0, 3, false)]
    );
    drop(writer);
    guest.read_from(0, 10).unwrap();
    assert_eq!(told(guest.poll(&[(1, 0)], None)), [(0, 0, 0, true)]);
    // Nothing can be read from what is written to, but that its reader is gone is told.
    assert_eq!(told(guest.poll(&[(1, 1)], Some(1))), [(99, 0, 0, false)]);
    drop(reader);
    for kind in [1, 2] {
        assert!(guest.poll(&[(kind, 1)], None)[0].is_hangup);
    }
}

/// Whether it is open for that or not: what the system tells a program of its own.
#[test]
fn polls_of_the_other_direction_are_the_systems() {
    let device = |write: bool| File::options().read(!write).write(write).open("/dev/null");
    let null = |write| OwnedFd::from(device(write).unwrap());
    let ((input, writer), (reader, output)) = (pipe(), pipe());
    let (socket, _other) = UnixStream::pair().unwrap();
    let native = |fd: &OwnedFd, kind| {
        let flags = [PollFlags::IN, PollFlags::OUT][usize::from(kind) - 1];
        let mut polled = [PollFd::new(fd, flags)];
        rustix::event::poll(&mut polled, Some(&Timespec::default())).unwrap()
    };
    for (input, output) in [
        (input.try_clone().unwrap(), output.try_clone().unwrap()),
        (null(false), null(true)),
        (socket.try_clone().unwrap().into(), socket.into()),
    ] {
        let all = [(1, 0), (2, 0), (1, 1), (2, 1)];
        let expected = all.map(|(kind, fd)| native([&input, &output][fd as usize], kind));
        let builder = WasiBuilder::new()
            .stdin(Input::Fd(input))
            .stdout(Output::Fd(output));
        let mut guest = Guest::new(builder);
        let found = all.map(|one| guest.poll(&[one], Some(1))[0].userdata);
        assert_eq!(found, expected.map(|ready| [99, 0][ready]));
    }
    drop((writer, reader));
}

/// More than the system itself polls for a process with a usual limit of open files.
#[test]
fn a_descriptor_may_be_polled_many_times() {
    let ((input, writer), (_reader, output)) = (pipe(), pipe());
    let builder = WasiBuilder::new()
        .stdin(Input::Fd(input))
        .stdout(Output::Fd(output));
    let mut guest = Guest::new(builder);
    let all: Vec<_> = (0..4000).flat_map(|_| [(1, 0), (2, 1)]).collect();
    let events = guest.poll(&all, None);
    assert_eq!(events.len(), 4000);
    assert!(
        events
            .iter()
            .all(|event| event.userdata % 2 == 1 && event.errno == 0)
    );
    File::from(writer).write_all(b"abc").unwrap();
    let events = guest.poll(&all, None);
    assert_eq!(events.len(), 8000);
    assert!(
        events
            .iter()
            .all(|event| !event.is_hangup || event.userdata % 2 == 0)
    );
}

#[test]
fn polls_of_nothing_and_of_what_does_not_exist_are_refused() {
    let mut guest = Guest::new(WasiBuilder::new());
    let mut poll = |bytes: [u8; 48], count| {
        let (at, room) = (guest.put(&bytes), guest.room(64).0);
        guest.call(
            "poll_oneoff",
            &[at.0.into(), room.into(), count, (room + 48).into()],
        )
    };
    let with = |place: usize, byte| {
        let mut bytes = [0; 48];
        bytes[place] = byte;
        bytes
    };
    assert_eq!(poll([0; 48], 0), INVAL);
    assert_eq!(poll([0; 48], (1 << 16) + 1), INVAL);
    assert_eq!(poll([0; 48], u32::MAX.into()), INVAL);
    assert_eq!(poll(with(8, 7), 1), INVAL);
    assert_eq!(poll(with(16, 99), 1), INVAL);
    assert_eq!(poll(with(16, 2), 1), INVAL);
    assert_eq!(poll(with(40, 2), 1), INVAL);
    assert_eq!(poll([0; 48], 1), 0);
}

#[test]
fn a_file_as_standard_input_is_a_file() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut guest = Guest::new(WasiBuilder::new().stdin(Input::Fd(file.into())));
    let position = guest.room(8);
    assert_eq!(guest.call("fd_seek", &[0, 4, 0, position.0.into()]), 0);
    assert_eq!(guest.read_from(0, 3), Ok(b"456".to_vec()));
    let events = guest.poll(&[(1, 0)], None);
    assert_eq!((events[0].bytes, events[0].errno), (3, 0));
    let stat = guest.room(24);
    assert_eq!(guest.call("fd_fdstat_get", &[0, stat.0.into()]), 0);
    assert_eq!(guest.bytes(stat, 1), [4]);
}
