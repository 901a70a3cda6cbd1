//! [`View`]: what the writers have in front of them.

use super::resolve::Resolver;
use crate::recorder::{Collected, ProfileOptions, Stacks};

/// See the module's documentation.
pub(super) struct View<'a> {
    pub(super) collected: &'a Collected,
    pub(super) stacks: &'a Stacks,
    pub(super) resolver: &'a mut Resolver,
    pub(super) options: ProfileOptions,
    /// Of the program.
    pub(super) name: &'a str,
    pub(super) began: u64,
    /// When the process ended, or now.
    pub(super) until: u64,
}

impl View<'_> {
    /// Nanoseconds between two samples.
    pub(super) fn period(&self) -> u64 {
        self.options.period().unwrap_or(0)
    }

    /// The name of the thread with this track.
    pub(super) fn thread(&self, track: u32) -> String {
        match self
            .collected
            .rows
            .get(track as usize)
            .map(|row| row.thread)
        {
            Some(0) => "main".to_owned(),
            Some(thread) => format!("thread {thread}"),
            None => "other threads".to_owned(),
        }
    }
}
