//! Looks at a thread's stack at each millisecond, or so, of its processor time; and on request.
//!
//! A worker that runs a guest whose process is profiled has a timer on the clock of its own
//! processor time. The timer's signal meets the thread wherever it is, and the handler walks
//! the guest's frames into a [`Ring`], from where somebody else takes them. Nothing is
//! compiled for it, and a guest that is not profiled has no timer.
//!
//! Timers of processor time are looked at when the system's clock ticks, 100 to 1,000 times a
//! second. A sample therefore says how many periods it stands for.
//!
//! # Beside other signals
//!
//! The signal that stops threads may meet a thread in the handler here: it is in no guest code,
//! so nothing happens, and it is sent again. The other way round, or where a trap is being
//! handled, the interrupted code runs on the signal stack: that is no place to walk from, and
//! the sample has no frames. System calls are begun again (`SA_RESTART`), but for those that
//! never are, such as polls and sleeps; whoever makes these here copes with that, because of
//! the stop signal. Linux delivers these signals where a thread returns from the system, so it
//! hardly ever is interrupted in a call that blocks: there it uses no processor time.
//!
//! # Invariant
//!
//! The handler touches the cells below, the interrupted thread's stack, and a ring: no lock, no
//! allocation, no thread-local value that has yet to be made.

use super::code_map::CodeMap;
use super::guest_stack::{Exits, Stack, Walker};
use std::cell::Cell;
use std::ptr::null;
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

/// Whether there are such timers, and stacks that can be walked.
pub(crate) const SUPPORTED: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// What a thread does that is in a guest's process, as far as the guest has asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    /// It computes.
    Guest,
    Wait,
    Notify,
    Spawn,
    Grow,
    /// Something else of the host's.
    Host,
}

impl Doing {
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Self; 6] = [
        Self::Guest,
        Self::Wait,
        Self::Notify,
        Self::Spawn,
        Self::Grow,
        Self::Host,
    ];
}

/// The guest that a thread is in.
struct Guest<'a> {
    walker: Walker<'a>,
    #[cfg_attr(
        not(all(target_os = "linux", target_arch = "x86_64")),
        allow(dead_code, reason = "there are no samples")
    )]
    ring: Option<&'a Ring>,
    doing: Cell<Doing>,
}

thread_local! {
    /// The guest that the thread is inside of, if it is recorded; null outside.
    static GUEST: Cell<*const Guest<'static>> = const { Cell::new(null()) };
}

/// How a thread is recorded.
pub(crate) struct Sampling<'a> {
    pub(crate) code: &'a CodeMap,
    /// `None` if its frames are found only while it is in the guest's code.
    pub(crate) exits: Option<Exits>,
    /// Where samples go, and after how many nanoseconds of processor time there is one.
    pub(crate) ring: Option<(&'a Ring, u64)>,
}

impl Sampling<'_> {
    /// Runs `body`, in which this thread runs the guest.
    pub(crate) fn run<R>(&self, body: impl FnOnce() -> R) -> R {
        /// However `body` ends.
        struct Leave(*const Guest<'static>);
        impl Drop for Leave {
            fn drop(&mut self) {
                timer::stop();
                GUEST.set(self.0);
                // Ordering: of the compiler only, with a handler on this very thread: the
                // guest is not given back before the cell is set.
                compiler_fence(Ordering::SeqCst);
            }
        }
        let top = 0_usize;
        let guest = Guest {
            walker: Walker {
                code: self.code,
                exits: self.exits,
                // What `body` calls has its frames below ours.
                top: (&raw const top).expose_provenance(),
            },
            ring: self.ring.map(|(ring, _)| ring),
            doing: Cell::new(Doing::Guest),
        };
        // Ordering: as above; the guest is whole before the handler can see it.
        compiler_fence(Ordering::SeqCst);
        let leave = Leave(GUEST.replace((&raw const guest).cast()));
        if let Some((ring, period)) = self.ring
            && !timer::start(period)
        {
            ring.count_lost(1);
        }
        let result = body();
        drop(leave);
        result
    }
}

/// The frames of the guest that has called the host on this thread; none if it is not
/// recorded.
pub(crate) fn current_stack(stack: &mut Stack) {
    // SAFETY: `Sampling::run` keeps it until it has set the cell back, on this thread.
    let Some(guest) = (unsafe { GUEST.get().as_ref() }) else {
        return;
    };
    let here = 0_usize;
    let sp = (&raw const here).addr();
    // SAFETY: this thread runs the guest, whose frames are between here and the top.
    unsafe { guest.walker.walk_from_exit(sp, stack) };
}

/// Says what the thread does from now on, until what this returns is dropped.
pub(crate) fn doing(what: Doing) -> WasDoing {
    WasDoing(set(what))
}

/// What the thread did before, and does again when this is dropped.
pub(crate) struct WasDoing(Doing);

impl Drop for WasDoing {
    fn drop(&mut self) {
        set(self.0);
    }
}

/// Returns what it did before.
fn set(what: Doing) -> Doing {
    // SAFETY: as in `current_stack`.
    match unsafe { GUEST.get().as_ref() } {
        Some(guest) => guest.doing.replace(what),
        None => Doing::Guest,
    }
}

/// Nanoseconds of the clock that never goes back. May be called in a signal handler.
#[cfg(unix)]
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it is valid for the write. There is such a clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[cfg(not(unix))]
pub(crate) fn now() -> u64 {
    0
}

/// Samples of one thread, on their way to whoever collects them.
///
/// One thread writes, and its signal handler is all that does; one at a time reads. What does
/// not fit is counted.
pub(crate) struct Ring {
    words: Box<[AtomicUsize]>,
    /// Words that were written and read so far.
    written: AtomicUsize,
    read: AtomicUsize,
    lost: AtomicUsize,
}

/// So many zeros, of which those that are never written take no memory.
fn zeros(count: usize) -> Box<[AtomicUsize]> {
    let zeros = Box::into_raw(vec![0_usize; count].into_boxed_slice());
    // SAFETY: the numbers have the same layout, and nobody else has them.
    unsafe { Box::from_raw(zeros as *mut [AtomicUsize]) }
}

/// A sample, as it is read.
pub(crate) struct Sample<'a> {
    /// By [`now`].
    pub(crate) at: u64,
    /// Periods that it stands for.
    pub(crate) periods: u32,
    pub(crate) doing: Doing,
    /// As [`Stack::frames`].
    pub(crate) frames: &'a [usize],
}

/// Words of a sample beside its frames.
const HEAD: usize = 3;

impl Ring {
    /// Words: half a second of stacks of 60 frames each millisecond.
    const WORDS: usize = 1 << 15;

    pub(crate) fn new() -> Self {
        Self {
            words: zeros(Self::WORDS),
            written: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        }
    }

    /// Begins where it began at first, so that it uses as little memory as it can: for the next
    /// thread, when nobody writes and all was read.
    pub(crate) fn reset(&self) {
        // Ordering: Relaxed; whoever hands the ring over publishes it.
        self.written.store(0, Ordering::Relaxed);
        self.read.store(0, Ordering::Relaxed);
    }

    fn word(&self, at: usize) -> &AtomicUsize {
        &self.words[at % Self::WORDS]
    }

    /// Adds a sample; one for which there is no room is lost.
    #[cfg_attr(
        not(all(target_os = "linux", target_arch = "x86_64")),
        allow(dead_code, reason = "there are no samples")
    )]
    fn push(&self, at: u64, periods: u32, doing: Doing, frames: &[usize]) {
        // Ordering: Relaxed; this thread alone writes it.
        let start = self.written.load(Ordering::Relaxed);
        // Ordering: Acquire; pairs with the release in `drain`: the words there have been
        // read.
        let used = start.wrapping_sub(self.read.load(Ordering::Acquire));
        if used + HEAD + frames.len() > Self::WORDS {
            return self.count_lost(periods);
        }
        let head = [
            frames.len() | (doing as usize) << 16,
            at as usize,
            periods as usize,
        ];
        let mut end = start;
        for word in head.iter().chain(frames) {
            // Ordering: Relaxed; the store below publishes them.
            self.word(end).store(*word, Ordering::Relaxed);
            end = end.wrapping_add(1);
        }
        // Ordering: Release; pairs with the acquire in `drain`.
        self.written.store(end, Ordering::Release);
    }

    fn count_lost(&self, periods: u32) {
        // Ordering: Relaxed; a statistic.
        self.lost.fetch_add(periods as usize, Ordering::Relaxed);
    }

    /// Takes the samples out; returns how many periods were lost since it was last asked. One
    /// thread at a time may call it.
    pub(crate) fn drain(&self, mut each: impl FnMut(Sample<'_>)) -> u64 {
        // Ordering: Acquire; pairs with the release in `push`.
        let end = self.written.load(Ordering::Acquire);
        // Ordering: Relaxed; only those who drain write it, one after the other.
        let mut at = self.read.load(Ordering::Relaxed);
        let mut frames = Vec::new();
        while at != end {
            // Ordering: Relaxed, here and below; published by `written`.
            let load = |at: usize| self.word(at).load(Ordering::Relaxed);
            let head = load(at);
            let length = head & 0xFFFF;
            let start = at.wrapping_add(HEAD);
            frames.clear();
            frames.extend((0..length).map(|number| load(start.wrapping_add(number))));
            each(Sample {
                at: load(at.wrapping_add(1)) as u64,
                periods: load(at.wrapping_add(2)) as u32,
                doing: Doing::ALL[(head >> 16) % Doing::ALL.len()],
                frames: &frames,
            });
            at = start.wrapping_add(length);
        }
        // Ordering: Release; pairs with the acquire in `push`.
        self.read.store(at, Ordering::Release);
        // Ordering: Relaxed; a statistic.
        self.lost.swap(0, Ordering::Relaxed) as u64
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) use timer::install;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod timer {
    use super::super::os_thread;
    use super::super::signal_handler::{self, pass_on};
    use super::{Doing, GUEST, Guest, Stack, now};
    use std::cell::Cell;
    use std::io;
    use std::mem::MaybeUninit;

    /// What profilers use.
    const SIGNAL: libc::c_int = libc::SIGPROF;

    /// Our timers carry its address.
    static OURS: u8 = 0;

    /// Handles the timers' signal from now on.
    ///
    /// # Errors
    ///
    /// If it cannot be handled.
    pub(crate) fn install() -> io::Result<()> {
        signal_handler::install(SIGNAL, handle, libc::SA_RESTART)
    }

    extern "C" fn handle(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        // SAFETY: the system passes what it says of the signal.
        let info_of = unsafe { &*info };
        // SAFETY: signals of timers have a value.
        let value = || unsafe { info_of.si_value() }.sival_ptr;
        let is_ours =
            info_of.si_code == libc::SI_TIMER && value().cast_const() == (&raw const OURS).cast();
        if !is_ours {
            return pass_on(signal, info, context);
        }
        // SAFETY: `Sampling::run` keeps it until it has set the cell back, on this thread.
        let Some(guest) = (unsafe { GUEST.get().as_ref() }) else {
            // The thread has left the guest meanwhile.
            return;
        };
        // SAFETY: the system passes the interrupted thread's registers.
        let context = unsafe { &*context.cast::<libc::ucontext_t>() };
        // System calls in here must not be seen by what was interrupted.
        // SAFETY: it has no precondition, and is this thread's own.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: it is valid as long as the thread lives.
        let before = unsafe { errno.read() };
        sample(guest, context);
        // SAFETY: as above.
        unsafe { errno.write(before) };
    }

    fn sample(guest: &Guest<'_>, context: &libc::ucontext_t) {
        let (Some(ring), Some(timer)) = (guest.ring, TIMER.get()) else {
            return;
        };
        // SAFETY: the timer is this thread's, which has not ended.
        let overrun = unsafe { libc::timer_getoverrun(timer) };
        let periods = u32::try_from(overrun).unwrap_or(0).saturating_add(1);
        let registers = &context.uc_mcontext.gregs;
        let register = |number: libc::c_int| registers[number as usize] as usize;
        let (pc, sp) = (register(libc::REG_RIP), register(libc::REG_RSP));
        let signal_stack = context.uc_stack.ss_sp.addr();
        let in_handler = (signal_stack..signal_stack + context.uc_stack.ss_size).contains(&sp);
        let mut stack = Stack::new();
        let mut doing = guest.doing.get();
        let walker = &guest.walker;
        if in_handler || sp >= walker.top {
            doing = Doing::Host;
        } else if walker.code.text().contains(&pc) {
            let fp = register(libc::REG_RBP);
            // SAFETY: this thread runs the guest, and was interrupted there.
            unsafe { walker.walk_from_code(pc, fp, sp, &mut stack) };
            // What it did for the guest is done, or has not begun.
            doing = Doing::Guest;
        } else {
            if doing == Doing::Guest {
                doing = Doing::Host;
            }
            // SAFETY: as above.
            unsafe { walker.walk_from_exit(sp, &mut stack) };
        }
        ring.push(now(), periods, doing, stack.frames());
    }

    thread_local! {
        /// The calling thread's timer, once it has one.
        static TIMER: Cell<Option<libc::timer_t>> = const { Cell::new(None) };
        /// What was left to its next signal when it was stopped.
        static LEFT: Cell<libc::timespec> = const { Cell::new(ZERO) };
        /// Ends it with the thread.
        static END: End = const { End };
    }

    const ZERO: libc::timespec = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };

    struct End;

    impl Drop for End {
        fn drop(&mut self) {
            if let Some(timer) = TIMER.take() {
                // SAFETY: it is this thread's, and nobody uses it any more.
                unsafe { libc::timer_delete(timer) };
            }
        }
    }

    /// The calling thread's timer, made if it has none; `None` if the system has no more.
    fn timer() -> Option<libc::timer_t> {
        if let Some(timer) = TIMER.get() {
            return Some(timer);
        }
        // SAFETY: all zeros is a value of this type.
        let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = SIGNAL;
        event.sigev_value.sival_ptr = (&raw const OURS).cast_mut().cast();
        // SAFETY: it has no precondition.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut timer = MaybeUninit::uninit();
        let clock = libc::CLOCK_THREAD_CPUTIME_ID;
        // SAFETY: both are valid, the one for the read and the other for the write.
        let made = unsafe { libc::timer_create(clock, &raw mut event, timer.as_mut_ptr()) };
        if made != 0 {
            return None;
        }
        os_thread::mask(libc::SIG_UNBLOCK, &[SIGNAL]);
        END.with(|_| ());
        // SAFETY: it has succeeded, so it is written.
        TIMER.set(Some(unsafe { timer.assume_init() }));
        TIMER.get()
    }

    /// Starts the calling thread's timer, with so many nanoseconds between two signals; false
    /// if the system has none.
    pub(super) fn start(period: u64) -> bool {
        let period = libc::timespec {
            tv_sec: (period / 1_000_000_000).cast_signed(),
            tv_nsec: (period % 1_000_000_000).cast_signed(),
        };
        // A thread that runs many short guests would else never be met in one.
        let left = LEFT.replace(ZERO);
        let first = match left.tv_sec == 0 && (1..period.tv_nsec).contains(&left.tv_nsec) {
            true => left,
            false => period,
        };
        timer().is_some_and(|timer| set(timer, first, period).is_some())
    }

    /// Stops it.
    pub(super) fn stop() {
        if let Some(timer) = TIMER.get()
            && let Some(left) = set(timer, ZERO, ZERO)
        {
            LEFT.set(left);
        }
    }

    /// Sets the timer, and tells what was left.
    fn set(
        timer: libc::timer_t,
        first: libc::timespec,
        period: libc::timespec,
    ) -> Option<libc::timespec> {
        let new = libc::itimerspec {
            it_interval: period,
            it_value: first,
        };
        let mut old = MaybeUninit::uninit();
        // SAFETY: the timer is this thread's; both are valid, for the read and for the write.
        let result = unsafe { libc::timer_settime(timer, 0, &raw const new, old.as_mut_ptr()) };
        // SAFETY: it has succeeded, so it is written.
        (result == 0).then(|| unsafe { old.assume_init() }.it_value)
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod timer {
    pub(super) fn start(_: u64) -> bool {
        false
    }

    pub(super) fn stop() {}

    pub(crate) fn install() -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub(crate) use timer::install;

#[cfg(test)]
mod tests {
    use super::*;

    /// Also where samples lie across the end of the ring, and where there is no room for more.
    #[test]
    fn samples_come_out_as_they_went_in_or_are_counted() {
        let ring = Ring::new();
        let frames: Vec<usize> = (1..=100).collect();
        let (mut put, mut got, mut lost) = (0_u64, 0_u64, 0);
        for round in 0..10 {
            for _ in 0..100 {
                ring.push(
                    put,
                    1,
                    Doing::ALL[put as usize % 6],
                    &frames[..put as usize % 100],
                );
                put += 1;
            }
            if round == 5 {
                // More than it holds.
                (0..1_000).for_each(|_| ring.push(u64::MAX, 2, Doing::Host, &frames));
            }
            lost += ring.drain(|sample| {
                if sample.at != u64::MAX {
                    assert_eq!(sample.at, got);
                    assert_eq!(sample.doing, Doing::ALL[got as usize % 6]);
                    assert_eq!(sample.frames, &frames[..got as usize % 100]);
                    got += 1;
                }
            });
        }
        assert_eq!(got, put);
        assert!(lost > 0 && lost % 2 == 0);
    }

    /// What the walk finds is what Wasmtime does, in depths that have a frame for each of three
    /// functions: so its structures are those that are read here.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn from_a_host_function_the_frames_are_those_of_wasmtime() {
        use std::sync::{Arc, Mutex};
        use wasmtime::{Caller, Engine, Func, Instance, Module, Store, WasmBacktrace};
        let wasm = wat::parse_str(
            r#"(module
              (import "" "look" (func $look))
              (func $even (param $n i32)
                (if (local.get $n)
                  (then (call $odd (i32.sub (local.get $n) (i32.const 1))))
                  (else (call $look))))
              (func $odd (param $n i32)
                (call $even (i32.sub (local.get $n) (i32.const 1))))
              (func $run (export "run") (param $n i32) (call $even (local.get $n))))"#,
        )
        .unwrap();
        let engine = Engine::default();
        let module = Module::new(&engine, wasm).unwrap();
        let code = Arc::new(CodeMap::new(&module, None).unwrap());
        let base = module.text().as_ptr().addr();
        let functions: Vec<_> = module.functions().collect();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut store = Store::new(&engine, ());
        let see = Arc::clone(&seen);
        let look = Func::wrap(&mut store, move |caller: Caller<'_, ()>| {
            let mut stack = Stack::new();
            current_stack(&mut stack);
            let ours: Vec<_> = stack
                .frames()
                .iter()
                .map(|frame| {
                    let at = frame - base;
                    let holds =
                        |f: &&wasmtime::ModuleFunction| (f.offset..f.offset + f.len).contains(&at);
                    functions.iter().find(holds).unwrap().index.as_u32()
                })
                .collect();
            let trace = WasmBacktrace::force_capture(&caller);
            let theirs: Vec<_> = trace.frames().iter().map(|f| f.func_index()).collect();
            see.lock().unwrap().push((ours, theirs));
        });
        let instance = Instance::new(&mut store, &module, &[look.into()]).unwrap();
        let run = instance.get_func(&mut store, "run").unwrap();
        let exits = Exits::of(&mut store, run);
        assert!(exits.is_some());
        assert!(Exits::of(&mut store, look).is_none(), "it is the host's");
        let run = run.typed::<i32, ()>(&store).unwrap();
        let sampling = Sampling {
            code: &code,
            exits,
            ring: None,
        };
        for depth in [0, 2, 16] {
            sampling.run(|| run.call(&mut store, depth)).unwrap();
        }
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 3);
        for (ours, theirs) in &*seen {
            assert_eq!(ours, theirs);
        }
    }
}
