//! Operators that reach a linear memory: what they take, how wide they are, and what they do.
//!
//! Invariant: every operator of [`FEATURES`](crate::FEATURES) that reads or writes a linear
//! memory has a description; one that is added to the features and not here would be invisible
//! to the tools, which the test `every_operator_with_a_place_is_described` shows.

use wasm_encoder::ValType;
use wasmparser::{MemArg, Operator};

use super::SiteKind;

/// What an operator with a place in memory does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub(super) kind: SiteKind,
    pub(super) place: MemArg,
    /// Bytes.
    pub(super) width: u8,
    /// What it takes after the address.
    pub(super) operands: &'static [ValType],
    pub(super) result: Option<ValType>,
}

/// Describes an operator that has a place in memory; `None` for others.
pub(super) fn reach(operator: &Operator<'_>) -> Option<Reach> {
    use SiteKind::{AtomicCmpxchg, AtomicLoad, AtomicRmw, AtomicStore, Load, Notify, Store, Wait};
    use ValType::{F32, F64, I32, I64, V128};
    macro_rules! table {
        ($($kind:ident $width:literal $operands:expr, $result:expr => $($operator:ident)*;)*) => {
            match *operator {
                $($(Operator::$operator { memarg, .. } => Some(Reach {
                    kind: $kind,
                    place: memarg,
                    width: $width,
                    operands: &$operands,
                    result: $result,
                }),)*)*
                _ => None,
            }
        };
    }
    table! {
        Load 1 [], Some(I32) => I32Load8S I32Load8U;
        Load 2 [], Some(I32) => I32Load16S I32Load16U;
        Load 4 [], Some(I32) => I32Load;
        Load 1 [], Some(I64) => I64Load8S I64Load8U;
        Load 2 [], Some(I64) => I64Load16S I64Load16U;
        Load 4 [], Some(I64) => I64Load32S I64Load32U;
        Load 8 [], Some(I64) => I64Load;
        Load 4 [], Some(F32) => F32Load;
        Load 8 [], Some(F64) => F64Load;
        Load 16 [], Some(V128) => V128Load;
        Load 8 [], Some(V128) => V128Load8x8S V128Load8x8U V128Load16x4S V128Load16x4U
            V128Load32x2S V128Load32x2U V128Load64Splat V128Load64Zero;
        Load 4 [], Some(V128) => V128Load32Splat V128Load32Zero;
        Load 2 [], Some(V128) => V128Load16Splat;
        Load 1 [], Some(V128) => V128Load8Splat;
        Load 1 [V128], Some(V128) => V128Load8Lane;
        Load 2 [V128], Some(V128) => V128Load16Lane;
        Load 4 [V128], Some(V128) => V128Load32Lane;
        Load 8 [V128], Some(V128) => V128Load64Lane;
        Store 1 [I32], None => I32Store8;
        Store 2 [I32], None => I32Store16;
        Store 4 [I32], None => I32Store;
        Store 1 [I64], None => I64Store8;
        Store 2 [I64], None => I64Store16;
        Store 4 [I64], None => I64Store32;
        Store 8 [I64], None => I64Store;
        Store 4 [F32], None => F32Store;
        Store 8 [F64], None => F64Store;
        Store 16 [V128], None => V128Store;
        Store 1 [V128], None => V128Store8Lane;
        Store 2 [V128], None => V128Store16Lane;
        Store 4 [V128], None => V128Store32Lane;
        Store 8 [V128], None => V128Store64Lane;
        AtomicLoad 1 [], Some(I32) => I32AtomicLoad8U;
        AtomicLoad 2 [], Some(I32) => I32AtomicLoad16U;
        AtomicLoad 4 [], Some(I32) => I32AtomicLoad;
        AtomicLoad 1 [], Some(I64) => I64AtomicLoad8U;
        AtomicLoad 2 [], Some(I64) => I64AtomicLoad16U;
        AtomicLoad 4 [], Some(I64) => I64AtomicLoad32U;
        AtomicLoad 8 [], Some(I64) => I64AtomicLoad;
        AtomicStore 1 [I32], None => I32AtomicStore8;
        AtomicStore 2 [I32], None => I32AtomicStore16;
        AtomicStore 4 [I32], None => I32AtomicStore;
        AtomicStore 1 [I64], None => I64AtomicStore8;
        AtomicStore 2 [I64], None => I64AtomicStore16;
        AtomicStore 4 [I64], None => I64AtomicStore32;
        AtomicStore 8 [I64], None => I64AtomicStore;
        AtomicRmw 1 [I32], Some(I32) => I32AtomicRmw8AddU I32AtomicRmw8SubU I32AtomicRmw8AndU
            I32AtomicRmw8OrU I32AtomicRmw8XorU I32AtomicRmw8XchgU;
        AtomicRmw 2 [I32], Some(I32) => I32AtomicRmw16AddU I32AtomicRmw16SubU I32AtomicRmw16AndU
            I32AtomicRmw16OrU I32AtomicRmw16XorU I32AtomicRmw16XchgU;
        AtomicRmw 4 [I32], Some(I32) => I32AtomicRmwAdd I32AtomicRmwSub I32AtomicRmwAnd
            I32AtomicRmwOr I32AtomicRmwXor I32AtomicRmwXchg;
        AtomicRmw 1 [I64], Some(I64) => I64AtomicRmw8AddU I64AtomicRmw8SubU I64AtomicRmw8AndU
            I64AtomicRmw8OrU I64AtomicRmw8XorU I64AtomicRmw8XchgU;
        AtomicRmw 2 [I64], Some(I64) => I64AtomicRmw16AddU I64AtomicRmw16SubU I64AtomicRmw16AndU
            I64AtomicRmw16OrU I64AtomicRmw16XorU I64AtomicRmw16XchgU;
        AtomicRmw 4 [I64], Some(I64) => I64AtomicRmw32AddU I64AtomicRmw32SubU I64AtomicRmw32AndU
            I64AtomicRmw32OrU I64AtomicRmw32XorU I64AtomicRmw32XchgU;
        AtomicRmw 8 [I64], Some(I64) => I64AtomicRmwAdd I64AtomicRmwSub I64AtomicRmwAnd
            I64AtomicRmwOr I64AtomicRmwXor I64AtomicRmwXchg;
        AtomicCmpxchg 1 [I32, I32], Some(I32) => I32AtomicRmw8CmpxchgU;
        AtomicCmpxchg 2 [I32, I32], Some(I32) => I32AtomicRmw16CmpxchgU;
        AtomicCmpxchg 4 [I32, I32], Some(I32) => I32AtomicRmwCmpxchg;
        AtomicCmpxchg 1 [I64, I64], Some(I64) => I64AtomicRmw8CmpxchgU;
        AtomicCmpxchg 2 [I64, I64], Some(I64) => I64AtomicRmw16CmpxchgU;
        AtomicCmpxchg 4 [I64, I64], Some(I64) => I64AtomicRmw32CmpxchgU;
        AtomicCmpxchg 8 [I64, I64], Some(I64) => I64AtomicRmwCmpxchg;
        Wait 4 [I32, I64], Some(I32) => MemoryAtomicWait32;
        Wait 8 [I64, I64], Some(I32) => MemoryAtomicWait64;
        Notify 4 [I32], Some(I32) => MemoryAtomicNotify;
    }
}
