//! The steal queue: where a member puts its oldest jobs for others to take.
//!
//! # Protocol
//!
//! | bits of the word | name | changed by |
//! |---|---|---|
//! | 0..16 | tail: jobs taken from the steal queue's old end, so far | thieves |
//! | 16..32 | split: jobs put in the steal queue, less those taken back, so far | the owner |
//! | 32..64 | tag: what the owner has done | the owner |
//!
//! A steal queue holds `split - tail` jobs, [`PLACES`] at most; job number `n` is in place
//! `n % PLACES`. The owner puts the next one into a free place and adds one to split and
//! tag; a thief reads the place at the tail and replaces the word by one with the next
//! tail; the owner takes the newest back by a replacement with a split that is one less.
//!
//! # A job is taken once
//!
//! All three are read-modify-writes of one word, so they are in one order, and each of the
//! two that take compares the whole word with what it read before: the job that it takes
//! was in the steal queue, and is not after.
//!
//! That the thief takes the job *that it read*: suppose that the place was written after
//! the thief read the word and before it replaced it. The place was free then, so the
//! owner had taken the job back or seen it stolen, and put another there: the first
//! changes tail or split, and the second the tag. To change them back takes 2^32
//! puts in which nothing is stolen, while the thief is between two instructions. And the
//! place cannot have been read too early, nor written too early (Orderings).
//!
//! # Orderings
//!
//! *put* releases the job's contents and the place, and *look* acquires them; thieves'
//! replacements continue the release sequence. *Steal* releases, and the owner's look
//! acquires, so that the owner does not write the place before the thief has read it.
//!
//! Sources: Dinan et al. 2009, "Scalable work stealing"; van Dijk and van de Pol 2014,
//! "Lace: non-blocking split deque for work-stealing".

use std::ptr;
use std::sync::atomic::Ordering;

use super::job::Job;
use crate::primitive::{AtomicPtr, AtomicU64};

/// Jobs in a steal queue at most. A member offers its oldest, which are its largest: with so
/// many of a balanced tree all but a sixteenth of it is on offer.
pub(super) const PLACES: usize = if cfg!(loom) { 1 } else { 4 };

const TAIL: u64 = 0xffff;
const SPLIT: u64 = 1 << 16;
const TAG: u64 = 1 << 32;

pub(super) struct StealQueue {
    word: AtomicU64,
    places: [AtomicPtr<Job>; PLACES],
}

/// What a steal queue's word was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(u64);

impl State {
    /// A state that no steal queue is ever in: it holds more than there are places.
    pub(super) const NONE: Self = State(0x8000);

    fn tail(self) -> u16 {
        self.0 as u16
    }

    fn split(self) -> u16 {
        (self.0 / SPLIT) as u16
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) fn len(self) -> usize {
        self.split().wrapping_sub(self.tail()).into()
    }

    pub(super) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether there are jobs, and all have this number or a later one.
    pub(super) fn begins_at(self, first: u16) -> bool {
        !self.is_empty() && self.tail().wrapping_sub(first) < 0x8000
    }

    /// The number of the next job.
    pub(super) fn end(self) -> u16 {
        self.split()
    }

    pub(super) fn is_full(self) -> bool {
        self.len() == PLACES
    }

    /// Whether nothing but taking back has led here from `before`.
    pub(super) fn only_taken_back(self, before: Self) -> bool {
        self.tail() == before.tail() && self.0 / TAG == before.0 / TAG
    }

    fn place(number: u16) -> usize {
        usize::from(number) % PLACES
    }
}

impl StealQueue {
    pub(super) fn new() -> Self {
        StealQueue {
            word: AtomicU64::new(0),
            places: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// What is there, with which it can be changed.
    pub(super) fn look(&self) -> State {
        // Ordering: Acquire; pairs with the release in `put` for thieves, with that in
        // `steal` for the owner.
        State(self.word.load(Ordering::Acquire))
    }

    /// Whether it is still as it was. Owner only.
    #[inline]
    pub(super) fn is(&self, state: State) -> bool {
        // Ordering: Relaxed; whoever finds it changed, looks.
        self.word.load(Ordering::Relaxed) == state.0
    }

    /// Whether nothing is there. Owner only.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        // Ordering: Relaxed; a hint.
        State(self.word.load(Ordering::Relaxed)).is_empty()
    }

    /// How many jobs were stolen, modulo 2^16. A hint.
    #[inline]
    pub(super) fn thefts(&self) -> u16 {
        // Ordering: Relaxed; a hint.
        State(self.word.load(Ordering::Relaxed)).tail()
    }

    /// The same as `look`, as a read-modify-write: whoever writes the word later sees
    /// what the caller did before.
    pub(super) fn stamp(&self) -> State {
        // J2 of `watch`. Ordering: AcqRel; pairs with itself, and with `put`.
        State(self.word.fetch_add(TAG, Ordering::AcqRel).wrapping_add(TAG))
    }

    /// Puts a job there. Owner only; `state` is from its last look, and is not full.
    /// Whoever stamped before is seen to have done so.
    pub(super) fn put(&self, state: State, job: *const Job) {
        debug_assert!(state.len() < PLACES);
        // Ordering: Relaxed; released by the addition, and the place is free (see above).
        self.places[State::place(state.split())].store(job.cast_mut(), Ordering::Relaxed);
        // A carry out of the split goes into the tag, where it does no harm.
        // J3 of `watch`. Ordering: AcqRel; Release pairs with the acquire in `look`, Acquire with `stamp`.
        self.word.fetch_add(SPLIT + TAG, Ordering::AcqRel);
    }

    /// Takes the newest job back, unless all were stolen, or it is `except`. Owner only.
    /// Returns the state that it leaves, too.
    pub(super) fn take_back(&self, except: *const Job) -> Option<(*const Job, State)> {
        let mut state = self.look();
        while !state.is_empty() {
            let split = state.split().wrapping_sub(1);
            // Ordering: Relaxed; the owner has written it.
            let job = self.places[State::place(split)].load(Ordering::Relaxed);
            if ptr::eq(job, except) {
                return None;
            }
            let next = (state.0 & !(0xffff * SPLIT)) + u64::from(split) * SPLIT;
            // Ordering: Relaxed if it succeeds: what the job holds is the owner's own
            // doing; Acquire if not, as in `look`.
            match self.word.compare_exchange_weak(
                state.0,
                next,
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some((job, State(next))),
                Err(now) => state = State(now),
            }
        }
        None
    }

    /// Takes the oldest job if nothing has changed since `state`.
    pub(super) fn steal(&self, state: State) -> Option<*const Job> {
        if state.is_empty() {
            return None;
        }
        // Ordering: Relaxed; acquired by `look`, and kept before the replacement by its
        // release.
        let job = self.places[State::place(state.tail())].load(Ordering::Relaxed);
        let next = (state.0 & !TAIL) + u64::from(state.tail().wrapping_add(1));
        // Ordering: Release; pairs with the owner's acquire in `look`.
        let taken = self
            .word
            .compare_exchange(state.0, next, Ordering::Release, Ordering::Relaxed);
        taken.is_ok().then_some(job.cast_const())
    }
}
