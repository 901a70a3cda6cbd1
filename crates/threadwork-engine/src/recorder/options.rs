//! [`ProfileOptions`]: what a profile is made of.

/// What is recorded of a process that is profiled
/// ([`ProcessBuilder::profile`](crate::ProcessBuilder::profile)). By default everything: a
/// sample for each millisecond of a thread's processor time, each wait that sleeps, with who
/// waits where and who wakes whom, and the timeline.
///
/// ```
/// use threadwork_engine::ProfileOptions;
///
/// let cheap = ProfileOptions::default().samples_per_second(100).timeline(false);
/// assert_ne!(cheap, ProfileOptions::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileOptions {
    pub(crate) samples_per_second: u32,
    pub(crate) timeline: bool,
}

impl Default for ProfileOptions {
    fn default() -> Self {
        Self {
            samples_per_second: 1_000,
            timeline: true,
        }
    }
}

impl ProfileOptions {
    /// Samples in a second of a thread's processor time: 1,000 unless set, at most 10,000; 0
    /// for none. Linux takes them when its clock ticks, 100 to 1,000 times a second. Where that
    /// is less often, each sample counts for several.
    #[must_use]
    pub fn samples_per_second(mut self, samples: u32) -> Self {
        self.samples_per_second = samples.min(10_000);
        self
    }

    /// Whether events are kept for the timeline: on unless set. Without it waits are counted
    /// all the same.
    #[must_use]
    pub fn timeline(mut self, on: bool) -> Self {
        self.timeline = on;
        self
    }

    /// Nanoseconds between two samples, if there are any.
    pub(crate) fn period(self) -> Option<u64> {
        1_000_000_000_u64.checked_div(self.samples_per_second.into())
    }
}
