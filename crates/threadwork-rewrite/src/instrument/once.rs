//! What leaves out a call of `access` that would tell what the thread has told already.
//!
//! Each instance, and so each thread, has a memory of its own with a table of *cells*, each
//! about eight aligned bytes of the program's memory. A cell says which of them were told to be
//! read and to be written, in which *turn* of the thread, and for which of the addresses that
//! have this cell:
//!
//! | bits | |
//! |---|---|
//! | 0 to 2 | 0 |
//! | 3 to 10 | for each byte, 0 if it was told to be read or written |
//! | 11 to 18 | for each byte, 0 if it was told to be written |
//! | [`CELLS`]` * 8` on, to 31 | the address, as far as the place of the cell does not say it |
//! | 32 to 63 | the turn, not 0 |
//!
//! An aligned access of up to eight bytes is looked up where it stands, in a dozen machine
//! instructions without a call. All others, and what is not found, are the function `tell`'s,
//! which calls the hook. When a turn ends, and when bytes are forgotten, says
//! [`Instrument::once`](super::Instrument::once).
//!
//! Invariant: what a cell of this turn says was told since the turn began, and the hook has
//! answered that it need not be told again. Only the instance's own thread reads and writes the
//! table, so nothing of it is a matter of memory orderings.

use wasm_encoder::{BlockType, Function, Instruction, MemArg, MemoryType, ValType};

/// How many cells a table has. It is as large as what a thread can reach again without telling
/// it again, and memory that is not touched costs nothing.
const CELLS: u32 = 1 << 18;
/// The bits of an address that say where its cell is, in bytes.
const PLACE: u32 = (CELLS - 1) * 8;
/// The bits of an address that a cell keeps.
const REST: u32 = !(PLACE | 7);
/// All bytes, read and written.
const BYTES: i64 = 0x7fff8;
/// Where the bits of reads and of writes begin.
const READ: u32 = 3;
const WRITTEN: u32 = 11;
/// What turns count by.
const TURN: i64 = 1 << 32;
/// The bits of a cell that must be the expected ones.
const WHOSE: i64 = -TURN | REST as i64;

/// The bits of an address that its cell keeps fit between the others.
const _: () = assert!(REST as i64 & BYTES == 0);

/// Where a module has its table.
#[derive(Clone, Copy)]
pub(super) struct Table {
    pub(super) memory: u32,
    /// The global with the turn, in the upper half.
    pub(super) turn: u32,
}

impl Table {
    pub(super) const MEMORY: MemoryType = {
        let pages = CELLS as u64 * 8 / 65536;
        MemoryType {
            minimum: pages,
            maximum: Some(pages),
            memory64: false,
            shared: false,
            page_size_log2: None,
        }
    };
    /// The first turn.
    pub(super) const FIRST: i64 = TURN;
    /// The parameters of `tell`: site, address, context, a bit for each byte, and where the bits
    /// of what is done begin in a cell.
    pub(super) const TELL: [ValType; 5] = [
        ValType::I32,
        ValType::I64,
        ValType::I32,
        ValType::I64,
        ValType::I64,
    ];

    /// A bit for each of so many bytes.
    pub(super) fn bytes(width: u8) -> Instruction<'static> {
        Instruction::I64Const((1 << width) - 1)
    }

    /// Where the bits of an access begin in a cell.
    pub(super) fn shift(writes: bool) -> Instruction<'static> {
        Instruction::I64Const(if writes { WRITTEN } else { READ }.into())
    }

    /// Whether accesses of so many bytes are looked up where they stand.
    pub(super) fn has_check(width: u8) -> bool {
        matches!(width, 1 | 2 | 4 | 8)
    }

    /// Leaves an i32 that is 0 if an access to the address in a local was told already, and
    /// lies within a cell.
    pub(super) fn check(self, address: u32, width: u8, writes: bool) -> Vec<Instruction<'static>> {
        let shift = if writes { WRITTEN } else { READ };
        let bits = ((1i64 << width) - 1) << shift;
        let inner = u32::from(width) - 1;
        let whose = WHOSE | i64::from(inner);
        let mut code = vec![
            Instruction::LocalGet(address),
            Instruction::I32Const(PLACE.cast_signed()),
            Instruction::I32And,
            Instruction::I64Load(self.cell()),
            Instruction::GlobalGet(self.turn),
            Instruction::I64Xor,
            Instruction::LocalGet(address),
            Instruction::I32Const((REST | inner).cast_signed()),
            Instruction::I32And,
            Instruction::I64ExtendI32U,
            Instruction::I64Xor,
        ];
        if width == 8 {
            code.push(Instruction::I64Const(whose | bits));
        } else {
            code.extend([
                Instruction::I64Const(bits),
                Instruction::LocalGet(address),
                Instruction::I32Const(7 - inner.cast_signed()),
                Instruction::I32And,
                Instruction::I64ExtendI32U,
                Instruction::I64Shl,
                Instruction::I64Const(whose),
                Instruction::I64Or,
            ]);
        }
        code.extend([
            Instruction::I64And,
            Instruction::I64Const(0),
            Instruction::I64Ne,
        ]);
        code
    }

    fn cell(self) -> MemArg {
        MemArg {
            offset: 0,
            align: 3,
            memory_index: self.memory,
        }
    }

    /// The function `tell`: calls the hook `access`, unless all bytes were told already, and
    /// notes that they were if the hook says so. An access to bytes beyond the address space,
    /// which is about to trap, is told and not noted.
    pub(super) fn tell(self, access: u32) -> Function {
        let (site, address, context, bytes, shift) = (0, 1, 2, 3, 4);
        let (at, rest, cell, whose) = (5, 6, 7, 8);
        let mut function = Function::new([(1, ValType::I32), (3, ValType::I64)]);
        let mut put = |instructions: &[Instruction<'_>]| {
            for instruction in instructions {
                function.instruction(instruction);
            }
        };
        // The cells of an access, one after another: `at` is in each, and `rest` are the bytes.
        let first = [
            Instruction::LocalGet(address),
            Instruction::I32WrapI64,
            Instruction::LocalSet(at),
            Instruction::LocalGet(bytes),
            Instruction::LocalGet(address),
            Instruction::I64Const(7),
            Instruction::I64And,
            Instruction::I64Shl,
            Instruction::LocalSet(rest),
            Instruction::Loop(BlockType::Empty),
        ];
        let next = [
            Instruction::LocalGet(at),
            Instruction::I32Const(8),
            Instruction::I32Add,
            Instruction::LocalSet(at),
            Instruction::LocalGet(rest),
            Instruction::I64Const(8),
            Instruction::I64ShrU,
            Instruction::LocalTee(rest),
            Instruction::I64Const(0),
            Instruction::I64Ne,
            Instruction::BrIf(0),
            Instruction::End,
        ];
        let place = [
            Instruction::LocalGet(at),
            Instruction::I32Const(PLACE.cast_signed()),
            Instruction::I32And,
        ];
        let expected = [
            Instruction::LocalGet(at),
            Instruction::I32Const(REST.cast_signed()),
            Instruction::I32And,
            Instruction::I64ExtendI32U,
            Instruction::GlobalGet(self.turn),
            Instruction::I64Or,
        ];
        let here = [
            Instruction::LocalGet(rest),
            Instruction::I64Const(0xff),
            Instruction::I64And,
        ];
        // `cell` collects the bits that are not as they have to be.
        put(&first);
        put(&[Instruction::LocalGet(cell)]);
        put(&place);
        put(&[Instruction::I64Load(self.cell())]);
        put(&expected);
        put(&[Instruction::I64Xor]);
        put(&here);
        put(&[
            Instruction::LocalGet(shift),
            Instruction::I64Shl,
            Instruction::I64Const(WHOSE),
            Instruction::I64Or,
            Instruction::I64And,
            Instruction::I64Or,
            Instruction::LocalSet(cell),
        ]);
        put(&next);
        put(&[
            Instruction::LocalGet(cell),
            Instruction::I64Eqz,
            Instruction::If(BlockType::Empty),
            Instruction::Return,
            Instruction::End,
            Instruction::LocalGet(site),
            Instruction::LocalGet(address),
            Instruction::LocalGet(context),
            Instruction::Call(access),
            Instruction::I32Eqz,
            Instruction::LocalGet(address),
            Instruction::I64Const((1 << 32) - 16),
            Instruction::I64GtU,
            Instruction::I32Or,
            Instruction::If(BlockType::Empty),
            Instruction::Return,
            Instruction::End,
        ]);
        put(&first);
        put(&expected);
        put(&[Instruction::LocalSet(whose)]);
        put(&place);
        put(&place);
        put(&[
            Instruction::I64Load(self.cell()),
            Instruction::LocalTee(cell),
            Instruction::LocalGet(whose),
            Instruction::I64Const(BYTES),
            Instruction::I64Or,
            Instruction::LocalGet(cell),
            Instruction::LocalGet(whose),
            Instruction::I64Xor,
            Instruction::I64Const(WHOSE),
            Instruction::I64And,
            Instruction::I64Eqz,
            Instruction::Select,
        ]);
        // What was written need not be told to be read.
        for bits in [Instruction::LocalGet(shift), Self::shift(false)] {
            put(&here);
            put(&[
                bits,
                Instruction::I64Shl,
                Instruction::I64Const(-1),
                Instruction::I64Xor,
                Instruction::I64And,
            ]);
        }
        put(&[Instruction::I64Store(self.cell())]);
        put(&next);
        put(&[Instruction::End]);
        function
    }

    /// The function `turn`, which begins the next one.
    pub(super) fn next(self) -> Function {
        let mut function = Function::new([]);
        for instruction in [
            Instruction::GlobalGet(self.turn),
            Instruction::I64Const(TURN),
            Instruction::I64Add,
            Instruction::GlobalSet(self.turn),
            Instruction::GlobalGet(self.turn),
            Instruction::I64Eqz,
            // After four billion turns cells of the first ones would be believed.
            Instruction::If(BlockType::Empty),
            Instruction::I32Const(0),
            Instruction::I32Const(0),
            Instruction::I32Const((CELLS * 8).cast_signed()),
            Instruction::MemoryFill(self.memory),
            Instruction::I64Const(Self::FIRST),
            Instruction::GlobalSet(self.turn),
            Instruction::End,
            Instruction::End,
        ] {
            function.instruction(&instruction);
        }
        function
    }

    /// The function `forget`, of an address and a length: what was told of these bytes is to be
    /// told again. Of many it is all that was told.
    pub(super) fn forget(self, turn: u32) -> Function {
        const MOST: i64 = 1 << 15;
        let (address, length) = (0, 1);
        let (first, count) = (2, 3);
        let mut function = Function::new([(2, ValType::I32)]);
        for instruction in [
            Instruction::LocalGet(address),
            Instruction::I32WrapI64,
            Instruction::I32Const(PLACE.cast_signed()),
            Instruction::I32And,
            Instruction::LocalSet(first),
            // At least one cell, and all that the bytes are in.
            Instruction::LocalGet(length),
            Instruction::I32WrapI64,
            Instruction::I32Const(15),
            Instruction::I32Add,
            Instruction::I32Const(-8),
            Instruction::I32And,
            Instruction::LocalSet(count),
            Instruction::LocalGet(length),
            Instruction::I64Const(MOST),
            Instruction::I64GtU,
            Instruction::LocalGet(first),
            Instruction::LocalGet(count),
            Instruction::I32Add,
            Instruction::I32Const((CELLS * 8).cast_signed()),
            Instruction::I32GtU,
            Instruction::I32Or,
            Instruction::If(BlockType::Empty),
            Instruction::Call(turn),
            Instruction::Else,
            Instruction::LocalGet(first),
            Instruction::I32Const(0),
            Instruction::LocalGet(count),
            Instruction::MemoryFill(self.memory),
            Instruction::End,
            Instruction::End,
        ] {
            function.instruction(&instruction);
        }
        function
    }
}
