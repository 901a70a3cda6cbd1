//! What a thread is about to do at a scheduling point.

use threadwork_rewrite::SiteKind;

/// The kinds of scheduling points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its first instruction.
    #[default]
    Start,
    Load,
    Store,
    /// A read-modify-write that always writes.
    Modify,
    /// A compare-and-exchange.
    Exchange,
    Wait,
    Notify,
    Spawn,
    /// A call of the host that others may see.
    Host,
    /// It asks for others to run.
    Yield,
}

impl Kind {
    /// The kind of an operator of the instrumenting layer, if it is one that is scheduled.
    pub(crate) fn of(kind: SiteKind) -> Option<Self> {
        Some(match kind {
            SiteKind::AtomicLoad => Self::Load,
            SiteKind::AtomicStore => Self::Store,
            SiteKind::AtomicRmw => Self::Modify,
            SiteKind::AtomicCmpxchg => Self::Exchange,
            _ => return None,
        })
    }
}

/// What a thread does next: a kind, and which bytes of memory it is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    /// Which place in the code, if the instrumenting layer knows it.
    pub(crate) site: u32,
    pub(crate) address: u64,
    /// Bytes, 0 if it is about no memory.
    pub(crate) width: u8,
}

impl Operation {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    pub(crate) fn overlaps(&self, address: u64, width: u8) -> bool {
        self.address < address.saturating_add(u64::from(width))
            && address < self.address.saturating_add(u64::from(self.width))
    }

    fn writes(&self) -> bool {
        !matches!(self.kind, Kind::Load | Kind::Start)
    }

    /// Whether the order of the two can matter.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        match (self.width, other.width) {
            (0, 0) => self.kind == other.kind && self.kind == Kind::Host,
            _ => self.overlaps(other.address, other.width) && (self.writes() || other.writes()),
        }
    }
}
