//! What can be wrong in fork-join.

use seeded_bugs::{Bug, bug};

const JOB_HANDLE: &str = "fork_join/job_handle.rs";
const JOIN: &str = "fork_join.rs";
const GROUP: &str = "fork_join/group.rs";
const IDLE: &str = "fork_join/idle.rs";
const JOB: &str = "fork_join/job.rs";
const LATCH: &str = "fork_join/latch.rs";
const PAR: &str = "fork_join/par.rs";
const PARTS: &str = "fork_join/parts.rs";
const SCOPE: &str = "fork_join/scope.rs";
const SPAWNED: &str = "fork_join/spawned.rs";
const SORT: &str = "fork_join/sort.rs";
const STEAL_QUEUE: &str = "fork_join/steal_queue.rs";
const STACK: &str = "fork_join/stack.rs";
const WATCH: &str = "fork_join/watch.rs";

/// What a model shows.
pub(crate) const LOOM: &[Bug] = &[
    bug(
        "what is put is not published",
        STEAL_QUEUE,
        "self.word.fetch_add(SPLIT + TAG, Ordering::AcqRel);",
        "self.word.fetch_add(SPLIT + TAG, Ordering::Relaxed);",
        "steal_queue::one_thief",
    ),
    bug(
        "a thief does not see what was put",
        STEAL_QUEUE,
        "State(self.word.load(Ordering::Acquire))",
        "State(self.word.load(Ordering::Relaxed))",
        "steal_queue::one_thief",
    ),
    bug(
        "another job in the same place looks the same",
        STEAL_QUEUE,
        "self.word.fetch_add(SPLIT + TAG, Ordering::AcqRel);",
        "self.word.fetch_add(SPLIT, Ordering::AcqRel);",
        "steal_queue::a_job_that_looks_like_the_one_before",
    ),
    bug(
        "the owner takes back without asking",
        STEAL_QUEUE,
        "                Ok(_) => return Some((job, State(next))),\n                Err(now) => state = State(now),",
        "                Ok(_) | Err(_) => return Some((job, State(next))),",
        "steal_queue::one_thief",
    ),
    bug(
        "the end publishes nothing",
        LATCH,
        "fetch_sub(ONE, Ordering::Release)",
        "fetch_sub(ONE, Ordering::Relaxed)",
        "latch::the_waiter_sees_what_was_done",
    ),
    bug(
        "the waiter does not see what was done",
        LATCH,
        "self.word.load(Ordering::Acquire) < ONE",
        "self.word.load(Ordering::Relaxed) < ONE",
        "latch::the_waiter_sees_what_was_done",
    ),
    bug(
        "the last one wakes nobody",
        LATCH,
        "if before == ONE | SLEEPER {",
        "if before == ONE {",
        "latch::the_waiter_sees_what_was_done",
    ),
    bug(
        "the waiter sleeps on what it finds",
        LATCH,
        "System.wait(&self.word, word, timeout);",
        "System.wait(&self.word, self.word.load(Ordering::Relaxed), timeout);",
        "latch::the_waiter_sees_what_was_done",
    ),
    bug(
        "an open latch is touched",
        LATCH,
        "            System.notify(word, 1);",
        "            unsafe { &*word }.fetch_or(SLEEPER, Ordering::Relaxed);\n            System.notify(word, 1);",
        "latch::nobody_touches_an_open_latch",
    ),
    bug(
        "a job that was offered counts as private",
        JOB,
        "half.private.take()",
        "half.private.get()",
        "join::each_half_is_run_once",
    ),
    bug(
        "a job that is over stays in the list",
        STACK,
        "        self.offered.set(older);\n        mine",
        "        mine",
        "join::joins_one_after_the_other",
    ),
    bug(
        "a scope ends before its jobs",
        SCOPE,
        "    if !scope.latch.is_open() {\n        idle::wait(stack, &scope.latch, &scope.thieves, begin);\n    }",
        "",
        "join::spawned_jobs_are_run_once",
    ),
    bug(
        "an offer wakes nobody",
        STACK,
        "            group.watch.offered(group);",
        "            let _ = group;",
        "sleep::a_job_is_found",
    ),
    bug(
        "the last look only reads",
        STEAL_QUEUE,
        "State(self.word.fetch_add(TAG, Ordering::AcqRel).wrapping_add(TAG))",
        "State(self.word.load(Ordering::Acquire))",
        "sleep::a_job_is_found",
    ),
    bug(
        "whoever falls asleep last does not look again",
        WATCH,
        "let stays_awake = !group.is_full()",
        "let stays_awake = false && !group.is_full()",
        "sleep::a_job_is_found",
    ),
    bug(
        "a sleeper does not ask for tasks",
        WATCH,
        "if queued() && self.change(",
        "if false && queued() && self.change(",
        "sleep::a_task_is_found",
    ),
    bug(
        "whoever leaves the watch does not look again",
        WATCH,
        "        if sleepers && !group.is_full() && group.stamp_all() {",
        "        if sleepers && false && group.stamp_all() {",
        "sleep::the_watch_is_not_left_for_a_job",
    ),
    bug(
        "a searcher that does a job calls nobody for a task",
        IDLE,
        "if matches!(found, Found::Job(_)) && queued() {",
        "if false && matches!(found, Found::Job(_)) && queued() {",
        "sleep::a_search_is_not_ended_for_a_task",
    ),
    bug(
        "who gives a permit back calls nobody",
        WATCH,
        "group.has_free_and_taken_permits() && group.stamp_all()",
        "group.has_free_and_taken_permits() && false",
        "sleep::a_free_permit_is_found",
    ),
    bug(
        "a worker that does a task leaves jobs to nobody",
        GROUP,
        "    pub(crate) fn leave_jobs(&self) {\n        self.watch.permit_is_free(self);",
        "    pub(crate) fn leave_jobs(&self) {",
        "sleep::a_worker_leaves_its_next_job_for_a_task",
    ),
    bug(
        "a watch that is given up does not look for a permit again",
        WATCH,
        "let stays_awake = !group.is_full()",
        "let stays_awake = !group.seems_full()",
        "sleep::a_free_permit_is_found",
    ),
];

/// What the global pool shows.
pub(crate) const GLOBAL: &[Bug] = &[
    bug(
        "there is a permit too many",
        GROUP,
        "Some(Permits::new(expected))",
        "Some(Permits::new(expected + 1))",
        "as_many_compute_as_it_has_workers",
    ),
    bug(
        "who blocks keeps its permit",
        "pool/worker.rs",
        "released_permit: self.member.release_permit(),",
        "released_permit: false,",
        "as_many_compute_as_it_has_workers",
    ),
    bug(
        "a permit that was given back is not taken again",
        "pool/worker.rs",
        "                if self.released_permit {",
        "                if self.released_permit && false {",
        "as_many_compute_as_it_has_workers",
    ),
    bug(
        "the last worker is there at once",
        "pool/thread_pool.rs",
        "for _ in 1..pool.pool_size() {",
        "for _ in 0..pool.pool_size() {",
        "as_many_compute_as_it_has_workers",
    ),
];

/// What every machine shows.
pub(crate) const NATIVE: &[Bug] = &[
    bug(
        "what an unwound join holds is not dropped",
        JOIN,
        "            boundary::discard(work);",
        "            std::mem::forget(work);",
        "panics::what_the_halves_hold_is_dropped_once",
    ),
    bug(
        "a join runs jobs while it takes its second half back",
        STACK,
        "            unsafe { self.spawned.put_back(newest) };",
        "            unsafe { self.run(newest) };",
        "scope::a_join_may_spawn_on_the_scope_around_it",
    ),
    bug(
        "a job of a scope comes to lie below an older half",
        STACK,
        "if !waits && let Some(spawned)",
        "if let Some(spawned)",
        "scope::jobs_are_in_reach_of_whoever_waits_for_them",
    ),
    bug(
        "a thread that waits takes any job",
        IDLE,
        "let job = group.steal_part(thieves, own);",
        "let _ = thieves;\n    let job = group.steal(own);",
        "scope::a_thread_that_waits_takes_only_what_descends",
    ),
    bug(
        "a worker that waits for a job leaves tasks to nobody",
        IDLE,
        "if nap > LONG_NAP && replaced.is_none() {",
        "if false && nap > LONG_NAP && replaced.is_none() {",
        "join::a_half_may_wait_for_a_task_of_its_pool",
    ),
    bug(
        "the watch never falls asleep",
        IDLE,
        "} else if survey.quiet && watch",
        "} else if survey.quiet && false && watch",
        "sleep::an_idle_pool_sleeps_for_good",
    ),
    bug(
        "a loop offers nothing",
        PAR,
        "if wanted && size / 2 >= work.least {",
        "if wanted && false {",
        "par::few_long_iterations_are_spread",
    ),
    bug(
        "a search goes on to the end of each part",
        PAR,
        "part.items().take_while(|_| !is_over());",
        "part.items();",
        "par::a_search_ends_with_the_items_that_threads_are_at",
    ),
    bug(
        "a loop goes on after a failure",
        PAR,
        "                    if is_over() {\n                        break;",
        "                    if false {\n                        break;",
        "par::a_failure_ends_the_others_pieces",
    ),
    bug(
        "what is left after a find is gone through in steps",
        PAR,
        "        if (work.is_over)() {",
        "        if (work.is_over)() && false {",
        "par::a_search_ends_however_much_is_left",
    ),
    bug(
        "who has no slot runs a job when it is spawned",
        "fork_join/scope.rs",
        "            None => ptr::eq(stack, owner),",
        "            None => ptr::eq(stack, owner) && false,",
        "scope::a_thread_without_a_slot_runs_its_jobs_in_the_end",
    ),
    bug(
        "who waits for a job does what is newest",
        STACK,
        "self.spawned.take(job, since)",
        "job != std::ptr::null() && self.spawned.pop_newest(since).is_some()",
        "handles::who_waits_does_that_job_alone",
    ),
    bug(
        "a job that is taken from below a mark moves what comes after it below, too",
        SPAWNED,
        "        jobs[at].job = ptr::null();\n",
        "        jobs[at].job = ptr::null();\n        self.next.set(self.next.get() - 1);\n",
        "handles::a_handle_may_be_joined_in_a_scope_within",
    ),
    bug(
        "nobody knows who does a job that is waited for",
        JOB_HANDLE,
        "            self.thief[0].is_me();\n",
        "",
        "handles::who_waits_helps",
    ),
    bug(
        "the panic of a job that nobody joins is lost",
        JOB_HANDLE,
        "Err(payload) => self.keep_panic(payload),",
        "Err(payload) => boundary::discard(payload),",
        "panics::a_dropped_handle_leaves_the_panic_to_the_scope",
    ),
    bug(
        "a task leaves the jobs that it has spawned",
        "pool/worker.rs",
        "        self.member.run_spawned(spawned);\n",
        "        let _ = spawned;\n",
        "scope::a_task_leaves_no_jobs_behind",
    ),
    bug(
        "a worker that rests leaves jobs to nobody",
        "pool/worker.rs",
        "                    shared.group.leave_jobs();\n                }\n                if self.rest()",
        "                }\n                if self.rest()",
        "generated::programs_agree_with_the_model",
    ),
    bug(
        "a thread that leaves keeps its slot",
        "pool/shared.rs",
        "presence.store(GONE, Ordering::Relaxed);\n        threads.free.push(slot);",
        "presence.store(GONE, Ordering::Relaxed);\n        let _ = (&mut threads.free, slot);",
        "generated::programs_agree_with_the_model",
    ),
    bug(
        "a wait goes on after its token was cancelled",
        "cancel.rs",
        "let first = select(self.cancelled(), future);",
        "let first = select(std::future::pending(), future);",
        "par::a_token_ends_what_runs",
    ),
    bug(
        "a window does not reach across a division",
        PARTS,
        "self.slice.len().min(at + self.length - 1);",
        "at;",
        "par::windows_reach_across_divisions",
    ),
    bug(
        "the rest of a vector is forgotten",
        "fork_join/owned.rs",
        "unsafe { rest.drop_in_place() };",
        "let _ = rest;",
        "par::vectors_are_taken_apart",
    ),
    bug(
        "results with a gap are taken for one piece",
        "fork_join/places.rs",
        "if ptr::eq(self.first.wrapping_add(self.count), next.first) {",
        "if true {",
        "par::parts_that_lie_do_no_harm",
    ),
    bug(
        "a merge that panics leaves its elements in the buffer",
        SORT,
        "        unsafe { ptr::copy_nonoverlapping(self.from, self.into, self.count) };\n    }\n}\n\n/// A sorted run",
        "        let _ = (self.from, self.into, self.count);\n    }\n}\n\n/// A sorted run",
        "panics::a_sort_that_panics_keeps_the_elements",
    ),
];

/// What only the crate itself sees.
pub(crate) const LIBRARY: &[Bug] = &[
    bug(
        "a job that was joined is kept until the scope ends",
        JOB_HANDLE,
        "if stack.take_that(self.job, self.since) {",
        "if stack.take_that(std::ptr::null(), self.since) {",
        "fork_join::job_handle::tests::what_was_joined_is_gone",
    ),
    bug(
        "only the newest job is taken away when it is joined",
        SPAWNED,
        "if !ptr::eq(jobs[at].job, job) {",
        "if !ptr::eq(jobs[at].job, job) || at + 1 != jobs.len() {",
        "fork_join::job_handle::tests::nothing_is_left_of_what_was_joined_out_of_order",
    ),
];
