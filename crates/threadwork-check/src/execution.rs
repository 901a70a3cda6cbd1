//! One execution: all threads of a guest as fibers on the calling thread.
//!
//! Invariant: a fiber runs only when the scheduler has chosen its thread, from one scheduling
//! point to the next; so whoever runs has the world to himself.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use threadwork_race::{Report, ReportKind, Turns};
use wasmtime::{Caller, InstancePre, Store, Trap, UpdateDeadline, WasmBacktrace};

use crate::choices::Tid;
use crate::error::{Error, line};
use crate::guest_memory::GuestMemory;
use crate::operation::Operation;
use crate::program::Program;
use crate::strategy::Strategy;
use crate::world::{End, Leftover, State, World};

/// Between two looks whether a thread has come to a scheduling point, and time is over.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// So long without one, and an execution is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What a program is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inputs {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) stdin: Vec<u8>,
    /// Decides what the program gets for random numbers.
    pub(crate) seed: u64,
    /// Scheduling points that an execution may have.
    pub(crate) most_steps: u64,
}

/// What a store knows.
pub(crate) struct Data {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) tid: Tid,
    /// When the execution is given up.
    pub(crate) until: Option<Instant>,
    /// Who looks for races, if somebody does.
    pub(crate) races: Option<Arc<Mutex<Turns>>>,
}

impl Data {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(crate) fn races(&self) -> Option<MutexGuard<'_, Turns>> {
        self.races.as_deref().map(lock)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nobody contends for it: it is there since stores have to be `Send`.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A guest has called `proc_exit`.
#[derive(Debug, thiserror::Error)]
#[error("exit({0})")]
pub(crate) struct Exited(pub(crate) i32);

/// A thread did not come to a scheduling point.
#[derive(Debug, thiserror::Error)]
#[error("no scheduling point")]
struct Stuck;

/// The time of the search is over.
#[derive(Debug, thiserror::Error)]
#[error("no time is left")]
struct OutOfTime;

/// The module cannot be made an instance, or its functions not be called.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoInstance(String);

impl NoInstance {
    /// What is no trap of the program's own, in its start function or its segments, nor asked for.
    fn wrap(error: wasmtime::Error) -> wasmtime::Error {
        let is_own = error.is::<Trap>()
            || error.is::<Exited>()
            || error.is::<Stuck>()
            || error.is::<OutOfTime>();
        match is_own {
            true => error,
            false => wasmtime::Error::new(Self(line(&error))),
        }
    }
}

/// What a thread trapped with.
pub(crate) struct Trapped {
    pub(crate) message: String,
    pub(crate) stack: Option<WasmBacktrace>,
}

/// What came out.
pub(crate) struct Execution {
    pub(crate) end: End,
    pub(crate) trapped: Option<Trapped>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// What each thread was doing at the end.
    pub(crate) states: Vec<State>,
    pub(crate) memory: GuestMemory,
    pub(crate) left: Leftover,
    /// The first race, use after free or double free.
    pub(crate) race: Option<Found>,
}

/// What has nothing to do with each other, and should.
pub(crate) struct Found {
    pub(crate) kind: ReportKind,
    /// Of the two events.
    pub(crate) sites: [u32; 2],
    /// With stacks if the execution was traced.
    pub(crate) report: Report,
}

impl Execution {
    /// Whether it was ended by time, which differs from run to run, so that nothing of it counts.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(self.end, End::Stuck(_) | End::OutOfTime)
    }

    /// A hash of all that the guest has done: its memory and what it wrote.
    pub(crate) fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        self.memory.hash(&mut hasher);
        hasher.update(&self.stdout);
        hasher.update(&self.stderr);
        hasher.update(&self.left.steps.to_le_bytes());
        hasher.finalize()
    }
}

type Fiber = Pin<Box<dyn Future<Output = wasmtime::Result<()>>>>;

/// Runs the program once, but not for longer than until `until`.
pub(crate) fn execute(
    program: &Program,
    inputs: &Arc<Inputs>,
    strategy: Strategy,
    seed: u64,
    trace: bool,
    until: Option<Instant>,
) -> Result<Execution, Error> {
    let world = program.world(strategy, seed, inputs, trace)?;
    let memory = world.memory.clone();
    let world = Arc::new(Mutex::new(world));
    let ready = program.link(&world).map_err(|error| Error::Start {
        message: line(&error),
    })?;
    let races = program.races().map(|sites| Turns::new(sites, until));
    let races = races.map(|turns| Arc::new(Mutex::new(turns)));
    let mut fibers: Vec<Option<Fiber>> = Vec::new();
    let mut trapped = None;
    let mut context = Context::from_waker(Waker::noop());
    let mut current: Tid = 0;
    loop {
        let place = current as usize;
        while fibers.len() <= place {
            let tid = fibers.len() as Tid;
            let data = Data {
                world: Arc::clone(&world),
                inputs: Arc::clone(inputs),
                tid,
                until,
                races: races.clone(),
            };
            let thread = thread(program.clone(), &ready, data);
            fibers.push(Some(Box::pin(thread)));
        }
        let Some(fiber) = fibers.get_mut(place).and_then(Option::as_mut) else {
            break;
        };
        let outcome = fiber.as_mut().poll(&mut context);
        let is_over = outcome.is_ready();
        let mut world = lock(&world);
        match outcome {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                if current == 0 {
                    world.finish(End::Exit(0));
                } else {
                    world.exit(current);
                }
            }
            Poll::Ready(Err(error)) => match error.downcast_ref() {
                Some(Exited(code)) => world.finish(End::Exit(*code)),
                None if error.is::<Stuck>() => world.finish(End::Stuck(current)),
                None if error.is::<OutOfTime>() => world.finish(End::OutOfTime),
                None if error.is::<NoInstance>() => {
                    return Err(Error::Start {
                        message: line(&error),
                    });
                }
                None => {
                    world.finish(End::Trap(current));
                    trapped = Some(Trapped {
                        message: message(&error),
                        stack: error.downcast::<WasmBacktrace>().ok(),
                    });
                }
            },
        }
        if world.end.is_some() {
            break;
        }
        current = world.next;
        drop(world);
        if is_over {
            fibers[place] = None;
        }
    }
    // Their stacks unwind, and nothing of the guest's runs any more.
    drop(fibers);
    let world = Arc::try_unwrap(world).map_err(|_| Error::Start {
        message: "a thread of the guest was left over".to_owned(),
    })?;
    let mut world = world.into_inner().unwrap_or_else(PoisonError::into_inner);
    let race = races.as_deref().map(lock).and_then(|turns| {
        let (kind, sites) = turns.first()?;
        let report = turns.reports().into_iter().next()?;
        Some(Found {
            kind,
            sites,
            report,
        })
    });
    Ok(Execution {
        end: world.end.unwrap_or(End::Deadlock),
        trapped,
        stdout: std::mem::take(&mut world.stdout),
        stderr: std::mem::take(&mut world.stderr),
        states: world.threads.iter().map(|thread| thread.state).collect(),
        memory,
        left: world.into_leftover(),
        race,
    })
}

/// What a trap says, without its backtrace.
fn message(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    }
}

/// All that a guest's thread does.
fn thread(
    program: Program,
    ready: &InstancePre<Data>,
    data: Data,
) -> impl Future<Output = wasmtime::Result<()>> + use<> {
    let ready = ready.clone();
    let tid = data.tid;
    async move {
        let argument = data
            .world()
            .threads
            .get(tid as usize)
            .map_or(0, |thread| thread.argument);
        let mut store = Store::new(program.engine(), data);
        watch(&mut store);
        let instance = ready.instantiate_async(&mut store).await;
        let instance = instance.map_err(NoInstance::wrap)?;
        if program.has_enter() {
            let enter =
                instance.get_typed_func::<i32, ()>(&mut store, threadwork_rewrite::ENTER)?;
            enter.call_async(&mut store, i32::from(tid == 0)).await?;
        }
        if tid == 0 {
            let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
            start.call_async(&mut store, ()).await
        } else {
            let start =
                instance.get_typed_func::<(i32, i32), ()>(&mut store, "wasi_thread_start")?;
            start.call_async(&mut store, (tid as i32, argument)).await
        }
    }
}

/// Has a look at each tick whether the thread has come to a scheduling point since the last.
fn watch(store: &mut Store<Data>) {
    let mut last: Option<(u64, Instant)> = None;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |store| {
        let now = Instant::now();
        if store.data().until.is_some_and(|until| now >= until) {
            return Err(wasmtime::Error::new(OutOfTime));
        }
        let steps = store.data().world().steps();
        match last {
            Some((before, since)) if before == steps => {
                if now.duration_since(since) >= PATIENCE {
                    return Err(wasmtime::Error::new(Stuck));
                }
            }
            _ => last = Some((steps, now)),
        }
        Ok(UpdateDeadline::Continue(1))
    });
}

/// Comes to a scheduling point. True if the thread has to [`stop`] there.
pub(crate) fn reach(caller: &Caller<'_, Data>, operation: Operation) -> bool {
    let data = caller.data();
    let mut world = data.world();
    if world.traces() {
        drop(world);
        let stack = WasmBacktrace::force_capture(caller);
        world = data.world();
        if let Some(trace) = &mut world.trace {
            trace.point(data.tid, operation, stack);
        }
    }
    world.point(data.tid, operation)
}

/// Lets another thread run until it is this one's turn again.
pub(crate) async fn stop(data: &Data) {
    Turn(false).await;
    data.world().resume(data.tid);
}

/// A scheduling point within a host function that may take turns itself.
pub(crate) async fn point(caller: &Caller<'_, Data>, operation: Operation) {
    if reach(caller, operation) {
        stop(caller.data()).await;
    }
}

/// Blocks the thread, which another one, or time, has to wake.
pub(crate) async fn block(data: &Data, state: State) {
    data.world().block(data.tid, state);
    Turn(false).await;
}

/// Pending once. Whoever polls it again has found that it is the thread's turn.
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.0, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}
