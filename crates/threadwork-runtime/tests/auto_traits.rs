//! What may be sent to another thread, and what may be shared with one: of each public
//! type, for each kind of data. (`threadwork` and `threadwork-sync` have such tables of their own.)

use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::MutexGuard;

use threadwork_runtime::{
    AtomicBatch, CacheAligned, SharedMemory, ThreadHandle, ThreadLocalStorage, ThreadManager,
    ThreadPanic, ThreadRuntime,
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
fn threads() {
    check! {
        ThreadManager => "send sync",
        ThreadHandle<Both> => "send sync",
        ThreadHandle<Sent> => "send sync",
        ThreadHandle<Shared> => "-",
        ThreadHandle<Neither> => "-",
        ThreadPanic => "send sync",
        ThreadLocalStorage => "send sync",
    }
}

#[test]
fn memory() {
    check! {
        SharedMemory => "send sync",
        AtomicBatch => "send sync",
        ThreadRuntime => "send sync",
        CacheAligned<Both> => "send sync",
        CacheAligned<Sent> => "send",
        CacheAligned<Shared> => "sync",
        CacheAligned<Neither> => "-",
    }
}
