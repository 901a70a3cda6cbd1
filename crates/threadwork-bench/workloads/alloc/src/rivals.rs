//! The contestants.

use std::alloc::{GlobalAlloc, System};

use talc::lock_api;
use threadwork_sync::{RawMutex, System as Futex};

use crate::footprint::footprint;
use crate::raw::{
    Rival, batches, blocks, growth, handed, pairs, random, scaling_batches, scaling_pairs,
    scaling_random, threads,
};
use threadwork_workloads::contest::{Entry, entry};

macro_rules! rivals {
    ($($(#[$cfg:meta])* $name:literal $rival:ident: $type:ty = $value:expr;)*) => {
        $(
            $(#[$cfg])*
            struct $rival;

            $(#[$cfg])*
            impl Rival for $rival {
                fn allocator() -> &'static (impl GlobalAlloc + Sync) {
                    static ALLOCATOR: $type = $value;
                    &ALLOCATOR
                }
            }
        )*

        /// By contestant.
        pub(crate) const WORKLOADS: &[&[Entry]] = &[$(
            $(#[$cfg])*
            &[
                entry("pairs", $name, pairs::<$rival>),
                entry("batches", $name, batches::<$rival>),
                entry("random", $name, random::<$rival>),
                entry("handed", $name, handed::<$rival>),
                entry("blocks", $name, blocks::<$rival>),
                entry("growth", $name, growth::<$rival>),
                entry("threads", $name, threads::<$rival>),
                entry("scaling-pairs", $name, scaling_pairs::<$rival>),
                entry("scaling-batches", $name, scaling_batches::<$rival>),
                entry("scaling-random", $name, scaling_random::<$rival>),
                entry("footprint", $name, footprint::<$rival>),
            ],
        )*];
    };
}

/// A lock for an allocator that brings none: ours.
struct Lock(RawMutex);

// SAFETY: `RawMutex` excludes.
unsafe impl lock_api::RawMutex for Lock {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait's own way")]
    const INIT: Self = Lock(RawMutex::new());
    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {
        self.0.lock_with(&Futex);
    }

    fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller holds the lock.
        unsafe { self.0.unlock_with(&Futex) };
    }
}

/// Talc in blocks of std's allocator: in threaded WebAssembly nobody else may grow memory.
type Talc = talc::TalcLock<Lock, talc::source::GlobalAllocSource<System>>;

rivals! {
    "std" Std: System = System;
    "threadwork" Threadwork: threadwork_alloc::Allocator = threadwork_alloc::Allocator::new();
    "talc" TalcRival: Talc = Talc::new(talc::source::GlobalAllocSource::new(System));
    #[cfg(not(target_family = "wasm"))]
    "mimalloc" Mimalloc: mimalloc::MiMalloc = mimalloc::MiMalloc;
    "rusty_alloc" Rusty: rusty_alloc_api::RustyAlloc = rusty_alloc_api::RustyAlloc;
    #[cfg(not(target_family = "wasm"))]
    "rlsf" Rlsf: rlsf::GlobalTlsf = rlsf::GlobalTlsf::new();
    #[cfg(not(target_family = "wasm"))]
    "dlmalloc" Dl: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
    #[cfg(not(target_family = "wasm"))]
    "rsbmalloc" Rsb: rsbmalloc::RSBMalloc = rsbmalloc::RSBMalloc::new();
    #[cfg(target_family = "wasm")]
    "lol_alloc" Lol: lol_alloc::LockedAllocator<lol_alloc::FreeListAllocator> = lol_alloc::LockedAllocator::new(lol_alloc::FreeListAllocator::new());
}
