//! Natively, std and the system have guard pages, and report what hits them.

/// Nothing to guard.
pub(in super::super) struct Guard;

impl Guard {
    pub(in super::super) fn new() -> Self {
        Guard
    }
}

pub(super) fn size() -> Option<usize> {
    None
}

pub(super) fn remaining() -> Option<usize> {
    None
}

pub(super) fn check() {}
