//! Which functions a tool looks into, by their names.
//!
//! wasi-libc synchronizes its own threads by plain reads and writes of `volatile` words, and its
//! allocator hands blocks from thread to thread under a lock of its own. Neither can be told
//! from a defect by the code alone, so these functions are known by name.
//!
//! Invariant: a name decides alone, so that a module is classified the same however it was
//! linked. A module without names has ordinary functions only.

use super::SiteKind;

/// What is known of a function by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The program's own, and everything that has no name.
    #[default]
    Ordinary,
    /// The bodies of `malloc` and its kin: they have no hooks, but for
    /// [`Instrument::allocations`](super::Instrument::allocations).
    Allocator,
    /// The start and the end of threads in the C library. Plain accesses have no hooks, and the
    /// lock of its list of threads has none at all: they would order threads that have nothing
    /// to do with each other.
    Threads,
    /// Locks and streams of the C library, and joins, which synchronize by plain accesses: each
    /// plain load there is as good as an acquire, each plain store as a release.
    Runtime,
}

/// The C library's functions that start and end threads.
const THREADS: [&str; 6] = [
    "__pthread_create",
    "pthread_create",
    "__pthread_exit",
    "pthread_exit",
    "__wasi_thread_start_C",
    "__pthread_tsd_run_dtors",
];

/// Those of its list of threads.
const THREAD_LIST: [&str; 3] = ["__tl_lock", "__tl_unlock", "__tl_sync"];

/// Whether a function has no hooks at all.
pub(super) fn is_hidden(name: &str) -> bool {
    Class::of(name) == Class::Allocator || THREAD_LIST.contains(&name)
}

/// Beginnings of names in the C library that synchronize.
const RUNTIME_PREFIXES: [&str; 7] = [
    "__pthread_",
    "pthread_",
    "_pthread_",
    "__ofl_",
    "__stdio_",
    "__private_cond_",
    "__wasilibc_futex_",
];

/// Parts of names of the C++ library that synchronize: it waits for atomic values by plain reads of
/// a word beside them. Its standard streams may be written to by several threads, and keep
/// how wide the next output is and what pads it in plain words.
const RUNTIME_PARTS: [&str; 6] = [
    "__contention_wait",
    "__libcpp_contention_",
    "__atomic_notify_all_global_table",
    "_SentinelValueFill",
    "__put_character_sequence",
    "__pad_and_output",
];

/// Whole names of the C library that synchronize. Each of its functions for streams reads plainly
/// whether the stream has a lock, which others write atomically.
const RUNTIME: [&str; 84] = [
    "__lock",
    "__unlock",
    "__lockfile",
    "__unlockfile",
    "__wait",
    "__wake",
    "__timedwait",
    "__timedwait_cp",
    "__testcancel",
    "__do_cleanup_push",
    "__do_cleanup_pop",
    "__init_tp",
    "__wasi_init_tp",
    "__copy_tls",
    "__wasm_init_tls",
    "__init_tls",
    "__acquire_ptc",
    "__release_ptc",
    "__inhibit_ptc",
    "__vm_lock",
    "__vm_unlock",
    "__vm_wait",
    "__block_new_threads",
    "__fork_handler",
    "__towrite",
    "__toread",
    "__fwritex",
    "__overflow",
    "__uflow",
    "__stdout_write",
    "fwrite",
    "fread",
    "fflush",
    "fflush_unlocked",
    "fputs",
    "puts",
    "putchar",
    "putc",
    "fputc",
    "fgetc",
    "getc",
    "getchar",
    "ungetc",
    "flockfile",
    "ftrylockfile",
    "funlockfile",
    "vfprintf",
    "vfwprintf",
    "vfscanf",
    "vfwscanf",
    "locking_putc",
    "locking_getc",
    "do_putc",
    "do_getc",
    "a_swap",
    "a_cas",
    "fgets",
    "getdelim",
    "fseek",
    "fseeko",
    "__fseeko",
    "ftell",
    "ftello",
    "__ftello",
    "rewind",
    "fclose",
    "freopen",
    "feof",
    "ferror",
    "clearerr",
    "perror",
    "fputwc",
    "fgetwc",
    "ungetwc",
    "fputws",
    "fgetws",
    "fwide",
    "getenv",
    "__wasilibc_ensure_environ",
    "__wasilibc_initialize_environ",
    "sem_post",
    "sem_wait",
    "sem_timedwait",
    "sem_trywait",
];

/// The allocator's functions that others do not call.
const ALLOCATOR: [&str; 16] = [
    "dlmalloc",
    "dlfree",
    "dlcalloc",
    "dlrealloc",
    "dlmemalign",
    "dlposix_memalign",
    "prepend_alloc",
    "dispose_chunk",
    "internal_memalign",
    "sys_alloc",
    "sys_trim",
    "tmalloc_large",
    "tmalloc_small",
    "try_realloc_chunk",
    "dlmalloc_usable_size",
    "malloc_usable_size",
];

/// An entry of the allocator's: what it does, and where its operands are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: SiteKind,
    /// The parameter with the block that it takes.
    pub(super) old: Option<u32>,
    /// The parameters whose product is the size of the block that it gives.
    pub(super) size: (u32, Option<u32>),
    /// The parameter that says where the block's address is written, if it is not the result.
    pub(super) place: Option<u32>,
    /// How many parameters it has.
    pub(super) params: usize,
}

/// The entry with this name.
pub(super) fn entry(name: &str) -> Option<Entry> {
    use SiteKind::{Allocate, Free, Reallocate};
    let entry = |kind, params, old, size| Entry {
        kind,
        old,
        size,
        place: None,
        params,
    };
    Some(match name {
        "malloc" => entry(Allocate, 1, None, (0, None)),
        "calloc" => entry(Allocate, 2, None, (0, Some(1))),
        "aligned_alloc" | "memalign" => entry(Allocate, 2, None, (1, None)),
        "realloc" => entry(Reallocate, 2, Some(0), (1, None)),
        "free" => entry(Free, 1, Some(0), (0, None)),
        "posix_memalign" => Entry {
            place: Some(0),
            ..entry(Allocate, 3, None, (2, None))
        },
        // Rust's, before and since their names are mangled.
        name => match rust_name(name)? {
            "alloc" | "alloc_zeroed" => entry(Allocate, 2, None, (0, None)),
            "realloc" => entry(Reallocate, 4, Some(0), (3, None)),
            "dealloc" => entry(Free, 3, Some(0), (0, None)),
            _ => return None,
        },
    })
}

/// `alloc` of `__rust_alloc`, and so on. `__rdl` are those of the standard library, `__rg` those
/// of the program's `#[global_allocator]`; mangled, they are `_RNvCs…_7___rustc11___rdl_alloc`.
fn rust_name(name: &str) -> Option<&str> {
    let plain = match name.strip_prefix("_R") {
        Some(mangled) => {
            let (_, last) = mangled.split_once("7___rustc")?;
            let last = last.trim_start_matches(|c: char| c.is_ascii_digit());
            last.strip_prefix('_')?
        }
        None => name,
    };
    let prefixes = ["__rust_", "__rdl_", "__rg_"];
    prefixes
        .iter()
        .find_map(|prefix| plain.strip_prefix(prefix))
}

impl Class {
    /// The class of the function with this name.
    pub(super) fn of(name: &str) -> Self {
        if entry(name).is_some() || ALLOCATOR.contains(&name) {
            Self::Allocator
        } else if THREADS.contains(&name) || THREAD_LIST.contains(&name) {
            Self::Threads
        } else if RUNTIME.contains(&name)
            || RUNTIME_PREFIXES.iter().any(|p| name.starts_with(p))
            || RUNTIME_PARTS.iter().any(|part| name.contains(part))
        {
            Self::Runtime
        } else {
            Self::Ordinary
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_classes() {
        for (name, class) in [
            ("malloc", Class::Allocator),
            ("dlfree", Class::Allocator),
            (
                "_RNvCsfLfy6EI15iL_7___rustc12___rust_alloc",
                Class::Allocator,
            ),
            ("__rust_dealloc", Class::Allocator),
            (
                "_RNvCsfLfy6EI15iL_7___rustc11___rdl_alloc",
                Class::Allocator,
            ),
            (
                "_RNvCsfLfy6EI15iL_7___rustc26___rust_alloc_error_handler",
                Class::Ordinary,
            ),
            ("__pthread_timedjoin_np", Class::Runtime),
            ("__tl_lock", Class::Threads),
            ("__pthread_create", Class::Threads),
            ("__lock", Class::Runtime),
            ("__locked", Class::Ordinary),
            ("vfprintf", Class::Runtime),
            (
                "std::__1::__atomic_notify_all_global_table(void const volatile*)",
                Class::Runtime,
            ),
            ("dlmalloc_usable_size", Class::Allocator),
            ("memcpy", Class::Ordinary),
            ("main", Class::Ordinary),
        ] {
            assert_eq!(Class::of(name), class, "{name}");
        }
    }
}
