//! [`Track`]: what one thread notes.
//!
//! Only the thread itself notes something; the lock is for whoever collects it. Events that the
//! guest makes often (a wait that hovers, a notify that wakes nobody) cost two looks at the
//! clock at most; a stack is walked only where the thread sleeps, or wakes somebody who does.

use super::bounds::FULL;
use super::events::{Event, What, Woken};
use super::notes::Notes;
use super::recording::Recorder;
use crate::lock::lock;
use crate::machine::{
    CodeMap, CpuClock, Doing, Exits, Ring, Sampling, Stack, WasDoing, current_stack, doing, now,
};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use threadwork_parking::{Observer, WaitResult};

/// Numbers of stacks that a thread has found lately.
const CACHED: usize = 64;

/// See the module's documentation.
pub(crate) struct Track {
    recorder: Arc<Recorder>,
    notes: Arc<Notes>,
    memory: Mutex<Memory>,
}

/// What the thread remembers.
struct Memory {
    /// By a hash of their frames, which stands for the frames.
    stacks: [(u64, u32); CACHED],
    /// Since when the thread is in a host call that can take long, and its stack.
    host_call: Option<(u64, u32)>,
    /// Notifies that left a mark.
    marks: u32,
}

impl Track {
    /// Of a new thread with this id.
    pub(crate) fn new(recorder: &Arc<Recorder>, thread: u32) -> Arc<Self> {
        let index = lock(&recorder.collected).add_track(thread);
        Arc::new(Self {
            recorder: Arc::clone(recorder),
            notes: Arc::new(Notes::new(index)),
            memory: Mutex::new(Memory {
                stacks: [(0, 0); CACHED],
                host_call: None,
                marks: 0,
            }),
        })
    }

    /// Runs `body`, in which the calling thread runs the guest's thread.
    pub(crate) fn run<R>(
        self: &Arc<Self>,
        code: &CodeMap,
        exits: Option<Exits>,
        body: impl FnOnce() -> R,
    ) -> R {
        /// However `body` ends.
        struct End<'a>(&'a Track, Option<Arc<Ring>>, Duration);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                let Self(track, ring, before) = self;
                let recorder = &track.recorder;
                track.note(What::Ended, now());
                let used = processor_time().saturating_sub(*before);
                let mut collected = lock(&recorder.collected);
                collected.end(
                    track.index(),
                    used,
                    ring.take(),
                    &recorder.stacks,
                    recorder.options(),
                );
            }
        }
        let period = self.recorder.options().period();
        let ring = lock(&self.recorder.collected).begin(&self.notes, period.is_some());
        let end = End(self, ring, processor_time());
        self.note(What::Began, now());
        let sampling = Sampling {
            code,
            exits,
            ring: end.1.as_deref().zip(period),
        };
        let result = sampling.run(body);
        drop(end);
        result
    }

    fn index(&self) -> u32 {
        self.notes.track
    }

    fn note(&self, what: What, from: u64) {
        self.add(Event {
            from,
            to: from,
            stack: 0,
            what,
        });
    }

    fn add(&self, event: Event) {
        if self.notes.add(event) >= FULL {
            self.recorder.collect();
        }
    }

    /// The number of the stack of the calling thread, which has called the host.
    fn stack(&self) -> u32 {
        let mut stack = Stack::new();
        current_stack(&mut stack);
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(stack.frames());
        let at = hash as usize % CACHED;
        let (cached, number) = lock(&self.memory).stacks[at];
        if cached == hash && number != 0 {
            return number;
        }
        let number = lock(&self.recorder.stacks).number(stack.frames());
        lock(&self.memory).stacks[at] = (hash, number);
        number
    }

    // ---- What the thread does ----

    /// It notifies a word, by `notify`, which is given what makes the mark for those that
    /// sleep there and returns how many were woken.
    pub(crate) fn notify(
        &self,
        address: u64,
        notify: impl FnOnce(&mut dyn FnMut() -> u64) -> u32,
    ) -> u32 {
        let _doing = doing(Doing::Notify);
        let mut noted = None;
        let woken = notify(&mut || {
            let stack = self.stack();
            let mark = self.mark(stack);
            noted = Some((mark, stack, now()));
            mark.0
        });
        if woken > 0
            && let Some((mark, stack, from)) = noted
        {
            self.add(Event {
                from,
                to: now(),
                stack,
                what: What::Notified {
                    address,
                    woken,
                    mark,
                },
            });
        }
        woken
    }

    fn mark(&self, stack: u32) -> Woken {
        let mut memory = lock(&self.memory);
        memory.marks = memory.marks.wrapping_add(1);
        Woken::new(self.index(), stack, memory.marks)
    }

    /// It has started that thread.
    pub(crate) fn spawned(&self, child: &Self) {
        let from = now();
        self.add(Event {
            from,
            to: from,
            stack: self.stack(),
            what: What::Spawned(child.index()),
        });
    }

    /// It makes a memory larger by so many pages, by `grow`.
    pub(crate) fn grow<R>(&self, pages: u64, grow: impl FnOnce() -> R) -> R {
        let _doing = doing(Doing::Grow);
        let from = now();
        let grown = grow();
        self.add(Event {
            from,
            to: now(),
            stack: self.stack(),
            what: What::Grew(pages),
        });
        grown
    }

    /// It begins a host call that can take long.
    pub(crate) fn host_call_begins(&self) {
        let call = (now(), self.stack());
        lock(&self.memory).host_call.get_or_insert(call);
    }

    pub(crate) fn host_call_ends(&self) {
        let call = lock(&self.memory).host_call.take();
        if let Some((from, stack)) = call {
            self.add(Event {
                from,
                to: now(),
                stack,
                what: What::HostCall,
            });
        }
    }
}

/// Of the calling thread.
fn processor_time() -> Duration {
    let clock = CpuClock::current();
    clock.and_then(CpuClock::now).unwrap_or_default()
}

/// A wait, from its beginning to its end; of a thread that is not recorded nothing at all.
pub(crate) struct WaitRecord<'a>(Option<Wait<'a>>);

struct Wait<'a> {
    track: &'a Track,
    address: u64,
    from: u64,
    /// When it fell asleep, and its stack.
    slept: Option<(u64, u32)>,
    by: Woken,
    _doing: WasDoing,
}

impl<'a> WaitRecord<'a> {
    /// The calling thread, which has this track if it is recorded, waits for a notify of this
    /// address.
    pub(crate) fn begin(track: Option<&'a Track>, address: u64) -> Self {
        Self(track.map(|track| Wait {
            track,
            address,
            from: now(),
            slept: None,
            by: Woken::default(),
            _doing: doing(Doing::Wait),
        }))
    }

    /// The wait is over.
    pub(crate) fn end(self, result: WaitResult) {
        let Some(wait) = self.0 else { return };
        let (slept, stack) = wait.slept.unzip();
        wait.track.add(Event {
            from: wait.from,
            to: now(),
            stack: stack.unwrap_or(0),
            what: What::Waited {
                address: wait.address,
                slept,
                by: wait.by,
                timed_out: result == WaitResult::TimedOut,
            },
        });
    }
}

impl Observer for WaitRecord<'_> {
    fn sleeps(&mut self) {
        if let Some(wait) = &mut self.0
            && wait.slept.is_none()
        {
            let stack = wait.track.stack();
            wait.slept = Some((now(), stack));
        }
    }

    fn woken(&mut self, mark: u64) {
        if let Some(wait) = &mut self.0 {
            wait.by = Woken(mark);
        }
    }
}
