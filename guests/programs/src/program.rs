//! What a program is.

use std::time::Duration;

use threadwork::ThreadPool;

/// Programs of a kind.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) programs: &'static [Program],
}

/// A computation that threads share.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// What it does, in a few words.
    pub(crate) about: &'static str,
    /// Its work, in its own unit: about a tenth of a second on one thread.
    pub(crate) size: usize,
    /// Computes the answer on so many threads, of which the caller is one, and says how
    /// long that took without making the input.
    pub(crate) run: fn(threads: usize, size: usize) -> (u64, Duration),
    /// Computes the answer in a plain loop.
    pub(crate) reference: fn(size: usize) -> u64,
}

impl Program {
    /// Runs it on a worker of a pool of so many: what it forks, these workers share.
    pub(crate) fn run_on(&self, threads: usize, size: usize) -> Result<(u64, Duration), String> {
        let pool = ThreadPool::new(threads).map_err(|error| error.to_string())?;
        let run = self.run;
        let task = pool.task().name(self.name).execute(move || run(threads, size));
        task.wait().map_err(|error| error.to_string())
    }

    /// A size for tests.
    pub(crate) fn small(&self) -> usize {
        (self.size / 50).max(4)
    }
}

/// A program from three functions: size to input, input and threads to answer, and input to
/// answer in a plain loop.
macro_rules! program {
    ($name:literal, $about:literal, $size:literal, $input:expr, $parallel:expr, $reference:expr) => {
        $crate::program::Program {
            name: $name,
            about: $about,
            size: $size,
            run: |threads, size| {
                let input = $input(size);
                let start = ::std::time::Instant::now();
                let answer = $parallel(input, threads);
                (answer, start.elapsed())
            },
            reference: |size| $reference($input(size)),
        }
    };
}
pub(crate) use program;

/// Combines numbers whose order matters into one.
pub(crate) fn fold(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers
        .into_iter()
        .fold(0, |sum, number| (sum.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95))
}

/// So many numbers that look random.
pub(crate) fn random_numbers(count: usize, seed: u64) -> Vec<u64> {
    let start = seed << 32;
    (0..count as u64).map(|index| example_cli::mix(start + index + 1)).collect()
}
