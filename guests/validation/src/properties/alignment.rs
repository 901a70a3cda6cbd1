//! Accesses at any offset: right if aligned and inside, an error otherwise.

use threadwork_runtime::{AtomicWord, MemoryError, Plain, SharedMemory};

use crate::case::{Case, Check, OrFail, Property, Random};

pub(crate) const PROPERTY: Property = Property {
    name: "alignment",
    claim: "an access that is unaligned or outside is an error and changes nothing",
    check,
    bugs: &["rounds-down", "wraps-around", "partly-written"],
};

/// A memory, and beside it what its bytes must be.
struct Subject {
    memory: SharedMemory,
    model: Vec<u8>,
    rounds_down: bool,
    wraps_around: bool,
    partly_written: bool,
}

fn check(case: &mut Case<'_>) -> Check {
    let pages = case.between(0, 2);
    let memory = SharedMemory::new(pages, 4).or_fail("a memory")?;
    let mut subject = Subject {
        model: vec![0; memory.size()],
        memory,
        rounds_down: case.has_bug("rounds-down"),
        wraps_around: case.has_bug("wraps-around"),
        partly_written: case.has_bug("partly-written"),
    };
    for _ in 0..case.between(1, 60) {
        match case.below(8) {
            0 => subject.grow(case)?,
            1 => subject.plain::<u16>(case)?,
            2 => subject.plain::<f64>(case)?,
            3 => subject.atomic::<u8>(case)?,
            4 => subject.atomic::<u16>(case)?,
            5 => subject.atomic::<i32>(case)?,
            6 => subject.atomic::<i64>(case)?,
            _ => subject.bytes(case)?,
        }
    }
    let mut bytes = vec![0; subject.model.len()];
    subject.memory.read_bytes(0, &mut bytes).or_fail("read all")?;
    let wrong = bytes.iter().zip(&subject.model).position(|(byte, model)| byte != model);
    check!(wrong.is_none(), "byte {wrong:?} is not as the successful accesses left it");
    Ok(())
}

impl Subject {
    /// Mostly inside, and often near an end of a page.
    fn offset(&self, random: &mut Random) -> usize {
        let near = match random.below(4) {
            0 => random.next() as usize,
            1 => self.model.len(),
            2 => SharedMemory::PAGE * random.below(3) as usize,
            _ => random.below(self.model.len() as u32 + 1) as usize,
        };
        near.wrapping_add(random.below(24) as usize).wrapping_sub(12)
    }

    fn is_inside(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.model.len())
    }

    /// What the planted bug makes of an offset.
    fn distorted(&self, offset: usize, len: usize) -> usize {
        if self.rounds_down {
            offset & !(len - 1)
        } else if self.wraps_around && !self.is_inside(offset, len) && !self.model.is_empty() {
            offset % (self.model.len() - len)
        } else {
            offset
        }
    }

    fn grow(&mut self, random: &mut Random) -> Check {
        let delta = random.below(3);
        let before = self.memory.pages();
        match self.memory.grow(delta) {
            Ok(pages) => {
                check_eq!(pages, before);
                self.model.resize(self.model.len() + SharedMemory::PAGE * delta as usize, 0);
            }
            Err(error) => check!(before + delta > 4, "{before} + {delta} pages: {error}"),
        }
        check_eq!(self.memory.size(), self.model.len());
        Ok(())
    }

    /// A write and a read need no alignment.
    fn plain<T: Plain + Bytes>(&mut self, random: &mut Random) -> Check {
        let (offset, len) = (self.offset(random), size_of::<T>());
        let value = T::of(random.next());
        let outcome = self.memory.write(self.distorted(offset, len), value);
        self.expect(outcome, offset, len)?;
        if outcome.is_ok() {
            self.model[offset..offset + len].copy_from_slice(&value.bytes());
            let back = self.memory.read::<T>(offset).or_fail("read")?;
            check_eq!(back.bytes(), value.bytes());
        }
        Ok(())
    }

    /// An exchange is refused where it is not aligned.
    fn atomic<T: AtomicWord + Bytes>(&mut self, random: &mut Random) -> Check {
        let (offset, len) = (self.offset(random), size_of::<T>());
        let value = T::of(random.next());
        let outcome = self.memory.exchange(self.distorted(offset, len), value);
        if !offset.is_multiple_of(len) {
            check!(outcome.is_err(), "an atomic of {len} bytes at {offset}");
            return Ok(());
        }
        self.expect(outcome.map(drop), offset, len)?;
        if let Ok(old) = outcome {
            check_eq!(old.bytes(), self.model[offset..offset + len].to_vec());
            self.model[offset..offset + len].copy_from_slice(&value.bytes());
        }
        Ok(())
    }

    /// Bytes of any length.
    fn bytes(&mut self, random: &mut Random) -> Check {
        let (offset, len) = (self.offset(random), random.below(200) as usize);
        let bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        let outcome = self.memory.write_bytes(offset, &bytes);
        self.expect(outcome, offset, len)?;
        if outcome.is_ok() {
            self.model[offset..offset + len].copy_from_slice(&bytes);
        } else if self.partly_written && offset < self.model.len() {
            let fits = self.model.len() - offset;
            self.memory.write_bytes(offset, &bytes[..fits]).or_fail("the part that fits")?;
        }
        Ok(())
    }

    /// An access must succeed exactly if it is inside.
    fn expect(&self, outcome: Result<(), MemoryError>, offset: usize, len: usize) -> Check {
        let is_inside = self.is_inside(offset, len);
        let size = self.model.len();
        check!(outcome.is_ok() == is_inside, "{len} bytes at {offset} of {size}: {outcome:?}");
        Ok(())
    }
}

/// A value from random bits, and back to its bytes.
trait Bytes: Copy {
    fn of(bits: u64) -> Self;
    fn bytes(self) -> Vec<u8>;
}

macro_rules! bytes {
    ($($type:ty)*) => {$(
        impl Bytes for $type {
            fn of(bits: u64) -> Self {
                bits as Self
            }

            fn bytes(self) -> Vec<u8> {
                self.to_ne_bytes().to_vec()
            }
        }
    )*};
}

bytes! { u8 u16 i32 i64 f64 }
