//! The checks: who holds what, who waits for what, and what was taken while what was held.
//!
//! All of it is one registry under one lock of std's, which nothing here checks. A thread
//! that is in the registry takes locks unchecked, so that an allocator or a handler that
//! locks does not come back here.
//!
//! The registry is told of a lock after it was taken and before it is given up. So what
//! it says is held, is; unless the guard was sent elsewhere. And a deadlock is seen by
//! the last thread to wait: each says what it holds before it says what it waits for.

use core::cell::Cell;
use core::fmt::Write;
use core::mem;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::string::{String, ToString};
use std::sync::{LockResult, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::vec::Vec;

use super::report::{Access, Report, Taken};

/// For how long a cycle stands before it is a deadlock.
const CONFIRM_AFTER: Duration = Duration::from_millis(500);

static REGISTRY: Mutex<Registry> = Mutex::new(Registry::new());
static HANDLER: Mutex<fn(&Report)> = Mutex::new(|report| std::eprintln!("{report}"));
static DEADLOCK_HANDLER: Mutex<fn(&str)> = Mutex::new(print);
static THREADS: AtomicU32 = AtomicU32::new(0);

std::thread_local! {
    /// 0 until it is asked for.
    static NUMBER: Cell<u32> = const { Cell::new(0) };
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

pub(super) fn set_handler(handler: fn(&Report)) {
    *ignore_poison(HANDLER.lock()) = handler;
}

pub(super) fn set_deadlock_handler(handler: fn(&str)) {
    *ignore_poison(DEADLOCK_HANDLER.lock()) = handler;
}

fn print(message: &str) {
    std::eprintln!("{message}");
}

fn ignore_poison<T>(locked: LockResult<MutexGuard<'_, T>>) -> MutexGuard<'_, T> {
    locked.unwrap_or_else(PoisonError::into_inner)
}

/// Where in the program a lock is taken.
#[derive(Clone, Copy)]
pub(crate) struct CallSite(&'static Location<'static>);

impl CallSite {
    #[track_caller]
    pub(crate) fn here() -> Self {
        CallSite(Location::caller())
    }
}

/// Runs `body` unchecked. `None` if this thread is unchecked already.
fn unchecked<T>(body: impl FnOnce() -> T) -> Option<T> {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            IS_INSIDE.set(false);
        }
    }
    if IS_INSIDE.replace(true) {
        return None;
    }
    let _leave = Leave;
    Some(body())
}

/// Looks into the registry, as the thread with this number.
fn with_registry<T>(body: impl FnOnce(&mut Registry, ThreadNumber) -> T) -> Option<T> {
    unchecked(|| {
        let mut me = NUMBER.get();
        if me == 0 {
            // Ordering: Relaxed; only to be different.
            me = THREADS.fetch_add(1, Ordering::Relaxed) + 1;
            NUMBER.set(me);
        }
        body(&mut ignore_poison(REGISTRY.lock()), me)
    })
}

/// A part of each checked lock, of no size: what the lock is known by is its address.
pub(crate) struct Order {
    _private: (),
}

impl Order {
    pub(crate) const fn new() -> Self {
        Order { _private: () }
    }

    fn key(&self) -> Key {
        core::ptr::from_ref(self).addr()
    }

    /// Takes the lock: with `attempt`, or else with `wait`, which gives up after a
    /// timeout if it gets one. Says that it is taken, too.
    pub(crate) fn wait(
        &self,
        access: Access,
        site: CallSite,
        attempt: impl FnOnce() -> bool,
        mut wait: impl FnMut(Option<Duration>) -> bool,
    ) {
        self.is_next(site);
        if !attempt() {
            let (waiting, mut suspicion) = Waiting::start(self.key(), access, site);
            loop {
                let Some((cycle, message)) = suspicion else {
                    wait(None);
                    break;
                };
                if wait(Some(CONFIRM_AFTER)) {
                    break;
                }
                suspicion = waiting.suspicion();
                if suspicion.as_ref().is_some_and(|(same, _)| *same == cycle) {
                    let handler = match thread::panicking() {
                        false => *ignore_poison(DEADLOCK_HANDLER.lock()),
                        // It might panic.
                        true => print,
                    };
                    unchecked(|| handler(&message));
                    suspicion = None;
                }
            }
        }
        self.taken(access, site);
    }

    /// Before a wait for it, with or without a timeout.
    pub(crate) fn is_next(&self, site: CallSite) {
        let reports = with_registry(|registry, me| registry.is_next(me, self.key(), site));
        if let Some(reports) = reports
            && !reports.is_empty()
        {
            let handler = *ignore_poison(HANDLER.lock());
            unchecked(|| reports.iter().for_each(handler));
        }
    }

    pub(crate) fn taken(&self, access: Access, site: CallSite) {
        with_registry(|registry, me| registry.taken(Some(me), self.key(), access, site));
    }

    pub(crate) fn taken_by_future(&self, access: Access, site: CallSite) {
        with_registry(|registry, _| registry.taken(None, self.key(), access, site));
    }

    pub(crate) fn downgraded(&self) {
        with_registry(|registry, _| {
            if let Some(lock) = registry.locks.get_mut(&self.key()) {
                lock.holds
                    .iter_mut()
                    .for_each(|hold| hold.access = Access::Shared);
            }
        });
    }

    /// Before it is unlocked: after that it may be gone.
    pub(crate) fn given_up(&self, access: Access) {
        with_registry(|registry, me| registry.given_up(me, self.key(), access));
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        with_registry(|registry, _| registry.forget(self.key()));
    }
}

/// The calling thread's entry as one that waits.
struct Waiting;

impl Waiting {
    /// Also whether that closes a cycle. In one look: so one thread sees it, the last.
    fn start(key: Key, access: Access, site: CallSite) -> (Self, Option<Suspicion>) {
        let suspicion = with_registry(|registry, me| {
            let serial = registry.next_serial();
            registry.thread(me).wait = Some(Wait {
                serial,
                key,
                access,
                site,
            });
            registry.suspicion(me)
        });
        (Waiting, suspicion.flatten())
    }

    fn suspicion(&self) -> Option<Suspicion> {
        with_registry(|registry, me| registry.suspicion(me))?
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        with_registry(|registry, me| {
            registry.thread(me).wait = None;
            registry.tidy_thread(me);
        });
    }
}

/// A cycle, and what is to be said of it.
type Suspicion = (Vec<Link>, String);
type Key = usize;
type ThreadNumber = u32;

struct Registry {
    serial: u64,
    locks: BTreeMap<Key, Lock>,
    threads: BTreeMap<ThreadNumber, Entry>,
    /// Pairs that were reported: taken, held.
    reported: BTreeSet<(Key, Key)>,
}

/// What is known of a lock. Without any of it there is no entry.
#[derive(Default)]
struct Lock {
    holds: Vec<Hold>,
    /// What was taken while it was held. Together these have no cycle.
    after: BTreeMap<Key, Taken>,
    /// The reverse.
    before: BTreeSet<Key>,
    /// Its guards are sent to other threads.
    travels: bool,
}

struct Hold {
    serial: u64,
    access: Access,
    /// `None` for a future.
    thread: Option<ThreadNumber>,
    site: CallSite,
}

/// What is known of a thread while it holds or waits for something.
struct Entry {
    handle: Thread,
    /// In the order in which they were taken; one more than once if it is shared.
    held: Vec<Key>,
    wait: Option<Wait>,
}

#[derive(Clone, Copy)]
struct Wait {
    serial: u64,
    key: Key,
    access: Access,
    site: CallSite,
}

/// A thread that waits, and who is in its way.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Link {
    waits: ThreadNumber,
    wait: u64,
    blocker: Blocker,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocker {
    /// That has the lock, by the hold with this serial number.
    Holder(ThreadNumber, u64),
    /// That waits to write, before which no reader comes in.
    Writer(ThreadNumber),
}

impl Registry {
    const fn new() -> Self {
        Registry {
            serial: 0,
            locks: BTreeMap::new(),
            threads: BTreeMap::new(),
            reported: BTreeSet::new(),
        }
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The calling thread's entry.
    fn thread(&mut self, me: ThreadNumber) -> &mut Entry {
        self.threads.entry(me).or_insert_with(|| Entry {
            handle: thread::current(),
            held: Vec::new(),
            wait: None,
        })
    }

    fn tidy_thread(&mut self, number: ThreadNumber) {
        if let Some(thread) = self.threads.get(&number)
            && thread.held.is_empty()
            && thread.wait.is_none()
        {
            self.threads.remove(&number);
        }
    }

    fn tidy_lock(&mut self, key: Key) {
        if let Some(lock) = self.locks.get(&key)
            && lock.holds.is_empty()
            && lock.after.is_empty()
            && lock.before.is_empty()
            && !lock.travels
        {
            self.locks.remove(&key);
        }
    }

    fn name(&self, number: ThreadNumber) -> String {
        match self.threads.get(&number) {
            Some(Entry { handle, .. }) => match handle.name() {
                Some(name) => name.to_string(),
                None => std::format!("{:?}", handle.id()),
            },
            None => "?".to_string(),
        }
    }

    fn taken(&mut self, thread: Option<ThreadNumber>, key: Key, access: Access, site: CallSite) {
        let serial = self.next_serial();
        if access == Access::Exclusive {
            // Of somebody who unlocked behind the registry's back.
            self.drop_holds(key);
        }
        self.locks.entry(key).or_default().holds.push(Hold {
            serial,
            access,
            thread,
            site,
        });
        if let Some(me) = thread {
            self.thread(me).held.push(key);
        }
    }

    fn drop_holds(&mut self, key: Key) {
        if let Some(lock) = self.locks.get_mut(&key) {
            for hold in mem::take(&mut lock.holds) {
                self.no_longer_held(hold.thread, key);
            }
        }
    }

    fn no_longer_held(&mut self, thread: Option<ThreadNumber>, key: Key) {
        let Some(number) = thread else { return };
        if let Some(thread) = self.threads.get_mut(&number)
            && let Some(index) = thread.held.iter().rposition(|held| *held == key)
        {
            thread.held.remove(index);
        }
        self.tidy_thread(number);
    }

    fn given_up(&mut self, me: ThreadNumber, key: Key, access: Access) {
        let Some(lock) = self.locks.get_mut(&key) else {
            return;
        };
        let find = |thread: Option<ThreadNumber>| {
            lock.holds
                .iter()
                .rposition(|hold| hold.thread == thread && hold.access == access)
        };
        let index = match find(Some(me)).or_else(|| find(None)) {
            Some(index) => index,
            None if lock.holds.is_empty() => return,
            None => {
                // Another thread's guard. What was taken while that thread seemed to
                // hold it may not have been.
                lock.travels = true;
                for after in mem::take(&mut lock.after).into_keys() {
                    if let Some(other) = self.locks.get_mut(&after) {
                        other.before.remove(&key);
                    }
                    self.tidy_lock(after);
                }
                0
            }
        };
        if let Some(lock) = self.locks.get_mut(&key) {
            let hold = lock.holds.remove(index);
            self.no_longer_held(hold.thread, key);
        }
        self.tidy_lock(key);
    }

    fn forget(&mut self, key: Key) {
        if !self.locks.contains_key(&key) {
            return;
        }
        self.drop_holds(key);
        self.reported
            .retain(|(taken, held)| *taken != key && *held != key);
        let Some(lock) = self.locks.remove(&key) else {
            return;
        };
        for after in lock.after.into_keys() {
            if let Some(other) = self.locks.get_mut(&after) {
                other.before.remove(&key);
            }
            self.tidy_lock(after);
        }
        for before in lock.before {
            if let Some(other) = self.locks.get_mut(&before) {
                other.after.remove(&key);
            }
            self.tidy_lock(before);
        }
    }

    /// Notes what `key` is taken after, and says what of that is new and wrong.
    fn is_next(&mut self, me: ThreadNumber, key: Key, site: CallSite) -> Vec<Report> {
        let mut reports = Vec::new();
        let held = match self.threads.get(&me) {
            Some(thread) => thread.held.clone(),
            None => return reports,
        };
        for other in held {
            let Some(lock) = self.locks.get(&other) else {
                continue;
            };
            if other == key
                || lock.travels
                || lock.after.contains_key(&key)
                || self.reported.contains(&(key, other))
            {
                continue;
            }
            let Some(hold) = lock.holds.iter().find(|hold| hold.thread == Some(me)) else {
                continue;
            };
            let now = Taken {
                thread: self.name(me),
                held: other,
                held_since: hold.site.0,
                lock: key,
                at: site.0,
            };
            match self.path(key, other) {
                Some(before) => {
                    self.reported.insert((key, other));
                    reports.push(Report { now, before });
                }
                None => {
                    self.locks.entry(key).or_default().before.insert(other);
                    self.locks.entry(other).or_default().after.insert(key, now);
                }
            }
        }
        reports
    }

    /// How `to` was taken, in some steps, while `from` was held: the shortest way.
    fn path(&self, from: Key, to: Key) -> Option<Vec<Taken>> {
        let mut came_from: BTreeMap<Key, &Taken> = BTreeMap::new();
        let mut reached = std::vec![from];
        while !reached.is_empty() && !came_from.contains_key(&to) {
            for key in mem::take(&mut reached) {
                for (&after, taken) in self.locks.get(&key).iter().flat_map(|lock| &lock.after) {
                    if came_from.insert(after, taken).is_none() {
                        reached.push(after);
                    }
                }
            }
        }
        let mut path = Vec::new();
        let mut end = to;
        while end != from {
            let taken = came_from.get(&end)?;
            path.push((*taken).clone());
            end = taken.held;
        }
        path.reverse();
        Some(path)
    }

    /// Who keeps a waiting thread from its lock.
    fn blockers(&self, wait: &Wait) -> Vec<(ThreadNumber, Blocker)> {
        let Some(lock) = self.locks.get(&wait.key).filter(|lock| !lock.travels) else {
            return Vec::new();
        };
        let holders = lock
            .holds
            .iter()
            .filter(|hold| wait.access == Access::Exclusive || hold.access == Access::Exclusive)
            .filter_map(|hold| Some((hold.thread?, hold.serial)))
            .map(|(thread, serial)| (thread, Blocker::Holder(thread, serial)));
        let writers = self
            .threads
            .iter()
            .filter(|(_, thread)| {
                wait.access == Access::Shared
                    && thread.wait.is_some_and(|other| {
                        other.key == wait.key && other.access == Access::Exclusive
                    })
            })
            .map(|(&thread, _)| (thread, Blocker::Writer(thread)));
        holders.chain(writers).collect()
    }

    fn suspicion(&self, me: ThreadNumber) -> Option<Suspicion> {
        let cycle = self.cycle(me)?;
        let message = self.describe(&cycle);
        Some((cycle, message))
    }

    /// The cycle of waiting threads that this one is in.
    fn cycle(&self, start: ThreadNumber) -> Option<Vec<Link>> {
        let mut links = Vec::new();
        let mut seen = BTreeSet::new();
        self.leads_to(start, start, &mut seen, &mut links)
            .then_some(links)
    }

    fn leads_to(
        &self,
        from: ThreadNumber,
        to: ThreadNumber,
        seen: &mut BTreeSet<ThreadNumber>,
        links: &mut Vec<Link>,
    ) -> bool {
        let Some(wait) = self.threads.get(&from).and_then(|thread| thread.wait) else {
            return false;
        };
        self.blockers(&wait).into_iter().any(|(next, blocker)| {
            links.push(Link {
                waits: from,
                wait: wait.serial,
                blocker,
            });
            let found = next == to || (seen.insert(next) && self.leads_to(next, to, seen, links));
            if !found {
                links.pop();
            }
            found
        })
    }

    fn describe(&self, cycle: &[Link]) -> String {
        let mut text = String::from("deadlock:");
        for link in cycle {
            let Some(wait) = self.threads.get(&link.waits).and_then(|one| one.wait) else {
                continue;
            };
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n  thread '{}' waits at {} for lock {:#x}, ",
                self.name(link.waits),
                wait.site.0,
                wait.key
            );
            let _ = match link.blocker {
                Blocker::Holder(thread, serial) => {
                    let holds = self.locks.get(&wait.key).map(|lock| &lock.holds);
                    let hold = holds
                        .into_iter()
                        .flatten()
                        .find(|hold| hold.serial == serial);
                    let since = hold.map_or(wait.site.0, |hold| hold.site.0);
                    let name = self.name(thread);
                    write!(text, "which thread '{name}' holds since {since}")
                }
                Blocker::Writer(thread) => {
                    let name = self.name(thread);
                    write!(text, "which thread '{name}' waits to write before it")
                }
            };
        }
        text
    }
}
