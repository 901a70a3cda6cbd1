//! Vector clocks: what of each thread's past happened before now.
//!
//! A *slot* is a thread's place in all clocks, and an *epoch* its time there, which rises with
//! each release. Everything that the thread in slot `s` did in epoch `e` happened before the
//! owner of a clock `c` if `c.at(s) >= e`.
//!
//! Invariant: entries only rise, but for a clock that is replaced whole by a store.

/// A vector clock. Slots that it does not have yet are at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock(Vec<u32>);

impl Clock {
    /// The epoch of a slot.
    pub(crate) fn at(&self, slot: u16) -> u32 {
        self.0.get(usize::from(slot)).copied().unwrap_or(0)
    }

    /// Raises a slot to an epoch.
    pub(crate) fn raise(&mut self, slot: u16, epoch: u32) {
        let slot = usize::from(slot);
        if self.0.len() <= slot {
            self.0.resize(slot + 1, 0);
        }
        if let Some(entry) = self.0.get_mut(slot) {
            *entry = epoch.max(*entry);
        }
    }

    /// Everything that happened before `other` happened before this, too, from now on.
    pub(crate) fn join(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (entry, theirs) in self.0.iter_mut().zip(&other.0) {
            *entry = (*theirs).max(*entry);
        }
    }

    /// Becomes a copy of `other`, in the memory that it has.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.0.clone_from(&other.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_rise() {
        let mut a = Clock::default();
        a.raise(3, 7);
        a.raise(3, 5);
        assert_eq!((a.at(3), a.at(2), a.at(9)), (7, 0, 0));
        let mut b = Clock::default();
        b.raise(0, 2);
        b.join(&a);
        assert_eq!((b.at(0), b.at(3)), (2, 7));
        a.copy_from(&b);
        assert_eq!(a, b);
    }
}
