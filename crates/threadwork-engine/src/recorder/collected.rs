//! [`Collected`]: what all threads have noted: counts, the newest samples, the timeline.

use super::bounds::{MOST_EVENTS, MOST_PAIRS, MOST_SAMPLES, MOST_TRACKS};
use super::events::{Event, What};
use super::notes::Notes;
use super::options::ProfileOptions;
use super::stacks::{MORE_STACKS, Stacks};
use crate::lock::lock;
use crate::machine::{Doing, LOST, Ring};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A sample whose time is known.
#[derive(Clone, Copy)]
pub(crate) struct Timed {
    pub(crate) at: u64,
    pub(crate) track: u32,
    pub(crate) stack: u32,
    pub(crate) doing: Doing,
    pub(crate) periods: u32,
}

/// Who has slept where, and who woke it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    pub(crate) track: u32,
    pub(crate) stack: u32,
    pub(crate) waker: Option<(u32, u32)>,
}

/// How often, and for how many nanoseconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum {
    pub(crate) count: u64,
    pub(crate) time: u64,
    pub(crate) longest: u64,
}

impl Sum {
    fn add(&mut self, time: u64) {
        self.add_sum(Self {
            count: 1,
            time,
            longest: time,
        });
    }

    pub(crate) fn add_sum(&mut self, other: Self) {
        self.count += other.count;
        self.time += other.time;
        self.longest = self.longest.max(other.longest);
    }
}

/// Where a thread's time went, in nanoseconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Times {
    /// In which it ran, whatever it did.
    pub(crate) alive: u64,
    pub(crate) hovering: u64,
    pub(crate) asleep: u64,
    pub(crate) host_calls: u64,
    /// Of a processor, in the runs that have ended.
    pub(crate) processor: Duration,
    /// Since when it runs, if it does.
    since: Option<u64>,
}

/// A thread, of those that are told apart.
pub(crate) struct Row {
    /// The guest's number of it.
    pub(crate) thread: u32,
    pub(crate) times: Times,
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Collected {
    /// By track.
    pub(crate) rows: Vec<Row>,
    /// When the process ended, if it has.
    pub(crate) ended: Option<u64>,
    /// Periods of processor time by track, stack, and what the thread was doing.
    pub(crate) cpu: HashMap<(u32, u32, Doing), u64>,
    pub(crate) samples: VecDeque<Timed>,
    /// Samples there were, and those of them whose frames led to where the host had called the
    /// guest.
    pub(crate) taken: u64,
    pub(crate) whole: u64,
    /// Periods that are in no sample.
    pub(crate) lost: u64,
    pub(crate) waits: HashMap<Pair, Sum>,
    /// Host calls that can take long, by track and stack.
    pub(crate) host_calls: HashMap<(u32, u32), Sum>,
    /// With the track.
    pub(crate) timeline: VecDeque<(u32, Event)>,
    /// Of what ended before, the timeline has not all.
    pub(crate) timeline_from: u64,
    running: Vec<Running>,
    free: Vec<Arc<Ring>>,
}

/// A thread that runs.
struct Running {
    notes: Arc<Notes>,
    ring: Option<Arc<Ring>>,
}

impl Collected {
    /// The track of a new thread.
    pub(super) fn add_track(&mut self, thread: u32) -> u32 {
        if self.rows.len() < MOST_TRACKS as usize {
            self.rows.push(Row {
                thread,
                times: Times::default(),
            });
        }
        // At most `MOST_TRACKS`.
        self.rows.len() as u32 - 1
    }

    /// A thread runs from now on; it gets a place for its samples, if they are wanted.
    pub(super) fn begin(&mut self, notes: &Arc<Notes>, sampled: bool) -> Option<Arc<Ring>> {
        let ring = sampled.then(|| self.free.pop().unwrap_or_else(|| Arc::new(Ring::new())));
        self.running.push(Running {
            notes: Arc::clone(notes),
            ring: ring.clone(),
        });
        ring
    }

    /// It does not any more, and has used so much of a processor.
    pub(super) fn end(
        &mut self,
        track: u32,
        processor: Duration,
        ring: Option<Arc<Ring>>,
        stacks: &Mutex<Stacks>,
        options: ProfileOptions,
    ) {
        // Where tracks are shared, the ring tells threads apart, or nothing has to.
        let is_it = |running: &Running| {
            let same_ring = match (&running.ring, &ring) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            };
            running.notes.track == track && same_ring
        };
        if let Some(at) = self.running.iter().position(is_it) {
            let running = self.running.swap_remove(at);
            self.rows[track as usize].times.processor += processor;
            self.take(&running, stacks, options.timeline);
            if let Some(ring) = running.ring {
                ring.reset();
                self.free.push(ring);
            }
        }
    }

    /// Takes what was noted since the last time.
    pub(super) fn collect(&mut self, stacks: &Mutex<Stacks>, timeline: bool) {
        let running = std::mem::take(&mut self.running);
        for one in &running {
            self.take(one, stacks, timeline);
        }
        self.running = running;
    }

    fn take(&mut self, running: &Running, stacks: &Mutex<Stacks>, timeline: bool) {
        let track = running.notes.track;
        for event in running.notes.take() {
            self.count(track, &event);
            if timeline {
                self.keep(track, event);
            }
        }
        let Some(ring) = &running.ring else { return };
        let mut stacks = lock(stacks);
        let lost = ring.drain(|sample| {
            let is_whole = sample.frames.last().is_some_and(|frame| *frame != LOST);
            self.taken += 1;
            self.whole += u64::from(is_whole);
            self.add_sample(Timed {
                at: sample.at,
                track,
                stack: stacks.number(sample.frames),
                doing: sample.doing,
                periods: sample.periods,
            });
        });
        self.lost += lost;
    }

    fn add_sample(&mut self, sample: Timed) {
        let periods = u64::from(sample.periods);
        *self
            .cpu
            .entry((sample.track, sample.stack, sample.doing))
            .or_default() += periods;
        if self.samples.len() >= MOST_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Adds an event to counts and sums.
    fn count(&mut self, track: u32, event: &Event) {
        let times = &mut self.rows[track as usize].times;
        let spent = event.to.saturating_sub(event.from);
        match event.what {
            What::Began => times.since = Some(event.from),
            What::Ended => {
                let since = times.since.take();
                times.alive += since.map_or(0, |since| event.to.saturating_sub(since));
            }
            What::Waited { slept: None, .. } => times.hovering += spent,
            What::Waited {
                slept: Some(slept),
                by,
                ..
            } => {
                let asleep = event.to.saturating_sub(slept);
                times.hovering += slept.saturating_sub(event.from);
                times.asleep += asleep;
                let mut pair = Pair {
                    track,
                    stack: event.stack,
                    waker: by.by(),
                };
                if self.waits.len() >= MOST_PAIRS && !self.waits.contains_key(&pair) {
                    pair = Pair {
                        track,
                        stack: MORE_STACKS,
                        waker: None,
                    };
                }
                self.waits.entry(pair).or_default().add(asleep);
            }
            What::HostCall => {
                times.host_calls += spent;
                let call = (track, event.stack);
                self.host_calls.entry(call).or_default().add(spent);
            }
            What::Notified { .. } | What::Spawned(_) | What::Grew(_) => {}
        }
    }

    /// Keeps an event for the timeline.
    fn keep(&mut self, track: u32, event: Event) {
        if self.timeline.len() >= MOST_EVENTS
            && let Some((_, oldest)) = self.timeline.pop_front()
        {
            self.timeline_from = self.timeline_from.max(oldest.to);
        }
        self.timeline.push_back((track, event));
    }
}

impl Times {
    /// In which it ran, up to now if it does.
    pub(crate) fn alive_until(&self, now: u64) -> u64 {
        self.alive + self.since.map_or(0, |since| now.saturating_sub(since))
    }
}
