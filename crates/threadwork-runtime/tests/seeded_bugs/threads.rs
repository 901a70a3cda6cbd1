//! What can be wrong in numbered threads and slots.

use seeded_bugs::{Bug, bug};

const SLOTS: &str = "slots.rs";
const THREADS: &str = "threads.rs";
const RECORD: &str = "threads/record.rs";

/// What every machine shows.
pub(crate) const NATIVE: &[Bug] = &[
    bug(
        "the last slot counts as outside",
        SLOTS,
        "None | Some(0) => return",
        "None | Some(0 | 1) => return",
        "slots::slots_are_zero_until_they_are_set",
    ),
    bug(
        "the first key outside is inside",
        SLOTS,
        "None | Some(0) => return",
        "None => return",
        "slots::keys_and_sizes_are_checked",
    ),
    bug(
        "a short value clears its slot",
        SLOTS,
        "let mut bytes = slot.get().to_ne_bytes();",
        "let mut bytes = [0; SLOT];",
        "slots::a_value_comes_back_as_it_was",
    ),
    bug(
        "a block that is too large ends the program",
        SLOTS,
        "            .try_reserve_exact(self.keys)\n            .map_err(|_| SlotError::OutOfMemory { slot_size })?;",
        "            .try_reserve_exact(0)\n            .map_err(|_| SlotError::OutOfMemory { slot_size })?;",
        "slots::too_large_a_block_is_an_error",
    ),
    bug(
        "one thread more than allowed",
        THREADS,
        "if table.live >= self.max_threads {",
        "if table.live > self.max_threads {",
        "manager::one_too_many_is_refused",
    ),
    bug(
        "a thread that was not started is counted",
        THREADS,
        "        self.0.table.lock().live -= 1;\n",
        "",
        "manager::a_thread_that_is_not_started_is_not_counted",
    ),
    bug(
        "a thread that was not started is counted if what it holds panics",
        THREADS,
        "let thread = LimitedJoin::spawn(named, run)?;",
        "let reserved = mem::ManuallyDrop::new(reserved);\n        let thread = LimitedJoin::spawn(named, run).inspect_err(|_| drop(Reserved(&self.shared)))?;",
        "manager::a_thread_that_is_not_started_is_not_counted_whatever_it_holds",
    ),
    bug(
        "the panics of the threads hit whoever drops the manager",
        RECORD,
        "            discard(payload.take());",
        "            drop(payload.take());",
        "manager::nobody_is_hit_by_panics_that_nobody_asks_for",
    ),
    bug(
        "a thread that has ended is counted",
        THREADS,
        "            table.live -= 1;\n            if detached",
        "            if detached",
        "manager::as_many_as_allowed_run_and_no_more",
    ),
    bug(
        "a joined thread is remembered",
        THREADS,
        "        if !matches!(joined, Err(JoinError::AlreadyJoined { .. })) {\n            self.forget(record);\n        }",
        "",
        "manager::one_joiner_wins",
    ),
    bug(
        "a detached thread is remembered when it ends",
        THREADS,
        "            if detached {\n                table.records.remove(&record.id());\n            }",
        "            let _ = detached;",
        "manager::the_status_follows_the_thread",
    ),
    bug(
        "a thread that has ended and is detached is remembered",
        THREADS,
        "if record.detach()? == Left::Yes {",
        "if record.detach()? == Left::Yes && false {",
        "manager::a_detached_thread_is_forgotten",
    ),
    bug(
        "a thread runs before it is listed",
        THREADS,
        "            record.wait_listed();\n",
        "",
        "manager::a_thread_finds_itself_in_the_list",
    ),
    bug(
        "an id that was given out is unknown",
        THREADS,
        "None if id.0 < table.next => Err(JoinError::AlreadyJoined { id }),",
        "None if id.0 < table.next && false => Err(JoinError::AlreadyJoined { id }),",
        "manager::a_thread_without_a_handle_can_be_joined_by_its_id",
    ),
    bug(
        "join_all joins those that have handles",
        THREADS,
        "                && !record.has_handle()\n",
        "",
        "manager::join_all_waits_for_all",
    ),
    bug(
        "join_all waits for its own thread",
        RECORD,
        "            Some(thread) if thread.thread().id() == std::thread::current().id() => false,\n",
        "",
        "manager::join_all_from_inside_leaves_out_the_caller",
    ),
    bug(
        "a thread may wait for itself",
        RECORD,
        "                Err(JoinError::Itself { id })",
        "                Ok(thread.gone().clone())",
        "manager::a_thread_cannot_join_itself",
    ),
    bug(
        "a join with a timeout waits for thread-locals without one",
        THREADS,
        "        record.wait_gone(deadline)?;\n",
        "",
        "manager::a_timeout_is_one_for_thread_locals_too",
    ),
    bug(
        "a join after the timeout is no longer possible",
        RECORD,
        "            Some(_) => return Err(JoinError::TimedOut { id: self.id }),",
        "            Some(_) => {\n                self.state.lock().thread = None;\n                return Err(JoinError::TimedOut { id: self.id });\n            }",
        "manager::a_timeout_leaves_the_thread_to_join",
    ),
    bug(
        "a panic is lost",
        RECORD,
        "Outcome::Panicked(payload) => payload.take(),",
        "Outcome::Panicked(_) => None,",
        "manager::a_panic_reaches_who_joins",
    ),
];
