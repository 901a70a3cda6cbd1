//! Synchronization: tests 27 to 32. Guests and threads of this program meet at one
//! primitive in the guests' memory.

use std::alloc::Layout;
use std::time::Duration;

use threadwork_engine::{
    ExitStatus, Object, Priority, SharedMemory, Task, TaskError, TaskHandle, Val,
};

use super::check::{Check, OrFail};
use super::stage::{Stage, on_threads, start};

const SHORT: Duration = Duration::from_millis(5);

/// Two words that are equal, unless somebody is seen in the middle of a change.
struct Pair {
    words: Object,
}

impl Pair {
    fn new(memory: &SharedMemory) -> Result<Self, String> {
        let words = memory
            .allocate(Layout::new::<[u64; 2]>())
            .or_fail("allocate")?;
        Ok(Self { words })
    }

    fn offset(&self) -> u64 {
        self.words.offset()
    }

    fn read(&self) -> Result<u64, String> {
        let memory = self.words.memory();
        let one: u64 = memory.read(self.offset()).or_fail("read")?;
        let two: u64 = memory.read(self.offset() + 8).or_fail("read")?;
        check_eq!(two, one);
        Ok(one)
    }

    fn increment(&self) -> Result<(), String> {
        let memory = self.words.memory();
        let next = self.read()? + 1;
        memory.write(self.offset(), next).or_fail("write")?;
        memory.write(self.offset() + 8, next).or_fail("write")
    }
}

fn finish<const N: usize>(guests: [TaskHandle; N]) -> Result<u64, String> {
    let mut sum = 0;
    for guest in guests {
        if let [Val::I32(result)] = guest.wait().or_fail("a guest")?.as_slice() {
            sum += u64::from(result.cast_unsigned());
        }
    }
    Ok(sum)
}

/// 27
pub(super) fn mutex(stage: &Stage) -> Check {
    const TIMES: u64 = 200_000;
    let runtime = stage.runtime(2, 2)?;
    let memory = runtime.memory();
    let (mutex, pair) = (memory.mutex().or_fail("a mutex")?, Pair::new(&memory)?);
    let guest = || {
        start(
            &runtime,
            "add_under_mutex",
            [mutex.offset(), pair.offset(), TIMES],
        )
    };
    let guests = [guest()?, guest()?];
    on_threads(2, |_| {
        for _ in 0..TIMES {
            let _guard = mutex.lock().or_fail("lock")?;
            pair.increment()?;
        }
        Ok(())
    })?;
    finish(guests)?;
    check_eq!(pair.read()?, 4 * TIMES);

    let guard = mutex.try_lock().or_fail("try_lock")?;
    check!(guard.is_some(), "nobody has it, and it cannot be had");
    let second = mutex.lock_timeout(SHORT).or_fail("lock_timeout")?;
    check!(second.is_none(), "two have it");
    drop(guard);
    check!(
        !mutex.is_locked().or_fail("is_locked")?,
        "the guard is gone, and it is locked"
    );
    Ok(None)
}

/// 28: a turn goes round among two guests and this program; one lost notify, and it stops.
pub(super) fn condvar(stage: &Stage) -> Check {
    const LAPS: u64 = 1_000;
    let runtime = stage.runtime(2, 1)?;
    let memory = runtime.memory();
    let mutex = memory.mutex().or_fail("a mutex")?;
    let turned = memory.condvar().or_fail("a condvar")?;
    let turn = memory.cache_aligned(0_u32).or_fail("allocate")?;
    let guest = |me| {
        let args = [mutex.offset(), turned.offset(), turn.offset(), me, 3, LAPS];
        start(&runtime, "take_turns", args)
    };
    let guests = [guest(0)?, guest(1)?];
    for _ in 0..LAPS {
        let mut guard = mutex.lock().or_fail("lock")?;
        while turn.load() != 2 {
            guard = turned.wait(guard).or_fail("wait")?;
        }
        turn.store(0);
        drop(guard);
        turned.notify_all().or_fail("notify")?;
    }
    finish(guests)?;
    check_eq!(turn.load(), 0);
    Ok(None)
}

/// 29: many phases, one leader each, of two guests and two threads of this program.
pub(super) fn barrier(stage: &Stage) -> Check {
    const PARTIES: u32 = 4;
    const PHASES: u32 = 300;
    let runtime = stage.runtime(2, 2)?;
    let memory = runtime.memory();
    let barrier = memory.barrier(PARTIES).or_fail("a barrier")?;
    let arrived = memory.cache_aligned(0_u32).or_fail("allocate")?;
    let led = memory.cache_aligned(0_u32).or_fail("allocate")?;
    let [parties, phases] = [PARTIES, PHASES].map(u64::from);
    let args = [barrier.offset(), arrived.offset(), parties, phases];
    let guest = || start(&runtime, "pass_barrier", args);
    let guests = [guest()?, guest()?];
    on_threads(2, |_| {
        for phase in 1..=PHASES {
            arrived.add(1);
            led.add(u32::from(barrier.wait().or_fail("wait")?.is_leader()));
            check_eq!(arrived.load(), phase * PARTIES);
            barrier.wait().or_fail("wait")?;
        }
        Ok(())
    })?;
    check_eq!(finish(guests)? + u64::from(led.load()), phases);
    Ok(None)
}

/// 30: readers side by side, writers alone.
pub(super) fn rwlock(stage: &Stage) -> Check {
    const TIMES: u64 = 3_000;
    const EVERY: u64 = 20;
    let runtime = stage.runtime(2, 2)?;
    let memory = runtime.memory();
    let (lock, pair) = (memory.rwlock().or_fail("a lock")?, Pair::new(&memory)?);
    let args = [lock.offset(), pair.offset(), TIMES, EVERY];
    let guest = || start(&runtime, "read_and_write", args);
    let guests = [guest()?, guest()?];
    on_threads(2, |_| {
        for time in 0..TIMES {
            if time % EVERY == 0 {
                let _guard = lock.write().or_fail("write")?;
                pair.increment()?;
            } else {
                let _guard = lock.read().or_fail("read")?;
                pair.read()?;
            }
        }
        Ok(())
    })?;
    let written = finish(guests)? + 2 * TIMES / EVERY;
    check_eq!(pair.read()?, written);

    let readers = [lock.read().or_fail("read")?, lock.read().or_fail("read")?];
    check!(
        lock.try_write().or_fail("try_write")?.is_none(),
        "a writer among readers"
    );
    drop(readers);
    let writer = lock.write().or_fail("write")?;
    let reader = lock.read_timeout(SHORT).or_fail("read_timeout")?;
    check!(reader.is_none(), "a reader beside a writer");
    drop(writer);
    Ok(None)
}

/// 31: all wait for ever, this program for a task, the tasks for a latch: it is said so.
pub(super) fn deadlock_detection(stage: &Stage) -> Check {
    let runtime = stage.runtime(2, 1)?;
    let memory = runtime.memory();
    let latch = memory.latch().or_fail("a latch")?;
    let word = memory.allocate(Layout::new::<u64>()).or_fail("allocate")?;
    let guest = || start(&runtime, "wait_for_latch", [latch.offset(), word.offset()]);
    let guests = [guest()?, guest()?];
    for guest in guests {
        let status = match guest.wait() {
            Err(TaskError::Ended(status)) => status,
            other => return Err(format!("a task that waits for ever: {other:?}")),
        };
        let ExitStatus::Deadlock(report) = *status else {
            return Err(format!("the end of a deadlock: {status}"));
        };
        check_eq!(report.threads.len(), 2);
        let report = report.to_string();
        check!(
            report.contains("wait_for_latch"),
            "it does not say where: {report}"
        );
    }
    Ok(None)
}

/// 32: behind a stream of tasks that are not urgent, one that is comes first.
pub(super) fn priority_inversion(stage: &Stage) -> Check {
    const STREAM: usize = 50;
    let runtime = stage.runtime(1, 1)?;
    let memory = runtime.memory();
    let latch = memory.latch().or_fail("a latch")?;
    let word = memory.cache_aligned(0_u64).or_fail("allocate")?;
    // The only worker is busy until all are queued.
    let first = start(&runtime, "wait_for_latch", [latch.offset(), word.offset()])?;
    let task = |priority| {
        let task = Task::new("count_calls", [0; 0]).priority(priority);
        runtime.execute(task).or_fail("execute")
    };
    let stream: Result<Vec<_>, _> = (0..STREAM).map(|_| task(Priority::Low)).collect();
    let urgent = task(Priority::High)?;
    latch.open().or_fail("open")?;
    first.wait().or_fail("the first")?;
    check_eq!(urgent.wait_as::<u32>().or_fail("the urgent one")?, 101);
    for (count, task) in (102..).zip(stream?) {
        check_eq!(task.wait_as::<u32>().or_fail("one of the stream")?, count);
    }
    Ok(None)
}
