//! Integration: tests 33 to 35.

use std::time::{Duration, Instant};

use threadwork_engine::{Task, ThreadRuntime, Val};

use super::check::{Check, OrFail};
use super::stage::Stage;

/// 33: what many workers compute is what one computes.
pub(super) fn parallel_correctness(stage: &Stage) -> Check {
    const COUNT: u64 = 3_000_000;
    for workers in [1, 2, 4] {
        let (sum, _) = parallel_sum(&stage.runtime(workers, 1)?, COUNT)?;
        check_eq!(sum, COUNT * (COUNT - 1) / 2);
    }
    Ok(None)
}

/// 34: the same on 1 to 16 workers.
pub(super) fn scalability(stage: &Stage) -> Check {
    const COUNT: u64 = 100_000_000;
    let mut times = Vec::new();
    for workers in [1, 2, 4, 8, 16] {
        let (sum, time) = parallel_sum(&stage.runtime(workers, 1)?, COUNT)?;
        check_eq!(sum, COUNT * (COUNT - 1) / 2);
        times.push(time);
    }
    let [one, two, .., sixteen] = times.as_slice() else {
        return Err("nothing was measured".to_owned());
    };
    let gain = |time: &Duration| one.as_secs_f64() / time.as_secs_f64();
    Ok(Some(format!(
        "{:.2}x on 2 workers, {:.2}x on 16",
        gain(two),
        gain(sixteen)
    )))
}

/// 35: Monte Carlo pi, on one worker and on two.
pub(super) fn monte_carlo_pi(stage: &Stage) -> Check {
    const DARTS: u32 = 4_000_000;
    const TASKS: u32 = 16;
    let throw = |workers| {
        let runtime = stage.runtime(workers, 1)?;
        let begin = Instant::now();
        let tasks: Result<Vec<_>, _> = (1..=TASKS)
            .map(|seed| {
                let seed = i64::from(seed) * 0x9E37_79B9;
                let darts = (DARTS / TASKS).cast_signed();
                let task = Task::new("throw_darts", [Val::I64(seed), Val::I32(darts)]);
                runtime.execute(task).or_fail("execute")
            })
            .collect();
        let mut hits = 0;
        for task in tasks? {
            hits += task.wait_as::<u32>().or_fail("throw_darts")?;
        }
        Ok::<_, String>((hits, begin.elapsed()))
    };
    let ((alone, slow), (together, fast)) = (throw(1)?, throw(2)?);
    check_eq!(together, alone);
    let pi = 4.0 * f64::from(alone) / f64::from(DARTS);
    check!((pi - std::f64::consts::PI).abs() < 0.01, "pi is {pi}");
    Ok(Some(format!(
        "{} -> {} ms",
        slow.as_millis(),
        fast.as_millis()
    )))
}

/// The sum of the numbers up to `count`, in 32 tasks, and how long it took.
fn parallel_sum(runtime: &ThreadRuntime, count: u64) -> Result<(u64, Duration), String> {
    const TASKS: u64 = 32;
    let begin = Instant::now();
    let tasks: Result<Vec<_>, _> = (0..TASKS)
        .map(|part| {
            let bounds = [part, part + 1].map(|at| Val::I64((count * at / TASKS).cast_signed()));
            runtime.execute(Task::new("sum", bounds)).or_fail("execute")
        })
        .collect();
    let mut sum = 0;
    for task in tasks? {
        sum += task.wait_as::<u64>().or_fail("sum")?;
    }
    Ok((sum, begin.elapsed()))
}
