//! The parking lot by itself, natively: against plain `parking_lot_core`, and against
//! the kernel's futex.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use parking_lot_core::{DEFAULT_PARK_TOKEN, DEFAULT_UNPARK_TOKEN};
use threadwork_parking::{Cores, ParkingLot, WaitResult};

use crate::case::{Case, Effort, Goal, Sample, Unit};
use crate::cpu;

/// The games and the lots; the kernel's futex is the baseline.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    let pairs = |pairs: u32, cores| Game {
        name: "round-trip",
        play: round_trips,
        players: 2 * pairs,
        operations: effort.operations(1_000 * u64::from(pairs)),
        cores,
    };
    let crowd = |name, operations, play, players| Game {
        name,
        play,
        players,
        operations: effort.operations(operations),
        cores: None,
    };
    vec![
        pairs(1, None).case("parking/1-pair"),
        pairs(4, Some(2)).case("parking/4-pairs-on-2-cores"),
        crowd("notify", 1_000_000, notify_nobody, 1).case("parking/notify-nobody"),
        crowd("broadcast", 500, broadcasts, 5).case("parking/1-waker-4-waiters"),
        crowd("broadcast", 200, broadcasts, 17).case("parking/1-waker-16-waiters"),
    ]
}

/// Where threads can sleep on a word.
trait Lot: Sync {
    /// The calling thread will use the lot.
    fn enter(&self) {}
    /// The calling thread is done with it.
    fn leave(&self) {}
    /// Sleeps while the word is `expected`; may return early.
    fn wait(&self, player: u32, word: &AtomicU32, expected: u32);
    /// Wakes one sleeper.
    fn wake_one(&self, word: &AtomicU32);
    /// Wakes all sleepers.
    fn wake_all(&self, word: &AtomicU32);
}

/// Makes a lot for a machine with so many cores.
type MakeLot = fn(u32) -> Result<Box<dyn Lot>>;

/// What the players do with a lot.
#[derive(Clone, Copy)]
struct Game {
    name: &'static str,
    /// Plays a player's part, and gives how many operations it has completed.
    play: fn(&dyn Lot, &Table, u32) -> u64,
    players: u32,
    operations: u64,
    cores: Option<u32>,
}

impl Game {
    fn case(self, name: &str) -> Case {
        let lots: [(&str, MakeLot); 3] = [
            ("futex", |_| futex()),
            ("parking_lot_core", |_| Ok(Box::new(ParkingLotCore))),
            ("threadwork", |cores| Ok(Box::new(Threadwork::new(cores)))),
        ];
        let case = lots.into_iter().fold(
            Case::new(name, Unit::Nanoseconds).cpu_time(),
            |case, (lot_name, lot)| {
                case.contestant(lot_name, move || {
                    let cores = thread::available_parallelism()?.get() as u32;
                    let lot = lot(self.cores.unwrap_or(cores))?;
                    Ok(Box::new(move || self.sample(lot.as_ref())))
                })
            },
        );
        ["futex", "parking_lot_core"]
            .iter()
            .fold(case, |case, rival| {
                case.goal(Goal::at_most("threadwork", 1.0, *rival))
            })
    }

    /// Plays once.
    fn sample(self, lot: &dyn Lot) -> Result<Sample> {
        let table = Table::new(self.players, self.operations);
        let gate = Barrier::new(self.players as usize);
        let part = &|player| -> Result<(Instant, Instant, u64)> {
            lot.enter();
            gate.wait();
            let start = Instant::now();
            let completed = (self.play)(lot, &table, player);
            let end = Instant::now();
            lot.leave();
            Ok((start, end, completed))
        };
        let parts: Result<Vec<_>> = thread::scope(|scope| {
            // The players inherit the cores of the thread that starts them.
            let host = scope.spawn(|| {
                self.cores.map_or(Ok(()), cpu::use_cores)?;
                thread::scope(|scope| {
                    let players = (0..self.players).map(|player| scope.spawn(move || part(player)));
                    let players: Vec<_> = players.collect();
                    players.into_iter().map(join).collect()
                })
            });
            join(host)
        });
        let parts = parts?;
        let start = parts.iter().map(|part| part.0).min();
        let end = parts.iter().map(|part| part.1).max();
        let elapsed = start
            .zip(end)
            .map_or(Duration::ZERO, |(start, end)| end - start);
        let completed: u64 = parts.iter().map(|part| part.2).sum();
        ensure!(
            completed == self.operations,
            "{} of a {} got lost",
            self.operations - completed,
            self.name
        );
        Ok(Sample::new(elapsed.as_nanos() as f64 / self.operations as f64).answer(completed))
    }
}

/// The result of a player; a panic is an error.
fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a player panicked"))?
}

/// The words of a game, each on a cache line of its own.
struct Table {
    operations: u64,
    players: u32,
    /// Whose turn it is, 0 or 1, for each pair.
    turns: Vec<Word>,
    /// The number of the broadcast.
    call: Word,
    /// Who has not heard it yet.
    missing: Word,
}

#[derive(Default)]
#[repr(align(128))]
struct Word(AtomicU32);

impl Table {
    fn new(players: u32, operations: u64) -> Self {
        Table {
            operations,
            players,
            turns: (0..players.div_ceil(2)).map(|_| Word::default()).collect(),
            call: Word::default(),
            missing: Word::default(),
        }
    }
}

/// Player 0 of a pair serves, player 1 returns. One operation: a round trip.
fn round_trips(lot: &dyn Lot, table: &Table, player: u32) -> u64 {
    let (turn, side) = (&table.turns[(player / 2) as usize].0, player % 2);
    let mut returned = 0;
    for _ in 0..table.operations / u64::from(table.players / 2) {
        // Ordering here and in the other games: as a guest would do it in wasm, where
        // there is no other.
        while turn.load(Ordering::SeqCst) != side {
            lot.wait(player, turn, 1 - side);
        }
        returned += u64::from(side);
        turn.store(1 - side, Ordering::SeqCst);
        lot.wake_one(turn);
    }
    returned
}

/// One operation: a wake-up, where nobody sleeps.
fn notify_nobody(lot: &dyn Lot, table: &Table, _player: u32) -> u64 {
    for _ in 0..table.operations {
        lot.wake_one(&table.call.0);
    }
    table.operations
}

/// Player 0 calls all others, and sleeps until the last of them has heard it. One
/// operation: a call.
fn broadcasts(lot: &dyn Lot, table: &Table, player: u32) -> u64 {
    let (call, missing) = (&table.call.0, &table.missing.0);
    for number in 1..=table.operations as u32 {
        if player == 0 {
            missing.store(table.players - 1, Ordering::SeqCst);
            call.store(number, Ordering::SeqCst);
            lot.wake_all(call);
            loop {
                match missing.load(Ordering::SeqCst) {
                    0 => break,
                    left => lot.wait(player, missing, left),
                }
            }
        } else {
            while call.load(Ordering::SeqCst) != number {
                lot.wait(player, call, number - 1);
            }
            if missing.fetch_sub(1, Ordering::SeqCst) == 1 {
                lot.wake_one(missing);
            }
        }
    }
    if player == 0 { table.operations } else { 0 }
}

/// Ours, as the engine uses it.
struct Threadwork {
    cores: Arc<Cores>,
    lot: ParkingLot,
}

impl Threadwork {
    fn new(cores: u32) -> Self {
        let cores = Arc::new(Cores::new(cores));
        Threadwork {
            lot: ParkingLot::new(Arc::clone(&cores)),
            cores,
        }
    }
}

impl Lot for Threadwork {
    fn enter(&self) {
        self.cores.acquire();
        self.lot.enter();
    }

    fn leave(&self) {
        self.cores.release();
        self.lot.leave(|| panic!("a wake-up was lost"));
    }

    fn wait(&self, player: u32, word: &AtomicU32, expected: u32) {
        let load = || word.load(Ordering::SeqCst).into();
        let key = word.as_ptr().addr();
        let result = self
            .lot
            .wait(player, key, None, expected.into(), load, || false);
        assert_ne!(result, WaitResult::Deadlock, "a wake-up was lost");
    }

    fn wake_one(&self, word: &AtomicU32) {
        self.lot.notify(word.as_ptr().addr(), 1);
    }

    fn wake_all(&self, word: &AtomicU32) {
        self.lot.notify(word.as_ptr().addr(), u32::MAX);
    }
}

/// The queues of the `parking_lot` crate, with no spinning in front of them.
struct ParkingLotCore;

impl Lot for ParkingLotCore {
    fn wait(&self, _player: u32, word: &AtomicU32, expected: u32) {
        let holds = || word.load(Ordering::SeqCst) == expected;
        // SAFETY: nobody else uses the address of a word of ours as a key, and the
        // closures neither panic nor call into parking_lot.
        unsafe {
            parking_lot_core::park(
                word.as_ptr().addr(),
                holds,
                || (),
                |_, _| (),
                DEFAULT_PARK_TOKEN,
                None,
            );
        }
    }

    fn wake_one(&self, word: &AtomicU32) {
        // SAFETY: as in `wait`.
        unsafe {
            parking_lot_core::unpark_one(word.as_ptr().addr(), |_| DEFAULT_UNPARK_TOKEN);
        }
    }

    fn wake_all(&self, word: &AtomicU32) {
        // SAFETY: as in `wait`.
        unsafe {
            parking_lot_core::unpark_all(word.as_ptr().addr(), DEFAULT_UNPARK_TOKEN);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn futex() -> Result<Box<dyn Lot>> {
    anyhow::bail!("there are futexes on Linux only")
}

#[cfg(target_os = "linux")]
fn futex() -> Result<Box<dyn Lot>> {
    Ok(Box::new(Futex))
}

/// The kernel's.
#[cfg(target_os = "linux")]
struct Futex;

#[cfg(target_os = "linux")]
impl Futex {
    fn wake(word: &AtomicU32, count: libc::c_int) {
        let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: the kernel uses the address as a key, and does not write there.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), wake, count) };
    }
}

#[cfg(target_os = "linux")]
impl Lot for Futex {
    fn wait(&self, _player: u32, word: &AtomicU32, expected: u32) {
        let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        let forever = std::ptr::null::<libc::timespec>();
        // SAFETY: the word is alive and aligned for the whole call, and a null timeout
        // means none. Any error (the value differs, a signal) is an early return.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), wait, expected, forever) };
    }

    fn wake_one(&self, word: &AtomicU32) {
        Futex::wake(word, 1);
    }

    fn wake_all(&self, word: &AtomicU32) {
        Futex::wake(word, libc::c_int::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{self, Options};

    #[test]
    fn every_lot_completes_every_game() {
        for case in cases(Effort::Quick) {
            let options = Options {
                rounds: 1,
                warm_up: 0,
                ..Options::default()
            };
            let report = run::case(case, &options, &mut |_| ());
            assert_eq!(report.failure, None, "{}", report.name);
        }
    }
}
