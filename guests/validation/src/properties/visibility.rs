//! Visibility: what a thread has seen, it does not see undone.

use threadwork_runtime::SharedMemory;

use crate::case::{Case, Check, OrFail, Property, Random};

pub(crate) const PROPERTY: Property = Property {
    name: "visibility",
    claim: "loads never go back, and whoever sees a word sees what was written before it",
    check,
    bugs: &["stale-copy", "flag-before-data"],
};

/// Words that one thread writes, always in ascending order with the same numbers.
struct Subject {
    memory: SharedMemory,
    offsets: Vec<usize>,
    stale_copy: bool,
    flag_before_data: bool,
}

/// From a word to its second copy, where there is one.
const COPY: usize = SharedMemory::PAGE;

fn check(case: &mut Case<'_>) -> Check {
    let stride = *case.pick(&[4, 8, 64, 128, 4096]);
    let words = case.between(2, 6) as usize;
    let subject = Subject {
        memory: SharedMemory::new(2, 2).or_fail("a memory")?,
        offsets: (0..words).map(|word| word * stride).collect(),
        stale_copy: case.has_bug("stale-copy"),
        flag_before_data: case.has_bug("flag-before-data"),
    };
    let (threads, rounds) = (case.between(2, 5), case.between(10, 400));
    case.on_threads(threads, |index, random| match index {
        0 => (1..=rounds).try_for_each(|round| subject.write(round, random)),
        _ => subject.read(rounds, random),
    })?;
    for offset in &subject.offsets {
        check_eq!(subject.memory.load::<u32>(*offset).or_fail("load")?, rounds);
    }
    Ok(())
}

impl Subject {
    fn write(&self, round: u32, random: &mut Random) -> Check {
        let mut offsets = self.offsets.clone();
        if self.flag_before_data {
            offsets.reverse();
        }
        for offset in offsets {
            self.memory.store(offset, round).or_fail("store")?;
            if self.stale_copy && random.one_in(3) {
                self.memory.store(offset + COPY, round).or_fail("store")?;
            }
            random.pause();
        }
        Ok(())
    }

    /// Looks at all words, again and again.
    fn read(&self, looks: u32, random: &mut Random) -> Check {
        let mut seen = vec![0; self.offsets.len()];
        for _ in 0..looks {
            // Backwards: a word is written after those before it, so what is read of
            // them later is at least as new.
            let mut newest = 0;
            for (word, offset) in self.offsets.iter().enumerate().rev() {
                let from_copy = self.stale_copy && random.one_in(2);
                let offset = if from_copy { offset + COPY } else { *offset };
                let value = self.memory.load::<u32>(offset).or_fail("load")?;
                check!(value >= seen[word], "word {word} went back from {} to {value}", seen[word]);
                check!(value >= newest, "word {word} is {value}, the later ones {newest}");
                (seen[word], newest) = (value, value);
            }
            random.pause();
        }
        Ok(())
    }
}
