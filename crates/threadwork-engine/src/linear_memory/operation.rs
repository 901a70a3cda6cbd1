//! [`Operation`]: an atomic operation on a word of a memory, or on a run of words, as data.
//!
//! Nothing here waits, and whoever has a long run does it in parts.

use super::words::sealed::Integer as _;
use super::words::{Integer, Memory, Rmw};
use wasmtime::Trap;

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) code: Code,
    pub(crate) width: Width,
    pub(crate) offset: u64,
    /// An operand, a value, or where values of a run begin.
    pub(crate) operand: u64,
    /// What is expected, or how many words there are.
    pub(crate) extra: u64,
}

/// What to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code {
    Load,
    Store,
    Rmw(Rmw),
    CompareExchange,
    LoadRun,
    StoreRun,
    FillRun,
    AddRun,
}

/// The size of a word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Width {
    W8,
    W16,
    W32,
    W64,
}

/// Does the same for the integer of a width.
macro_rules! by_width {
    ($width:expr, $integer:ident => $body:expr) => {
        match $width {
            Width::W8 => {
                type $integer = u8;
                $body
            }
            Width::W16 => {
                type $integer = u16;
                $body
            }
            Width::W32 => {
                type $integer = u32;
                $body
            }
            Width::W64 => {
                type $integer = u64;
                $body
            }
        }
    };
}

impl Operation {
    /// From the 32 bytes that a guest has written, as `threadwork.atomic_batch` documents
    /// them; `None` if there is no such operation.
    pub(crate) fn decode(record: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&record[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let head = number(0);
        let [code, width, 0, 0, ..] = head.to_le_bytes() else {
            return None;
        };
        let code = match code {
            0 => Code::Load,
            1 => Code::Store,
            2 => Code::Rmw(Rmw::Add),
            3 => Code::Rmw(Rmw::Sub),
            4 => Code::Rmw(Rmw::And),
            5 => Code::Rmw(Rmw::Or),
            6 => Code::Rmw(Rmw::Xor),
            7 => Code::Rmw(Rmw::Exchange),
            8 => Code::CompareExchange,
            9 => Code::LoadRun,
            10 => Code::StoreRun,
            11 => Code::FillRun,
            12 => Code::AddRun,
            _ => return None,
        };
        let width = Width::of(width.into())?;
        Some(Self {
            code,
            width,
            offset: head >> 32,
            operand: number(8),
            extra: number(16),
        })
    }

    /// Whether it is on words in the memory.
    pub(crate) fn check(&self, memory: &Memory) -> Result<(), Trap> {
        let count = if self.is_run() { self.extra } else { 1 };
        by_width!(self.width, T => memory.words::<T>(self.offset, count).map(drop))
    }

    pub(crate) fn is_run(&self) -> bool {
        matches!(
            self.code,
            Code::LoadRun | Code::StoreRun | Code::FillRun | Code::AddRun
        )
    }

    /// Bytes that it is on.
    pub(crate) fn length(&self) -> u64 {
        let count = if self.is_run() { self.extra } else { 1 };
        count.saturating_mul(self.width.bytes())
    }

    /// Does it on a single word; returns what that was.
    pub(crate) fn word(&self, memory: &Memory) -> Result<u64, Trap> {
        by_width!(self.width, T => {
            let word = memory.word::<T>(self.offset)?;
            let operand = self.operand as T;
            let before = match self.code {
                Code::Load => T::atomic_load(word),
                Code::Store => {
                    T::atomic_store(word, operand);
                    0
                }
                Code::Rmw(op) => T::atomic_rmw(word, op, operand),
                Code::CompareExchange => {
                    let expected = self.extra as T;
                    let old = T::atomic_compare_exchange(word, expected, operand);
                    old.unwrap_or_else(|old| old)
                }
                Code::LoadRun | Code::StoreRun | Code::FillRun | Code::AddRun => 0,
            };
            Ok(before.into_word_bits())
        })
    }

    /// Loads the words with these numbers of a run.
    pub(crate) fn each(
        &self,
        memory: &Memory,
        numbers: std::ops::Range<u64>,
        mut body: impl FnMut(u64, u64),
    ) -> Result<(), Trap> {
        by_width!(self.width, T => {
            let words = self.part::<T>(memory, &numbers)?;
            for (number, word) in numbers.zip(words) {
                body(number, T::atomic_load(word).into_word_bits());
            }
            Ok(())
        })
    }

    /// Changes the words with these numbers of a run, by the values that `at` gives.
    pub(crate) fn change(
        &self,
        memory: &Memory,
        numbers: std::ops::Range<u64>,
        at: impl Fn(u64) -> u64,
    ) -> Result<(), Trap> {
        by_width!(self.width, T => {
            let words = self.part::<T>(memory, &numbers)?;
            match self.code {
                Code::FillRun => {
                    let value = self.operand as T;
                    words.iter().for_each(|word| T::atomic_store(word, value));
                }
                Code::AddRun => for (number, word) in numbers.zip(words) {
                    T::atomic_rmw(word, Rmw::Add, at(number) as T);
                },
                _ => for (number, word) in numbers.zip(words) {
                    T::atomic_store(word, at(number) as T);
                },
            }
            Ok(())
        })
    }

    fn part<'a, T: Integer>(
        &self,
        memory: &'a Memory,
        numbers: &std::ops::Range<u64>,
    ) -> Result<&'a [T::Atomic], Trap> {
        // Parts of what `check` has seen, so nothing overflows.
        let offset = self.offset + numbers.start * self.width.bytes();
        memory.words::<T>(offset, numbers.end - numbers.start)
    }
}

impl Width {
    /// The width of integers of so many bytes.
    pub(crate) fn of(bytes: u64) -> Option<Self> {
        Some(match bytes {
            1 => Self::W8,
            2 => Self::W16,
            4 => Self::W32,
            8 => Self::W64,
            _ => return None,
        })
    }

    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::W8 => 1,
            Self::W16 => 2,
            Self::W32 => 4,
            Self::W64 => 8,
        }
    }
}
