//! What a thread may steal while it waits: parts of what it waits for.
//!
//! Whoever calls `join` or `scope` may hold a lock, or be about to fill a cell; a job from
//! anywhere else, run on top of that, might want the same, and then waits for the thread that it
//! is run by. So a thread that waits runs only what *descends* from what it waits for: what was
//! forked or spawned by that, or by what descends from it. It finds those jobs with whoever has
//! stolen a part (leapfrogging), and with whom that one waits for in turn.
//!
//! # How they are told apart
//!
//! | word | of | says |
//! |---|---|---|
//! | [`Thief`] | a half, a scope | who has stolen a part, and in which of its stages it runs it |
//! | `stage` | a member's slot | which stolen job it runs, innermost, and how many jobs it had put in its steal queue before that |
//! | `waits_for` | a member's slot | a `Thief`: of whose end it waits in that stage |
//!
//! A stage is a stolen job that a member runs, with all that it makes and nobody takes. A member
//! that begins one has nothing else that is not in its steal queue (or the stage has no number,
//! and nobody is helped with it); so what it puts there from then on, which has a later number,
//! descends from the stolen job.
//!
//! *Claim:* what [`Group::steal_part`](super::group::Group) takes descends from what `thieves`
//! are of. The steal queue is looked at, and then the stage. That it is the expected one, says
//! that the jobs were put before it ended: one that was put afterwards would have made the end
//! visible with the look. That their numbers are as high as its first says that they were put
//! after it began. If the thief waits itself, in that stage, then for what descends from it:
//! `waits_for` is emptied when a stage begins, and after it was read the stage is still the same.
//!
//! Stages are numbered in 16 bits. One that is taken for another after 65,536 of them have passed
//! between two reads of a thread that waits, gives that thread a job which does not descend.
//!
//! Source: Wagner and Calder 1993, "Leapfrogging".

use std::sync::atomic::Ordering;

use super::stack;
use crate::primitive::AtomicU32;

/// Who has stolen something: 16 bits for its slot and more one, 16 for its stage.
pub(super) struct Thief(AtomicU32);

/// What a [`Thief`] was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    pub(super) const NOWHERE: Self = Place(0);

    pub(super) fn new(slot: u32, stage: u16) -> Self {
        match u16::try_from(slot + 1) {
            Ok(slot) if stage != 0 => Place(u32::from(slot) << 16 | u32::from(stage)),
            _ => Place::NOWHERE,
        }
    }

    pub(super) fn is_one(self) -> bool {
        self != Place::NOWHERE
    }

    pub(super) fn slot(self) -> Option<u32> {
        (self.0 >> 16).checked_sub(1)
    }

    pub(super) fn stage(self) -> u16 {
        self.0 as u16
    }
}

impl Thief {
    pub(super) fn nobody() -> Self {
        Thief(AtomicU32::new(Place::NOWHERE.0))
    }

    /// The calling thread runs what was stolen.
    pub(super) fn is_me(&self) {
        self.set(stack::current().place());
    }

    /// Nobody, if it is still the one in that place.
    pub(super) fn is_no_more(&self, place: Place) {
        if self.get() == place {
            self.set(Place::NOWHERE);
        }
    }

    pub(super) fn set(&self, place: Place) {
        // Ordering: Release; pairs with the acquire in `get`, for `Stage::end`.
        self.0.store(place.0, Ordering::Release);
    }

    pub(super) fn get(&self) -> Place {
        // Ordering: Acquire; pairs with the release in `set`.
        Place(self.0.load(Ordering::Acquire))
    }
}

/// What a member does that others may help with.
pub(super) struct Stage {
    /// The number, and in the lower half the first number of what belongs to it in the steal
    /// queue.
    word: AtomicU32,
    /// Whose end it waits for.
    pub(super) waits_for: Thief,
    /// The last number; the owner's.
    last: AtomicU32,
}

/// What a stage has interrupted.
pub(super) struct Before {
    word: u32,
    waits_for: Place,
}

impl Stage {
    pub(super) fn new() -> Self {
        Stage {
            word: AtomicU32::new(0),
            waits_for: Thief::nobody(),
            last: AtomicU32::new(0),
        }
    }

    /// Its number now.
    pub(super) fn number(&self) -> u16 {
        // Ordering: Relaxed; the owner's own.
        (self.word.load(Ordering::Relaxed) >> 16) as u16
    }

    /// The first number in the steal queue of what belongs to the stage, if it is that one.
    /// After a look at the steal queue.
    pub(super) fn first(&self, number: u16) -> Option<u16> {
        // Ordering: Acquire; pairs with the release in `begin`.
        let word = self.word.load(Ordering::Acquire);
        (word >> 16 == u32::from(number)).then_some(word as u16)
    }

    /// Begins one, whose first job in the steal queue will have the number `first`; one without
    /// a number if that is nothing.
    pub(super) fn begin(&self, first: Option<u16>) -> Before {
        // Ordering: Relaxed for what only the owner writes and reads.
        let before = Before {
            word: self.word.load(Ordering::Relaxed),
            waits_for: self.waits_for.get(),
        };
        let word = first.map_or(0, |first| {
            let number = self.last.load(Ordering::Relaxed) % 0xffff + 1;
            self.last.store(number, Ordering::Relaxed);
            number << 16 | u32::from(first)
        });
        self.waits_for.set(Place::NOWHERE);
        // Ordering: Release; who sees the stage sees that nobody is waited for, or a later wait.
        self.word.store(word, Ordering::Release);
        before
    }

    pub(super) fn end(&self, before: Before) {
        // Ordering: Relaxed; what is put next releases it, and so does `waits_for`: who sees
        // whom another stage waits for, sees that it is another.
        self.word.store(before.word, Ordering::Relaxed);
        self.waits_for.set(before.waits_for);
    }
}
