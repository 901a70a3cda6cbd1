//! What can be wrong in a condition variable.

use seeded_bugs::Bug;

pub(crate) const BUGS: &[Bug] = &[
    Bug {
        name: "a notify does not change the word",
        file: "condvar.rs",
        from: "        self.sequence.fetch_add(1, Ordering::Relaxed);\n",
        to: "",
        caught_by: "condvar::a_notify_after_the_unlock_is_not_lost",
    },
    Bug {
        name: "a notify under the lock does not change the word",
        file: "condvar.rs",
        from: "        self.sequence.fetch_add(1, Ordering::Relaxed);\n",
        to: "",
        caught_by: "condvar::a_notify_under_the_lock_is_not_lost",
    },
    Bug {
        name: "a notify wakes nobody",
        file: "condvar.rs",
        from: "        futex.notify(word, count);\n",
        to: "        let _ = (futex, word, count);\n",
        caught_by: "condvar::a_notify_after_the_unlock_is_not_lost",
    },
    Bug {
        name: "the word is changed after the notify",
        file: "condvar.rs",
        from: "        self.sequence.fetch_add(1, Ordering::Relaxed);
        // From here on the condition variable may be gone: only its address is used.
        futex.notify(word, count);",
        to: "        futex.notify(word, count);
        self.sequence.fetch_add(1, Ordering::Relaxed);",
        caught_by: "condvar::a_notify_after_the_unlock_is_not_lost",
    },
    Bug {
        name: "all are notified as one",
        file: "condvar.rs",
        from: "self.notify(futex, u32::MAX);",
        to: "self.notify(futex, 1);",
        caught_by: "condvar::notify_all_wakes_all",
    },
    Bug {
        name: "nobody counts as waiting until it sleeps",
        file: "condvar.rs",
        from: "        let waiter = self.waiter(&System);
        drop(guard);
        block_forever(&System, waiter);",
        to: "        drop(guard);
        let waiter = self.waiter(&System);
        block_forever(&System, waiter);",
        caught_by: "condvar::a_notify_after_the_unlock_is_not_lost",
    },
    Bug {
        name: "the sequence is read after the unlock",
        file: "condvar.rs",
        from: "        if resumed == Resumed::Started {
            return",
        to: "        if resumed == Resumed::Started {
            self.sequence = word.load(Ordering::Relaxed);
            return",
        caught_by: "condvar::a_notify_after_the_unlock_is_not_lost",
    },
    Bug {
        name: "who leaves counts itself out twice",
        file: "condvar.rs",
        from: "if core::mem::take(&mut self.counted) {",
        to: "if self.counted {",
        caught_by: "condvar::two_notifies_wake_two",
    },
    Bug {
        name: "the first to leave takes the others along",
        file: "condvar.rs",
        from: "self.condvar.waiters.fetch_sub(1, Ordering::Relaxed);",
        to: "self.condvar.waiters.store(0, Ordering::Relaxed);",
        caught_by: "condvar::two_notifies_wake_two",
    },
    Bug {
        name: "a dropped future keeps its notify",
        file: "condvar.rs",
        from: "            self.condvar.pass_on(self.futex);\n",
        to: "            let _ = self.futex;\n",
        caught_by: "condvar::a_future_that_is_dropped_passes_its_notify_on",
    },
    Bug {
        name: "a future that is dropped at the mutex keeps its notify",
        file: "condvar.rs",
        from: "        self.condvar.pass_on(&System);\n",
        to: "        let _ = self.condvar;\n",
        caught_by: "condvar::a_future_that_is_dropped_at_the_mutex_passes_its_notify_on",
    },
    Bug {
        name: "a timeout leaves twice",
        file: "condvar.rs",
        from: "        self.leave();
        if woken {",
        to: "        self.leave();
        self.condvar.waiters.store(0, Ordering::Relaxed);
        if woken {",
        caught_by: "condvar::a_timeout_does_not_swallow_a_notify",
    },
];
