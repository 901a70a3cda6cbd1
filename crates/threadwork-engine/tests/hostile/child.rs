//! The program in which the seeds run, and what it says to its parent: one line for each
//! step, so that the last one tells what it died of.
//!
//! It aborts if a program does not end, and if anything panics: the engine's workers would
//! keep a panic to themselves.

use crate::case::Case;
use crate::ending;
use crate::holdings::Holdings;
use crate::numbers::Numbers;
use crate::watch::Watch;
use std::time::{Duration, Instant};
use std::{fs, thread};
use threadwork_engine::{Engine, Module};

/// What the parent says: mode, first seed, end of the seeds.
pub(crate) const ORDER: &str = "HOSTILE_CHILD";

/// Each module is started so often.
const ROUNDS: usize = 3;

/// Seeds after which allocators and pools have what they keep.
const WARM_UP: u64 = 50;

#[test]
#[ignore = "run by another test, in a program of its own"]
fn all() {
    let order = std::env::var(ORDER).unwrap();
    let [mode, first, end] = order.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{order}");
    };
    let (first, end) = (first.parse().unwrap(), end.parse().unwrap());
    abort_on_panic();
    // The test harness has left a line open.
    println!();
    let engine = crate::engine(mode);
    let mut warm = None;
    let reserve = Reserve::now();
    for seed in first..end {
        if seed == first + WARM_UP {
            warm = Some(holdings());
        }
        run(seed, &engine);
        reserve.must_be_kept();
    }
    if let Some(warm) = warm {
        println!("hostile leaving");
        holdings().must_not_exceed(&warm);
    }
    {
        let _watch = Watch::with(patience());
        drop(engine);
    }
    println!("hostile done");
}

/// Without resident memory: the compiler keeps what its largest function took.
fn holdings() -> Holdings {
    let mut holdings = Holdings::now(0);
    holdings.resident_kib = 0;
    holdings
}

fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

fn run(seed: u64, engine: &Engine) {
    let case = {
        let _watch = Watch::with(patience());
        Case::new(seed)
    };
    println!("hostile case {seed} {}", case.what);
    let module = {
        let _watch = Watch::with(patience());
        Module::new(engine, &case.module).unwrap()
    };
    let mut numbers = Numbers(!seed);
    for _ in 0..ROUNDS {
        let _watch = Watch::with(patience());
        let ended = ending::end(&case, &module, &mut numbers);
        match ended.took {
            Some(took) => println!("hostile took {} {:?}", took.as_nanos(), ended.way),
            None => println!("hostile missed {:?}", ended.way),
        }
    }
}

/// How long a program may take to end: more than on the busiest machine.
pub(crate) fn patience() -> Duration {
    Duration::from_secs(crate::report::number("HOSTILE_PATIENCE").unwrap_or(60))
}

/// What a process holds while it runs, and must not hold afterwards.
#[derive(Debug)]
struct Reserve {
    files: usize,
    /// Address space in ranges of a GiB and more: a linear memory takes 4 GiB, and nothing
    /// else has such ranges (stacks of idle workers, the allocator's arenas).
    reserved: u64,
}

impl Reserve {
    fn now() -> Self {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let size = |line: &str| {
            let (range, _) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let address = |text| u64::from_str_radix(text, 16).unwrap();
            address(end) - address(start)
        };
        Self {
            files: fs::read_dir("/proc/self/fd").unwrap().count(),
            reserved: maps.lines().map(size).filter(|size| *size >= 1 << 30).sum(),
        }
    }

    fn must_be_kept(&self) {
        let deadline = Instant::now() + patience();
        loop {
            let now = Self::now();
            if now.files <= self.files && now.reserved <= self.reserved {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "left behind: {now:?}, not {self:?}"
            );
            // What a worker that is just leaving holds.
            thread::sleep(Duration::from_millis(1));
        }
    }
}
