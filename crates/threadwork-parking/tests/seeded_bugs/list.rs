//! What can be wrong.

use seeded_bugs::Bug;

/// In the meeting of threads.
pub(crate) const LOOM: &[Bug] = &[
    Bug {
        name: "a notify is not ordered against the waiter's count",
        file: "lot.rs",
        from: "        fence(Ordering::SeqCst);\n        if bucket.waiters.load",
        to: "        if bucket.waiters.load",
        caught_by: "no_lost_wake_up",
    },
    Bug {
        name: "a waiter's count is not ordered against its comparison",
        file: "lot.rs",
        from: "        fence(Ordering::SeqCst);\n        let mut queue",
        to: "        let mut queue",
        caught_by: "no_lost_wake_up",
    },
    Bug {
        name: "a waiter does not compare under the lock",
        file: "lot.rs",
        from: "if self.closed.load(Ordering::Relaxed) || !holds() {",
        to: "if self.closed.load(Ordering::Relaxed) {",
        caught_by: "no_lost_wake_up",
    },
    Bug {
        name: "a waiter does not look for a close under the lock",
        file: "lot.rs",
        from: "if self.closed.load(Ordering::Relaxed) || !holds() {",
        to: "if !holds() {",
        caught_by: "close_ends_every_wait",
    },
    Bug {
        name: "a sleeper looks at its state before it reads the generation",
        file: "lot.rs",
        from: "            let generation = bucket.slots.generation();
            // Ordering: Acquire; pairs with the release in `settle`.
            if state.load(Ordering::Acquire) != ASLEEP {
                return Some(verdict(state));
            }
",
        to: "            if state.load(Ordering::Acquire) != ASLEEP {
                return Some(verdict(state));
            }
            let generation = bucket.slots.generation();
",
        caught_by: "no_lost_wake_up",
    },
    Bug {
        name: "nobody is woken",
        file: "lot.rs",
        from: "bucket.slots.wake(sleepers);",
        to: "drop(sleepers);",
        caught_by: "no_lost_wake_up",
    },
    Bug {
        name: "sleepers are woken before the verdict is out",
        file: "lot.rs",
        from: "        sleepers.add(&sleeper.slot);\n",
        to: "        sleepers.add(&sleeper.slot);
        if let Some(bucket) = self.buckets.first() {
            bucket.slots.wake(std::mem::take(sleepers));
        }
",
        caught_by: "no_lost_wake_up",
    },
    Bug {
        name: "one of several that are woken together is forgotten",
        file: "wake_slot.rs",
        from: "self.bits |= bit.get()",
        to: "self.bits = bit.get()",
        caught_by: "exact_counts",
    },
    Bug {
        name: "two sleepers have one bit",
        file: "wake_slot.rs",
        from: "taken | bit.get(),",
        to: "taken,",
        caught_by: "exact_counts",
    },
    Bug {
        name: "a wake slot is given back before its owner sleeps",
        file: "lot.rs",
        from: "        let result = unsafe { self.sleep(bucket, waiter, deadline, is_relieved, observer) };\n",
        to: "        bucket.slots.free(unsafe { &(*waiter).slot });
        let result = unsafe { self.sleep(bucket, waiter, deadline, is_relieved, observer) };
",
        caught_by: "exact_counts",
    },
    Bug {
        name: "who cannot have a bit is not woken",
        file: "wake_slot.rs",
        from: "            thread.unpark();\n",
        to: "            drop(thread);\n",
        caught_by: "more_sleepers_than_slots",
    },
    Bug {
        name: "the census of sleepers is not taken back",
        file: "lot.rs",
        from: "            self.asleep.fetch_sub(1, Ordering::AcqRel);\n        }\n        // On its behalf",
        to: "        }\n        // On its behalf",
        caught_by: "deadlock_is_noticed_after_a_wake_up",
    },
    Bug {
        name: "whoever leaves does not look back",
        file: "lot.rs",
        from: "living > 0 && asleep == living && self.all_asleep(live_on)",
        to: "living == 0 && asleep == living && self.all_asleep(live_on)",
        caught_by: "leaving_reveals_a_deadlock",
    },
    Bug {
        name: "whoever leaves does not live while it asks",
        file: "lot.rs",
        from: "            self.living.fetch_add(1, Ordering::Relaxed);\n            true\n",
        to: "            true\n",
        caught_by: "leaving_reveals_a_deadlock",
    },
    Bug {
        name: "a waiter leaves the queue before it asks for relief",
        file: "lot.rs",
        from: "        let relieved = is_relieved();\n",
        to: "        unsafe { self.withdraw(bucket, waiter, WaitResult::Deadlock) };
        let relieved = is_relieved();
",
        caught_by: "relief_finds_who_asked_for_it",
    },
    Bug {
        name: "a waiter that asks for relief counts as asleep",
        file: "lot.rs",
        from: "            self.asleep.fetch_sub(1, Ordering::AcqRel);\n        }\n        awake",
        to: "        }\n        awake",
        caught_by: "relief_that_does_not_help_is_noticed",
    },
    Bug {
        name: "a refusal ignores the verdict",
        file: "lot.rs",
        from: "                return unsafe { self.withdraw(bucket, waiter, WaitResult::Deadlock) };",
        to: "                unsafe { self.withdraw(bucket, waiter, WaitResult::Deadlock) };
                return WaitResult::Deadlock;",
        caught_by: "refusal_against_notify",
    },
    Bug {
        name: "a timeout ignores the verdict",
        file: "lot.rs",
        from: "        let mut queue = bucket.lock();
        // Ordering: Acquire; pairs with the release in `settle`.
        if !matches!(state.load(Ordering::Acquire), WAITING | ASLEEP) {
            return verdict(state);
        }
",
        to: "        let mut queue = bucket.lock();\n",
        caught_by: "timeout_against_notify",
    },
    Bug {
        name: "a notify wakes one too many",
        file: "lot.rs",
        from: "queue.of(address).take(count as usize)",
        to: "queue.of(address).take(count as usize + 1)",
        caught_by: "exact_counts",
    },
];
