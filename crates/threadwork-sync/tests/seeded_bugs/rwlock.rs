//! What can be wrong in a reader-writer lock.

use seeded_bugs::Bug;

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "the fast reader sees nothing",
        file: "raw_rwlock.rs",
        from: "state + ACTIVE, Ordering::Acquire, Ordering::Relaxed)",
        to: "state + ACTIVE, Ordering::Relaxed, Ordering::Relaxed)",
        caught_by: "rwlock::a_reader_and_a_writer_exclude_each_other",
    },
    Bug {
        name: "the fast writer sees nothing",
        file: "raw_rwlock.rs",
        from: ".compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed)",
        to: ".compare_exchange(0, LOCKED, Ordering::Relaxed, Ordering::Relaxed)",
        caught_by: "rwlock::two_writers_exclude_each_other",
    },
    Bug {
        name: "a reader that looks before it queues sees nothing",
        file: "raw_rwlock.rs",
        from: "        let next = one_more(state, ACTIVE, ALL_ACTIVE);
        // Ordering: Acquire; pairs with the release of a writer.
        self.state
            .compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed)",
        to: "        let next = one_more(state, ACTIVE, ALL_ACTIVE);
        self.state
            .compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed)",
        caught_by: "rwlock::a_reader_and_a_writer_exclude_each_other",
    },
    Bug {
        name: "a writer that looks before it queues sees nothing",
        file: "raw_rwlock.rs",
        from: ".compare_exchange(state, next, Ordering::Acquire, Ordering::Relaxed)",
        to: ".compare_exchange(state, next, Ordering::Relaxed, Ordering::Relaxed)",
        caught_by: "rwlock::two_writers_exclude_each_other",
    },
    Bug {
        name: "a writer that looks before it queues takes what readers hold",
        file: "raw_rwlock.rs",
        from: "state & (LOCKED | STARVING | ALL_ACTIVE) == 0",
        to: "state & (LOCKED | STARVING) == 0",
        caught_by: "rwlock::a_reader_and_a_writer_exclude_each_other",
    },
    Bug {
        name: "the phase starts anew while readers have yet to see it",
        file: "raw_rwlock.rs",
        from: "        if state & ALL_ACTIVE == 0 {
            state &= !PHASE;",
        to: "        if true {
            state &= !PHASE;",
        caught_by: "rwlock::two_readers_that_were_passed_are_let_in",
    },
    Bug {
        name: "the fast unlock of a reader publishes nothing",
        file: "raw_rwlock.rs",
        from: "state - ACTIVE, Ordering::Release, Ordering::Relaxed)",
        to: "state - ACTIVE, Ordering::Relaxed, Ordering::Relaxed)",
        caught_by: "rwlock::a_reader_and_a_writer_exclude_each_other",
    },
    Bug {
        name: "the fast unlock of a writer publishes nothing",
        file: "raw_rwlock.rs",
        from: ".compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed)",
        to: ".compare_exchange(LOCKED, 0, Ordering::Relaxed, Ordering::Relaxed)",
        caught_by: "rwlock::two_writers_exclude_each_other",
    },
    Bug {
        name: "the slow unlock publishes nothing",
        file: "raw_rwlock.rs",
        from: ".compare_exchange_weak(state, next, Ordering::Release, Ordering::Relaxed)",
        to: ".compare_exchange_weak(state, next, Ordering::Relaxed, Ordering::Relaxed)",
        caught_by: "rwlock::two_writers_exclude_each_other",
    },
    Bug {
        name: "a reader that was let in sees nothing",
        file: "raw_rwlock.rs",
        from: "            let state = lock.state.load(Ordering::Acquire);
            if self.is_in(state) {
                return Step::Done(());",
        to: "            let state = lock.state.load(Ordering::Relaxed);
            if self.is_in(state) {
                return Step::Done(());",
        caught_by: "rwlock::a_reader_that_a_writer_lets_in_sees_what_it_wrote",
    },
    Bug {
        name: "a gate is turned without saying that the bits are cleared",
        file: "raw_rwlock.rs",
        from: "word.fetch_add(1, Ordering::Release);",
        to: "word.fetch_add(1, Ordering::Relaxed);",
        caught_by: "rwlock::a_reader_that_a_writer_lets_in_sees_what_it_wrote",
    },
    Bug {
        name: "no gate is turned",
        file: "raw_rwlock.rs",
        from: "                    word.fetch_add(1, Ordering::Release);\n",
        to: "",
        caught_by: "rwlock::two_writers_exclude_each_other",
    },
    Bug {
        name: "the bits stay set while the gate is turned, so that setting them changes \
               nothing (folly's saturated count)",
        file: "raw_rwlock.rs",
        from: "                        state & !gate,\n",
        to: "                        state,\n",
        caught_by: "rwlock::three_writers_wake_each_other",
    },
    Bug {
        name: "a gate is turned, too, after the lock was let go",
        file: "raw_rwlock.rs",
        from: "                if cleared & gate & (READERS_SLEEP | WRITERS_SLEEP) != 0 {\n",
        to: "                unsafe { &*word }.fetch_add(1, Ordering::Release);
                if cleared & gate & (READERS_SLEEP | WRITERS_SLEEP) != 0 {\n",
        caught_by: "rwlock::nobody_touches_anything_after_a_writer_got_the_lock",
    },
    Bug {
        name: "the unlock wakes no writer",
        file: "raw_rwlock.rs",
        from: "cleared & gate & (READERS_SLEEP | WRITERS_SLEEP) != 0",
        to: "cleared & gate & READERS_SLEEP != 0",
        caught_by: "rwlock::two_writers_exclude_each_other",
    },
    Bug {
        name: "the unlock wakes no reader",
        file: "raw_rwlock.rs",
        from: "cleared & gate & (READERS_SLEEP | WRITERS_SLEEP) != 0",
        to: "cleared & gate & WRITERS_SLEEP != 0",
        caught_by: "rwlock::a_reader_and_a_writer_exclude_each_other",
    },
    Bug {
        name: "the unlock wakes one reader",
        file: "raw_rwlock.rs",
        from: "(AT_READERS_GATE, next, u32::MAX)",
        to: "(AT_READERS_GATE, next, 1)",
        caught_by: "rwlock::two_readers_and_a_writer_exclude_each_other",
    },
    Bug {
        name: "bits that were cleared for nothing are not set again",
        file: "raw_rwlock.rs",
        from: "tidy(next | (cleared & !gate))",
        to: "tidy(next)",
        caught_by: "rwlock::two_writers_and_a_reader_exclude_each_other",
    },
    Bug {
        name: "an unlocking writer prefers writers",
        file: "raw_rwlock.rs",
        from: "Release::Write if readers == 0 =>",
        to: "Release::Write if readers == 0 || state & ALL_WAITING_WRITERS != 0 =>",
        caught_by: "rwlock::a_reader_that_was_passed_is_let_in_before_any_writer",
    },
    Bug {
        name: "readers pass waiting writers",
        file: "raw_rwlock.rs",
        from: "(state & ALL_WAITING_WRITERS == 0 || state & READERS_TURN != 0)",
        to: "true",
        caught_by: "rwlock::a_waiting_writer_is_let_in_before_new_readers",
    },
    Bug {
        name: "a downgrade leaves the readers waiting",
        file: "raw_rwlock.rs",
        from: "Release::Downgrade if readers == 0 =>",
        to: "Release::Downgrade =>",
        caught_by: "rwlock::a_downgrade_lets_in_the_readers_and_no_writer",
    },
    Bug {
        name: "a downgrade that lets readers in does not stay itself",
        file: "raw_rwlock.rs",
        from: "u64::from(release == Release::Downgrade) * ACTIVE",
        to: "0",
        caught_by: "rwlock::a_downgrade_lets_in_the_readers_and_no_writer",
    },
    Bug {
        name: "a reader that gives up does not see that it is in",
        file: "raw_rwlock.rs",
        from: "            if self.is_in(state) {
                return Some(());",
        to: "            if false {
                return Some(());",
        caught_by: "rwlock::a_reading_future_that_is_dropped_gives_up_what_it_got",
    },
    Bug {
        name: "a reader that gives up keeps what it was let in to",
        file: "raw_rwlock.rs",
        from: "                return Some(());",
        to: "                return None;",
        caught_by: "rwlock::a_reading_future_that_is_dropped_gives_up_what_it_got",
    },
    Bug {
        name: "who was woken forgets the others",
        file: "raw_rwlock.rs",
        from: "let behind = if self.slept { AT_WRITERS_GATE } else { 0 };",
        to: "let behind = 0;",
        caught_by: "rwlock::three_writers_wake_each_other",
    },
    Bug {
        name: "nobody may pass a starving writer, not even itself",
        file: "raw_rwlock.rs",
        from: "(state & STARVING == 0 || self.entitled);",
        to: "state & STARVING == 0;",
        caught_by: "rwlock::two_writers_exclude_each_other",
    },
    Bug {
        name: "a starving writer that gives up stays in the way",
        file: "raw_rwlock.rs",
        from: "let starving = if self.starving { STARVING } else { 0 };",
        to: "let starving = 0;",
        caught_by: "rwlock::a_starving_writer_that_gives_up_may_be_passed",
    },
    Bug {
        name: "a dropped future keeps its wake-up",
        file: "raw_rwlock.rs",
        from: "(woken || self.starving) && next",
        to: "self.starving && next",
        caught_by: "rwlock::a_writing_future_that_is_dropped_leaves_nobody_asleep",
    },
    Bug {
        name: "a writer that gives up a held lock does not say that others sleep",
        file: "raw_rwlock.rs",
        from: "                next |= AT_WRITERS_GATE;\n",
        to: "",
        caught_by: "rwlock::a_future_that_is_dropped_while_it_is_passed_leaves_nobody_asleep",
    },
    Bug {
        name: "the last writer that gives up leaves the readers asleep",
        file: "raw_rwlock.rs",
        from: "self.futex.notify(readers.address(), u32::MAX);",
        to: "",
        caught_by: "rwlock::a_writer_that_gives_up_lets_the_readers_through",
    },
    Bug {
        name: "the last writer that gives up does not turn the readers' gate",
        file: "raw_rwlock.rs",
        from: "                readers.fetch_add(1, Ordering::Release);\n",
        to: "",
        caught_by: "rwlock::a_writer_that_gives_up_lets_the_readers_through",
    },
    Bug {
        name: "a reader is passed for ever",
        file: "raw_rwlock.rs",
        from: "let next = match state & (READERS_TURN | READERS_STARVE) {",
        to: "let next = match state & READERS_TURN {",
        caught_by: "rwlock::a_reader_that_was_passed_is_let_in_before_any_writer",
    },
    Bug {
        name: "a reader is passed again and again in its turn",
        file: "raw_rwlock.rs",
        from: "let next = match state & (READERS_TURN | READERS_STARVE) {",
        to: "let next = match state & READERS_STARVE {",
        caught_by: "rwlock::a_reader_is_passed_once_in_its_turn",
    },
    Bug {
        name: "writers that waited take the readers' turn",
        file: "raw_rwlock.rs",
        from: "                && state & READERS_TURN == 0\n",
        to: "",
        caught_by: "rwlock::waiting_readers_go_before_waiting_writers",
    },
    Bug {
        name: "the readers' turn does not end",
        file: "raw_rwlock.rs",
        from: "state &= !(AT_READERS_GATE | READERS_STARVE | READERS_TURN);",
        to: "state &= !(AT_READERS_GATE | READERS_STARVE);",
        caught_by: "rwlock::waiting_readers_go_before_waiting_writers",
    },
    Bug {
        name: "who gives up the last of a turn wakes no writer",
        file: "raw_rwlock.rs",
        from: "if ends_turn && is_free(next) {",
        to: "if false {",
        caught_by: "rwlock::a_reader_that_gives_up_its_turn_leaves_no_writer_asleep",
    },
    Bug {
        name: "a waiter reads the state before the gate",
        file: "raw_rwlock.rs",
        from: "            let gate = lock.readers.load(Ordering::Acquire);
            // Ordering: Acquire; pairs with the release of the writer that let it in.
            let state = lock.state.load(Ordering::Acquire);",
        to: "            let state = lock.state.load(Ordering::Acquire);
            let gate = lock.readers.load(Ordering::Acquire);",
        caught_by: "rwlock::a_second_reader_is_let_in",
    },
];
