//! [`Notes`]: what one thread has noted, until it is collected.

use super::events::Event;
use crate::lock::lock;
use std::sync::Mutex;

/// The notes of the thread with this track.
pub(super) struct Notes {
    pub(super) track: u32,
    events: Mutex<Vec<Event>>,
}

impl Notes {
    pub(super) fn new(track: u32) -> Self {
        Self {
            track,
            events: Mutex::default(),
        }
    }

    /// Adds one; how many there are.
    pub(super) fn add(&self, event: Event) -> usize {
        let mut events = lock(&self.events);
        events.push(event);
        events.len()
    }

    /// Takes what was noted.
    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.events))
    }
}
