//! What can be wrong in a mutex.

use seeded_bugs::Bug;

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "the unlock publishes nothing",
        file: "raw_mutex.rs",
        from: ".compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed)",
        to: ".compare_exchange(LOCKED, 0, Ordering::Relaxed, Ordering::Relaxed)",
        caught_by: "mutex::two_threads_exclude_each_other",
    },
    Bug {
        name: "the contended unlock publishes nothing",
        file: "raw_mutex.rs",
        from: "self.word.fetch_and(STARVING, Ordering::Release)",
        to: "self.word.fetch_and(STARVING, Ordering::Relaxed)",
        caught_by: "mutex::two_threads_exclude_each_other",
    },
    Bug {
        name: "the fast lock sees nothing",
        file: "raw_mutex.rs",
        from: ".compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed)",
        to: ".compare_exchange(0, LOCKED, Ordering::Relaxed, Ordering::Relaxed)",
        caught_by: "mutex::two_threads_exclude_each_other",
    },
    Bug {
        name: "the slow lock sees nothing",
        file: "raw_mutex.rs",
        from: "compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed)",
        to: "compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed)",
        caught_by: "mutex::two_threads_exclude_each_other",
    },
    Bug {
        name: "the unlock wakes nobody",
        file: "raw_mutex.rs",
        from: "        futex.notify(word, 1);",
        to: "        let _ = (futex, word);",
        caught_by: "mutex::two_threads_exclude_each_other",
    },
    Bug {
        name: "who was woken forgets the others",
        file: "raw_mutex.rs",
        from: "let others = if self.slept { WAITERS } else { 0 };",
        to: "let others = 0;",
        caught_by: "mutex::three_threads_exclude_each_other",
    },
    Bug {
        name: "newcomers pass a starving thread",
        file: "raw_mutex.rs",
        from: "state & LOCKED == 0 && (state & STARVING == 0 || self.entitled)",
        to: "true",
        caught_by: "mutex::two_threads_exclude_each_other",
    },
    Bug {
        name: "nobody may pass a starving thread, not even itself",
        file: "raw_mutex.rs",
        from: "(state & STARVING == 0 || self.entitled)",
        to: "state & STARVING == 0",
        caught_by: "mutex::two_threads_exclude_each_other",
    },
    Bug {
        name: "the bit of a starving thread stays set",
        file: "raw_mutex.rs",
        from: "kept | LOCKED | others",
        to: "state | LOCKED | others",
        caught_by: "mutex::two_threads_exclude_each_other",
    },
    Bug {
        name: "a starving thread that gives up stays in the way",
        file: "raw_mutex.rs",
        from: "if !woken && !self.starving {",
        to: "if !woken {",
        caught_by: "mutex::a_starving_waiter_that_gives_up_is_in_nobodys_way",
    },
    Bug {
        name: "a dropped future keeps its wake-up",
        file: "raw_mutex.rs",
        from: "if !woken && !self.starving {",
        to: "if !self.starving {",
        caught_by: "mutex::a_future_that_is_dropped_leaves_nobody_asleep",
    },
    Bug {
        name: "a waiter that gives up a held lock does not say that others wait",
        file: "raw_mutex.rs",
        from: "                kept | WAITERS\n",
        to: "                kept\n",
        caught_by: "mutex::a_future_that_is_dropped_leaves_nobody_asleep",
    },
    Bug {
        name: "a future counts itself after it has compared",
        file: "wakers.rs",
        from: "if count == 0 || TABLE.waiting.fetch_add(0, Ordering::AcqRel) == 0 {",
        to: "if count == 0 || TABLE.waiting.load(Ordering::Relaxed) == 0 {",
        caught_by: "mutex::a_future_gets_the_lock",
    },
    Bug {
        name: "a future queues without a comparison",
        file: "wakers.rs",
        from: "if word.load(Ordering::Relaxed) != expected {",
        to: "if false {",
        caught_by: "mutex::a_future_gets_the_lock",
    },
];
