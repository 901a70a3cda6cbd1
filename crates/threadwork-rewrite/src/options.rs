//! What a host may ask for beside what every host needs.

/// What a host wants of a module: see [`rewrite_with`](crate::rewrite_with).
///
/// ```
/// use threadwork_rewrite::{Options, Stopping};
///
/// assert_eq!(Options::default().stopping, Stopping::None);
/// assert!(!Options::default().stack_check);
/// assert!(!Options::default().locked_barriers);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How running code is to be stopped.
    pub stopping: Stopping,
    /// Whether a thread that needs more than its stack in linear memory traps, in
    /// [`STACK_OVERFLOW`](crate::STACK_OVERFLOW), instead of overwriting other data.
    ///
    /// For each function that has a part of that stack, this costs a comparison. Modules
    /// whose stack is not known are not checked: see
    /// [`Rewritten::stack_overflow`](crate::Rewritten::stack_overflow).
    pub stack_check: bool,
    /// Whether atomic stores, fences, and additions of zero are written as read-modify-writes
    /// that mean the same, for a compiler that would make an `mfence` or a loop of them.
    ///
    /// Only where each atomic read-modify-write is a full barrier, as on x86-64. A fence needs
    /// [`stack_check`](Self::stack_check), and stays as it is in modules that are not checked.
    pub locked_barriers: bool,
}

/// How a host stops a thread that computes and calls nothing.
///
/// Each way ends in a trap. A host function that blocks is for the host to wake; all other code
/// is stopped within about a millisecond, but by [`ByWord`](Self::ByWord) only between operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopping {
    /// Not at all: nothing is added for it.
    #[default]
    None,
    /// A signal interrupts the thread, and its handler moves it to
    /// [`STOP`](crate::STOP), a function that traps.
    ///
    /// No code is added to loops and functions. A handler can move a thread only
    /// out of the module's own code, and an operator that works on many bytes is a
    /// call of the engine's library: so there are polls, as with
    /// [`ByPoll`](Self::ByPoll), after such operators, and those
    /// on memory are cut into pieces with a poll after each. And there is one after each
    /// call of an imported function, unless that is WASI's: a thread that does
    /// little else would be met in its own code by chance only. Where a table, a reference or a
    /// tail call leads to one, it leads to a function that calls it and has the poll. A throw
    /// has one in front of it.
    BySignal,
    /// The code itself looks, at *polls*, whether it is to stop: a poll reads a byte of
    /// the memory [`POLL`](crate::POLL). A host that makes its page unreadable stops all
    /// threads of the module at their next poll, with the trap for an access out of
    /// bounds.
    ///
    /// A poll is an atomic load, since compilers merge loads of other kinds. It stands in
    /// every turn of a loop, at the start of every function that calls, after operators on
    /// many bytes as with [`BySignal`](Self::BySignal), and wherever the way from the last
    /// poll is longer than 1,000 operators.
    ByPoll,
    /// The code itself looks at bytes of the module's own memory, for hosts that have neither
    /// signals nor pages that can be made unreadable: JavaScript's.
    ///
    /// The first shared memory has one page more than it had, from the start, and a look is an
    /// atomic load of that page's first byte. If it is not zero, the thread looks at a byte
    /// of its own, whose address is the exported global [`STOP_AT`](crate::STOP_AT), and traps if that
    /// is not zero: so a host stops one thread, or all. It looks in every turn of a loop, and at
    /// the start of every function that calls. Operators on many bytes are left as they are.
    ///
    /// A module without a shared memory, which nobody could write to from outside, stays as it is.
    ByWord,
}
