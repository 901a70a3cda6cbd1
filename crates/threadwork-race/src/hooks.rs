//! The calls of an instrumented module, and which of a process's threads makes them.
//!
//! Invariant: an operating-system thread runs one guest thread at a time, from its first hook to
//! its last; another guest thread's hook there says that the one before has ended.

use std::cell::RefCell;
use std::sync::Arc;

use threadwork_engine::{
    Backtrace, CHECK_MODULE, Caller, Engine, Error, Instrument, Module, ProcessBuilder, Site,
    SiteKind, ThreadContext,
};

use crate::detector::{Detector, Thread};
use crate::report::Report;

/// What has to be instrumented of a module that is watched.
pub const INSTRUMENT: Instrument = Instrument {
    atomics: true,
    waits: true,
    fences: false,
    grows: false,
    spawns: true,
    host_calls: false,
    runtime: true,
    accesses: true,
    allocations: true,
    threads: true,
    results: true,
    yielding: false,
    contexts: true,
};

/// Checks and compiles a module, in the binary or the text format, whose processes are to be
/// watched by the [`Race`].
///
/// # Errors
///
/// As [`Module::new`].
pub fn load(engine: &Engine, bytes: &[u8]) -> Result<(Module, Race), Error> {
    let (module, sites) = Module::instrumented(engine, bytes, &INSTRUMENT)?;
    let mut list = sites.list;
    mark_first_reads(&mut list);
    Ok((module, Race::new(list.into(), sites.has_names)))
}

/// Bytes of code between the first read of a loop of exchanges and its exchange.
const NEAR: usize = 64;

/// Takes plain loads for atomic ones that stand closely before a compare-and-exchange of the
/// same width: compilers make that of a `fetch_max` and other operators that WebAssembly does not
/// have. What the load sees is only a guess, which the exchange checks.
pub(crate) fn mark_first_reads(sites: &mut [Site]) {
    let mut exchange: Option<Site> = None;
    for site in sites.iter_mut().rev() {
        match (site.kind, exchange) {
            (SiteKind::AtomicCmpxchg, _) => exchange = Some(*site),
            (SiteKind::Load, Some(next))
                if (site.function, site.width) == (next.function, next.width)
                    && next.offset.saturating_sub(site.offset) <= NEAR =>
            {
                site.kind = SiteKind::AtomicLoad;
            }
            _ => {}
        }
    }
}

/// Watches one process for races. Cheap to clone.
#[derive(Clone)]
pub struct Race {
    sites: Arc<[Site]>,
    detector: Arc<Detector>,
    has_names: bool,
}

impl std::fmt::Debug for Race {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Race").finish_non_exhaustive()
    }
}

thread_local! {
    /// The guest thread that runs here, and its process.
    static CURRENT: RefCell<Option<(u64, Thread)>> = const { RefCell::new(None) };
}

type Call<'a> = Caller<'a, ThreadContext>;

impl Race {
    fn new(sites: Arc<[Site]>, has_names: bool) -> Self {
        Self {
            detector: Arc::new(Detector::new(Arc::clone(&sites))),
            sites,
            has_names,
        }
    }

    /// One for another process of the same module, which has seen nothing yet.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::new(Arc::clone(&self.sites), self.has_names)
    }

    /// Whether the module has names of functions. Without them, neither the allocator nor the
    /// locks of the C library are known: a use after free is not found, and what the library
    /// synchronizes by plain accesses, such as joining a thread that has ended, may be reported.
    #[must_use]
    pub fn has_names(&self) -> bool {
        self.has_names
    }

    /// Everything that was found so far, in the order in which it was.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.detector.reports()
    }

    /// Has the process that `builder` makes tell what its threads do. One process: those of two
    /// are no threads of each other.
    #[must_use]
    pub fn watch(&self, builder: ProcessBuilder) -> ProcessBuilder {
        let race = self.clone();
        builder.linker(move |linker| {
            let hook = race.clone();
            linker.func_wrap(
                CHECK_MODULE,
                "access",
                move |caller: Call<'_>, site: i32, address: i64, context: i32| {
                    let place = (site as u32, address as u64, None);
                    let is_ending = || caller.data().is_ending();
                    hook.with(&caller, |detector, thread, stack| {
                        detector.access(thread, place, context as u32, &is_ending, &stack);
                    });
                },
            )?;
            let hook = race.clone();
            linker.func_wrap(
                CHECK_MODULE,
                "range",
                move |caller: Call<'_>, site: i32, address: i64, length: i64, context: i32| {
                    let place = (site as u32, address as u64, Some(length as u64));
                    let is_ending = || caller.data().is_ending();
                    hook.with(&caller, |detector, thread, stack| {
                        detector.access(thread, place, context as u32, &is_ending, &stack);
                    });
                },
            )?;
            let hook = race.clone();
            linker.func_wrap(
                CHECK_MODULE,
                "point",
                move |caller: Call<'_>, site: i32, address: i64| {
                    let place = (site as u32, address as u64);
                    let is_ending = || caller.data().is_ending();
                    hook.with(&caller, |detector, thread, stack| {
                        detector.point(thread, place, is_ending, &stack);
                    });
                },
            )?;
            let hook = race.clone();
            linker.func_wrap(
                CHECK_MODULE,
                "done",
                move |caller: Call<'_>,
                      site: i32,
                      address: i64,
                      wrote: i32,
                      value: i64,
                      context: i32| {
                    let place = (site as u32, address as u64);
                    let outcome = (wrote != 0, value as u64);
                    hook.with(&caller, |detector, thread, stack| {
                        detector.done(thread, place, outcome, context as u32, &stack);
                    });
                },
            )?;
            let hook = race.clone();
            linker.func_wrap(
                CHECK_MODULE,
                "alloc_begin",
                move |caller: Call<'_>, site: i32, old: i64, context: i32| {
                    let place = (site as u32, old as u64);
                    let is_ending = || caller.data().is_ending();
                    hook.with(&caller, |detector, thread, stack| {
                        detector.alloc_begin(thread, place, context as u32, &is_ending, &stack);
                    });
                },
            )?;
            let hook = race.clone();
            linker.func_wrap(
                CHECK_MODULE,
                "alloc_end",
                move |caller: Call<'_>, site: i32, new: i64, length: i64, context: i32| {
                    let place = (site as u32, new as u64, length as u64);
                    hook.with(&caller, |detector, thread, _| {
                        detector.alloc_end(thread, place, context as u32);
                    });
                },
            )?;
            linker.func_wrap(
                CHECK_MODULE,
                "thread_start",
                move |caller: Call<'_>, _id: i32, argument: i32| {
                    race.start(&caller, u64::from(argument as u32));
                },
            )?;
            Ok(())
        })
    }

    /// A thread that was spawned begins.
    fn start(&self, caller: &Call<'_>, argument: u64) {
        let argument = Some(argument);
        CURRENT.with_borrow_mut(|current| self.begin(caller.data(), argument, current));
    }

    fn begin(
        &self,
        context: &ThreadContext,
        argument: Option<u64>,
        current: &mut Option<(u64, Thread)>,
    ) {
        if let Some((process, before)) = current.take()
            && process == context.process_id()
        {
            self.detector.ended(&before);
        }
        let thread = self.detector.thread(context.thread_id(), argument);
        *current = Some((context.process_id(), thread));
    }

    /// Calls `then` with the thread that calls, and what captures its stack.
    fn with(
        &self,
        caller: &Call<'_>,
        then: impl FnOnce(&Detector, &mut Thread, &dyn Fn() -> Backtrace),
    ) {
        let context = caller.data();
        let id = (context.process_id(), context.thread_id());
        CURRENT.with_borrow_mut(|current| {
            let here = current
                .as_ref()
                .map(|(process, thread)| (*process, thread.id));
            if here != Some(id) {
                self.begin(context, None, current);
            }
            if let Some((_, thread)) = current {
                then(&self.detector, thread, &|| ThreadContext::backtrace(caller));
            }
        });
    }
}
