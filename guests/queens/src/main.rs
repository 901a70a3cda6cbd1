//! In how many ways `--size` queens can stand on a board of that width without attacking
//! each other, counted `--with` one of three libraries on `--threads` threads.
//!
//! The search tree is very uneven. With rayon and with threadwork each node offers half
//! of its branches to others (`join`), with no cut-off: that is what they are for. With
//! std's threads the first two rows are the tasks, taken from a counter.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use example_cli::Options;

/// A board with queens in its upper rows. Bits are columns.
#[derive(Clone, Copy)]
struct Board {
    all: u32,
    columns: u32,
    /// Attacked in the next row along the diagonals.
    left: u32,
    right: u32,
}

impl Board {
    fn empty(width: usize) -> Self {
        Board { all: (1 << width) - 1, columns: 0, left: 0, right: 0 }
    }

    fn is_full(self) -> bool {
        self.columns == self.all
    }

    /// Where a queen can stand in the next row.
    fn free(self) -> u32 {
        self.all & !(self.columns | self.left | self.right)
    }

    /// With a queen there.
    fn with(self, queen: u32) -> Self {
        Board {
            columns: self.columns | queen,
            left: (self.left | queen) << 1,
            right: (self.right | queen) >> 1,
            ..self
        }
    }
}

/// Runs two functions, at the same time if somebody has time.
trait Join: Copy + Send + Sync {
    fn join(self, a: impl FnOnce() -> u64 + Send, b: impl FnOnce() -> u64 + Send) -> (u64, u64);
}

#[derive(Clone, Copy)]
struct Alone;

impl Join for Alone {
    fn join(self, a: impl FnOnce() -> u64 + Send, b: impl FnOnce() -> u64 + Send) -> (u64, u64) {
        (a(), b())
    }
}

#[derive(Clone, Copy)]
struct Rayon;

impl Join for Rayon {
    fn join(self, a: impl FnOnce() -> u64 + Send, b: impl FnOnce() -> u64 + Send) -> (u64, u64) {
        rayon::join(a, b)
    }
}

#[derive(Clone, Copy)]
struct Threadwork;

impl Join for Threadwork {
    fn join(self, a: impl FnOnce() -> u64 + Send, b: impl FnOnce() -> u64 + Send) -> (u64, u64) {
        threadwork::join(a, b)
    }
}

fn main() {
    let options = Options::from_args(13, &["--with"]);
    let board = Board::empty(options.size.clamp(1, 20));
    let (solutions, elapsed) = match options.get("--with", "threadwork") {
        "std" => timed(|| with_std(board, options.threads)),
        "rayon" => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build();
            let pool = pool.expect("cannot start the workers");
            timed(|| pool.install(|| solve(Rayon, board)))
        }
        "threadwork" => {
            let pool = threadwork::ThreadPool::new(options.threads);
            let pool = pool.expect("cannot start the workers");
            timed(|| pool.execute(move || solve(Threadwork, board)).wait().expect("no panic"))
        }
        other => {
            eprintln!("error: --with {other}: try std, rayon or threadwork");
            std::process::exit(2)
        }
    };
    options.report(solutions, elapsed);
}

fn timed(count: impl FnOnce() -> u64) -> (u64, std::time::Duration) {
    let start = Instant::now();
    let solutions = count();
    (solutions, start.elapsed())
}

/// All solutions with these queens.
fn solve(join: impl Join, board: Board) -> u64 {
    if board.is_full() {
        return 1;
    }
    branch(join, board, board.free())
}

/// Those of them with a queen of the next row in one of these places.
fn branch(join: impl Join, board: Board, places: u32) -> u64 {
    match places.count_ones() {
        0 => 0,
        1 => solve(join, board.with(places)),
        count => {
            let some = lowest(places, count / 2);
            let (a, b) =
                join.join(|| branch(join, board, some), || branch(join, board, places & !some));
            a + b
        }
    }
}

/// The lowest `count` bits that are set.
fn lowest(bits: u32, count: u32) -> u32 {
    let rest = (0..count).fold(bits, |rest, _| rest & (rest - 1));
    bits & !rest
}

/// A thread takes the next pair of queens in the first two rows.
fn with_std(board: Board, threads: usize) -> u64 {
    let width = board.all.count_ones() as usize;
    let tasks: Range<usize> = 0..width * width;
    let next = AtomicUsize::new(tasks.start);
    let work = || {
        let mut solutions = 0;
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if !tasks.contains(&task) {
                return solutions;
            }
            let (first, second) = (1 << (task / width), 1 << (task % width));
            let board = board.with(first);
            if width == 1 {
                solutions += 1;
            } else if board.free() & second != 0 {
                solutions += solve(Alone, board.with(second));
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
    })
}
