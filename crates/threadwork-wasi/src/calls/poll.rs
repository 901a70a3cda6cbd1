//! `poll_oneoff`: sleeping, and waiting for descriptors. It ends when the process does.

use super::Call;
use super::basic::Clock;
use crate::abi::{HANGUP, checked, rights, subclockflags};
use crate::descriptor::{Descriptor, Kind};
use crate::ending::{sleep, wait};
use crate::errno::{Errno, Result};
use crate::host::{Host, LongCall};
use rustix::event::PollFlags;
use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sizes of the records.
const SUBSCRIPTION: usize = 48;
const EVENT: usize = 32;

/// Subscriptions of one call: both ways of some thirty thousand descriptors. Each takes a
/// hundred bytes of the host as long as the call lasts.
const MOST: u32 = 1 << 16;

/// One thing that is waited for.
struct Interest {
    userdata: u64,
    kind: Kinds,
    wait: Wait,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kinds {
    Clock = 0,
    Read = 1,
    Write = 2,
}

enum Wait {
    /// `None` is beyond all time.
    Until(Option<Instant>),
    /// Until the descriptor can be used without blocking.
    For(Arc<Descriptor>, PollFlags),
    /// What never blocks.
    Ready(Arc<Descriptor>),
    /// A descriptor that is not open, or must not be polled.
    Failed(Errno),
}

pub(crate) fn poll_oneoff<H: Host>(
    call: &Call<'_, H>,
    subscriptions: u32,
    events: u32,
    count: u32,
    result: u32,
) -> Result {
    if count == 0 || count > MOST {
        return Err(Errno::INVAL.into());
    }
    let room = count as usize;
    call.memory.locate(subscriptions, room * SUBSCRIPTION)?;
    call.memory.locate(events, room * EVENT)?;
    call.memory.locate(result, 4)?;
    let interests = (0..count).map(|n| interest(call, subscriptions + n * SUBSCRIPTION as u32));
    let interests = interests.collect::<Result<Vec<_>>>()?;
    let happened = happened(call.host, &interests)?;
    for (event, n) in happened.iter().zip(0..) {
        call.memory.write(events + n * EVENT as u32, event)?;
    }
    Ok(call.memory.write_u32(result, happened.len() as u32)?)
}

fn interest<H: Host>(call: &Call<'_, H>, at: u32) -> Result<Interest> {
    let bytes: [u8; SUBSCRIPTION] = call.memory.read(at)?;
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    };
    // Descriptors and clocks are numbers of 32 bits.
    let id = word(16) as u32;
    let (kind, wait) = match bytes[8] {
        0 => {
            let flags = checked((word(40) & 0xffff) as u32, subclockflags::ALL)?;
            (
                Kinds::Clock,
                Wait::Until(deadline(call, id, word(24), flags)?),
            )
        }
        1 => (Kinds::Read, readable(call, id)),
        2 => (Kinds::Write, writable(call, id)),
        _ => return Err(Errno::INVAL.into()),
    };
    Ok(Interest {
        userdata: word(0),
        kind,
        wait,
    })
}

/// The moment of a clock's event.
fn deadline<H: Host>(
    call: &Call<'_, H>,
    id: u32,
    timeout: u64,
    flags: u16,
) -> Result<Option<Instant>> {
    let clock = Clock::new(id)?;
    if !matches!(clock, Clock::Realtime | Clock::Monotonic) {
        return Err(Errno::INVAL.into());
    }
    let time = Duration::from_nanos(timeout);
    let left = match flags & subclockflags::ABSTIME {
        0 => time,
        _ => time.saturating_sub(Duration::from_nanos(clock.now(call.host))),
    };
    Ok(Instant::now().checked_add(left))
}

fn readable<H: Host>(call: &Call<'_, H>, fd: u32) -> Wait {
    waits_for(call, fd, Descriptor::is_readable, PollFlags::IN)
}

fn writable<H: Host>(call: &Call<'_, H>, fd: u32) -> Wait {
    waits_for(call, fd, Descriptor::is_writable, PollFlags::OUT)
}

fn waits_for<H: Host>(
    call: &Call<'_, H>,
    fd: u32,
    is_for_that: fn(&Descriptor) -> bool,
    flags: PollFlags,
) -> Wait {
    let Some(descriptor) = call.host.wasi().table().get(fd) else {
        return Wait::Failed(Errno::BADF);
    };
    if let Err(errno) = descriptor.require(rights::POLL_FD_READWRITE) {
        return Wait::Failed(errno);
    }
    match &descriptor.kind {
        // As natively: whether they can be read or written is not asked.
        Kind::File(channel) if !channel.can_block() => Wait::Ready(descriptor),
        Kind::File(channel) if channel.is_regular() && !is_for_that(&descriptor) => {
            Wait::Ready(descriptor)
        }
        Kind::Directory(_) => Wait::Ready(descriptor),
        // What is not open for that is asked, too, and the system says what it says to its own
        // programs: a pipe never is, but its other end can be gone. Programs ask that of
        // listeners (mio has them polled for writing, too).
        _ if descriptor.can_block() => Wait::For(descriptor, flags),
        _ if is_for_that(&descriptor) => Wait::Ready(descriptor),
        _ => Wait::Until(None),
    }
}

/// Waits until at least one thing happens, and returns the events.
fn happened(host: &impl Host, interests: &[Interest]) -> Result<Vec<[u8; EVENT]>> {
    let _call = LongCall::begin(host);
    let is_immediate = |wait: &Wait| matches!(wait, Wait::Ready(_) | Wait::Failed(_));
    let is_immediate = interests
        .iter()
        .any(|interest| is_immediate(&interest.wait));
    let clocks = interests.iter().filter_map(|interest| match interest.wait {
        Wait::Until(deadline) => deadline,
        _ => None,
    });
    let deadline = match is_immediate {
        true => Some(Instant::now()),
        false => clocks.min(),
    };
    let mut polled = Polled::default();
    for interest in interests {
        polled.add(interest);
    }
    let mut found = Vec::new();
    if !polled.fds.is_empty() {
        found = wait(host, &polled.fds, deadline)?;
    } else if !is_immediate {
        sleep(host, deadline)?;
    }
    let now = Instant::now();
    let event = |interest: &Interest| match &interest.wait {
        Wait::Until(Some(at)) if *at <= now => Some(event(interest, Ok((0, 0)))),
        Wait::Until(_) => None,
        Wait::Ready(descriptor) => Some(event(
            interest,
            Ok((ready_bytes(descriptor, interest.kind), 0)),
        )),
        Wait::Failed(errno) => Some(event(interest, Err(*errno))),
        Wait::For(descriptor, flags) => {
            let found = polled.found(descriptor, &found) & (*flags | always());
            let told = told(descriptor, interest.kind, found)?;
            Some(event(interest, told))
        }
    };
    Ok(interests.iter().filter_map(event).collect())
}

/// What the system is asked to poll: each descriptor once, as it takes no more than there may
/// be open.
#[derive(Default)]
struct Polled<'a> {
    fds: Vec<(BorrowedFd<'a>, PollFlags)>,
    places: HashMap<*const Descriptor, usize>,
}

impl<'a> Polled<'a> {
    fn add(&mut self, interest: &'a Interest) {
        let Wait::For(descriptor, flags) = &interest.wait else {
            return;
        };
        let Some(channel) = descriptor.channel() else {
            return;
        };
        let next = self.fds.len();
        match *self.places.entry(Arc::as_ptr(descriptor)).or_insert(next) {
            place if place == next => self.fds.push((channel.fd(), *flags)),
            place => self.fds[place].1 |= *flags,
        }
    }

    /// What was found of a descriptor.
    fn found(&self, descriptor: &Arc<Descriptor>, found: &[PollFlags]) -> PollFlags {
        let place = self.places.get(&Arc::as_ptr(descriptor));
        let found = place.and_then(|place| found.get(*place));
        found.copied().unwrap_or(PollFlags::empty())
    }
}

/// What a poll tells without being asked.
fn always() -> PollFlags {
    PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL
}

/// The bytes and flags of an event, or its error.
type Told = std::result::Result<(u64, u16), Errno>;

/// What a poll has found of a descriptor; `None` if nothing.
fn told(descriptor: &Descriptor, kind: Kinds, found: PollFlags) -> Option<Told> {
    if found.is_empty() {
        return None;
    }
    if found.contains(PollFlags::NVAL) {
        return Some(Err(Errno::BADF));
    }
    let gone = PollFlags::HUP | PollFlags::ERR;
    let flags = match found.intersects(gone) {
        true => HANGUP,
        false => 0,
    };
    Some(Ok((ready_bytes(descriptor, kind), flags)))
}

/// How many bytes can be read at once; 1 where nobody knows.
fn ready_bytes(descriptor: &Descriptor, kind: Kinds) -> u64 {
    let known = match (&descriptor.kind, kind) {
        (Kind::Bytes(bytes), Kinds::Read) => Some(bytes.left()),
        (Kind::File(channel) | Kind::Stream(channel), Kinds::Read) if channel.can_block() => {
            rustix::io::ioctl_fionread(channel.fd()).ok()
        }
        (Kind::File(channel) | Kind::Stream(channel), Kinds::Read) => {
            let size = descriptor.filestat().map(|stat| stat.size);
            let position = rustix::fs::tell(channel.fd());
            size.ok()
                .zip(position.ok())
                .map(|(size, position)| size.saturating_sub(position))
        }
        _ => None,
    };
    known.unwrap_or(1)
}

fn event(interest: &Interest, told: Told) -> [u8; EVENT] {
    let mut bytes = [0; EVENT];
    bytes[..8].copy_from_slice(&interest.userdata.to_le_bytes());
    bytes[10] = interest.kind as u8;
    match told {
        Ok((count, flags)) => {
            bytes[16..24].copy_from_slice(&count.to_le_bytes());
            bytes[24..26].copy_from_slice(&flags.to_le_bytes());
        }
        Err(errno) => bytes[8..10].copy_from_slice(&errno.0.to_le_bytes()),
    }
    bytes
}
