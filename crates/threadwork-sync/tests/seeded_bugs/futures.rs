//! Bugs of the drivers that all primitives share: the table in which futures wait, the
//! boundary to their wakers, and the threads' timeouts.

use seeded_bugs::{Bug, bug};

const QUEUES: &str = "futures::each_word_has_a_queue";

pub(crate) const BUGS: &[Bug] = &[
    bug(
        "a notify takes those that come after it",
        "wakers.rs",
        "if node.is_null() || unsafe { (*node).number } > last {",
        "let _ = last;\n        if node.is_null() {",
        "futures::a_notify_ends_where_wakers_poll_at_once",
    ),
    bug(
        "a waker's panic goes on",
        "contain.rs",
        "catch_unwind(AssertUnwindSafe(call))",
        "Ok::<(), ()>(call())",
        "futures::a_waker_that_panics_keeps_nobody_asleep",
    ),
    bug(
        "the panic of a waker that is dropped with its future goes on",
        "wakers.rs",
        "contain(|| drop(waker));",
        "drop(waker);",
        "futures::a_waker_that_panics_when_dropped_stops_nothing",
    ),
    bug(
        "the panic of a waker that is replaced goes on",
        "wakers.rs",
        "contain(|| drop(other));",
        "drop(other);",
        "futures::a_waker_that_panics_when_dropped_stops_nothing",
    ),
    bug(
        "a leaked future outlives its object",
        "wakers.rs",
        "            take_each(&raw const self.0, u32::MAX, drop);\n",
        "",
        "futures::a_leaked_future_takes_no_wake_up_of_another_object",
    ),
    bug(
        "the next in a queue forgets the words below",
        "wakers.rs",
        "unsafe { (*next).below = below };",
        "unsafe { (*next).below = [below[0], ptr::null_mut()] };",
        QUEUES,
    ),
    bug(
        "the leaf that is moved up forgets the words below",
        "wakers.rs",
        "unsafe { (*leaf).below = below };",
        "unsafe { (*leaf).below = [below[0], ptr::null_mut()] };",
        QUEUES,
    ),
    bug(
        "the first of a queue keeps what was below it before",
        "wakers.rs",
        "            links.below = [ptr::null_mut(); 2];\n",
        "",
        QUEUES,
    ),
    bug(
        "the first of a queue does not know the last",
        "wakers.rs",
        "unsafe { (*first).previous = node };",
        "let _ = node;",
        QUEUES,
    ),
    bug(
        "the last of a queue that leaves is still the last",
        "wakers.rs",
        "let after = if next.is_null() { first } else { next };",
        "let after = if next.is_null() { node } else { next };",
        QUEUES,
    ),
    bug(
        "threads go before a future for ever",
        "system.rs",
        "0 => wakers::pass(word),",
        "0 => {}",
        "futures::a_future_does_not_starve_behind_threads",
    ),
    bug(
        "a mutex' release passes no future",
        "raw_mutex.rs",
        "Ok(_) => futex.note_release(address),",
        "Ok(_) => {}",
        "futures::an_unpolled_future_does_not_hold_up_the_next",
    ),
    bug(
        "a semaphore's release passes no future",
        "semaphore.rs",
        "            futex.note_release(address);",
        "",
        "futures::an_unpolled_future_does_not_hold_up_the_next",
    ),
    bug(
        "a message wakes nobody behind a future that was woken",
        "channel/ring.rs",
        "            waiters.wake_future();",
        "",
        "futures::an_unpolled_future_keeps_one_message_from_the_others",
    ),
    bug(
        "a message can be put into a closed queue",
        "channel/queue.rs",
        "if inside.is_closed {",
        "if false {",
        "channel::who_closes_ends_both_sides",
    ),
    bug(
        "a timeout passes unseen by an executor",
        "select.rs",
        "        if !unpark.0.park_timeout(left) {\n            return None;\n        }",
        "        unpark.0.park_timeout(left);",
        "select::a_timeout_ends_what_has_no_end",
    ),
    bug(
        "the second named goes first",
        "select.rs",
        "        if let Poll::Ready(output) = poll(&mut first, context) {\n            return Poll::Ready(Either::Left(output));\n        }\n        poll(&mut second, context).map(Either::Right)",
        "        if let Poll::Ready(output) = poll(&mut second, context) {\n            return Poll::Ready(Either::Right(output));\n        }\n        poll(&mut first, context).map(Either::Left)",
        "select::the_first_named_wins_if_both_are_ready",
    ),
    bug(
        "messages are left when one panics",
        "channel.rs",
        "        // There are some left if one has panicked. As of a `Vec`, a second panic ends the\n        // program.\n        self.drop_messages();\n",
        "",
        "channel::a_message_that_panics_when_dropped_takes_no_others_along",
    ),
    bug(
        "a timeout passes unseen while a thread watches",
        "waiter.rs",
        "            Step::Watch(..) if is_over => return waiter.cancel(woken),\n",
        "",
        "timeouts::a_wake_up_is_not_lost_to_a_watch",
    ),
    bug(
        "a wake-up is lost when the time is over while a thread watches",
        "waiter.rs",
        "Step::Watch(..) if is_over => return waiter.cancel(woken),",
        "Step::Watch(..) if is_over => return waiter.cancel(false),",
        "timeouts::a_wake_up_is_not_lost_to_a_watch",
    ),
];
