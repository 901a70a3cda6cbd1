//! The scheduler: which threads there are, who may run, who waits for what, and what time it is.
//!
//! Invariants: exactly one thread runs at a time, `current`, and whoever asks to stop it says
//! first who is next. `ready` has exactly the threads whose state is `Ready`. Nothing here
//! depends on anything but the program, its inputs, and what the strategy chooses.

use crate::choices::{Choice, Choices, Tid};
use crate::execution::Inputs;
use crate::guest_memory::GuestMemory;
use crate::operation::{Kind, Operation};
use crate::random::Random;
use crate::strategy::{Deviation, Situation, Strategy};
use crate::trace::Trace;

/// Nanoseconds that one step takes on the virtual clock.
const QUANTUM: u64 = 1_000;

/// Sleeps that the strategy may end early in one execution.
const EARLY_TIMEOUTS: u32 = 2;

/// Nanoseconds that a thread may be kept from running so that another one's sleep ends first. Longer
/// times are what programs mean by "never".
const EARLY: u64 = 1_000_000_000;

/// Equal reads, or failed exchanges, at one place after which a thread counts as spinning.
const FEW_READS: u32 = 3;

/// Who spins while nobody else can do anything is left to it for at most so many reads at a time,
/// and then the next one who spins has a turn.
const MANY_READS: u32 = 1 << 12;

/// The part of its steps through which an execution has to do nothing but spin to be a livelock.
const MOST_OF: u64 = 2;

/// Steps of those who only spin that are kept for a report.
const SHOWN: u64 = 1_000;

/// Nanoseconds that pass at most while those who spin each have a turn.
const LONGEST_PAUSE: u64 = 3_600_000_000_000;

/// Who has spun so often while others sleep lets the time pass until they wake.
const SOME_READS: u32 = 1 << 7;

/// Places that are watched to find that a thread spins.
const MOST_PLACES: usize = 32;

/// How an execution has ended, as the scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The main thread returned, or a thread called `exit`.
    Exit(i32),
    /// A thread trapped.
    Trap(Tid),
    /// All threads wait, and nobody is left to wake them.
    Deadlock,
    /// All threads wait, but for some that spin, and have done so up to the last step that an
    /// execution may take, for [`MOST_OF`] its steps. No proof that they would do so for ever.
    Livelock,
    /// It took more steps than an execution may take.
    StepLimit,
    /// A thread did not come to a scheduling point for long.
    Stuck(Tid),
    /// The time of the search was over.
    OutOfTime,
}

/// What a thread can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    /// In `memory.atomic.wait`.
    Waiting {
        address: u64,
        deadline: Option<u64>,
    },
    Sleeping {
        deadline: u64,
    },
    /// It has read the same values again and again, and stays away until one of them changes.
    Spinning,
    Done,
}

/// A read that was repeated.
#[derive(Clone, Copy, Debug)]
struct Read {
    operation: Operation,
    value: u64,
    count: u32,
}

/// A thread.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) state: State,
    /// The argument of `wasi_thread_start`.
    pub(crate) argument: i32,
    /// Whether its last wait ended since its time was over.
    pub(crate) timed_out: bool,
    /// Choices that were made at its points.
    choices: u64,
    /// A word that it may be writing, and what was there before.
    effect: Option<(Operation, u64)>,
    reads: Vec<Read>,
    patience: u32,
}

/// Since when, in steps, nobody has done anything but look at what he has seen before.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    since: u64,
    /// When all who could run were last found to spin.
    seen: u64,
    /// Deviations that were made before.
    deviations: usize,
}

/// All of it.
pub(crate) struct World {
    pub(crate) memory: GuestMemory,
    pub(crate) threads: Vec<Thread>,
    operations: Vec<Operation>,
    ready: Vec<Tid>,
    /// Threads whose wait or sleep ends by time, and the first such time.
    timed: Vec<Tid>,
    next_deadline: u64,
    /// Who waits, in the order in which they came.
    queue: Vec<(u64, Tid)>,
    /// Threads whose state is `Spinning`.
    spinning: Vec<Tid>,
    quiet: Option<Quiet>,
    /// What passes on the clock when all spin: ever more, so that who waits for a time sees it.
    pause: u64,
    /// Of `timed` those whose sleep may be made to end, now.
    soon: Vec<Tid>,
    pub(crate) next: Tid,
    clock: u64,
    steps: u64,
    most_steps: u64,
    early_timeouts: u32,
    pub(crate) end: Option<End>,
    strategy: Strategy,
    random: Random,
    choices: Choices,
    deviations: Vec<Deviation>,
    preemptions: u32,
    pub(crate) trace: Option<Trace>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) stdin_read: usize,
    pub(crate) guest_random: Random,
}

/// What is left of an execution.
pub(crate) struct Leftover {
    pub(crate) strategy: Strategy,
    pub(crate) choices: Choices,
    pub(crate) deviations: Vec<Deviation>,
    /// Of those the ones that were made before threads did nothing any more but spin.
    pub(crate) effective: usize,
    pub(crate) steps: u64,
    pub(crate) preemptions: u32,
    pub(crate) trace: Option<Trace>,
}

impl World {
    /// A world with the main thread.
    pub(crate) fn new(
        memory: GuestMemory,
        strategy: Strategy,
        seed: u64,
        inputs: &Inputs,
        trace: bool,
    ) -> Self {
        let mut world = Self {
            memory,
            threads: Vec::new(),
            operations: Vec::new(),
            ready: Vec::new(),
            timed: Vec::new(),
            next_deadline: u64::MAX,
            queue: Vec::new(),
            spinning: Vec::new(),
            quiet: None,
            pause: QUANTUM,
            soon: Vec::new(),
            next: 0,
            clock: 0,
            steps: 0,
            most_steps: inputs.most_steps,
            early_timeouts: EARLY_TIMEOUTS,
            end: None,
            strategy,
            random: Random::new(seed),
            choices: Choices::default(),
            deviations: Vec::new(),
            preemptions: 0,
            trace: trace.then(Trace::default),
            stdout: Vec::new(),
            stderr: Vec::new(),
            stdin_read: 0,
            guest_random: Random::new(inputs.seed),
        };
        world.add_thread(0);
        world
    }

    pub(crate) fn into_leftover(self) -> Leftover {
        let all = self.deviations.len();
        Leftover {
            effective: self.quiet.map_or(all, |quiet| quiet.deviations),
            strategy: self.strategy,
            choices: self.choices,
            deviations: self.deviations,
            steps: self.steps,
            preemptions: self.preemptions,
            trace: self.trace,
        }
    }

    /// Nanoseconds since the program began.
    pub(crate) fn clock(&self) -> u64 {
        self.clock
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    fn add_thread(&mut self, argument: i32) -> Tid {
        let tid = self.threads.len() as Tid;
        self.threads.push(Thread {
            state: State::Ready,
            argument,
            timed_out: false,
            choices: 0,
            effect: None,
            reads: Vec::new(),
            patience: FEW_READS,
        });
        self.operations.push(Operation::default());
        self.ready.push(tid);
        tid
    }

    /// Starts a thread.
    pub(crate) fn spawn(&mut self, by: Tid, argument: i32) -> Tid {
        self.progress(by);
        self.add_thread(argument)
    }

    /// Ends the execution, if it has not ended yet.
    pub(crate) fn finish(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// A scheduling point of the running thread. True if it has to stop: then `next` goes on, or
    /// the execution has ended; when it is its turn again it calls [`resume`](Self::resume).
    pub(crate) fn point(&mut self, tid: Tid, operation: Operation) -> bool {
        self.settle(tid);
        self.steps += 1;
        self.clock = self.clock.saturating_add(QUANTUM);
        if self.end.is_some() || self.steps >= self.most_steps {
            if self.only_spins() {
                for tid in std::mem::take(&mut self.ready) {
                    self.threads[tid as usize].state = State::Spinning;
                }
                self.finish(End::Livelock);
            }
            self.finish(End::StepLimit);
            return true;
        }
        if self.next_deadline <= self.clock {
            self.expire();
        }
        self.operations[tid as usize] = operation;
        if self.spins(tid, operation) {
            self.leave_ready(tid, State::Spinning);
            self.spinning.push(tid);
            self.pass(tid);
            return true;
        }
        self.next = self.decide(tid);
        if self.next == tid {
            self.resume(tid);
            return false;
        }
        true
    }

    /// Whether nobody has done anything but spin for long, up to now.
    fn only_spins(&self) -> bool {
        let long = self.most_steps / MOST_OF;
        let spins = |quiet: Quiet| quiet.seen - quiet.since >= long;
        self.quiet.is_some_and(spins)
    }

    /// Whether what is done now is to be kept for a report.
    pub(crate) fn traces(&self) -> bool {
        let is_news = |quiet: Quiet| self.steps - quiet.since < SHOWN;
        self.trace.is_some() && self.quiet.is_none_or(is_news)
    }

    /// The thread is about to do what it announced.
    pub(crate) fn resume(&mut self, tid: Tid) {
        let operation = self.operations[tid as usize];
        if self.traces()
            && let Some(trace) = &mut self.trace
        {
            trace.resumed(tid, self.memory.word(operation.address, operation.width));
        }
        if matches!(operation.kind, Kind::Store | Kind::Modify | Kind::Exchange) {
            let before = self.memory.word(operation.address, operation.width);
            self.threads[tid as usize].effect = Some((operation, before));
        }
    }

    /// The running thread sleeps until it is woken; `next` goes on.
    pub(crate) fn block(&mut self, tid: Tid, state: State) {
        self.threads[tid as usize].timed_out = false;
        self.leave_ready(tid, state);
        let deadline = match state {
            State::Waiting { address, deadline } => {
                self.queue.push((address, tid));
                deadline
            }
            State::Sleeping { deadline } => Some(deadline),
            State::Ready | State::Spinning | State::Done => None,
        };
        if let Some(deadline) = deadline {
            self.timed.push(tid);
            self.next_deadline = self.next_deadline.min(deadline);
        }
        self.pass(tid);
    }

    /// The running thread has returned; `next` goes on.
    pub(crate) fn exit(&mut self, tid: Tid) {
        self.settle(tid);
        self.progress(tid);
        self.leave_ready(tid, State::Done);
        self.pass(tid);
    }

    /// Wakes up to `count` threads that wait for the word at `address`.
    pub(crate) fn notify(&mut self, by: Tid, address: u64, count: u32) -> u32 {
        let mut woken = Vec::new();
        self.queue.retain(|(word, tid)| {
            let wakes = *word == address && (woken.len() as u64) < u64::from(count);
            if wakes {
                woken.push(*tid);
            }
            !wakes
        });
        for tid in &woken {
            self.wake(*tid, false);
        }
        if !woken.is_empty() {
            self.progress(by);
        }
        woken.len() as u32
    }

    /// Whoever did this has done something that others may wait for.
    pub(crate) fn progress(&mut self, tid: Tid) {
        (self.quiet, self.pause) = (None, QUANTUM);
        if let Some(thread) = self.threads.get_mut(tid as usize) {
            thread.reads.clear();
            thread.patience = FEW_READS;
        }
    }

    /// Looks what the thread's last operation has changed, and lets those go on who spin on it.
    fn settle(&mut self, tid: Tid) {
        let Some((operation, before)) = self.threads[tid as usize].effect.take() else {
            return;
        };
        if self.memory.word(operation.address, operation.width) == before {
            return;
        }
        self.progress(tid);
        let watches = |read: &Read| read.operation.overlaps(operation.address, operation.width);
        let wakes = |tid: &Tid| self.threads[*tid as usize].reads.iter().any(watches);
        let woken: Vec<Tid> = self.spinning.iter().copied().filter(wakes).collect();
        for other in woken {
            self.progress(other);
            self.make_ready(other);
        }
    }

    /// Whether the thread has read this, and all else that it reads, often enough.
    fn spins(&mut self, tid: Tid, operation: Operation) -> bool {
        if !matches!(operation.kind, Kind::Load | Kind::Modify | Kind::Exchange) {
            return false;
        }
        let value = self.memory.word(operation.address, operation.width);
        let thread = &mut self.threads[tid as usize];
        let patience = thread.patience;
        let is_here = |read: &&mut Read| {
            read.operation.site == operation.site && read.operation.address == operation.address
        };
        if let Some(read) = thread.reads.iter_mut().find(is_here) {
            if read.value == value {
                read.count += 1;
                return read.count > patience;
            }
            (read.value, read.count) = (value, 1);
            self.quiet = None;
            return false;
        }
        // Who reads at so many places that they are not all watched may count, and come to an end.
        self.quiet = None;
        if thread.reads.len() < MOST_PLACES {
            thread.reads.push(Read {
                operation,
                value,
                count: 1,
            });
        }
        false
    }

    fn make_ready(&mut self, tid: Tid) {
        if self.threads[tid as usize].state == State::Spinning {
            self.spinning.retain(|spinning| *spinning != tid);
        }
        self.threads[tid as usize].state = State::Ready;
        if let Err(place) = self.ready.binary_search(&tid) {
            self.ready.insert(place, tid);
        }
    }

    fn leave_ready(&mut self, tid: Tid, state: State) {
        self.threads[tid as usize].state = state;
        if let Ok(place) = self.ready.binary_search(&tid) {
            self.ready.remove(place);
        }
    }

    /// Ends the wait or the sleep of a thread.
    fn wake(&mut self, tid: Tid, timed_out: bool) {
        self.threads[tid as usize].timed_out = timed_out;
        self.make_ready(tid);
        if let Some(place) = self.timed.iter().position(|timed| *timed == tid) {
            self.timed.remove(place);
            self.next_deadline = self.first_deadline();
        }
    }

    fn deadline(&self, tid: Tid) -> Option<u64> {
        match self.threads[tid as usize].state {
            State::Waiting { deadline, .. } => deadline,
            State::Sleeping { deadline } => Some(deadline),
            State::Ready | State::Spinning | State::Done => None,
        }
    }

    fn first_deadline(&self) -> u64 {
        let deadlines = self.timed.iter().filter_map(|tid| self.deadline(*tid));
        deadlines.min().unwrap_or(u64::MAX)
    }

    /// Wakes all whose time is over.
    fn expire(&mut self) {
        let over = |tid: &Tid| self.deadline(*tid).is_some_and(|at| at <= self.clock);
        let over: Vec<Tid> = self.timed.iter().copied().filter(over).collect();
        for tid in over {
            self.time_out(tid);
        }
    }

    fn time_out(&mut self, tid: Tid) {
        self.queue.retain(|(_, waiter)| *waiter != tid);
        self.wake(tid, true);
    }

    /// The running thread cannot go on: somebody else is next, or the execution has ended.
    fn pass(&mut self, tid: Tid) {
        while self.ready.is_empty() {
            if let Some(end) = self.idle() {
                self.finish(end);
                return;
            }
        }
        self.next = self.decide(tid);
    }

    /// Nobody can run: those who spin look again, more often each time, and time passes.
    fn idle(&mut self) -> Option<End> {
        let spinners = self.spinning.clone();
        let patience = spinners
            .iter()
            .map(|tid| self.threads[*tid as usize].patience);
        let patience = patience.min();
        match (patience, self.timed.is_empty()) {
            (None, true) => return Some(End::Deadlock),
            (None | Some(SOME_READS..), false) => {
                self.clock = self.clock.max(self.next_deadline);
                self.expire();
            }
            (Some(_), _) => {}
        }
        if self.timed.is_empty() {
            let (steps, deviations) = (self.steps, self.deviations.len());
            let quiet = self.quiet.get_or_insert(Quiet {
                since: steps,
                seen: steps,
                deviations,
            });
            quiet.seen = steps;
            // Who spins until a time is over is to see it pass.
            self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
            self.clock = self.clock.saturating_add(self.pause);
        }
        // A turn is a small part of the steps, so that what happens in the last turn is small, too.
        let longest = match self.timed.is_empty() {
            true => u32::try_from(self.most_steps / 256).unwrap_or(u32::MAX),
            false => MANY_READS,
        };
        let longest = longest.clamp(FEW_READS, MANY_READS);
        for tid in spinners {
            let thread = &mut self.threads[tid as usize];
            // What it has seen more than once it may see again, and it means nothing new.
            thread.reads.retain(|read| read.count > 1);
            thread.reads.iter_mut().for_each(|read| read.count = 0);
            thread.patience = thread.patience.saturating_mul(2).min(longest);
            if !self.timed.is_empty() {
                let passed = QUANTUM * u64::from(thread.patience);
                self.clock = self.clock.saturating_add(passed);
            }
            self.make_ready(tid);
        }
        None
    }

    /// How many threads there are that have not ended.
    pub(crate) fn living(&self) -> usize {
        let living = |thread: &&Thread| thread.state != State::Done;
        self.threads.iter().filter(living).count()
    }

    /// Asks the strategy who is next.
    fn decide(&mut self, current: Tid) -> Tid {
        self.threads[current as usize].choices += 1;
        loop {
            self.soon.clear();
            if self.early_timeouts > 0 && !self.timed.is_empty() {
                let limit = self.clock.saturating_add(EARLY);
                let is_soon = |tid: &Tid| self.deadline(*tid).is_some_and(|at| at <= limit);
                let soon = self.timed.iter().copied().filter(is_soon);
                self.soon = soon.collect();
            }
            let situation = Situation {
                current,
                can_stay: self.threads[current as usize].state == State::Ready,
                nth: self.threads[current as usize].choices,
                step: self.steps,
                ready: &self.ready,
                timed: &self.soon,
                next: &self.operations,
            };
            let wanted = self.strategy.choose(&situation, &mut self.random);
            let ordinary = situation.ordinary();
            let choice = match wanted {
                Choice::Run(tid) if !self.ready.contains(&tid) => Choice::Run(ordinary),
                Choice::Timeout(tid) if !situation.timed.contains(&tid) => Choice::Run(ordinary),
                possible => possible,
            };
            let preempts = situation.is_preemption(choice);
            self.preemptions += u32::from(preempts);
            self.choices.push(choice);
            if choice != Choice::Run(ordinary) {
                self.deviations.push(Deviation {
                    thread: current,
                    nth: situation.nth,
                    choice,
                });
            }
            let traces = preempts && self.traces();
            if let Some(trace) = self.trace.as_mut().filter(|_| traces) {
                trace.preempted(current, choice);
            }
            match choice {
                Choice::Run(tid) => return tid,
                Choice::Timeout(tid) => {
                    self.early_timeouts -= 1;
                    let deadline = self.deadline(tid).unwrap_or(self.clock);
                    self.clock = self.clock.max(deadline);
                    self.expire();
                }
            }
        }
    }
}
