//! The four operators that become calls of the host, and how the calls look.
//!
//! Invariant: an operator and the call that stands for it take the same operands
//! from the stack and leave the same results, so that nothing around it changes;
//! the static offset of the address goes last because it is pushed last.

use wasm_encoder::ValType;
use wasmparser::Operator;

/// An operator on shared memory that the host carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncOp {
    /// `memory.atomic.wait32`, as `(address A, expected i32, timeout i64, offset i64) -> i32`.
    Wait32,
    /// `memory.atomic.wait64`, as `(address A, expected i64, timeout i64, offset i64) -> i32`.
    Wait64,
    /// `memory.atomic.notify`, as `(address A, count i32, offset i64) -> i32`.
    Notify,
    /// `memory.grow`, as `(pages A) -> A`.
    Grow,
}

/// A host function that the rewritten module imports from
/// [`HOST_MODULE`](crate::HOST_MODULE).
///
/// In the signatures at [`SyncOp`], `A` is the memory's address type: `i64` if
/// [`memory64`](Self::memory64), else `i32`. The effective address is the
/// address, without a sign, plus the offset, without a sign; bounds, alignment
/// and overflow are for the host to check, as the operator would have.
///
/// ```
/// let wasm = wat::parse_str(r#"
///     (module
///       (memory (import "env" "memory") 1 2 shared)
///       (func (param i32) (result i32) (memory.grow (local.get 0))))
/// "#)?;
/// let sync = threadwork_rewrite::rewrite(&wasm)?.sync;
/// assert_eq!(sync[0].op, threadwork_rewrite::SyncOp::Grow);
/// assert_eq!(sync[0].name, "grow:0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncImport {
    /// What it does.
    pub op: SyncOp,
    /// The memory it does it to, as an index into the rewritten module.
    pub memory: u32,
    /// Whether that memory's addresses are 64 bits wide.
    pub memory64: bool,
    /// The import's field name: the operation, `:` and the memory.
    pub name: String,
}

/// One of the four operators, met in code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncUse {
    pub(crate) op: SyncOp,
    /// As the module counts memories, before any renumbering.
    pub(crate) memory: u32,
    /// The static part of the address; `grow` has none.
    pub(crate) offset: Option<u64>,
}

impl SyncUse {
    pub(crate) fn of(operator: &Operator<'_>) -> Option<Self> {
        let (op, memory, offset) = match *operator {
            Operator::MemoryAtomicWait32 { memarg } => {
                (SyncOp::Wait32, memarg.memory, Some(memarg.offset))
            }
            Operator::MemoryAtomicWait64 { memarg } => {
                (SyncOp::Wait64, memarg.memory, Some(memarg.offset))
            }
            Operator::MemoryAtomicNotify { memarg } => {
                (SyncOp::Notify, memarg.memory, Some(memarg.offset))
            }
            Operator::MemoryGrow { mem } => (SyncOp::Grow, mem, None),
            _ => return None,
        };
        Some(Self { op, memory, offset })
    }
}

impl SyncOp {
    /// The import's field name for this operation on `memory`.
    pub(crate) fn field(self, memory: u32) -> String {
        let op = match self {
            Self::Wait32 => "wait32",
            Self::Wait64 => "wait64",
            Self::Notify => "notify",
            Self::Grow => "grow",
        };
        format!("{op}:{memory}")
    }

    /// Parameters and results of the import, for an address type.
    pub(crate) fn signature(self, address: ValType) -> (Vec<ValType>, Vec<ValType>) {
        use ValType::{I32, I64};
        match self {
            Self::Wait32 => (vec![address, I32, I64, I64], vec![I32]),
            Self::Wait64 => (vec![address, I64, I64, I64], vec![I32]),
            Self::Notify => (vec![address, I32, I64], vec![I32]),
            Self::Grow => (vec![address], vec![address]),
        }
    }
}
