//! `poll_oneoff`: sleeping, and waiting for standard streams. Holds no lock while it
//! waits, and ends when the process does.

use super::clock::realtime;
use super::host::{Errno, Host, MODULE, MOST_VECTORS, Wasi, errno, with_memory};
use super::streams::Stream;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::time::{Duration, Instant};
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::types::{
    Clockid, Event, EventFdReadwrite, Eventrwflags, Eventtype, Fd, Subclockflags, Subscription,
    SubscriptionClock, SubscriptionU, Userdata,
};
use wiggle::{GuestMemory, GuestPtr};

pub(super) fn add_to_linker<H: Host>(linker: &mut Linker<H>) -> Result<()> {
    linker.func_wrap(
        MODULE,
        "poll_oneoff",
        |mut caller: Caller<'_, H>, subs: i32, events: i32, count: i32, result: i32| {
            with_memory(&mut caller, |host, memory| {
                let subs = GuestPtr::new(subs.cast_unsigned()).as_array(count.cast_unsigned());
                let interests = match read_all(host, memory, subs)? {
                    Ok(interests) => interests,
                    Err(errno) => return Ok(Err(errno)),
                };
                let ready = match wait(host, &interests)? {
                    Ok(ready) => ready,
                    Err(errno) => return Ok(Err(errno)),
                };
                let events = GuestPtr::<Event>::new(events.cast_unsigned());
                for (event, place) in ready.iter().zip(0..) {
                    memory.write(events.add(place)?, event.clone())?;
                }
                memory.write(GuestPtr::new(result.cast_unsigned()), ready.len() as u32)?;
                Ok(Ok(()))
            })
        },
    )?;
    Ok(())
}

/// One thing that is waited for.
struct Interest {
    userdata: Userdata,
    kind: Eventtype,
    wait: Wait,
}

enum Wait {
    Until(Option<Instant>),
    /// A standard stream that can block.
    Readable,
    Writable(Stream),
    /// Regular files, and streams that never block.
    Ready,
    /// A descriptor that does not exist.
    Failed(Errno),
}

fn read_all(
    host: &impl Host,
    memory: &GuestMemory<'_>,
    subs: GuestPtr<[Subscription]>,
) -> Result<Result<Vec<Interest>, Errno>> {
    if subs.len() == 0 || subs.len() > MOST_VECTORS {
        return Ok(Err(Errno::Inval));
    }
    let mut interests = Vec::new();
    for sub in subs.iter() {
        let sub = memory.read(sub?)?;
        let (kind, wait) = match sub.u {
            SubscriptionU::Clock(clock) => match deadline(host, &clock) {
                Ok(deadline) => (Eventtype::Clock, Wait::Until(deadline)),
                Err(errno) => return Ok(Err(errno)),
            },
            SubscriptionU::FdRead(sub) => (
                Eventtype::FdRead,
                readable(host.wasi(), sub.file_descriptor),
            ),
            SubscriptionU::FdWrite(sub) => (
                Eventtype::FdWrite,
                writable(host.wasi(), sub.file_descriptor),
            ),
        };
        interests.push(Interest {
            userdata: sub.userdata,
            kind,
            wait,
        });
    }
    Ok(Ok(interests))
}

/// The moment of a clock's event; `None` is beyond all time.
fn deadline(host: &impl Host, clock: &SubscriptionClock) -> Result<Option<Instant>, Errno> {
    let time = Duration::from_nanos(clock.timeout);
    let absolute = clock
        .flags
        .contains(Subclockflags::SUBSCRIPTION_CLOCK_ABSTIME);
    let left = match (clock.id, absolute) {
        (Clockid::Monotonic | Clockid::Realtime, false) => time,
        (Clockid::Monotonic, true) => time.saturating_sub(host.wasi().monotonic()),
        (Clockid::Realtime, true) => time.saturating_sub(realtime()),
        _ => return Err(Errno::Inval),
    };
    Ok(Instant::now().checked_add(left))
}

fn readable(wasi: &Wasi, fd: Fd) -> Wait {
    match wasi.streams().find(fd.into()) {
        Some(Stream::In) if wasi.stdin().can_block() => Wait::Readable,
        Some(Stream::In) => Wait::Ready,
        Some(_) => Wait::Failed(Errno::Badf),
        None => file(wasi, fd),
    }
}

fn writable(wasi: &Wasi, fd: Fd) -> Wait {
    match wasi.streams().find(fd.into()) {
        Some(Stream::In) => Wait::Failed(Errno::Badf),
        Some(stream) if wasi.output(stream).can_block() => Wait::Writable(stream),
        Some(_) => Wait::Ready,
        None => file(wasi, fd),
    }
}

fn file(wasi: &Wasi, fd: Fd) -> Wait {
    match wasi.is_open(fd.into()) {
        true => Wait::Ready,
        false => Wait::Failed(Errno::Badf),
    }
}

/// Waits until at least one of `interests` is ready, and returns the events.
fn wait(host: &impl Host, interests: &[Interest]) -> Result<Result<Vec<Event>, Errno>> {
    let _call = host.thread().host_call();
    let immediate = |wait: &Wait| matches!(wait, Wait::Ready | Wait::Failed(_));
    let is_immediate = interests.iter().any(|interest| immediate(&interest.wait));
    let clocks = interests.iter().filter_map(|interest| match interest.wait {
        Wait::Until(deadline) => deadline,
        _ => None,
    });
    let deadline = match is_immediate {
        true => Some(Instant::now()),
        false => clocks.min(),
    };
    let polls = |wait: &Wait| matches!(wait, Wait::Readable | Wait::Writable(_));
    let ready = if interests.iter().any(|interest| polls(&interest.wait)) {
        match poll_streams(host, interests, deadline)? {
            Ok(ready) => ready,
            Err(error) => return Ok(Err(error)),
        }
    } else {
        if !is_immediate {
            sleep(host, deadline)?;
        }
        vec![false; interests.len()]
    };
    let now = Instant::now();
    let events = interests.iter().zip(ready).filter_map(|(interest, ready)| {
        let error = match interest.wait {
            Wait::Until(deadline) if deadline.is_some_and(|at| at <= now) => Errno::Success,
            Wait::Until(_) => return None,
            Wait::Readable | Wait::Writable(_) if ready => Errno::Success,
            Wait::Readable | Wait::Writable(_) => return None,
            Wait::Ready => Errno::Success,
            Wait::Failed(errno) => errno,
        };
        Some(Event {
            userdata: interest.userdata,
            error,
            type_: interest.kind,
            fd_readwrite: EventFdReadwrite {
                nbytes: u64::from(interest.kind != Eventtype::Clock),
                flags: Eventrwflags::empty(),
            },
        })
    });
    Ok(Ok(events.collect()))
}

/// Sleeps until `deadline`, or until the process or the thread's task ends, which
/// unparks it.
fn sleep(host: &impl Host, deadline: Option<Instant>) -> Result<()> {
    let cores = host.cores();
    cores.release();
    let result = loop {
        if let Err(ending) = host.check_running() {
            break Err(ending);
        }
        match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
            None => std::thread::park(),
            Some(Duration::ZERO) => break Ok(()),
            Some(left) => std::thread::park_timeout(left),
        }
    };
    cores.acquire();
    result
}

/// Polls the streams among `interests` until one is ready, `deadline`, or the end of
/// the process; says of each interest whether its stream is ready.
fn poll_streams(
    host: &impl Host,
    interests: &[Interest],
    deadline: Option<Instant>,
) -> Result<Result<Vec<bool>, Errno>> {
    let wasi = host.wasi();
    let cancel = wasi.cancel();
    let Some(cancel) = &cancel.0 else {
        return Ok(Err(Errno::Badf));
    };
    let (input, out, err) = (
        wasi.stdin().open(),
        wasi.output(Stream::Out).open(),
        wasi.output(Stream::Err).open(),
    );
    let mut fds = vec![PollFd::from_borrowed_fd(cancel.fd(), PollFlags::IN)];
    let mut places = Vec::new();
    for interest in interests {
        let (fd, flags) = match interest.wait {
            Wait::Readable => (input.fd(), PollFlags::IN),
            Wait::Writable(Stream::Err) => (err.fd(), PollFlags::OUT),
            Wait::Writable(_) => (out.fd(), PollFlags::OUT),
            _ => (None, PollFlags::empty()),
        };
        places.push(fd.map(|fd| {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            fds.len() - 1
        }));
    }
    let cores = host.cores();
    cores.release();
    let result = poll(host, &mut fds, deadline);
    cores.acquire();
    Ok(result?.map(|()| {
        let ready = |place: &Option<usize>| place.is_some_and(|at| !fds[at].revents().is_empty());
        places.iter().map(ready).collect()
    }))
}

/// Polls until something is ready or `deadline`. The first descriptor is the
/// process's end.
pub(super) fn poll(
    host: &impl Host,
    fds: &mut [PollFd<'_>],
    deadline: Option<Instant>,
) -> Result<Result<(), Errno>> {
    loop {
        host.check_running()?;
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        // More than the system can count is as good as no timeout.
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Ok(Err(errno(error.into()))),
        }
        host.check_running()?;
        let ready = fds.iter().any(|fd| !fd.revents().is_empty());
        if ready || left.is_some_and(|left| left.is_zero()) {
            return Ok(Ok(()));
        }
    }
}
