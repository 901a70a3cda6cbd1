//! What can be wrong in a wait group.

use seeded_bugs::Bug;

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "a task publishes nothing",
        file: "wait_group.rs",
        from: "self.word.fetch_sub(ONE, Ordering::Release)",
        to: "self.word.fetch_sub(ONE, Ordering::Relaxed)",
        caught_by: "wait_group::a_waiter_sees_what_all_did",
    },
    Bug {
        name: "who looks sees nothing",
        file: "wait_group.rs",
        from: "self.word.load(Ordering::Acquire) / ONE",
        to: "self.word.load(Ordering::Relaxed) / ONE",
        caught_by: "wait_group::a_waiter_sees_what_all_did",
    },
    Bug {
        name: "who waits sees nothing",
        file: "wait_group.rs",
        from: "let mut state = word.load(Ordering::Acquire);",
        to: "let mut state = word.load(Ordering::Relaxed);",
        caught_by: "wait_group::a_waiter_sees_what_all_did",
    },
    Bug {
        name: "who fails to announce its sleep sees nothing",
        file: "wait_group.rs",
        from: "                Ordering::Relaxed,\n                Ordering::Acquire,",
        to: "                Ordering::Relaxed,\n                Ordering::Relaxed,",
        caught_by: "wait_group::a_waiter_sees_what_all_did",
    },
    Bug {
        name: "the last wakes nobody",
        file: "wait_group.rs",
        from: "            futex.notify(word, u32::MAX);",
        to: "            let _ = (futex, word);",
        caught_by: "wait_group::a_waiter_sees_what_all_did",
    },
    Bug {
        name: "the last wakes one",
        file: "wait_group.rs",
        from: "futex.notify(word, u32::MAX)",
        to: "futex.notify(word, 1)",
        caught_by: "wait_group::all_waiters_are_woken",
    },
    Bug {
        name: "each task wakes, but not the last",
        file: "wait_group.rs",
        from: "if before == ONE | WAITED {",
        to: "if before > (ONE | WAITED) {",
        caught_by: "wait_group::a_waiter_sees_what_all_did",
    },
    Bug {
        name: "an addition forgets who sleeps",
        file: "wait_group.rs",
        from: "let waited = if word < ONE { 0 } else { word & WAITED };",
        to: "let waited = 0;",
        caught_by: "wait_group::tasks_may_grow",
    },
    Bug {
        name: "a sleeper does not say so",
        file: "wait_group.rs",
        from: "                state | WAITED,\n",
        to: "                state,\n",
        caught_by: "wait_group::a_waiter_sees_what_all_did",
    },
    Bug {
        name: "the last clears the bit when it has let the waiters go",
        file: "wait_group.rs",
        from: "            futex.notify(word, u32::MAX);",
        to: "            self.word.fetch_and(!WAITED, Ordering::Relaxed);\n            futex.notify(word, u32::MAX);",
        caught_by: "wait_group::the_last_does_not_touch_the_group_afterwards",
    },
];
