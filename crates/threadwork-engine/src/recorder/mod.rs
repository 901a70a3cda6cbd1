//! [`Recorder`]: what the threads of a profiled process do, while they do it.
//!
//! Each thread has a [`Track`], where it notes what it does; its [samples](crate::machine::Ring)
//! are noted by a signal handler. The watchdog comes some times a second and
//! [collects](Recorder::collect) both: it counts, and keeps the newest for the timeline. Nothing
//! is looked up by name meanwhile; that is for whoever reads the profile.
//!
//! | module | holds |
//! |---|---|
//! | `options` | [`ProfileOptions`] |
//! | `bounds` | what is kept at most |
//! | `events` | [`Event`]: something that a thread has done |
//! | `notes` | what one thread has noted, until it is collected |
//! | `stacks` | [`Stacks`]: each stack once, by a number |
//! | `collected` | [`Collected`]: counts, the samples, the timeline |
//! | `recording` | [`Recorder`], which all threads share |
//! | `track` | [`Track`]: what one thread notes |
//!
//! Invariant: memory is bounded, whatever the guest does and for however long: by the constants
//! of `bounds`. Where something of the timeline, or a sample of the past, is dropped for it, counts
//! and sums stay exact.

mod bounds;
mod collected;
mod events;
mod notes;
mod options;
mod recording;
mod stacks;
mod track;

pub(crate) use collected::{Collected, Sum, Times};
pub(crate) use events::{Event, What};
pub use options::ProfileOptions;
pub(crate) use recording::{INTERVAL, Recorder};
pub(crate) use stacks::{MORE_STACKS, Stacks};
pub(crate) use track::{Track, WaitRecord};
