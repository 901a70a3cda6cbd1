//! What may be sent to another thread, and what may be shared with one: of each public
//! type, for each kind of data. A row that says less than it should costs programs that are
//! right; one that says more makes wrong programs compile.
//!
//! A guard that gives out the lock (`MutexGuard::mutex`) is shared only if the lock is,
//! which wants data that may be sent: the other thread could lock it later, and take the
//! data out.

use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::MutexGuard as SyncOnlyGuard;

use threadwork_sync::channel::{self, Iter, Receiver, Sender, TryIter};
use threadwork_sync::{
    Acquire, AcquirePriority, AcquireRead, AcquireWrite, Barrier, BarrierWaiter, Begin,
    CachePadded, Completion, Condvar, CondvarWaiter, Inherited, Latch, LatchWaiter, LazyLock,
    Mutex, MutexGuard, Once, OnceLock, OwnedSemaphorePermit, Parker, ParkerWaiter, PriorityMutex,
    PriorityMutexGuard, RawMutex, RawPriorityMutex, RawRwLock, Running, RwLock, RwLockReadGuard,
    RwLockWriteGuard, Semaphore, SemaphorePermit, SemaphoreWaiter, System, Wait, WaitGroup,
    WaitGroupToken, WaitGroupWaiter, select,
};

/// Data of each kind: it may be sent and shared, only sent, only shared, neither.
type Both = u32;
type Sent = Cell<u32>;
type Shared = SyncOnlyGuard<'static, u32>;
type Neither = Rc<u32>;

/// Tells of a type what holds: a constant of the type's own, which is there only if the
/// bound holds, goes before one of a trait's.
struct Probe<T: ?Sized>(PhantomData<T>);

trait Not {
    const SEND: bool = false;
    const SYNC: bool = false;

    fn is_send(&self) -> bool {
        Self::SEND
    }
}

impl<T: ?Sized> Not for Probe<T> {}

impl<T: ?Sized + Send> Probe<T> {
    const SEND: bool = true;

    fn is_send(&self) -> bool {
        Self::SEND
    }
}

impl<T: ?Sized + Sync> Probe<T> {
    const SYNC: bool = true;
}

/// Of a future, whose type has no name.
fn probe<F: Future>(_: &F) -> Probe<F> {
    Probe(PhantomData)
}

fn in_words(send: bool, sync: bool) -> &'static str {
    match (send, sync) {
        (true, true) => "send sync",
        (true, false) => "send",
        (false, true) => "sync",
        (false, false) => "-",
    }
}

macro_rules! types {
    ($($type:ty => $expected:literal,)*) => {
        [$((
            stringify!($type),
            $expected,
            in_words(Probe::<$type>::SEND, Probe::<$type>::SYNC),
        )),*]
    };
}

macro_rules! futures {
    ($($future:expr => $expected:literal,)*) => {
        [$({
            let future = $future;
            let probe = probe(&future);
            (stringify!($future), $expected, in_words(probe.is_send(), false))
        }),*]
    };
}

fn check(rows: &[(&str, &str, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(_, expected, found)| expected != found)
        .map(|(name, expected, found)| format!("{name}: {found}, not {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_probe_tells() {
    check(&types! {
        Both => "send sync",
        Sent => "send",
        Shared => "sync",
        Neither => "-",
    });
}

#[test]
fn locks_and_guards() {
    check(&types! {
        Mutex<Both> => "send sync",
        Mutex<Sent> => "send sync",
        Mutex<Shared> => "-",
        Mutex<Neither> => "-",
        MutexGuard<'static, Both> => "send sync",
        MutexGuard<'static, Sent> => "send",
        MutexGuard<'static, Shared> => "-",
        MutexGuard<'static, Neither> => "-",
        PriorityMutex<Both> => "send sync",
        PriorityMutex<Sent> => "send sync",
        PriorityMutex<Shared> => "-",
        PriorityMutex<Neither> => "-",
        PriorityMutexGuard<'static, Both> => "send sync",
        PriorityMutexGuard<'static, Sent> => "send",
        PriorityMutexGuard<'static, Shared> => "-",
        PriorityMutexGuard<'static, Neither> => "-",
        RwLock<Both> => "send sync",
        RwLock<Sent> => "send",
        RwLock<Shared> => "-",
        RwLock<Neither> => "-",
        RwLockReadGuard<'static, Both> => "send sync",
        RwLockReadGuard<'static, Sent> => "-",
        RwLockReadGuard<'static, Shared> => "-",
        RwLockReadGuard<'static, Neither> => "-",
        RwLockWriteGuard<'static, Both> => "send sync",
        RwLockWriteGuard<'static, Sent> => "-",
        RwLockWriteGuard<'static, Shared> => "-",
        RwLockWriteGuard<'static, Neither> => "-",
    });
}

#[test]
fn cells() {
    check(&types! {
        OnceLock<Both> => "send sync",
        OnceLock<Sent> => "send",
        OnceLock<Shared> => "-",
        OnceLock<Neither> => "-",
        LazyLock<Both, fn() -> Both> => "send sync",
        LazyLock<Sent, fn() -> Sent> => "send",
        LazyLock<Shared, fn() -> Shared> => "-",
        LazyLock<Neither, fn() -> Neither> => "-",
        // The initializer is moved to the thread that calls it, and shared by nobody.
        LazyLock<Both, Sent> => "send sync",
        LazyLock<Both, Shared> => "-",
        LazyLock<Both, Neither> => "-",
        CachePadded<Both> => "send sync",
        CachePadded<Sent> => "send",
        CachePadded<Shared> => "sync",
        CachePadded<Neither> => "-",
    });
}

#[test]
fn channels() {
    check(&types! {
        Sender<Both> => "send sync",
        Sender<Sent> => "send sync",
        Sender<Shared> => "-",
        Sender<Neither> => "-",
        Receiver<Both> => "send sync",
        Receiver<Sent> => "send sync",
        Receiver<Shared> => "-",
        Receiver<Neither> => "-",
        Iter<'static, Sent> => "send sync",
        Iter<'static, Shared> => "-",
        TryIter<'static, Sent> => "send sync",
        TryIter<'static, Shared> => "-",
        channel::IntoIter<Sent> => "send sync",
        channel::IntoIter<Shared> => "-",
        // An error is the message.
        channel::SendError<Sent> => "send",
        channel::TrySendError<Shared> => "sync",
        channel::SendTimeoutError<Neither> => "-",
        channel::RecvError => "send sync",
    });
}

#[test]
fn what_has_no_data() {
    check(&types! {
        RawMutex => "send sync",
        RawRwLock => "send sync",
        RawPriorityMutex => "send sync",
        Inherited => "send sync",
        Condvar => "send sync",
        Barrier => "send sync",
        Latch => "send sync",
        WaitGroup => "send sync",
        WaitGroupToken<'static> => "send sync",
        Semaphore => "send sync",
        SemaphorePermit<'static> => "send sync",
        OwnedSemaphorePermit => "send sync",
        Parker => "send sync",
        Once => "send sync",
        Running<'static, System> => "send sync",
        Acquire<'static, System> => "send sync",
        AcquirePriority<'static, System> => "send sync",
        AcquireRead<'static, System> => "send sync",
        AcquireWrite<'static, System> => "send sync",
        BarrierWaiter<'static, System> => "send sync",
        Begin<'static, System> => "send sync",
        Completion<'static> => "send sync",
        CondvarWaiter<'static, System> => "send sync",
        LatchWaiter<'static> => "send sync",
        ParkerWaiter<'static> => "send sync",
        SemaphoreWaiter<'static, System> => "send sync",
        WaitGroupWaiter<'static> => "send sync",
        // Its place in the table of futures is its own: others reach it under a lock.
        Wait<'static, LatchWaiter<'static>> => "send",
    });
}

/// Whether they may be sent: one thread at a time polls a future, so none need be shared.
#[test]
fn futures_of_locks() {
    let (both, sent, shared) = (Mutex::new(1), Mutex::new(Cell::new(1)), std_guard());
    let shared = Mutex::new(shared);
    let (rw_both, rw_sent) = (RwLock::new(1), RwLock::new(Cell::new(1)));
    let (ranked, ranked_sent) = (PriorityMutex::new(1), PriorityMutex::new(Cell::new(1)));
    let ranked_shared = PriorityMutex::new(std_guard());
    let condvar = Condvar::new();
    let (guard, sent_guard, shared_guard) = (both.lock(), sent.lock(), shared.lock());
    check(&futures! {
        both.lock_async() => "send",
        sent.lock_async() => "send",
        shared.lock_async() => "-",
        rw_both.read_async() => "send",
        rw_both.write_async() => "send",
        rw_sent.read_async() => "-",
        rw_sent.write_async() => "-",
        ranked.lock_async() => "send",
        ranked_sent.lock_async() => "send",
        ranked_shared.lock_async() => "-",
        condvar.wait_async(guard) => "send",
        condvar.wait_async(sent_guard) => "send",
        condvar.wait_async(shared_guard) => "-",
    });
}

#[test]
fn futures_of_the_others() {
    let (latch, group, barrier, parker) = (
        Latch::new(),
        WaitGroup::new(),
        Barrier::new(1),
        Parker::new(),
    );
    let (semaphore, once) = (Semaphore::new(1), Once::new());
    let (cell, sent_cell) = (OnceLock::<Both>::new(), OnceLock::<Sent>::new());
    let (sender, receiver) = channel::bounded::<Sent>(1);
    let (shared_sender, shared_receiver) = channel::bounded::<Shared>(1);
    let (_sender, unbounded_receiver) = channel::unbounded::<Sent>();
    let (_shared_sender, shared_unbounded) = channel::unbounded::<Shared>();
    check(&futures! {
        latch.wait_async() => "send",
        group.wait_async() => "send",
        barrier.wait_async() => "send",
        parker.park_async() => "send",
        semaphore.acquire_async() => "send",
        once.wait_async() => "send",
        once.call_once_async(|| ()) => "send",
        cell.wait_async() => "send",
        cell.get_or_init_async(|| 1) => "send",
        sent_cell.wait_async() => "-",
        sender.send_async(Cell::new(1)) => "send",
        receiver.recv_async() => "send",
        shared_sender.send_async(std_guard()) => "-",
        shared_receiver.recv_async() => "-",
        unbounded_receiver.recv_async() => "send",
        shared_unbounded.recv_async() => "-",
        select(latch.wait_async(), unbounded_receiver.recv_async()) => "send",
        select(latch.wait_async(), shared_unbounded.recv_async()) => "-",
    });
}

/// Data that may be shared and not sent. Its mutex is kept for ever: this is about types.
fn std_guard() -> Shared {
    static KEPT: std::sync::Mutex<Vec<&std::sync::Mutex<u32>>> = std::sync::Mutex::new(Vec::new());
    let mutex: &'static std::sync::Mutex<u32> = Box::leak(Box::new(std::sync::Mutex::new(1)));
    KEPT.lock().unwrap().push(mutex);
    mutex.lock().unwrap()
}
