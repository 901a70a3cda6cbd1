//! Where a thread waits for the allocator's lock.
//!
//! An allocator may wait on nothing that allocates. The system's futex does not, nor does
//! WebAssembly's. Elsewhere `wasm-futex` is a table of queues that grows with the number of
//! threads, under a lock of its own: a thread would allocate, and so wait for the allocator's
//! lock, while it is about to wait for it. There it polls, and gives its core away: the lock is
//! held for some instructions.
//!
//! No future waits here, so there are none to wake: a notify takes no lock, and a process that
//! has just forked can call it.

#[cfg(loom)]
pub(crate) use threadwork_sync::System as Port;

#[cfg(not(loom))]
pub(crate) use threads::Port;

#[cfg(not(loom))]
mod threads {
    use core::time::Duration;

    use threadwork_sync::{AtomicU32, Futex, Patience, System, WaitResult};

    pub(crate) struct Port;

    impl Futex for Port {
        #[cfg(any(
            target_family = "wasm",
            all(
                any(target_os = "linux", target_os = "android"),
                target_pointer_width = "64"
            )
        ))]
        fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> WaitResult {
            wasm_futex::wait32(word, expected, timeout)
        }

        #[cfg(not(any(
            target_family = "wasm",
            all(
                any(target_os = "linux", target_os = "android"),
                target_pointer_width = "64"
            )
        )))]
        fn wait(&self, _: &AtomicU32, _: u32, _: Option<Duration>) -> WaitResult {
            #[cfg(feature = "std")]
            std::thread::yield_now();
            #[cfg(not(feature = "std"))]
            core::hint::spin_loop();
            WaitResult::Woken
        }

        #[cfg(any(
            target_family = "wasm",
            all(
                any(target_os = "linux", target_os = "android"),
                target_pointer_width = "64"
            )
        ))]
        fn notify(&self, word: *const AtomicU32, count: u32) -> u32 {
            wasm_futex::notify_ptr(word, count)
        }

        #[cfg(not(any(
            target_family = "wasm",
            all(
                any(target_os = "linux", target_os = "android"),
                target_pointer_width = "64"
            )
        )))]
        fn notify(&self, _: *const AtomicU32, _: u32) -> u32 {
            0
        }

        fn now(&self) -> Option<Duration> {
            System.now()
        }

        fn watch(&self, word: &AtomicU32, expected: u32, patience: Patience) {
            System.watch(word, expected, patience);
        }
    }
}
