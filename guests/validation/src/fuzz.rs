//! The five families of fuzzing: many things at once, on random schedules.

mod contention;
mod lock_patterns;
mod memory_pressure;
mod mixes;
mod scheduling;

use crate::case::Property;

pub(crate) const ALL: &[Property] = &[
    scheduling::FAMILY,
    contention::FAMILY,
    lock_patterns::FAMILY,
    memory_pressure::FAMILY,
    mixes::FAMILY,
];
