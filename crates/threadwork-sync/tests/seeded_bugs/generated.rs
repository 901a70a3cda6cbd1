//! Bugs that generated programs find, one of each primitive.

use seeded_bugs::{Bug, bug};

pub(crate) const BUGS: &[Bug] = &[
    bug(
        "a mutex' waiter that gives up keeps its wake-up",
        "raw_mutex.rs",
        "if !woken && !self.starving {",
        "if !self.starving {",
        "generated::mutex",
    ),
    bug(
        "a condition variable's waiter that gives up keeps its notify",
        "condvar.rs",
        "        if woken {\n            self.condvar.pass_on(self.futex);",
        "        if false {\n            self.condvar.pass_on(self.futex);",
        "generated::condvar",
    ),
    bug(
        "a semaphore's waiter that gives up keeps its wake-up",
        "semaphore.rs",
        "if !woken && !self.starving && collected == 0 {",
        "if !self.starving && collected == 0 {",
        "generated::semaphore",
    ),
    bug(
        "a writer that gives up keeps its wake-up",
        "raw_rwlock.rs",
        "let pass_on = (woken || self.starving) &&",
        "let pass_on = self.starving &&",
        "generated::rwlock",
    ),
    bug(
        "who gives up a priority mutex leaves its token to nobody",
        "priority_mutex.rs",
        "                self.renew_token();\n",
        "",
        "generated::priority_mutex",
    ),
    bug(
        "who gives up at a channel does not pass on",
        "channel/ring.rs",
        "                waiters.wake(1);\n                return;",
        "                return;",
        "generated::channel_in_order",
    ),
    bug(
        "an arrival at a barrier cannot be withdrawn",
        "barrier.rs",
        "                state - 1,\n",
        "                state,\n",
        "generated::barrier",
    ),
    bug(
        "a parker that gives up takes the token along",
        "parker.rs",
        "                PARKED,\n                EMPTY,\n                Ordering::Relaxed,\n                Ordering::Relaxed,\n            );\n        }\n        None",
        "                NOTIFIED,\n                EMPTY,\n                Ordering::Relaxed,\n                Ordering::Relaxed,\n            );\n        }\n        None",
        "generated::parker",
    ),
];
