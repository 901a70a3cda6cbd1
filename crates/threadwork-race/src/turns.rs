//! Threads that take turns on one operating-system thread, as a scheduler lets them.
//!
//! Invariant: between an operator and its hooks no other thread has a turn, so nothing has to be
//! held.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use threadwork_engine::{Backtrace, Site, SiteKind};

use crate::detector::{Detector, Thread};
use crate::hooks::mark_first_reads;
use crate::report::{Report, ReportKind};

/// Watches the threads of one execution, for whoever schedules them and answers the hooks of the
/// module by himself.
///
/// The module is instrumented with [`INSTRUMENT`](crate::INSTRUMENT), but perhaps without `once`, and
/// perhaps with more. Each method is a
/// hook of the instrumenting layer, with the thread that has called it. `stack` captures that
/// thread's stack; it is called where a stack may have to be told later, and what it costs is
/// most of what watching costs.
pub struct Turns {
    sites: Arc<[Site]>,
    detector: Detector,
    threads: HashMap<u32, Thread>,
    until: Option<Instant>,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}

/// The sites of a module, as [`Turns`] look at them. Made once for all of a module's executions.
#[derive(Clone, Debug)]
pub struct Sites(Arc<[Site]>);

impl Sites {
    /// Of what the instrumenting layer has returned.
    #[must_use]
    pub fn new(mut sites: Vec<Site>) -> Self {
        mark_first_reads(&mut sites);
        Self(sites.into())
    }
}

impl Turns {
    /// Of an execution that has not begun. What is left of an access to many bytes when it is `until` is not
    /// looked at.
    #[must_use]
    pub fn new(sites: &Sites, until: Option<Instant>) -> Self {
        Self {
            until,
            sites: Arc::clone(&sites.0),
            detector: Detector::new(Arc::clone(&sites.0)),
            threads: HashMap::new(),
        }
    }

    /// Everything that was found so far, in the order in which it was.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.detector.reports()
    }

    /// What the first of the [`reports`](Self::reports) is, and the sites of its two events, the
    /// lower one first.
    #[must_use]
    pub fn first(&self) -> Option<(ReportKind, [u32; 2])> {
        self.detector.first()
    }

    /// `thread_start`: a thread that was spawned with `argument` begins.
    pub fn start(&mut self, thread: u32, argument: i32) {
        let began = self
            .detector
            .thread(thread, Some(u64::from(argument as u32)));
        self.threads.insert(thread, began);
    }

    /// `access`; or `range`, with a length.
    pub fn access(
        &mut self,
        thread: u32,
        (site, address, length): (u32, u64, Option<u64>),
        context: u32,
        stack: &impl Fn() -> Backtrace,
    ) {
        let is_over = self.is_over();
        self.with(thread, |detector, thread| {
            let place = (site, address, length);
            detector.access(thread, place, context, &is_over, stack);
        });
    }

    /// `point`.
    pub fn point(
        &mut self,
        thread: u32,
        (site, address): (u32, u64),
        stack: &impl Fn() -> Backtrace,
    ) {
        let kind = self.sites.get(site as usize).map(|site| site.kind);
        // The others hold what they reach, which nobody contends for.
        if let Some(SiteKind::Notify | SiteKind::Spawn) = kind {
            self.with(thread, |detector, thread| {
                detector.point(thread, (site, address), || false, stack);
            });
        }
    }

    /// `done`.
    pub fn done(
        &mut self,
        thread: u32,
        place: (u32, u64),
        (wrote, value): (bool, u64),
        context: u32,
        stack: &impl Fn() -> Backtrace,
    ) {
        self.with(thread, |detector, thread| {
            detector.done(thread, place, (wrote, value), context, stack);
        });
    }

    /// `alloc_begin`.
    pub fn alloc_begin(
        &mut self,
        thread: u32,
        place: (u32, u64),
        context: u32,
        stack: &impl Fn() -> Backtrace,
    ) {
        let is_over = self.is_over();
        self.with(thread, |detector, thread| {
            detector.alloc_begin(thread, place, context, &is_over, stack);
        });
    }

    /// `alloc_end`: site, address of the new block, its length.
    pub fn alloc_end(&mut self, thread: u32, place: (u32, u64, u64), context: u32) {
        self.with(thread, |detector, thread| {
            detector.alloc_end(thread, place, context);
        });
    }

    fn is_over(&self) -> impl Fn() -> bool + use<> {
        let until = self.until;
        move || until.is_some_and(|until| Instant::now() >= until)
    }

    /// A thread that nobody has started is the main thread.
    fn with(&mut self, thread: u32, then: impl FnOnce(&Detector, &mut Thread)) {
        let detector = &self.detector;
        let threads = self.threads.entry(thread);
        then(
            detector,
            threads.or_insert_with(|| detector.thread(thread, None)),
        );
    }
}
