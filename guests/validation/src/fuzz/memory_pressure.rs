//! Memory pressure: memories of 1 to 64 MiB that grow under their users, and blocks that
//! are allocated by one thread and freed by another.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use threadwork::sync::channel::{self, Receiver, Sender};
use threadwork_runtime::{MemoryError, SharedMemory};

use crate::case::{Case, Check, OrFail, Property, Random};

pub(crate) const FAMILY: Property = Property {
    name: "memory_pressure",
    claim: "memories that grow, and blocks that change hands, keep what was written",
    check,
    bugs: &["copies-to-grow", "block-given-twice"],
};

fn check(case: &mut Case<'_>) -> Check {
    if case.has_bug("block-given-twice") || (case.one_in(2) && !case.has_bug("copies-to-grow")) {
        blocks(case)
    } else {
        growth(case)
    }
}

/// A memory that grows, and who has seen what of it.
struct Growing {
    memory: SharedMemory,
    most: u32,
    is_full: AtomicBool,
    /// The bug: growing makes a new memory, and whoever has the old one goes on with it.
    copies: bool,
    copy: OnceLock<SharedMemory>,
}

/// Each thread writes into each page, as soon as it is there, what it is to find later; one
/// of them makes the memory grow meanwhile.
fn growth(case: &mut Case<'_>) -> Check {
    // 1 to 64 MiB, the small ones more often: they are quicker.
    let most = if case.one_in(50) { 1024 } else { 16 << case.below(3) };
    let growing = Growing {
        memory: SharedMemory::new(case.between(1, most / 2), most).or_fail("a memory")?,
        most,
        is_full: AtomicBool::new(false),
        copies: case.has_bug("copies-to-grow"),
        copy: OnceLock::new(),
    };
    let threads = case.between(2, 4);
    case.on_threads(threads, |thread, random| {
        if thread > 0 {
            return growing.mark(thread);
        }
        let outcome = growing.grow(random);
        growing.is_full.store(true, SeqCst);
        outcome
    })
}

impl Growing {
    fn grow(&self, random: &mut Random) -> Check {
        let mut pages = self.memory.pages();
        while pages < self.most {
            let delta = random.between(1, self.most - pages);
            random.pause();
            if self.copies && self.copy.get().is_none() {
                drop(self.copy.set(copied(&self.memory, self.most)?));
            }
            match self.memory.grow(delta) {
                Ok(before) => check_eq!(before, pages),
                Err(MemoryError::OutOfMemory { .. }) => return Ok(()),
                Err(error) => return Err(format!("grow by {delta} from {pages}: {error}")),
            }
            pages += delta;
            check_eq!(self.memory.pages(), pages);
        }
        check!(self.memory.grow(1).is_err(), "it has grown beyond its maximum");
        Ok(())
    }

    /// Marks each page once, and looks for its marks at the end.
    fn mark(&self, thread: u32) -> Check {
        let place = |page: u32| SharedMemory::PAGE * page as usize + 1024 * thread as usize;
        let mark = |page: u32| page << 8 | thread;
        let mut marked = 0;
        loop {
            let is_last_look = self.is_full.load(SeqCst);
            let pages = self.memory.pages();
            for page in marked..pages {
                let before = self.memory.exchange(place(page), mark(page)).or_fail("mark")?;
                check!(before == 0, "page {page} is not fresh: {before}");
            }
            marked = pages;
            if is_last_look {
                break;
            }
        }
        let memory = self.copy.get().unwrap_or(&self.memory);
        for page in 0..marked.min(memory.pages()) {
            check_eq!(memory.read::<u32>(place(page)).or_fail("read")?, mark(page));
        }
        Ok(())
    }
}

fn copied(memory: &SharedMemory, most: u32) -> Result<SharedMemory, String> {
    let mut bytes = vec![0; memory.size()];
    memory.read_bytes(0, &mut bytes).or_fail("read")?;
    let copy = SharedMemory::new(memory.pages(), most).or_fail("a copy")?;
    copy.write_bytes(0, &bytes).or_fail("write")?;
    Ok(copy)
}

/// A block of memory, filled with its number.
struct Block {
    number: u32,
    words: Vec<u32>,
}

/// Threads make blocks of any size, look after those that they are given, and free them.
fn blocks(case: &mut Case<'_>) -> Check {
    let (threads, rounds) = (case.between(2, 6), case.between(1, 60));
    let largest = 1 << case.between(4, 18);
    let (sender, receiver) = channel::bounded::<Block>(4 * threads as usize);
    let numbers = AtomicU32::new(1);
    let twice = case.has_bug("block-given-twice");
    case.on_threads(threads, |_, random| {
        let mut mine: Vec<Block> = Vec::new();
        for _ in 0..rounds {
            match random.below(4) {
                0 => mine.push(Block::new(&numbers, largest, random)),
                1 => pass_on(&mut mine, &sender, random),
                2 => mine.extend(receive(&receiver, twice)),
                _ if mine.is_empty() => {}
                _ => mine.swap_remove(random.below(mine.len() as u32) as usize).check(random)?,
            }
            if let Some(block) = mine.last_mut() {
                block.resize(largest, random);
            }
        }
        mine.iter().try_for_each(|block| block.check(random))
    })?;
    receiver.try_iter().try_for_each(|block| block.check(case))
}

fn pass_on(mine: &mut Vec<Block>, sender: &Sender<Block>, random: &mut Random) {
    if !mine.is_empty() {
        let block = mine.swap_remove(random.below(mine.len() as u32) as usize);
        if let Err(full) = sender.try_send(block) {
            mine.push(full.into_inner());
        }
    }
}

fn receive(receiver: &Receiver<Block>, twice: bool) -> Option<Block> {
    let mut block = receiver.try_recv().ok()?;
    if twice {
        // As if its second owner had filled it meanwhile.
        let middle = block.words.len() / 2;
        block.words[middle] = block.number + 1;
    }
    Some(block)
}

impl Block {
    fn new(numbers: &AtomicU32, largest: u32, random: &mut Random) -> Self {
        let number = numbers.fetch_add(1, SeqCst);
        let words = vec![number; random.between(1, largest) as usize];
        Self { number, words }
    }

    /// Shorter or longer; what stays, stays.
    fn resize(&mut self, largest: u32, random: &mut Random) {
        self.words.resize(random.between(1, largest) as usize, self.number);
        if random.one_in(2) {
            self.words.shrink_to_fit();
        }
    }

    fn check(&self, _random: &mut Random) -> Check {
        let wrong = self.words.iter().find(|word| **word != self.number);
        check!(
            wrong.is_none(),
            "a block of {} words of {} has {wrong:?}",
            self.words.len(),
            self.number
        );
        Ok(())
    }
}
