//! The tests of the host interface: this program drives a module's memory and workers.
//!
//! They have the names of the other hosts' tests and say the same of
//! [`SharedMemory`](threadwork_engine::SharedMemory) and
//! [`ThreadRuntime`](threadwork_engine::ThreadRuntime). In most of them threads of this
//! program and guests, the exports of `guests/library`, meet at the same words.

#[macro_use]
mod check;

mod atomics;
mod integration;
mod memory;
mod primitives;
mod stage;
mod workers;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Instant;

use threadwork_engine::{Engine, Module};

use super::host::Host;
use super::list::Test;
use super::runner::PATIENCE;
use super::verdict::Verdict;
use check::Check;
use stage::Stage;

/// The package of the guests.
pub(crate) const LIBRARY: &str = "library";

/// A name, and what to do.
type Trial = (&'static str, fn(&Stage) -> Check);

const TESTS: [Trial; 35] = [
    ("creation", memory::creation),
    ("initialization", memory::initialization),
    ("multi_thread_access", memory::multi_thread_access),
    ("bounds_checking", memory::bounds_checking),
    ("growth", memory::growth),
    ("isolation", memory::isolation),
    ("fence", memory::fence),
    ("visibility", memory::visibility),
    ("load_store_i32", atomics::load_store_i32),
    ("load_store_i64", atomics::load_store_i64),
    ("add", atomics::add),
    ("sub", atomics::sub),
    ("bitwise", atomics::bitwise),
    ("exchange", atomics::exchange),
    ("compare_exchange", atomics::compare_exchange),
    ("concurrent_increment", atomics::concurrent_increment),
    ("wait_notify", atomics::wait_notify),
    ("atomic_cost", atomics::atomic_cost),
    ("spawn", workers::spawn),
    ("join", workers::join),
    ("thread_local_storage", workers::thread_local_storage),
    ("thread_pooling", workers::thread_pooling),
    ("maximum_thread_limits", workers::maximum_thread_limits),
    ("creation_overhead", workers::creation_overhead),
    ("cleanup_on_error", workers::cleanup_on_error),
    ("resource_management", workers::resource_management),
    ("mutex", primitives::mutex),
    ("condvar", primitives::condvar),
    ("barrier", primitives::barrier),
    ("rwlock", primitives::rwlock),
    ("deadlock_detection", primitives::deadlock_detection),
    ("priority_inversion", primitives::priority_inversion),
    ("parallel_correctness", integration::parallel_correctness),
    ("scalability", integration::scalability),
    ("monte_carlo_pi", integration::monte_carlo_pi),
];

/// The host program is this one.
pub(crate) struct Api {
    stage: Arc<Stage>,
}

impl Api {
    pub(crate) fn new(engine: &Engine, library: &Path) -> anyhow::Result<Self> {
        let stage = Arc::new(Stage::new(engine, Module::from_file(engine, library)?));
        Ok(Self { stage })
    }
}

impl Host for Api {
    fn name(&self) -> &'static str {
        "api"
    }

    fn try_out(&self, test: &Test) -> Verdict {
        let Some((_, run)) = TESTS.iter().find(|(name, _)| *name == test.name) else {
            return Verdict::NotHere;
        };
        let (stage, start) = (Arc::clone(&self.stage), Instant::now());
        let (report, outcome) = sync_channel(1);
        // On a thread of its own, which is left behind if the test hangs.
        thread::spawn(move || report.send(run(&stage)));
        match outcome.recv_timeout(PATIENCE) {
            Ok(Ok(figure)) => Verdict::Passed {
                seconds: start.elapsed().as_secs_f64(),
                figure,
            },
            Ok(Err(reason)) => Verdict::Failed(reason),
            Err(RecvTimeoutError::Timeout) => {
                Verdict::Failed(format!("it still ran after {PATIENCE:?}"))
            }
            Err(RecvTimeoutError::Disconnected) => Verdict::Failed("it panicked".to_owned()),
        }
    }
}
