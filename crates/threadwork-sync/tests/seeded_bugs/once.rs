//! What can be wrong in `Once`, `OnceLock` and `LazyLock`.

use seeded_bugs::Bug;

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "the end of a run publishes nothing",
        file: "once.rs",
        from: "self.once.word.swap(self.outcome, Ordering::Release)",
        to: "self.once.word.swap(self.outcome, Ordering::Relaxed)",
        caught_by: "once::who_sees_the_value_sees_what_is_in_it",
    },
    Bug {
        name: "who finds it done sees nothing",
        file: "once.rs",
        from: "self.word.load(Ordering::Acquire) == COMPLETE",
        to: "self.word.load(Ordering::Relaxed) == COMPLETE",
        caught_by: "once::who_sees_the_value_sees_what_is_in_it",
    },
    Bug {
        name: "who waited sees nothing",
        file: "once.rs",
        from: "let mut state = self.once.word.load(Ordering::Acquire);",
        to: "let mut state = self.once.word.load(Ordering::Relaxed);",
        caught_by: "once::waiters_wait_for_whoever_comes",
    },
    Bug {
        name: "who wanted to run sees nothing",
        file: "once.rs",
        from: "let mut state = word.load(Ordering::Acquire);",
        to: "let mut state = word.load(Ordering::Relaxed);",
        caught_by: "once::two_threads_agree_on_one_value",
    },
    Bug {
        name: "the next run sees nothing of the failed one",
        file: "once.rs",
        from: "state | RUNNING,\n                Ordering::Acquire,",
        to: "state | RUNNING,\n                Ordering::Relaxed,",
        caught_by: "once::after_a_failed_run_the_next_one_runs",
    },
    Bug {
        name: "nobody is woken",
        file: "once.rs",
        from: "self.futex.notify(word, u32::MAX);",
        to: "let _ = (self.futex, word);",
        caught_by: "once::two_threads_agree_on_one_value",
    },
    Bug {
        name: "only one is woken",
        file: "once.rs",
        from: "self.futex.notify(word, u32::MAX);",
        to: "self.futex.notify(word, 1);",
        caught_by: "once::waiters_wait_for_whoever_comes",
    },
    Bug {
        name: "a run that fails wakes nobody",
        file: "once.rs",
        from: "if before & QUEUED != 0 {",
        to: "if before & QUEUED != 0 && self.outcome == COMPLETE {",
        caught_by: "once::a_failure_wakes_who_may_run_next",
    },
    Bug {
        name: "a run that fails counts as one that ended well",
        file: "once.rs",
        from: "outcome: NEW,",
        to: "outcome: COMPLETE,",
        caught_by: "once::after_a_failed_run_the_next_one_runs",
    },
    Bug {
        name: "who begins to run forgets those who wait",
        file: "once.rs",
        from: "state | RUNNING,\n",
        to: "RUNNING,\n",
        caught_by: "once::waiters_wait_for_whoever_comes",
    },
    Bug {
        name: "two run at the same time",
        file: "once.rs",
        from: "if state & RUNNING != 0 {",
        to: "if state & RUNNING != 0 && state & QUEUED != 0 {",
        caught_by: "once::two_threads_agree_on_one_value",
    },
    Bug {
        name: "nobody says that it sleeps",
        file: "once.rs",
        from: "return None;\n            }\n        }\n        Some(Step::Sleep(&self.word, *state | QUEUED))",
        to: "return None;\n            }\n        }\n        self.word.fetch_and(!QUEUED, Ordering::Relaxed);\n        \
             Some(Step::Sleep(&self.word, *state & !QUEUED))",
        caught_by: "once::waiters_wait_for_whoever_comes",
    },
];
