//! Members that do each other's jobs.
//!
//! A thread takes a *seat* of a group, and is a member until it gives it back. Workers of a
//! pool are members of its group as long as they live, and other threads while they are
//! inside of a `join` or a `scope`.
//!
//! A job is stolen when it has been on the shelf for a moment: about as long as the
//! theft costs its owner, who has to wait then. So work that is too small to be shared
//! is left alone, without anybody measuring it.

use std::ops::Range;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use threadwork_sync::CachePadded;

use super::idle::{pause, steal_and_run};
use super::job::Job;
use super::shelf::Shelf;
use super::stack::{self, Stack};
use super::watch::{Bed, Watch};
use crate::primitive::AtomicU32;

/// Threads that do each other's jobs.
pub(crate) struct Group {
    /// Those of workers, and then [`GUESTS`] more.
    seats: Box<[Seat]>,
    /// How many are taken.
    members: CachePadded<AtomicU32>,
    /// No seat from here on has ever been taken.
    reach: AtomicU32,
    pub(super) watch: Watch,
}

/// What the others need to know of a member.
pub(super) struct Seat {
    pub(super) shelf: CachePadded<Shelf>,
    pub(super) bed: CachePadded<Bed>,
    taken: AtomicU32,
    /// The seat of the last one who stole from here.
    thief: AtomicU32,
}

const FREE: u32 = 0;
const TAKEN: u32 = 1;

/// Threads that are not workers and may be members at once. A thread that comes later does
/// its work alone.
const GUESTS: usize = if cfg!(loom) { 0 } else { 64 };

/// A thread's seat in a [`Group`]. Stays on the thread that took it.
pub(crate) struct Member {
    group: Arc<Group>,
    seat: u32,
    /// What the thread was before.
    before: Stack,
}

impl Group {
    /// A group for so many workers.
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        Arc::new(Group {
            seats: (0..workers + GUESTS).map(|_| Seat::new()).collect(),
            members: CachePadded::new(AtomicU32::new(0)),
            reach: AtomicU32::new(0),
            watch: Watch::new(workers),
        })
    }

    /// Makes the calling thread a member, who works here, until the result is dropped; then
    /// it is again what it was before. `None` if all seats of workers are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Member> {
        self.sit(0..self.seats.len() - GUESTS)
    }

    /// The same for a thread that does not call [`idle`](Member::idle). `None` if there are
    /// too many.
    pub(super) fn visit(self: &Arc<Self>) -> Option<Member> {
        self.sit(self.seats.len() - GUESTS..self.seats.len())
    }

    fn sit(self: &Arc<Self>, among: Range<usize>) -> Option<Member> {
        let first = among.start;
        let index = first + self.seats[among].iter().position(Seat::take)?;
        // Ordering: AcqRel; pairs with `stamp_all`, both ways.
        self.reach.fetch_max(index as u32 + 1, Ordering::AcqRel);
        // Ordering: Relaxed; a hint.
        self.members.fetch_add(1, Ordering::Relaxed);
        Some(Member {
            group: self.clone(),
            seat: index as u32,
            before: stack::current().enter(self, &self.seats[index]),
        })
    }

    /// How many members there are, asleep or awake.
    pub(super) fn members(&self) -> usize {
        // Ordering: Relaxed; a hint.
        self.members.load(Ordering::Relaxed) as usize
    }

    /// A task was queued: wakes a worker that sleeps, unless one searches, who will
    /// see the task. Returns whether it woke one.
    ///
    /// Whoever takes one of several tasks off the queue calls this for the next.
    pub(crate) fn wake_one(&self) -> bool {
        self.watch.task(self)
    }

    /// Wakes all workers that sleep.
    pub(crate) fn wake_all(&self) {
        self.watch.everybody(self);
    }

    pub(super) fn seat(&self, index: u32) -> &Seat {
        &self.seats[index as usize]
    }

    /// The index of one of the group's seats.
    pub(super) fn index(&self, seat: &Seat) -> u32 {
        let offset = ptr::from_ref(seat).addr() - self.seats.as_ptr().addr();
        (offset / size_of::<Seat>()) as u32
    }

    /// Whether there is a job on any shelf. Whoever puts one there later sees what the caller
    /// did before.
    pub(super) fn stamp_all(&self) -> bool {
        // Ordering: AcqRel; a member is seen here, or sees what the caller did before it
        // puts its first job on a shelf that is not stamped.
        let reach = self.reach.fetch_max(0, Ordering::AcqRel) as usize;
        let seats = self.seats[..reach].iter();
        seats.fold(false, |some, seat| some | !seat.shelf.stamp().is_empty())
    }

    /// The seats that may have something.
    pub(super) fn used_seats(&self) -> &[Seat] {
        // Ordering: Relaxed; who misses one finds its jobs at the next look.
        &self.seats[..self.reach.load(Ordering::Relaxed) as usize]
    }

    /// Takes a job off somebody's shelf, preferably of who has stolen from `own` last.
    pub(super) fn steal(&self, own: u32) -> Option<*const Job> {
        let seats = self.used_seats();
        // Ordering: Relaxed; a hint.
        let first = self.seat(own).thief.load(Ordering::Relaxed) as usize;
        let (before, after) = seats.split_at(first.min(seats.len()));
        after.iter().chain(before).find_map(|victim| {
            let state = victim.shelf.look();
            if state.is_empty() || ptr::eq(victim, self.seat(own)) {
                return None;
            }
            pause();
            let job = victim.shelf.steal(state)?;
            // Ordering: Relaxed; a hint.
            victim.thief.store(own, Ordering::Relaxed);
            Some(job)
        })
    }
}

impl Seat {
    fn new() -> Self {
        Seat {
            shelf: CachePadded::new(Shelf::new()),
            bed: CachePadded::new(Bed::new()),
            taken: AtomicU32::new(FREE),
            thief: AtomicU32::new(0),
        }
    }

    fn take(&self) -> bool {
        // Ordering: Relaxed; only to spare others the write.
        self.taken.load(Ordering::Relaxed) == FREE
            // Ordering: Acquire; pairs with the release in the drop of a member.
            && self
                .taken
                .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }
}

impl Member {
    /// Runs a job, of those that it has spawned or of another member; false if there was
    /// none.
    pub(crate) fn help(&self) -> bool {
        let stack = stack::current();
        stack.run_spawned() || steal_and_run(stack, &self.group, self.seat)
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    pub(super) fn seat(&self) -> u32 {
        self.seat
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let stack = stack::current();
        while stack.run_spawned() {}
        stack.leave(&self.before);
        // Ordering: Relaxed; a hint.
        self.group.members.fetch_sub(1, Ordering::Relaxed);
        let seat = self.group.seat(self.seat);
        // Ordering: Release; pairs with the acquire in `take`.
        seat.taken.store(FREE, Ordering::Release);
    }
}
