//! A guest thread as the host sees it, without the process that it belongs to.

use crate::limits::Limit;
use crate::lock::lock;
use crate::machine::{CpuClock, Reasons, Receiver};
use crate::recorder::Track;
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// A thread's stack in linear memory, of so many bytes, is used up. Stands around the trap.
#[derive(Debug, thiserror::Error)]
#[error("a stack of {0} bytes is used up")]
pub(crate) struct StackOverflow(pub(crate) u64);

/// A host call or a thread was ended because its process ends.
#[derive(Debug, thiserror::Error)]
#[error("the process is ending")]
pub(crate) struct Ended;

/// Bytes that are kept of what a thread writes to standard error: more than the message of a
/// panic usually has.
const LONGEST_COMPLAINT: usize = 4 << 10;

/// What a thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Activity {
    /// It computes, or is about to start.
    Running,
    /// It waits for a notify of this address.
    Waiting {
        /// The address in linear memory.
        address: u64,
    },
    /// It is in a host call that can take long: a sleep, a poll, a read or a write
    /// of a standard stream, a spawn that waits for a thread to be gone.
    InHostCall,
}

/// A row of [`Process::threads`](crate::Process::threads).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// The id that the guest knows; 0 is the main thread.
    pub id: u32,
    /// What it is doing.
    pub activity: Activity,
    /// Processor time that it has used, where the system tells it.
    pub cpu_time: Option<Duration>,
}

/// The counters of a thread. Only the thread itself writes them.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) waits: Counter,
    pub(crate) waits_not_equal: Counter,
    pub(crate) notifies: Counter,
    pub(crate) woken: Counter,
}

/// Written by one thread, read by any.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        // Ordering: Relaxed, and no read-modify-write: there is one writer.
        let value = self.0.load(Ordering::Relaxed);
        self.0.store(value.wrapping_add(count), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        // Ordering: Relaxed; a snapshot.
        self.0.load(Ordering::Relaxed)
    }
}

/// One guest thread, from its spawn to its end.
#[derive(Default)]
pub(crate) struct ThreadState {
    pub(crate) id: u32,
    pub(crate) counters: Counters,
    /// The address waited for plus one, or 0. Stays when a wait is cancelled, so
    /// that a deadlock report can name it.
    waiting: AtomicU64,
    in_host_call: AtomicU8,
    /// Its task is to end, though the process goes on.
    cancelled: AtomicBool,
    /// Since when it is sent the signal that stops it.
    interrupted: Mutex<Option<Instant>>,
    /// The limit that refused it something last, unless something of that kind was granted
    /// afterwards.
    limit_met: Mutex<Option<Limit>>,
    /// The last that it wrote to standard error.
    complaint: Mutex<Vec<u8>>,
    /// What wakes it out of a host function of the embedder's that blocks.
    wake: Mutex<Option<Wake>>,
    worker: OnceLock<Attachment>,
    /// Where it notes what it does, if its process is profiled.
    pub(crate) track: Option<Arc<Track>>,
}

/// Wakes a thread out of a host function of the embedder's.
pub(crate) type Wake = Box<dyn FnOnce() + Send>;

/// The worker that runs the thread.
struct Attachment {
    thread: Thread,
    /// Where the signal goes that stops it, if one does.
    receiver: Option<Arc<Receiver>>,
    clock: Option<CpuClock>,
    /// What the worker had used before.
    used_before: Duration,
}

impl ThreadState {
    pub(crate) fn new(id: u32, track: Option<Arc<Track>>) -> Self {
        Self {
            id,
            track,
            ..Self::default()
        }
    }

    /// The calling worker runs this thread from now on, and can be stopped by `signal`.
    pub(crate) fn attach(&self, signal: Option<i32>) {
        if self.worker.get().is_some() {
            return;
        }
        let clock = CpuClock::current();
        let used_before = clock.and_then(CpuClock::now).unwrap_or_default();
        let thread = thread::current();
        // Attached once, by the worker that took its job.
        let _ = self.worker.set(Attachment {
            thread,
            receiver: signal.map(Receiver::current),
            clock,
            used_before,
        });
    }

    /// Processor time of this thread so far.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        let worker = self.worker.get()?;
        Some(worker.clock?.now()?.saturating_sub(worker.used_before))
    }

    /// Wakes it if it sleeps in a host call, or will.
    pub(crate) fn unpark(&self) {
        if let Some(worker) = self.worker.get() {
            worker.thread.unpark();
        }
    }

    /// What is to be called where it must be woken, from now on until it is woken; what was
    /// before is returned.
    pub(crate) fn wake_with(&self, wake: Option<Wake>) -> Option<Wake> {
        std::mem::replace(&mut *lock(&self.wake), wake)
    }

    /// Wakes it out of a host function of the embedder's, whose code this calls: without a
    /// lock.
    pub(crate) fn wake(&self) {
        let wake = lock(&self.wake).take();
        if let Some(wake) = wake {
            // What a panic in it may have left half done is the embedder's.
            let _ = catch_unwind(AssertUnwindSafe(wake));
        }
    }

    /// Sends it the signal that stops it, if it is in guest code and has a reason to stop.
    /// Tells when to send it again, should it be there still: the signal may have met it in
    /// a host call, so at first that is soon, for a guest that does little else.
    pub(crate) fn interrupt(&self, signal: i32) -> Instant {
        const SOONEST: Duration = Duration::from_micros(100);
        const LATEST: Duration = Duration::from_millis(10);
        let worker = self.worker.get();
        if let Some(receiver) = worker.and_then(|worker| worker.receiver.as_ref()) {
            receiver.send(signal);
        }
        let now = Instant::now();
        let first = *lock(&self.interrupted).get_or_insert(now);
        now + (now.saturating_duration_since(first) / 64).clamp(SOONEST, LATEST)
    }

    /// Why it would have to stop, in a process that ends when `ending` says so.
    pub(crate) fn reasons<'a>(&'a self, ending: &'a AtomicBool) -> Reasons<'a> {
        Reasons {
            ending,
            cancelled: &self.cancelled,
        }
    }

    /// Ends its waits from now on; those that it is in are for the caller to end.
    pub(crate) fn cancel(&self, on: bool) {
        // Ordering: SeqCst; pairs with the load in `is_cancelled`: a thread that the
        // caller wakes afterwards, or that looks under a lock which the caller takes
        // afterwards, sees it.
        self.cancelled.store(on, Ordering::SeqCst);
        if !on {
            *lock(&self.interrupted) = None;
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        // Ordering: SeqCst; see `cancel`.
        self.cancelled.load(Ordering::SeqCst)
    }

    /// A limit refuses it something. To be said before it is told no.
    pub(crate) fn meet_limit(&self, limit: Limit) {
        *lock(&self.limit_met) = Some(limit);
    }

    /// It was granted something that limits of this kind could have refused.
    pub(crate) fn granted(&self, kind: impl FnOnce(&Limit) -> bool) {
        lock(&self.limit_met).take_if(|limit| kind(limit));
    }

    /// The limit that explains why it fails now, if one does.
    pub(crate) fn take_limit(&self) -> Option<Limit> {
        lock(&self.limit_met).take()
    }

    /// It writes this to standard error.
    pub(crate) fn complains(&self, text: &[u8]) {
        let mut complaint = lock(&self.complaint);
        complaint.extend_from_slice(text);
        let too_much = complaint.len().saturating_sub(LONGEST_COMPLAINT);
        complaint.drain(..too_much);
    }

    /// The last that it wrote to standard error.
    pub(crate) fn take_complaint(&self) -> Vec<u8> {
        std::mem::take(&mut *lock(&self.complaint))
    }

    pub(crate) fn wait_begins(&self, address: u64) {
        // Ordering: Relaxed here and below; for reports only.
        self.waiting.store(address + 1, Ordering::Relaxed);
    }

    pub(crate) fn wait_ends(&self) {
        self.waiting.store(0, Ordering::Relaxed);
    }

    pub(crate) fn address(&self) -> Option<u64> {
        self.waiting.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Marks a host call that can take long; it lasts until the guard is dropped.
    pub(crate) fn host_call(&self) -> HostCall<'_> {
        self.host_call_begins();
        HostCall(self)
    }

    /// As [`host_call`](Self::host_call), until [`host_call_ends`](Self::host_call_ends).
    pub(crate) fn host_call_begins(&self) {
        self.in_host_call.store(1, Ordering::Relaxed);
        if let Some(track) = &self.track {
            track.host_call_begins();
        }
    }

    pub(crate) fn host_call_ends(&self) {
        self.in_host_call.store(0, Ordering::Relaxed);
        if let Some(track) = &self.track {
            track.host_call_ends();
        }
    }

    fn activity(&self) -> Activity {
        match (self.address(), self.in_host_call.load(Ordering::Relaxed)) {
            (Some(address), _) => Activity::Waiting { address },
            (None, 0) => Activity::Running,
            (None, _) => Activity::InHostCall,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.activity() == Activity::Running
    }

    pub(crate) fn info(&self) -> ThreadInfo {
        ThreadInfo {
            id: self.id,
            activity: self.activity(),
            cpu_time: self.cpu_time(),
        }
    }
}

/// See [`ThreadState::host_call`].
pub(crate) struct HostCall<'a>(&'a ThreadState);

impl Drop for HostCall<'_> {
    fn drop(&mut self) {
        self.0.host_call_ends();
    }
}
