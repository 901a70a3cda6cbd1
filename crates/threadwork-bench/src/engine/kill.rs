//! How long a process takes to die: from the call of `kill` to the end of its last
//! thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use threadwork_engine::{
    Activity, Engine, ExitStatus, Module, Process, ProcessBuilder, ThreadContext,
};

use crate::case::{Case, Contestant, Effort, Goal, Sample, Unit};
use crate::statistics::quantile;

const THREADS: u32 = 16;
const MILLISECOND: f64 = 1e6;

/// A thread that never ends, after it has said that it is there.
struct Victim {
    name: &'static str,
    /// Its body in wat; `$argument` is its number.
    body: &'static str,
    /// What it is doing once it has arrived.
    activity: fn(&Activity) -> bool,
    goal: f64,
}

const VICTIMS: [Victim; 2] = [
    Victim {
        name: "kill/16-blocked",
        body: "(drop (memory.atomic.wait32 (i32.mul (local.get $argument) (i32.const 64))
            (i32.const 0) (i64.const -1)))",
        activity: |activity| matches!(activity, Activity::Waiting { .. }),
        goal: 2.0 * MILLISECOND,
    },
    Victim {
        name: "kill/16-computing",
        body: "(loop $forever (br $forever))",
        activity: |activity| matches!(activity, Activity::Running),
        goal: 10.0 * MILLISECOND,
    },
];

/// A sample is the 99th percentile of so many kills.
pub(super) fn cases(effort: Effort) -> Vec<Case> {
    let kills = effort.operations(100);
    let case = |victim: &'static Victim| {
        Case::new(format!("{} (p99)", victim.name), Unit::Nanoseconds)
            .contestant("threadwork", move || contestant(victim, kills))
            .goal(Goal::under("threadwork", victim.goal))
    };
    VICTIMS.iter().map(case).collect()
}

fn contestant(victim: &'static Victim, kills: u64) -> Result<Box<dyn Contestant>> {
    let engine = Engine::new()?;
    // The main thread sleeps with a timeout, far away: else it would be a deadlock.
    let text = format!(
        r#"(module
          (import "env" "memory" (memory 1 1 shared))
          (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
          (import "bench" "arrived" (func $arrived))
          (func (export "wasi_thread_start") (param $thread i32) (param $argument i32)
            (call $arrived)
            {})
          (func (export "_start") (local $number i32)
            (loop $next
              (local.set $number (i32.add (local.get $number) (i32.const 1)))
              (if (i32.lt_s (call $spawn (local.get $number)) (i32.const 0))
                (then (unreachable)))
              (br_if $next (i32.lt_u (local.get $number) (i32.const {THREADS}))))
            (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0)
              (i64.const 3_600_000_000_000)))))"#,
        victim.body
    );
    let module = Module::new(&engine, text.as_bytes())?;
    Ok(Box::new(move || {
        let times: Result<Vec<f64>> = (0..kills).map(|_| kill(&module, victim)).collect();
        let mut times = times?;
        times.sort_by(f64::total_cmp);
        Ok(Sample::new(quantile(&times, 0.99)))
    }))
}

/// Starts a process, kills it when all its threads are there, and gives the time
/// until they are gone.
fn kill(module: &Module, victim: &Victim) -> Result<f64> {
    /// From the last sign of life before a sleep to the sleep.
    const SETTLE: Duration = Duration::from_millis(1);
    /// The machine has fewer cores than there are threads: they take turns.
    const PATIENCE: Duration = Duration::from_secs(10);
    let arrived = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&arrived);
    let process = ProcessBuilder::new(module)
        .linker(move |linker| {
            let count = move |_: threadwork_engine::Caller<'_, ThreadContext>| {
                // Ordering: nothing is published by this count.
                count.fetch_add(1, Ordering::Relaxed);
            };
            linker.func_wrap("bench", "arrived", count).map(|_| ())
        })
        .spawn()?;
    let start = Instant::now();
    // Ordering: as above.
    while arrived.load(Ordering::Relaxed) < THREADS || !all_are(&process, victim) {
        ensure!(start.elapsed() < PATIENCE, "the threads did not all start");
        thread::sleep(SETTLE);
    }
    thread::sleep(SETTLE);
    let start = Instant::now();
    process.kill();
    let status = process.wait();
    let elapsed = start.elapsed();
    ensure!(
        matches!(status, ExitStatus::Killed { .. }),
        "it was killed, but: {status}"
    );
    Ok(elapsed.as_nanos() as f64)
}

/// All but the main thread, which is number 0.
fn all_are(process: &Process, victim: &Victim) -> bool {
    let threads = process.threads();
    let doing = |id: u32, activity| id != 0 && (victim.activity)(activity);
    let doing = threads.iter().filter(|info| doing(info.id, &info.activity));
    doing.count() == THREADS as usize
}
