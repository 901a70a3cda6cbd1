//! What can be wrong in a parker.

use seeded_bugs::Bug;

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "an unpark publishes nothing",
        file: "parker.rs",
        from: "self.word.swap(NOTIFIED, Ordering::Release)",
        to: "self.word.swap(NOTIFIED, Ordering::Relaxed)",
        caught_by: "parker::each_park_meets_an_unpark",
    },
    Bug {
        name: "an unpark that finds a token writes nothing",
        file: "parker.rs",
        from: "let before = self.word.swap(NOTIFIED, Ordering::Release);",
        to: "if self.word.load(Ordering::Relaxed) == NOTIFIED {\n            return;\n        }\n        let before = self.word.swap(NOTIFIED, Ordering::Release);",
        caught_by: "parker::a_token_has_the_edges_of_all_unparks",
    },
    Bug {
        name: "a token shows nothing",
        file: "parker.rs",
        from: ".compare_exchange(NOTIFIED, EMPTY, Ordering::Acquire, Ordering::Relaxed)",
        to: ".compare_exchange(NOTIFIED, EMPTY, Ordering::Relaxed, Ordering::Relaxed)",
        caught_by: "parker::each_park_meets_an_unpark",
    },
    Bug {
        name: "an unpark wakes nobody",
        file: "parker.rs",
        from: "            futex.notify(word, u32::MAX);",
        to: "            let _ = (futex, word);",
        caught_by: "parker::each_park_meets_an_unpark",
    },
    Bug {
        name: "a sleeper does not say so",
        file: "parker.rs",
        from: "        if before == PARKED {",
        to: "        if before == PARKED + 1 {",
        caught_by: "parker::each_park_meets_an_unpark",
    },
    Bug {
        name: "a park leaves the token",
        file: "parker.rs",
        from: ".compare_exchange(NOTIFIED, EMPTY, Ordering::Acquire, Ordering::Relaxed)",
        to: ".compare_exchange(NOTIFIED, NOTIFIED, Ordering::Acquire, Ordering::Relaxed)",
        caught_by: "parker::a_park_that_gives_up_leaves_no_trace",
    },
    Bug {
        name: "who gives up still says that it sleeps",
        file: "parker.rs",
        from: "        if self.parked {\n            // Fails",
        to: "        if false {\n            // Fails",
        caught_by: "parker::a_park_that_gives_up_leaves_no_trace",
    },
    Bug {
        name: "who gives up destroys a token",
        file: "parker.rs",
        from: "let _ = self.parker.word.compare_exchange(\n                PARKED,\n                EMPTY,\n                Ordering::Relaxed,\n                Ordering::Relaxed,\n            );",
        to: "self.parker.word.swap(EMPTY, Ordering::Relaxed);",
        caught_by: "parker::a_future_that_is_dropped_leaves_the_token",
    },
    Bug {
        name: "an unpark touches the parker after it has let it go",
        file: "parker.rs",
        from: "        if before == PARKED {",
        to: "        self.word.swap(NOTIFIED, Ordering::Release);\n        if before == PARKED {",
        caught_by: "parker::the_unparker_does_not_touch_the_parker_afterwards",
    },
];
