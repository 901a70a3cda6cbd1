//! No checks: what the compiler makes nothing of.

use core::time::Duration;

use super::report::Access;

#[derive(Clone, Copy)]
pub(crate) struct CallSite;

impl CallSite {
    #[inline(always)]
    pub(crate) const fn here() -> Self {
        CallSite
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
        _: CallSite,
        _: impl FnOnce() -> bool,
        mut wait: impl FnMut(Option<Duration>) -> bool,
    ) {
        wait(None);
    }

    #[inline(always)]
    pub(crate) fn is_next(&self, _: CallSite) {}

    #[inline(always)]
    pub(crate) fn taken(&self, _: Access, _: CallSite) {}

    #[inline(always)]
    pub(crate) fn taken_by_future(&self, _: Access, _: CallSite) {}

    #[inline(always)]
    pub(crate) fn downgraded(&self) {}

    #[inline(always)]
    pub(crate) fn given_up(&self, _: Access) {}
}
