//! Starts a program and ends it at a random moment, in one of the ways there are.

use crate::case::{Case, Door, Output};
use crate::numbers::Numbers;
use std::thread;
use std::time::{Duration, Instant};
use threadwork_engine::{
    Error, ExitStatus, Limits, Module, Process, ProcessBuilder, RuntimeConfig, Stdin, Task,
    TaskHandle, ThreadRuntime, Val,
};

/// Threads beside the main one, of each process.
const THREADS: u32 = 16;

/// How a program is ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Kill,
    Killer,
    Drop,
    Time,
    /// Of each task.
    Cancel,
    /// Of each task. Counted from when it was queued, a little before its time runs.
    TaskTime,
}

/// What became of a program.
pub(crate) struct Ended {
    pub(crate) way: Way,
    /// From the moment it was ended until nothing of it ran; `None` if it could not be
    /// started, or had ended by itself.
    pub(crate) took: Option<Duration>,
}

/// Starts the program and ends it.
pub(crate) fn end(case: &Case, module: &Module, numbers: &mut Numbers) -> Ended {
    // At most 20 ms, mostly less.
    let most = 1 + numbers.below(20_000);
    let after = Duration::from_micros(1 + numbers.below(most) as u64);
    let ways: &[Way] = match case.door {
        Door::Command => &[Way::Kill, Way::Killer, Way::Drop, Way::Time],
        Door::Call => &[Way::Kill, Way::Killer, Way::Time],
        // Nobody has a handle on it.
        Door::Initialize => &[Way::Time],
        Door::Tasks(_) => &[Way::Kill, Way::Drop, Way::Cancel, Way::TaskTime],
    };
    let way = ways[numbers.below(ways.len())];
    println!("hostile way {way:?} after {after:?}");
    let took = match &case.door {
        Door::Tasks(tasks) => end_tasks(case, module, tasks, way, after),
        _ => end_process(case, module, way, after),
    };
    Ended { way, took }
}

/// What every process is given.
fn give(builder: ProcessBuilder, output: Output) -> ProcessBuilder {
    use threadwork_engine::Output as To;
    let to = match output {
        Output::Forgotten => To::Null,
        Output::Kept => To::Buffer,
        Output::Blocked | Output::Closed => To::Pipe,
    };
    builder.stdin(Stdin::Pipe).stdout(to).linker(|linker| {
        linker.func_wrap("host", "nothing", || {})?;
        linker.func_wrap("host", "work", |n: i32| {
            (0..1000).fold(n, i32::wrapping_add)
        })?;
        Ok(())
    })
}

fn end_process(case: &Case, module: &Module, way: Way, after: Duration) -> Option<Duration> {
    let mut limits = Limits::default().threads(THREADS);
    if way == Way::Time {
        limits = limits.wall_time(after);
    }
    let builder = give(ProcessBuilder::new(module), case.output).limits(limits);
    let begun = Instant::now();
    let process = match case.door {
        Door::Command => builder.spawn(),
        _ => builder.load(),
    };
    let process = started(case, process)?;
    if case.output == Output::Closed {
        drop(process.take_stdout());
    }
    if case.door != Door::Call {
        return stop(case, process, way, begun + after);
    }
    let process = &process;
    thread::scope(|scope| {
        let call = scope.spawn(|| process.call("go", &[]));
        let took = finish(case, process, way, begun + after);
        assert!(call.join().unwrap().is_err());
        took
    })
}

/// Ends a process at a moment.
fn stop(case: &Case, process: Process, way: Way, moment: Instant) -> Option<Duration> {
    if way != Way::Drop {
        return finish(case, &process, way, moment);
    }
    sleep_until(moment);
    let status = process.try_wait();
    let begun = Instant::now();
    drop(process);
    let took = begun.elapsed();
    status.map_or(Some(took), |status| by_itself(case, &status))
}

/// Ends a process at a moment in another way than by its drop.
fn finish(case: &Case, process: &Process, way: Way, moment: Instant) -> Option<Duration> {
    let (begun, expected) = match way {
        Way::Time => (moment, 124),
        _ => {
            sleep_until(moment);
            let begun = Instant::now();
            match way {
                Way::Killer => process.killer().kill(),
                _ => process.kill(),
            }
            (begun, 130)
        }
    };
    let status = process.wait();
    let took = begun.elapsed();
    match status.code() == expected {
        true => Some(took),
        false => by_itself(case, &status),
    }
}

fn end_tasks(
    case: &Case,
    module: &Module,
    tasks: &[String],
    way: Way,
    after: Duration,
) -> Option<Duration> {
    let config = RuntimeConfig {
        memory_size: 0,
        pool_size: tasks.len() as u32,
        max_threads: THREADS,
        ..RuntimeConfig::default()
    };
    let runtime = ThreadRuntime::builder(module)
        .config(config)
        .host_threads(0)
        .process(|process| give(process, case.output))
        .build();
    let runtime = started(case, runtime)?;
    let start = |entry: &String| {
        let mut task = Task::new(entry, [] as [Val; 0]);
        if way == Way::TaskTime {
            task = task.timeout(after);
        }
        runtime.execute(task).unwrap()
    };
    let begun = Instant::now();
    let tasks: Vec<_> = tasks.iter().map(start).collect();
    sleep_until(begun + after);
    let ended = Instant::now();
    // Those that have trapped are no longer there to be stopped.
    let running = tasks.iter().any(|task| !task.is_done());
    match way {
        Way::Drop => drop(runtime),
        Way::Kill => drop(runtime.shutdown_now()),
        _ => {
            wait_for(&tasks, way);
            let took = ended.elapsed();
            // Its workers are as good as new.
            if case.endless {
                let answer = runtime
                    .execute(Task::new("answer", [] as [Val; 0]))
                    .unwrap();
                assert_eq!(answer.wait_as::<i32>().unwrap(), 42);
            }
            return (running || way == Way::TaskTime).then_some(took);
        }
    }
    let took = ended.elapsed();
    assert!(tasks.iter().all(TaskHandle::is_done));
    running.then_some(took)
}

/// Cancels tasks, unless they have a time, and waits for them.
fn wait_for(tasks: &[TaskHandle], way: Way) {
    if way == Way::Cancel {
        for task in tasks {
            task.cancel();
        }
    }
    for task in tasks {
        let _ = task.wait();
    }
}

/// What could be started. A random module may trap before it runs.
fn started<T>(case: &Case, result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(started) => Some(started),
        Err(error) if case.endless => panic!("{error}"),
        Err(_) => None,
    }
}

/// The program has ended before it was ended.
fn by_itself(case: &Case, status: &ExitStatus) -> Option<Duration> {
    // All of its threads may wait for ever.
    let may = !case.endless || matches!(status, ExitStatus::Deadlock(_));
    assert!(may, "it ended by itself: {status}");
    println!("hostile itself {}", status.code());
    None
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}
