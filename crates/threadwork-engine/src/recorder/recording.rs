//! [`Recorder`]: what all threads of a process share that notes what they do.

use super::collected::Collected;
use super::options::ProfileOptions;
use super::stacks::Stacks;
use crate::lock::lock;
use crate::machine::now;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Between two collections.
pub(crate) const INTERVAL: Duration = Duration::from_millis(50);

/// See the module's documentation.
pub(crate) struct Recorder {
    options: ProfileOptions,
    /// By [`now`].
    began: u64,
    pub(super) stacks: Mutex<Stacks>,
    pub(super) collected: Mutex<Collected>,
}

impl Recorder {
    /// Of a process that starts now.
    pub(crate) fn new(options: ProfileOptions) -> Arc<Self> {
        Arc::new(Self {
            options,
            began: now(),
            stacks: Mutex::default(),
            collected: Mutex::default(),
        })
    }

    pub(crate) fn options(&self) -> ProfileOptions {
        self.options
    }

    /// When the process started, by [`now`].
    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    /// Collects what threads have noted since the last time.
    pub(crate) fn collect(&self) {
        let mut collected = lock(&self.collected);
        collected.collect(&self.stacks, self.options.timeline);
    }

    /// As [`collect`](Self::collect), unless somebody reads: for the watchdog, which has limits
    /// of time to look after.
    pub(crate) fn collect_soon(&self) {
        if let Ok(mut collected) = self.collected.try_lock() {
            collected.collect(&self.stacks, self.options.timeline);
        }
    }

    /// The process has ended, and none of its threads is left.
    pub(crate) fn finish(&self) {
        self.collect();
        lock(&self.collected).ended = Some(now());
    }

    /// What there is so far, for whoever reads it: nothing is added meanwhile, and threads
    /// that begin or end wait.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&Collected, &Stacks) -> R) -> R {
        self.collect();
        let collected = lock(&self.collected);
        let stacks = lock(&self.stacks);
        read(&collected, &stacks)
    }
}
