//! The ten properties.

mod alignment;
mod atomicity;
mod barrier_phases;
mod lock_order;
mod mutual_exclusion;
mod pool_reuse;
mod reader_writer_exclusion;
mod sequential_consistency;
mod tls_isolation;
mod visibility;
mod words;

use crate::case::Property;

pub(crate) const ALL: &[Property] = &[
    atomicity::PROPERTY,
    visibility::PROPERTY,
    sequential_consistency::PROPERTY,
    mutual_exclusion::PROPERTY,
    lock_order::PROPERTY,
    barrier_phases::PROPERTY,
    reader_writer_exclusion::PROPERTY,
    pool_reuse::PROPERTY,
    tls_isolation::PROPERTY,
    alignment::PROPERTY,
];
