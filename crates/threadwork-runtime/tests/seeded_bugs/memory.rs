//! What can be wrong in the shared memory and in batches.

use seeded_bugs::{Bug, bug};

const SEGMENTS: &str = "shared_memory/segments.rs";
const WORD: &str = "shared_memory/word.rs";
const MEMORY: &str = "shared_memory.rs";
const OBJECTS: &str = "shared_memory/objects.rs";
const BATCH: &str = "atomic_batch.rs";

/// What every machine shows.
pub(crate) const NATIVE: &[Bug] = &[
    bug(
        "one byte too many is inside the first piece",
        SEGMENTS,
        "Some(end) if end <= self.first_len => Ok",
        "Some(end) if end <= self.first_len + 1 => Ok",
        "model::random_operations_do_what_they_do_to_bytes",
    ),
    bug(
        "one byte too many is inside",
        SEGMENTS,
        "Some(end) if end <= self.size() => Ok(())",
        "Some(end) if end <= self.size() + 1 => Ok(())",
        "access::what_is_outside_is_refused",
    ),
    bug(
        "an offset wraps around",
        SEGMENTS,
        "    pub(super) fn check(&self, offset: usize, len: usize) -> Result<(), MemoryError> {\n        match offset.checked_add(len) {",
        "    pub(super) fn check(&self, offset: usize, len: usize) -> Result<(), MemoryError> {\n        match Some(offset.wrapping_add(len)) {",
        "access::what_is_outside_is_refused",
    ),
    bug(
        "limits are not checked",
        SEGMENTS,
        "if min_pages > max_pages || max_pages > MAX_PAGES {",
        "if min_pages > max_pages {",
        "access::limits_are_checked",
    ),
    bug(
        "two segments are one",
        SEGMENTS,
        "(offset / PAGE + 1).ilog2()",
        "(offset / PAGE + 1).ilog2().saturating_sub(1)",
        "growth::nothing_moves",
    ),
    bug(
        "a segment is thought to be longer than it is",
        SEGMENTS,
        "left: (PAGE << segment) - within,",
        "left: PAGE << segment,",
        "growth::bytes_are_copied_across_all_borders",
    ),
    bug(
        "the maximum is not looked at",
        SEGMENTS,
        ".filter(|grown| *grown <= self.max_pages)",
        ".filter(|_| true)",
        "growth::the_maximum_holds",
    ),
    bug(
        "growers do not exclude each other",
        SEGMENTS,
        "        let mut pieces = self.pieces.lock();\n        let pages = (self.size() / PAGE) as u32;",
        "        let pages = (self.size() / PAGE) as u32;\n        let mut pieces = self.pieces.lock();",
        "growth::growers_do_not_lose_pages",
    ),
    bug(
        "pieces are aligned to words only",
        SEGMENTS,
        "wrapping_neg() % ALIGN;",
        "wrapping_neg() % 8;",
        "access::alignment_is_real",
    ),
    bug(
        "what follows the last word is not read",
        SEGMENTS,
        "    for byte in tail {\n        *byte = load8(next);",
        "    for byte in tail.iter_mut().take(0) {\n        *byte = load8(next);",
        "model::random_operations_do_what_they_do_to_bytes",
    ),
    bug(
        "what follows the last word is not written",
        SEGMENTS,
        "    for byte in tail {\n        store8(next, *byte);",
        "    for byte in tail.iter().take(0) {\n        store8(next, *byte);",
        "model::random_operations_do_what_they_do_to_bytes",
    ),
    bug(
        "a number is written byte by byte",
        MEMORY,
        "matches!(size_of::<T>(), 1 | 2 | 4 | 8) && offset",
        "matches!(size_of::<T>(), 1) && offset",
        "access::an_aligned_number_is_never_torn",
    ),
    bug(
        "a subtraction adds",
        WORD,
        "word.fetch_sub(value, sealed::ORDER)",
        "word.fetch_add(value, sealed::ORDER)",
        "atomics::updates_return_the_old_value",
    ),
    bug(
        "an update is a load and a store",
        WORD,
        "word.fetch_add(value, sealed::ORDER)",
        "{\n                    let old = word.load(sealed::ORDER);\n                    word.store(old.wrapping_add(value), sealed::ORDER);\n                    old\n                }",
        "atomics::no_increment_is_lost",
    ),
    bug(
        "a failed exchange changes something",
        WORD,
        "Ok(old) | Err(old) => old,",
        "Ok(old) => old,\n                    Err(old) => {\n                        word.store(new, sealed::ORDER);\n                        old\n                    }",
        "atomics::compare_exchange_changes_nothing_when_it_fails",
    ),
    bug(
        "an atomic need not be aligned",
        MEMORY,
        "if !offset.is_multiple_of(align) {",
        "if !offset.is_multiple_of(1) {",
        "atomics::i32_wraps",
    ),
    bug(
        "a notify forgets the second width",
        MEMORY,
        "if cfg!(target_family = \"wasm\") || woken == count {",
        "if woken <= count {",
        "waits::a_count_is_honest_for_both_widths",
    ),
    bug(
        "a notify wakes more than it may",
        MEMORY,
        "wasm_futex::notify64(word, count - woken)",
        "wasm_futex::notify64(word, u32::MAX)",
        "waits::a_count_is_honest_for_both_widths",
    ),
    bug(
        "a wait looks at half of the word",
        MEMORY,
        "Ok(wasm_futex::wait64(word, expected.cast_unsigned(), timeout))",
        "let half = self.u32(offset)?;\n        let _ = word;\n        Ok(wasm_futex::wait32(half, expected as u32, timeout))",
        "waits::another_value_does_not_wait",
    ),
    bug(
        "a run does not advance",
        MEMORY,
        "self.segments.locate(offset + index * size_of::<T>())",
        "self.segments.locate(offset + index % 2 * size_of::<T>())",
        "batch::runs_reach_each_word_once",
    ),
    bug(
        "a long run wraps around",
        MEMORY,
        "let len = count.checked_mul(size_of::<T>()).ok_or(out_of_bounds)?;",
        "let _ = out_of_bounds;\n        let len = count.wrapping_mul(size_of::<T>());",
        "batch::a_run_that_does_not_fit_does_nothing",
    ),
    bug(
        "an object may cross a page",
        OBJECTS,
        "    size_of::<T>().next_power_of_two()",
        "    align_of::<T>()",
        "objects::none_crosses_a_page",
    ),
    bug(
        "nothing is placed",
        OBJECTS,
        "self.segments.copy_in(offset, bytes);",
        "let _ = bytes;",
        "objects::placing_makes_it_new",
    ),
    bug(
        "a batch is not checked before it begins",
        BATCH,
        "            (operation.check)(memory, operation.offset)?;",
        "            let _ = (operation.check, operation.offset);",
        "batch::nothing_is_done_if_any_offset_is_wrong",
    ),
    bug(
        "a batch is done backwards",
        BATCH,
        "let each = self.operations.iter();",
        "let each = self.operations.iter().rev();",
        "batch::each_operation_has_a_result_in_order",
    ),
    bug(
        "a batch subtracts what it should add",
        BATCH,
        "Action::Add(by) => T::atomic_add(word, value(by)),",
        "Action::Add(by) => T::atomic_sub(word, value(by)),",
        "model::random_operations_do_what_they_do_to_bytes",
    ),
    bug(
        "a batch mixes up what is expected and what is new",
        BATCH,
        "T::atomic_compare_exchange(word, value(expected), value(new))",
        "T::atomic_compare_exchange(word, value(new), value(expected))",
        "batch::each_operation_has_a_result_in_order",
    ),
];

/// What only a weaker memory model shows, or a checked heap.
pub(crate) const MIRI: &[Bug] = &[
    bug(
        "the size publishes nothing",
        SEGMENTS,
        "self.size.store(size, Ordering::Release);",
        "self.size.store(size, Ordering::Relaxed);",
        "growth::a_page_is_there_when_the_size_says_so",
    ),
    bug(
        "who sees the size sees nothing else",
        SEGMENTS,
        "self.size.load(Ordering::Acquire)",
        "self.size.load(Ordering::Relaxed)",
        "growth::a_page_is_there_when_the_size_says_so",
    ),
    bug(
        "a segment has one page",
        SEGMENTS,
        ".min(1 << segment);",
        ".min(1);",
        "growth::nothing_moves",
    ),
    bug(
        "pages are not zero",
        SEGMENTS,
        "unsafe { alloc_zeroed(layout) }",
        "unsafe { std::alloc::alloc(layout) }",
        "access::a_new_memory_is_shared_and_zero",
    ),
    bug(
        "words are not aligned",
        SEGMENTS,
        "(start.addr().wrapping_neg() % 8).min(len)",
        "(start.addr() % 1).min(len)",
        "access::numbers_have_the_byte_order_of_the_machine",
    ),
    bug(
        "the atomics are relaxed, which no machine shows by reads",
        WORD,
        "pub(super) const ORDER: Ordering = Ordering::SeqCst;",
        "pub(super) const ORDER: Ordering = Ordering::Relaxed;",
        "litmus::message_passing",
    ),
    bug(
        "the fence only acquires",
        MEMORY,
        "std::sync::atomic::fence(Ordering::SeqCst);",
        "std::sync::atomic::fence(Ordering::Acquire);",
        "litmus::message_passing_with_fences",
    ),
    bug(
        "the atomics are relaxed",
        WORD,
        "pub(super) const ORDER: Ordering = Ordering::SeqCst;",
        "pub(super) const ORDER: Ordering = Ordering::Relaxed;",
        "litmus::store_buffering",
    ),
    bug(
        "the fence lets loads pass stores",
        MEMORY,
        "std::sync::atomic::fence(Ordering::SeqCst);",
        "std::sync::atomic::fence(Ordering::AcqRel);",
        "litmus::store_buffering_with_fences",
    ),
];
