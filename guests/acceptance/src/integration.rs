//! Integration: tests 33 to 35.

use std::sync::Arc;
use std::time::{Duration, Instant};

use threadwork::{ThreadPool, join, thread};
use threadwork_runtime::{SharedMemory, ThreadRuntime};

use crate::check::{Check, Figure, OrFail};

/// Numbers that look random and depend on `seed` alone: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// 33: what many threads compute is what one computes.
pub(crate) fn parallel_correctness() -> Check {
    const COUNT: usize = 100_000;
    let mut random = Random(33);
    let numbers: Vec<u64> = (0..COUNT).map(|_| random.next()).collect();
    let sum = numbers.iter().fold(0, |sum: u64, number| sum.wrapping_add(*number));

    // Fork and join.
    fn tree_sum(numbers: &[u64]) -> u64 {
        if numbers.len() <= 100 {
            return numbers.iter().fold(0, |sum, number| sum.wrapping_add(*number));
        }
        let (left, right) = numbers.split_at(numbers.len() / 2);
        let (left, right) = join(|| tree_sum(left), || tree_sum(right));
        left.wrapping_add(right)
    }
    check_eq!(tree_sum(&numbers), sum);

    fn sort(numbers: &mut [u64]) {
        if numbers.len() <= 500 {
            return numbers.sort_unstable();
        }
        let pivot = numbers.len() / 2;
        let (low, _, high) = numbers.select_nth_unstable(pivot);
        join(|| sort(low), || sort(high));
    }
    let (mut sorted, mut expected) = (numbers.clone(), numbers.clone());
    sort(&mut sorted);
    expected.sort_unstable();
    check!(sorted == expected, "the numbers are not sorted");

    // Tasks of a pool.
    let runtime = ThreadRuntime::new().or_fail("a runtime")?;
    let numbers = Arc::new(numbers);
    let tasks = (0..10).map(|part| {
        let numbers = numbers.clone();
        runtime.pool().execute(move || {
            let part = &numbers[COUNT / 10 * part..COUNT / 10 * (part + 1)];
            part.iter().fold(0, |sum: u64, number| sum.wrapping_add(*number))
        })
    });
    let mut total = 0_u64;
    for task in tasks.collect::<Vec<_>>() {
        total = total.wrapping_add(task.wait().or_fail("a task")?);
    }
    check_eq!(total, sum);

    // Threads over one shared memory: a product of matrices, row by row.
    const SIDE: usize = 48;
    let memory = SharedMemory::new(4, 4).or_fail("a memory")?;
    let at =
        |matrix: usize, row: usize, column: usize| 8 * (matrix * SIDE * SIDE + row * SIDE + column);
    let mut matrices = [[[0_i64; SIDE]; SIDE]; 2];
    for (matrix, rows) in matrices.iter_mut().enumerate() {
        for (row, cells) in rows.iter_mut().enumerate() {
            for (column, cell) in cells.iter_mut().enumerate() {
                *cell = (random.next() % 1_000) as i64;
                memory.write(at(matrix, row, column), *cell).or_fail("write")?;
            }
        }
    }
    crate::check::on_threads(4, |index| {
        for row in (index as usize..SIDE).step_by(4) {
            for column in 0..SIDE {
                let mut cell = 0;
                for k in 0..SIDE {
                    let left = memory.read::<i64>(at(0, row, k)).or_fail("read")?;
                    cell += left * memory.read::<i64>(at(1, k, column)).or_fail("read")?;
                }
                memory.write(at(2, row, column), cell).or_fail("write")?;
            }
        }
        Ok(())
    })?;
    let [left, right] = &matrices;
    for (row, cells) in left.iter().enumerate() {
        for column in 0..SIDE {
            let cell: i64 = cells.iter().zip(right).map(|(a, line)| a * line[column]).sum();
            check_eq!(memory.read::<i64>(at(2, row, column)).or_fail("read")?, cell);
        }
    }
    Ok(())
}

/// How many of so many darts hit the quarter circle. Each block has a generator of its
/// own, so the answer does not depend on who throws them.
fn hits(block: u64, darts: u32) -> u64 {
    let mut random = Random(block.wrapping_mul(0xA076_1D64_78BD_642F));
    let mut unit = || (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
    (0..darts).filter(|_| unit().powi(2) + unit().powi(2) < 1.0).count() as u64
}

/// Throws all blocks of darts on so many workers.
fn throw(threads: usize, blocks: u64, darts: u32) -> Result<(u64, Duration), String> {
    let pool = ThreadPool::new(threads).or_fail("a pool")?;
    let start = Instant::now();
    let tasks: Vec<_> = (0..blocks).map(|block| pool.execute(move || hits(block, darts))).collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.wait().or_fail("a task")?;
    }
    Ok((sum, start.elapsed()))
}

/// 34: 1 to 16 threads give the same answer, and those that have a core each are faster
/// than one.
pub(crate) fn scalability() -> Figure {
    const BLOCKS: u64 = 64;
    const DARTS: u32 = 10_000;
    let mut best = [Duration::MAX; 17];
    let (expected, _) = throw(1, BLOCKS, DARTS)?;
    // Whatever disturbs a computation can only make it slower.
    for _ in 0..3 {
        for (threads, best) in best.iter_mut().enumerate().skip(1) {
            let (sum, time) = throw(threads, BLOCKS, DARTS)?;
            check_eq!(sum, expected);
            *best = time.min(*best);
        }
    }
    let threads = thread::available_parallelism().map_or(1, |count| count.get()).clamp(2, 16);
    let speed_up = best[1].as_secs_f64() / best[threads].as_secs_f64();
    Ok(format!("{speed_up:.2}x on {threads} threads"))
}

/// 35: a million samples and more.
pub(crate) fn monte_carlo_pi() -> Figure {
    const BLOCKS: u64 = 80;
    const DARTS: u32 = 100_000;
    let workers = thread::available_parallelism().map_or(1, |count| count.get()).max(2);
    let (expected, alone) = throw(1, BLOCKS, DARTS)?;
    let (sum, together) = throw(workers, BLOCKS, DARTS)?;
    check_eq!(sum, expected);
    let darts = BLOCKS as f64 * f64::from(DARTS);
    let pi = 4.0 * sum as f64 / darts;
    // Ten standard deviations of so many darts.
    let error = (pi - std::f64::consts::PI).abs();
    check!(error < 16.5 / darts.sqrt(), "pi is {pi}");
    let milliseconds = |time: Duration| 1e3 * time.as_secs_f64();
    Ok(format!("{:.0} -> {:.0} ms", milliseconds(alone), milliseconds(together)))
}
