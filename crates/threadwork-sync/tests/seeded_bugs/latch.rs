//! What can be wrong in a latch.

use seeded_bugs::Bug;

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "the opening publishes nothing",
        file: "latch.rs",
        from: "self.word.swap(OPEN, Ordering::Release)",
        to: "self.word.swap(OPEN, Ordering::Relaxed)",
        caught_by: "latch::waiters_see_what_the_opener_did",
    },
    Bug {
        name: "who looks sees nothing",
        file: "latch.rs",
        from: "self.word.load(Ordering::Acquire) == OPEN",
        to: "self.word.load(Ordering::Relaxed) == OPEN",
        caught_by: "latch::waiters_see_what_the_opener_did",
    },
    Bug {
        name: "who waits sees nothing",
        file: "latch.rs",
        from: "let mut state = word.load(Ordering::Acquire);",
        to: "let mut state = word.load(Ordering::Relaxed);",
        caught_by: "latch::waiters_see_what_the_opener_did",
    },
    Bug {
        name: "who fails to announce its sleep sees nothing",
        file: "latch.rs",
        from: "word.compare_exchange(CLOSED, WAITED, Ordering::Relaxed, Ordering::Acquire)",
        to: "word.compare_exchange(CLOSED, WAITED, Ordering::Relaxed, Ordering::Relaxed)",
        caught_by: "latch::waiters_see_what_the_opener_did",
    },
    Bug {
        name: "the opening wakes nobody",
        file: "latch.rs",
        from: "            futex.notify(word, u32::MAX);",
        to: "            let _ = (futex, word);",
        caught_by: "latch::waiters_see_what_the_opener_did",
    },
    Bug {
        name: "the opening wakes one",
        file: "latch.rs",
        from: "futex.notify(word, u32::MAX)",
        to: "futex.notify(word, 1)",
        caught_by: "latch::waiters_see_what_the_opener_did",
    },
    Bug {
        name: "a sleeper does not say so",
        file: "latch.rs",
        from: "Ok(_) => return Step::Sleep(word, WAITED),",
        to: "Ok(_) => {\n                    word.store(CLOSED, Ordering::Relaxed);\n                    return Step::Sleep(word, CLOSED);\n                }",
        caught_by: "latch::waiters_see_what_the_opener_did",
    },
    Bug {
        name: "the opener looks for sleepers before it opens",
        file: "latch.rs",
        from: "let before = self.word.swap(OPEN, Ordering::Release);",
        to: "let before = self.word.load(Ordering::Relaxed);\n        self.word.swap(OPEN, Ordering::Release);",
        caught_by: "latch::waiters_see_what_the_opener_did",
    },
    Bug {
        name: "the opener touches the latch after it is open",
        file: "latch.rs",
        from: "        if before == WAITED {",
        to: "        self.word.swap(OPEN, Ordering::Relaxed);\n        if before == WAITED {",
        caught_by: "latch::the_opener_does_not_touch_an_open_latch",
    },
];
