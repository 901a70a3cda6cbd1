//! What can be wrong in threads, their manager and their locals.

use seeded_bugs::{Bug, bug};

const THREAD_INDEX: &str = "thread_local/thread_index.rs";
const TABLE: &str = "thread_local/table.rs";
const BOUND: &str = "thread_local/bound.rs";
const LOCAL: &str = "thread_local.rs";

/// What every machine shows.
pub(crate) const NATIVE: &[Bug] = &[
    bug(
        "indices are not used again",
        THREAD_INDEX,
        "FREE.lock().numbers.push(Reverse(number));",
        "let _ = Reverse(number);",
        "thread_local::values_are_taken_over",
    ),
    bug(
        "an index is freed before its values are dropped",
        THREAD_INDEX,
        "        for end in self.ends.take() {",
        "        FREE.lock().numbers.push(Reverse(number));\n        for end in self.ends.take() {",
        "thread_bound::a_new_thread_begins_anew_while_others_end",
    ),
    bug(
        "nobody is told that a thread ends",
        THREAD_INDEX,
        "        ends.push(end);",
        "        drop(end);",
        "thread_bound::it_is_dropped_when_the_thread_ends",
    ),
    bug(
        "the list of those who are told is never tidied, nor is it kept",
        THREAD_INDEX,
        "ends.retain(|end| end.strong_count() > 0);",
        "ends.retain(|end| end.strong_count() == 0);",
        "thread_bound::a_thread_tells_all",
    ),
    bug(
        "a late value is kept in an index",
        BOUND,
        "        if !thread_index::at_end(Arc::downgrade(&table)) {\n            return body(&value);\n        }",
        "        let _ = thread_index::at_end(Arc::downgrade(&table));",
        "thread_bound::a_late_destructor_gets_a_value_for_a_call",
    ),
    bug(
        "the object leaves the values to whoever ends last",
        BOUND,
        "        unsafe { self.table.clear() };",
        "        let _ = &self.table;",
        "thread_bound::a_thread_that_ends_holds_up_nobody",
    ),
    bug(
        "an outer initializer of a bound value wins",
        BOUND,
        "            return body(earlier);",
        "            let _ = earlier;",
        "thread_bound::an_initializer_may_make_the_value_itself",
    ),
    bug(
        "an outer initializer wins",
        LOCAL,
        "            Some(earlier) => earlier,",
        "            Some(_) if true => unsafe { self.table.insert(index, value) },\n            Some(earlier) => earlier,",
        "thread_local::an_initializer_may_make_the_value_itself",
    ),
    bug(
        "rows begin at the wrong index",
        TABLE,
        "slots.add(index - length(row))",
        "slots.add((index - length(row)) / 2)",
        "thread_local::values_stay_when_their_threads_end",
    ),
    bug(
        "the last row is not visited",
        TABLE,
        "length(row(index)).checked_mul(2).unwrap_or(NONE)",
        "NONE",
        "thread_local::rows_that_nobody_uses_are_skipped",
    ),
    bug(
        "a value that panics saves the others from being dropped",
        TABLE,
        "                    None => first = Some(panic),",
        "                    None => return Some(panic),",
        "thread_local::all_values_are_dropped_if_one_panics",
    ),
    bug(
        "a row is replaced by another",
        TABLE,
        "        let made = self.far[number].compare_exchange(\n            ptr::null_mut(),\n            slots.cast(),\n            Ordering::Release,\n            Ordering::Relaxed,\n        );",
        "        self.far[number].store(slots.cast(), Ordering::Release);\n        let made: Result<(), ()> = Ok(());",
        "thread_local::rows_are_made_once",
    ),
    bug(
        "a name may contain a zero byte",
        "thread/builder.rs",
        "if name.contains('\\0') {",
        "if name.is_empty() {",
        "thread::a_name_with_a_zero_byte_is_an_error",
    ),
    bug(
        "the size of the stack is forgotten",
        "thread/builder.rs",
        "std = std.stack_size(bytes);",
        "let _ = bytes;",
        "thread::a_stack_that_cannot_be_is_an_error",
    ),
];

/// What only a weaker memory model shows, or a checked heap.
pub(crate) const MIRI: &[Bug] = &[
    bug(
        "a thread keeps an index that it has freed",
        THREAD_INDEX,
        "        INDEX.set(NONE);\n        FREE",
        "        FREE",
        "thread_local::a_late_destructor_has_a_value_of_its_own",
    ),
    bug(
        "a value is published without what is in it",
        TABLE,
        "slot.store(value, Ordering::Release);",
        "slot.store(value, Ordering::Relaxed);",
        "thread_local::a_visitor_sees_whole_values",
    ),
    bug(
        "a visitor does not see what is in a value",
        TABLE,
        "let value = self.slot(index)?.load(Ordering::Acquire);",
        "let value = self.slot(index)?.load(Ordering::Relaxed);",
        "thread_local::a_visitor_sees_whole_values",
    ),
    bug(
        "rows are not freed",
        TABLE,
        "drop(unsafe { Box::from_raw(row) });",
        "let _ = row;",
        "thread_local::values_stay_when_their_threads_end",
    ),
    bug(
        "values are not dropped with the table",
        TABLE,
        "        let panic = unsafe { self.empty() };\n        for",
        "        let panic: Option<Box<dyn Any + Send>> = None;\n        for",
        "thread_local::each_value_is_dropped_once",
    ),
];
