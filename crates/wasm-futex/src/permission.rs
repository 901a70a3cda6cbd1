//! Whether the calling thread may block.
//!
//! The answer is found once for each thread and kept in thread-local storage, so that a
//! wait does not ask JavaScript each time.

cfg_select! {
    any(feature = "std", not(target_family = "wasm")) => {
        use core::cell::Cell;

        std::thread_local! {
            /// What this thread was told or found out; `None` before it asked. It has no
            /// destructor, so that it can be used until the very end of the thread.
            static CAN_BLOCK: Cell<Option<bool>> = const { Cell::new(None) };
        }

        pub(crate) fn get() -> bool {
            CAN_BLOCK.with(|known| {
                known.get().unwrap_or_else(|| {
                    let answer = ask();
                    known.set(Some(answer));
                    answer
                })
            })
        }

        pub(crate) fn set(can_block: bool) {
            CAN_BLOCK.with(|known| known.set(Some(can_block)));
        }
    }
    _ => {
        pub(crate) fn get() -> bool {
            ask()
        }
    }
}

cfg_select! {
    all(target_family = "wasm", target_os = "unknown", feature = "wasm-bindgen") => {
        use crate::javascript::can_block as ask;
    }
    _ => {
        fn ask() -> bool {
            true
        }
    }
}
