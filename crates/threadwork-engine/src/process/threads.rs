//! [`Threads`]: the threads of a process, the pooled instances that wait for more of
//! them, and what those that have ended leave behind.
//!
//! Invariant: once [`Threads::close`] has run, no thread is added and no pooled instance
//! is offered, so whoever closes sees all there will ever be.

use crate::lock::lock;
use crate::machine::{Worker, withdraw};
use crate::recorder::{Recorder, Track};
use crate::stats::Stats;
use crate::thread::{Counters, ThreadInfo, ThreadState};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use threadwork_parking::{Cores, ParkingLot};

/// Ids are in [1, 2^29), so that libc can use the other bits.
const ID_END: u32 = 1 << 29;

/// The main thread's id.
const MAIN: u32 = 0;

/// How long a spawn at the limit sleeps, at most, until a thread that may have ended as far
/// as the guest can see is none any more: its worker may not be done with it.
pub(super) const LINGER: Duration = Duration::from_millis(20);

/// How long a spawn spins, at most, for an instance that somebody else is making: what it
/// takes to make one.
const RENEWAL: Duration = Duration::from_micros(200);

/// See the module's documentation.
pub(crate) struct Threads {
    table: Mutex<Table>,
    /// Notified when a thread is gone and a spawn waits for that.
    room: Condvar,
    /// Workers that are about to be idle: they make their next instances.
    renewing: AtomicU32,
    finished: Finished,
}

/// Under one lock.
struct Table {
    live: HashMap<u32, Arc<ThreadState>>,
    /// The one that came last is taken first, because its worker may still be spinning.
    idle: Vec<Arc<InstanceSlot>>,
    /// Spawns that wait for room.
    lingering: u32,
    /// How often some was made: a thread was gone, an instance idle or gone.
    rooms: u64,
    next_id: u32,
    /// If the process is profiled.
    recorder: Option<Arc<Recorder>>,
    closed: bool,
    peak: u32,
    started: u64,
}

/// Where a pooled instance that has no thread is given the next.
///
/// Invariant: it is given one only by somebody who took it out of the list of idle ones,
/// so it never holds more.
pub(crate) struct InstanceSlot {
    worker: Arc<Worker>,
    next: Mutex<Option<(Arc<ThreadState>, i32)>>,
}

/// Why there is no new thread.
pub(super) enum Refused {
    /// There are as many as there may be.
    Limit(u32),
    /// The process is ending, or all ids are taken.
    Closed,
}

/// What threads that have ended leave behind.
#[derive(Default)]
struct Finished {
    cpu_nanos: AtomicU64,
    waits: AtomicU64,
    waits_not_equal: AtomicU64,
    notifies: AtomicU64,
    woken: AtomicU64,
    spawns_failed: AtomicU64,
}

impl Threads {
    /// Of a process that is profiled by this recorder, if it is.
    pub(super) fn new(recorder: Option<Arc<Recorder>>) -> Self {
        Self {
            table: Mutex::new(Table {
                live: HashMap::new(),
                idle: Vec::new(),
                lingering: 0,
                rooms: 0,
                next_id: 1,
                recorder,
                closed: false,
                peak: 0,
                started: 0,
            }),
            room: Condvar::new(),
            renewing: AtomicU32::new(0),
            finished: Finished::default(),
        }
    }

    /// Adds the main thread.
    pub(super) fn add_main(&self) -> Arc<ThreadState> {
        lock(&self.table).add(MAIN)
    }

    /// A new thread, which lives in `lot` from now on, and a pooled instance for it if one
    /// is idle. There may be `most` threads beside the main one. Called by `spawner`.
    pub(super) fn admit(
        &self,
        most: Option<u32>,
        lot: &ParkingLot,
        spawner: &ThreadState,
    ) -> Result<(Arc<ThreadState>, Option<Arc<InstanceSlot>>), Refused> {
        let mut table = lock(&self.table);
        if let Some(most) = most
            && table.count_beside_main() >= most
        {
            table = self.linger(table, most, spawner);
            if table.count_beside_main() >= most {
                return Err(Refused::Limit(most));
            }
        }
        let thread = table.add_next().ok_or(Refused::Closed)?;
        lot.enter();
        Ok((thread, table.idle.pop()))
    }

    /// Sleeps until there is room, as long as there may be soon.
    fn linger<'a>(
        &'a self,
        mut table: MutexGuard<'a, Table>,
        most: u32,
        spawner: &ThreadState,
    ) -> MutexGuard<'a, Table> {
        let deadline = Instant::now() + LINGER;
        // Others that spawn, too, are not about to end.
        let _call = spawner.host_call();
        while table.count_beside_main() >= most && !table.closed && table.somebody_may_end() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            table.lingering += 1;
            let woken = self.room.wait_timeout(table, left);
            table = woken.unwrap_or_else(PoisonError::into_inner).0;
            table.lingering -= 1;
        }
        table
    }

    /// A thread that is not in the lot yet; `None` if there are `most` beside the main one.
    pub(super) fn add_within(&self, most: Option<u32>) -> Option<Arc<ThreadState>> {
        let mut table = lock(&self.table);
        let has_room = most.is_none_or(|most| table.count_beside_main() < most);
        has_room.then(|| table.add_next()).flatten()
    }

    /// A thread that could not be started was never there.
    pub(super) fn take_back(&self, thread: u32) {
        let mut table = lock(&self.table);
        table.live.remove(&thread);
        table.started -= 1;
    }

    /// A thread has ended; the pooled instance that ran it, if it is to run others, is
    /// idle. False if there is none, or if it must go because the process is ending.
    pub(super) fn remove(
        &self,
        thread: &ThreadState,
        instance: Option<&Arc<InstanceSlot>>,
    ) -> bool {
        let mut table = lock(&self.table);
        table.live.remove(&thread.id);
        let is_idle = instance.is_some_and(|instance| table.offer(instance));
        self.make_room(&mut table);
        is_idle
    }

    /// A worker makes its next instance, until what this returns is dropped.
    pub(super) fn renew(&self) -> Renewal<'_> {
        // Ordering: Relaxed; a hint for those that spawn meanwhile.
        self.renewing.fetch_add(1, Ordering::Relaxed);
        Renewal(self)
    }

    /// A pooled instance that is idle, or becomes so in a moment.
    pub(super) fn take_renewed(&self, cores: &Cores) -> Option<Arc<InstanceSlot>> {
        let start = Instant::now();
        loop {
            // Ordering: Acquire; pairs with the release in the drop of a `Renewal`, which
            // comes after its instance was offered.
            let renewing = self.renewing.load(Ordering::Acquire);
            let idle = self.take_idle();
            if idle.is_some() || renewing == 0 {
                return idle;
            }
            // Ordering: Relaxed; the next turn of the outer loop looks again.
            while self.renewing.load(Ordering::Relaxed) == renewing {
                if start.elapsed() >= RENEWAL || !cores.may_spin() {
                    return None;
                }
                (0..32).for_each(|_| std::hint::spin_loop());
            }
        }
    }

    /// A pooled instance that is idle, for the caller to give it a thread.
    pub(super) fn take_idle(&self) -> Option<Arc<InstanceSlot>> {
        lock(&self.table).idle.pop()
    }

    /// A pooled instance is idle; false if it must go because the process is ending.
    pub(super) fn offer(&self, instance: &Arc<InstanceSlot>) -> bool {
        let mut table = lock(&self.table);
        let is_idle = table.offer(instance);
        self.make_room(&mut table);
        is_idle
    }

    /// An instance is gone, and with it what it had of the process's limits.
    pub(super) fn instance_gone(&self) {
        self.make_room(&mut lock(&self.table));
    }

    /// A notify is a system call, also where nobody waits.
    fn make_room(&self, table: &mut Table) {
        table.rooms += 1;
        if table.lingering > 0 {
            self.room.notify_all();
        }
    }

    /// How often room was made for a spawn.
    pub(super) fn rooms(&self) -> u64 {
        lock(&self.table).rooms
    }

    /// Sleeps until more room was made than `seen`; false if there was none by `deadline`, or
    /// the process is ending.
    pub(super) fn wait_for_room(
        &self,
        seen: u64,
        deadline: Instant,
        spawner: &ThreadState,
    ) -> bool {
        let _call = spawner.host_call();
        let mut table = lock(&self.table);
        while table.rooms == seen && !table.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            table.lingering += 1;
            let woken = self.room.wait_timeout(table, left);
            table = woken.unwrap_or_else(PoisonError::into_inner).0;
            table.lingering -= 1;
        }
        !table.closed
    }

    /// Keeps the counters of a thread that has been removed.
    pub(super) fn keep_counters(&self, thread: &ThreadState) {
        self.finished.add(&thread.counters, thread.cpu_time());
    }

    /// Counts processor time that was spent for the process by no thread of it.
    pub(super) fn charge(&self, time: Duration) {
        // Ordering: Relaxed; a statistic.
        let nanos = time.as_nanos() as u64;
        self.finished.cpu_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Counts a spawn that was refused.
    pub(super) fn count_failure(&self) {
        // Ordering: Relaxed; a statistic.
        self.finished.spawns_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes an idle instance out of the list; false if somebody did just now, to give it
    /// a thread.
    pub(super) fn withdraw(&self, instance: &Arc<InstanceSlot>) -> bool {
        withdraw(&mut lock(&self.table).idle, instance)
    }

    /// Lets nobody in any more, dismisses the idle instances and wakes the threads that
    /// sleep in host calls.
    pub(super) fn close(&self) {
        let mut table = lock(&self.table);
        table.closed = true;
        self.make_room(&mut table);
        for instance in table.idle.drain(..) {
            instance.dismiss();
        }
        let live: Vec<_> = table.live.values().map(Arc::clone).collect();
        drop(table);
        for thread in live {
            thread.unpark();
            thread.wake();
        }
    }

    /// Sends the threads that live the signal that stops them, and tells when to do it again.
    pub(super) fn interrupt(&self, signal: i32) -> Option<Instant> {
        let table = lock(&self.table);
        let threads = table.live.values();
        threads.map(|thread| thread.interrupt(signal)).min()
    }

    // ---- Reports ----

    /// Of the threads that exist now, by id.
    pub(super) fn infos(&self) -> Vec<ThreadInfo> {
        let table = lock(&self.table);
        let mut infos: Vec<_> = table.live.values().map(|thread| thread.info()).collect();
        infos.sort_by_key(|info| info.id);
        infos
    }

    /// Processor time of all threads so far.
    pub(super) fn cpu_time(&self) -> Duration {
        let table = lock(&self.table);
        let running: Duration = table.live.values().filter_map(|t| t.cpu_time()).sum();
        drop(table);
        // Ordering: Relaxed; a thread that ends right now may be missed or counted
        // twice for the moment.
        running + Duration::from_nanos(self.finished.cpu_nanos.load(Ordering::Relaxed))
    }

    /// All counters of threads; the rest is zero.
    pub(super) fn stats(&self) -> Stats {
        let cpu_time = self.cpu_time();
        let table = lock(&self.table);
        let sum = |finished: &AtomicU64, counter: fn(&Counters) -> u64| {
            let threads = table.live.values();
            let running: u64 = threads.map(|thread| counter(&thread.counters)).sum();
            running + finished.load(Ordering::Relaxed)
        };
        Stats {
            threads_started: table.started,
            threads_alive: table.count(),
            threads_peak: table.peak,
            spawns_failed: self.finished.spawns_failed.load(Ordering::Relaxed),
            waits: sum(&self.finished.waits, |c| c.waits.get()),
            waits_not_equal: sum(&self.finished.waits_not_equal, |c| c.waits_not_equal.get()),
            notifies: sum(&self.finished.notifies, |c| c.notifies.get()),
            woken: sum(&self.finished.woken, |c| c.woken.get()),
            cpu_time,
            ..Stats::default()
        }
    }
}

/// See [`Threads::renew`].
pub(super) struct Renewal<'a>(&'a Threads);

impl Drop for Renewal<'_> {
    fn drop(&mut self) {
        // Ordering: Release; pairs with the acquire in `take_renewed`.
        self.0.renewing.fetch_sub(1, Ordering::Release);
    }
}

impl Table {
    fn offer(&mut self, instance: &Arc<InstanceSlot>) -> bool {
        if !self.closed {
            self.idle.push(Arc::clone(instance));
        }
        !self.closed
    }

    fn count(&self) -> u32 {
        self.live.len() as u32
    }

    fn count_beside_main(&self) -> u32 {
        self.count() - u32::from(self.live.contains_key(&MAIN))
    }

    /// Whether a thread besides the main one could have ended for the guest: it is neither
    /// asleep nor in a call that can take long. Guests show the end of a thread by a store of
    /// its own, which it makes awake; it was marked as awake before.
    fn somebody_may_end(&self) -> bool {
        let mut threads = self.live.values();
        threads.any(|thread| thread.id != MAIN && thread.is_running())
    }

    /// Adds a thread with an id of its own, unless closed or out of ids.
    fn add_next(&mut self) -> Option<Arc<ThreadState>> {
        if self.closed || self.count() >= ID_END - 1 {
            return None;
        }
        while self.live.contains_key(&self.next_id) {
            self.next_id = following(self.next_id);
        }
        let id = self.next_id;
        self.next_id = following(id);
        Some(self.add(id))
    }

    fn add(&mut self, id: u32) -> Arc<ThreadState> {
        let track = self
            .recorder
            .as_ref()
            .map(|recorder| Track::new(recorder, id));
        let thread = Arc::new(ThreadState::new(id, track));
        self.live.insert(id, Arc::clone(&thread));
        self.peak = self.peak.max(self.count());
        self.started += 1;
        thread
    }
}

impl InstanceSlot {
    /// Of an instance on this worker.
    pub(super) fn new(worker: &Arc<Worker>) -> Self {
        Self {
            worker: Arc::clone(worker),
            next: Mutex::new(None),
        }
    }

    /// Gives the next thread, and its argument, to an instance that the caller took out
    /// of the list.
    pub(super) fn run(&self, thread: Arc<ThreadState>, argument: i32) {
        *lock(&self.next) = Some((thread, argument));
        self.worker.wake();
    }

    /// There is nothing more to run; the caller took it out of the list.
    fn dismiss(&self) {
        self.worker.wake();
    }

    /// On its worker: sleeps until it was given a thread or dismissed, at most for `time`;
    /// false if neither.
    pub(super) fn sleep(&self, time: Option<Duration>) -> bool {
        self.worker.sleep(time)
    }

    /// The thread that it was given.
    pub(super) fn take(&self) -> Option<(Arc<ThreadState>, i32)> {
        lock(&self.next).take()
    }
}

impl Finished {
    fn add(&self, counters: &Counters, cpu_time: Option<Duration>) {
        // Ordering: Relaxed; statistics.
        let nanos = cpu_time.map_or(0, |time| time.as_nanos() as u64);
        self.cpu_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.waits
            .fetch_add(counters.waits.get(), Ordering::Relaxed);
        self.waits_not_equal
            .fetch_add(counters.waits_not_equal.get(), Ordering::Relaxed);
        self.notifies
            .fetch_add(counters.notifies.get(), Ordering::Relaxed);
        self.woken
            .fetch_add(counters.woken.get(), Ordering::Relaxed);
    }
}

fn following(id: u32) -> u32 {
    match id + 1 {
        ID_END => 1,
        next => next,
    }
}
