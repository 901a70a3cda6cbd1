//! What may be sent to another thread, and what may be shared with one: of each public
//! type, for each kind of data. (`threadwork-sync` has such a table of its own.)

#![cfg(not(loom))]

use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::MutexGuard;

use threadwork::{
    CancelToken, Chunks, Enumerate, JobHandle, Map, Mapped, Owned, Par, PoolBuilder, Scope,
    TaskBuilder, TaskError, TaskFuture, TaskHandle, TaskPanic, ThreadBound, ThreadLocal,
    ThreadPool, Windows, Zip,
};

/// Data of each kind: it may be sent and shared, only sent, only shared, neither.
type Both = u32;
type Sent = Cell<u32>;
type Shared = MutexGuard<'static, u32>;
type Neither = Rc<u32>;

/// Tells of a type what holds: a constant of the type's own, which is there only if the
/// bound holds, goes before one of a trait's.
struct Probe<T: ?Sized>(PhantomData<T>);

trait Not {
    const SEND: bool = false;
    const SYNC: bool = false;
}

impl<T: ?Sized> Not for Probe<T> {}

impl<T: ?Sized + Send> Probe<T> {
    const SEND: bool = true;
}

impl<T: ?Sized + Sync> Probe<T> {
    const SYNC: bool = true;
}

macro_rules! check {
    ($($type:ty => $expected:literal,)*) => {
        let wrong = [$((
            stringify!($type),
            $expected,
            match (Probe::<$type>::SEND, Probe::<$type>::SYNC) {
                (true, true) => "send sync",
                (true, false) => "send",
                (false, true) => "sync",
                (false, false) => "-",
            },
        )),*]
        .iter()
        .filter(|(_, expected, found)| expected != found)
        .map(|(name, expected, found)| format!("{name}: {found}, not {expected}"))
        .collect::<Vec<_>>();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    };
}

#[test]
fn the_probe_tells() {
    check! {
        Both => "send sync",
        Sent => "send",
        Shared => "sync",
        Neither => "-",
    }
}

#[test]
fn pools_and_tasks() {
    check! {
        ThreadPool => "send sync",
        PoolBuilder => "send sync",
        TaskBuilder<'static> => "send sync",
        // The result is one thread's: who waits takes it out, by a claim.
        TaskHandle<Both> => "send sync",
        TaskHandle<Sent> => "send sync",
        TaskFuture<Sent> => "send",
        TaskError => "send sync",
        TaskPanic => "send sync",
        CancelToken => "send sync",
    }
}

#[test]
fn fork_join() {
    check! {
        Scope<'static> => "send sync",
        // Only the parent of a job waits for it.
        JobHandle<'static, 'static, Both> => "-",
        Par<&'static Both> => "send sync",
        Par<&'static Sent> => "-",
        Par<Neither> => "-",
        Chunks<&'static mut [Sent]> => "send",
        Enumerate<Shared> => "sync",
        Zip<Both, Neither> => "-",
        Windows<'static, Both> => "send sync",
        Windows<'static, Sent> => "-",
        Owned<Both> => "send sync",
        Owned<Sent> => "send",
        Owned<Shared> => "sync",
        Owned<Neither> => "-",
        // The function is shared by all who have a part.
        Map<Both, Both> => "send sync",
        Map<Both, Sent> => "-",
        Map<Neither, Both> => "-",
        Mapped<Sent, Both> => "send",
        Mapped<Sent, Shared> => "-",
    }
}

#[test]
fn thread_locals() {
    check! {
        // A value is reached by its own thread alone, so it need not be `Sync`.
        ThreadLocal<Both> => "send sync",
        ThreadLocal<Sent> => "send sync",
        ThreadBound<Sent> => "send sync",
        <&'static ThreadLocal<Both> as IntoIterator>::IntoIter => "send sync",
        <&'static mut ThreadLocal<Both> as IntoIterator>::IntoIter => "send sync",
        <&'static mut ThreadLocal<Sent> as IntoIterator>::IntoIter => "send",
        <ThreadLocal<Sent> as IntoIterator>::IntoIter => "send sync",
    }
}
