//! Workloads that call an allocator's own methods.
//!
//! Each block is written when it is taken and read when it is given back, at its first
//! byte: as little as an allocation can be used, so that what is measured is the
//! allocator. The answer is the sum of what was read.

use std::alloc::{GlobalAlloc, Layout};

use threadwork_sync::channel::{self, Receiver, Sender, TrySendError};
use threadwork_workloads::{Measured, share, timed};

/// An allocator that competes.
pub(crate) trait Rival: 'static {
    /// The one of this program.
    fn allocator() -> &'static (impl GlobalAlloc + Sync);
}

/// All blocks are aligned to this.
const ALIGN: usize = 8;

/// A block of an allocator: its address, and its size.
#[derive(Clone, Copy)]
struct Block {
    address: *mut u8,
    size: usize,
}

// SAFETY: whoever has the block may use it.
unsafe impl Send for Block {}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("workloads ask for small sizes")
}

impl Block {
    #[inline(never)]
    fn take<R: Rival>(size: usize, mark: u8) -> Self {
        // SAFETY: no workload asks for nothing.
        let address = unsafe { R::allocator().alloc(layout(size)) };
        assert!(!address.is_null(), "out of memory");
        // SAFETY: there is at least one byte.
        unsafe { address.write(mark) };
        Block { address, size }
    }

    #[inline(never)]
    fn grow<R: Rival>(&mut self, size: usize) {
        // SAFETY: the block came from `take`, with this layout.
        self.address = unsafe { R::allocator().realloc(self.address, layout(self.size), size) };
        assert!(!self.address.is_null(), "out of memory");
        self.size = size;
    }

    #[inline(never)]
    fn give<R: Rival>(self) -> u64 {
        // SAFETY: `take` wrote it.
        let mark = unsafe { self.address.read() };
        // SAFETY: the block came from `take`, with this layout, and goes no further.
        unsafe { R::allocator().dealloc(self.address, layout(self.size)) };
        u64::from(mark)
    }
}

/// Pseudo-random numbers, the same in each run.
struct Random(u32);

impl Random {
    fn of(thread: u32) -> Self {
        Random(thread.wrapping_mul(0x9e37_79b9) | 1)
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        ((u64::from(self.0) * u64::from(bound)) >> 32) as u32
    }

    /// A size up to `1 << most`, small ones as often as large ones.
    fn size(&mut self, least: u32, most: u32) -> usize {
        let top = 1 << (least + self.below(most - least));
        (top + self.below(top)) as usize
    }
}

/// One block at a time, of 8 to 256 bytes.
pub(crate) fn pairs<R: Rival>(threads: u32, iterations: u64) -> Measured {
    let (elapsed, answer) = timed(threads, |index| {
        (0..share(iterations, threads, index))
            .map(|n| Block::take::<R>(8 << (n % 6), n as u8).give::<R>())
            .sum()
    });
    Measured::new(elapsed, iterations, answer)
}

/// A hundred blocks of one size, then they go in the order in which they came.
pub(crate) fn batches<R: Rival>(threads: u32, iterations: u64) -> Measured {
    const BATCH: u64 = 100;
    let (elapsed, answer) = timed(threads, |index| {
        let mut blocks = Vec::with_capacity(BATCH as usize);
        let mut left = share(iterations, threads, index);
        let mut sum = 0;
        let mut batch = 0;
        while left > 0 {
            let count = left.min(BATCH);
            blocks.extend((0..count).map(|n| Block::take::<R>(8 << (batch % 6), n as u8)));
            sum += blocks.drain(..).map(Block::give::<R>).sum::<u64>();
            left -= count;
            batch += 1;
        }
        sum
    });
    Measured::new(elapsed, iterations, answer)
}

/// A working set in which blocks of random sizes replace each other, as in a server
/// (Larson and Krishnan's benchmark, without its threads that end).
fn working_set<R: Rival>(
    (threads, iterations): (u32, u64),
    count: u32,
    (least, most): (u32, u32),
) -> Measured {
    let (elapsed, answer) = timed(threads, |index| {
        let mut random = Random::of(index);
        let mut blocks: Vec<Block> = (0..count)
            .map(|n| Block::take::<R>(random.size(least, most), n as u8))
            .collect();
        let mut sum = 0;
        for n in 0..share(iterations, threads, index) {
            let slot = &mut blocks[random.below(count) as usize];
            sum += slot.give::<R>();
            *slot = Block::take::<R>(random.size(least, most), n as u8);
        }
        sum + blocks.drain(..).map(Block::give::<R>).sum::<u64>()
    });
    Measured::new(elapsed, iterations, answer)
}

/// 1,000 live blocks of 8 to 1,023 bytes for each thread.
pub(crate) fn random<R: Rival>(threads: u32, iterations: u64) -> Measured {
    working_set::<R>((threads, iterations), 1_000, (3, 10))
}

/// 100 live blocks of 1 to 64 KiB for each thread.
pub(crate) fn blocks<R: Rival>(threads: u32, iterations: u64) -> Measured {
    working_set::<R>((threads, iterations), 100, (10, 16))
}

/// Each thread hands all of its blocks to the next one, which gives them back.
pub(crate) fn handed<R: Rival>(threads: u32, iterations: u64) -> Measured {
    const BATCH: u64 = 64;
    type Batch = [Option<Block>; BATCH as usize];
    fn give<R: Rival>(batch: Batch) -> u64 {
        batch.into_iter().flatten().map(Block::give::<R>).sum()
    }
    let (senders, receivers): (Vec<Sender<Batch>>, Vec<Receiver<Batch>>) =
        (0..threads).map(|_| channel::bounded(8)).unzip();
    // Each is taken once, by its thread.
    let ends: Vec<_> = (0..threads as usize)
        .map(|index| {
            let next = (index + 1) % threads as usize;
            std::sync::Mutex::new(Some((senders[next].clone(), receivers[index].clone())))
        })
        .collect();
    drop((senders, receivers));
    let (elapsed, answer) = timed(threads, |index| {
        let ends = ends[index as usize].lock().expect("nobody panics").take();
        let (sender, receiver) = ends.expect("taken once");
        let mut random = Random::of(index);
        let mut sum = 0;
        let mut left = share(iterations, threads, index);
        while left > 0 {
            let count = left.min(BATCH);
            left -= count;
            let mut batch: Batch = [None; BATCH as usize];
            for (n, place) in batch.iter_mut().take(count as usize).enumerate() {
                *place = Some(Block::take::<R>(random.size(3, 8), n as u8));
            }
            while let Err(TrySendError::Full(full)) = sender.try_send(batch) {
                batch = full;
                // The next one may wait for us in its turn.
                match receiver.try_recv() {
                    Ok(batch) => sum += give::<R>(batch),
                    Err(_) => std::thread::yield_now(),
                }
            }
            sum += receiver.try_recv().map(give::<R>).unwrap_or_default();
        }
        drop(sender);
        sum + receiver.iter().map(give::<R>).sum::<u64>()
    });
    Measured::new(elapsed, iterations, answer)
}

/// A buffer that doubles from 16 bytes to 1 MiB, as a `Vec` that is pushed to. One
/// operation is one such buffer.
pub(crate) fn growth<R: Rival>(threads: u32, iterations: u64) -> Measured {
    let (elapsed, answer) = timed(threads, |index| {
        (0..share(iterations, threads, index))
            .map(|n| {
                let mut block = Block::take::<R>(16, n as u8);
                while block.size < 1 << 20 {
                    block.grow::<R>(block.size * 2);
                }
                block.give::<R>()
            })
            .sum()
    });
    Measured::new(elapsed, iterations, answer)
}

/// Threads that take a hundred blocks, give them back and end; so many at a time. One
/// operation is one thread.
pub(crate) fn threads<R: Rival>(threads: u32, iterations: u64) -> Measured {
    let start = std::time::Instant::now();
    let mut answer = 0;
    for round in 0..iterations.div_ceil(u64::from(threads)) {
        let count = (iterations - round * u64::from(threads)).min(u64::from(threads));
        answer += std::thread::scope(|scope| {
            let running: Vec<_> = (0..count)
                .map(|index| scope.spawn(move || one_thread::<R>(index as u32)))
                .collect();
            let ended = running.into_iter();
            ended
                .map(|thread| thread.join().expect("no workload panics"))
                .sum::<u64>()
        });
    }
    Measured::new(start.elapsed(), iterations, answer)
}

fn one_thread<R: Rival>(index: u32) -> u64 {
    let mut random = Random::of(index);
    let mut blocks = [const { None }; 100];
    for (n, place) in blocks.iter_mut().enumerate() {
        *place = Some(Block::take::<R>(random.size(3, 10), n as u8));
    }
    blocks.into_iter().flatten().map(Block::give::<R>).sum()
}

/// What `threads` threads take for their work, as a multiple of what one takes for it: half, if
/// two do not disturb each other. One runs before and after the others.
fn scaling(work: fn(u32, u64) -> Measured, threads: u32, iterations: u64) -> Measured {
    let before = work(1, iterations);
    let together = work(threads, iterations * 2);
    let after = work(1, iterations);
    Measured {
        ns_per_op: together.ns_per_op * 2.0 / (before.ns_per_op + after.ns_per_op),
        answer: together.answer,
    }
}

/// How [`pairs`] scale.
pub(crate) fn scaling_pairs<R: Rival>(threads: u32, iterations: u64) -> Measured {
    scaling(pairs::<R>, threads, iterations)
}

/// How [`batches`] scale.
pub(crate) fn scaling_batches<R: Rival>(threads: u32, iterations: u64) -> Measured {
    scaling(batches::<R>, threads, iterations)
}

/// How [`random`] scale.
pub(crate) fn scaling_random<R: Rival>(threads: u32, iterations: u64) -> Measured {
    scaling(random::<R>, threads, iterations)
}

/// Live blocks for [`footprint`](crate::footprint): takes `iterations` of them, of 8 to
/// 1,023 bytes, on so many threads, then gives every second one back and takes it again
/// in another size; calls `look` while all are live, and says how many bytes they asked
/// for.
pub(crate) fn fill<R: Rival>(
    threads: u32,
    iterations: u64,
    look: impl FnOnce() -> u64,
) -> (u64, u64) {
    let filled: Vec<Vec<Block>> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|index| {
                scope.spawn(move || {
                    let mut random = Random::of(index);
                    let count = share(iterations, threads, index);
                    let mut blocks: Vec<Block> = (0..count)
                        .map(|n| Block::take::<R>(random.size(3, 10), n as u8))
                        .collect();
                    for block in blocks.iter_mut().step_by(2) {
                        block.give::<R>();
                        *block = Block::take::<R>(random.size(3, 10), 0);
                    }
                    blocks
                })
            })
            .collect();
        let ended = running.into_iter();
        ended
            .map(|thread| thread.join().expect("no workload panics"))
            .collect()
    });
    let figure = look();
    let blocks = filled.into_iter().flatten();
    let live = blocks
        .map(|block| {
            block.give::<R>();
            block.size as u64
        })
        .sum();
    (figure, live)
}
