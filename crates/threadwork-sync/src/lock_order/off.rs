//! No checks: what the compiler makes nothing of.

use core::time::Duration;

use super::Access;

#[derive(Clone, Copy)]
pub(crate) struct Place;

impl Place {
    #[inline(always)]
    pub(crate) const fn here() -> Self {
        Place
    }
}

pub(crate) struct Order;

impl Order {
    pub(crate) const fn new() -> Self {
        Order
    }

    #[inline(always)]
    pub(crate) fn wait(
        &self,
        _: Access,
        _: Place,
        _: impl FnOnce() -> bool,
        mut wait: impl FnMut(Option<Duration>) -> bool,
    ) {
        wait(None);
    }

    #[inline(always)]
    pub(crate) fn is_next(&self, _: Place) {}

    #[inline(always)]
    pub(crate) fn taken(&self, _: Access, _: Place) {}

    #[inline(always)]
    pub(crate) fn taken_by_future(&self, _: Access, _: Place) {}

    #[inline(always)]
    pub(crate) fn downgraded(&self) {}

    #[inline(always)]
    pub(crate) fn given_up(&self, _: Access) {}
}
