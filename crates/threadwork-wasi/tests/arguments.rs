//! Every function with arguments that may be anything: no panic, nothing of the host's
//! memory, no byte of the guest's that the call does not name, and no call that outlives its
//! process.
//!
//! `THREADWORK_FULL=1` tries a hundred times as many. A failure says its seed, and
//! `THREADWORK_SEED` tries that one alone.

// In helpers as in tests, an `unwrap` is an assertion.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};
use threadwork_wasi::{Host, Input, Limits, Output, Sink, Wasi, WasiBuilder, add_to_linker};
use wasmtime::{
    Config, Engine, Func, Linker, MemoryTypeBuilder, SharedMemory, Store, Val, ValType,
    error::Error,
};

const MODULE: &str = "wasi_snapshot_preview1";

const FUNCTIONS: [&str; 45] = [
    "args_get",
    "args_sizes_get",
    "environ_get",
    "environ_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "random_get",
    "sched_yield",
    "proc_raise",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_pwrite",
    "fd_read",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "fd_prestat_get",
    "fd_prestat_dir_name",
    "fd_readdir",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

fn engine() -> Engine {
    Engine::new(Config::new().shared_memory(true)).unwrap()
}

/// A process, for as many threads as there are.
struct Process {
    wasi: Wasi,
    memory: SharedMemory,
    is_ending: AtomicBool,
}

#[derive(Clone)]
struct Context(Arc<Process>);

impl Host for Context {
    fn wasi(&self) -> &Wasi {
        &self.0.wasi
    }

    fn check_running(&self) -> wasmtime::Result<()> {
        match self.0.is_ending.load(Ordering::SeqCst) {
            true => Err(Error::msg("ending")),
            false => Ok(()),
        }
    }

    fn shared_memory(&self) -> Option<&SharedMemory> {
        Some(&self.0.memory)
    }

    fn process_cpu_time(&self) -> Duration {
        Duration::ZERO
    }

    fn thread_cpu_time(&self) -> Duration {
        Duration::ZERO
    }
}

impl Process {
    fn end(&self, threads: &[Thread]) {
        self.is_ending.store(true, Ordering::SeqCst);
        self.wasi.wake();
        threads.iter().for_each(Thread::unpark);
    }
}

/// Takes little at a time, and not much.
struct Small(AtomicU64);

impl Sink for Small {
    fn write(&self, bytes: &[u8]) -> Result<usize, u64> {
        let left = self
            .0
            .load(Ordering::Relaxed)
            .min(bytes.len() as u64)
            .min(1000);
        self.0.fetch_sub(left, Ordering::Relaxed);
        if left == 0 && !bytes.is_empty() {
            Err(1)
        } else {
            Ok(left as usize)
        }
    }
}

// ---- Random things ----

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len() as u64) as usize]
    }

    fn number(&mut self, size: usize) -> u64 {
        let end = size as u64;
        match self.below(12) {
            0..3 => self.below(12),
            3..7 => self.below(end / 8) * 8,
            7 => self.below(end),
            8 => end - self.below(40),
            9 => self.pick(&[
                u64::MAX,
                u64::from(u32::MAX),
                1 << 31,
                (1 << 31) - 1,
                1 << 63,
            ]),
            10 => self.pick(&[1024, 1025, 4096, 65536, u64::from(u32::MAX) - 7]),
            _ => self.next(),
        }
    }
}

const NAMES: [&str; 12] = [
    "file",
    "dir",
    "dir/file",
    "link",
    "out",
    "..",
    ".",
    "/etc",
    "dir/../file",
    "new",
    "",
    "fifo",
];

/// The name at 0.
const FILE: &str = "file";

/// Bytes of a guest's memory: vectors, subscriptions and names that are sometimes right.
fn fill(random: &mut Random, memory: &SharedMemory) {
    let size = memory.data_size();
    let mut bytes = vec![0; size];
    for word in bytes.chunks_exact_mut(4) {
        let number = random.number(size) as u32;
        word.copy_from_slice(&number.to_le_bytes());
    }
    for place in bytes.chunks_mut(512) {
        let name = random.pick(&NAMES).as_bytes();
        place[..name.len()].copy_from_slice(name);
    }
    bytes[..FILE.len()].copy_from_slice(FILE.as_bytes());
    for (byte, new) in memory.data().iter().zip(bytes) {
        // SAFETY: nobody else uses the memory yet.
        unsafe { *byte.get() = new };
    }
}

/// The arguments of one call; the descriptor is often one that there is.
fn arguments(random: &mut Random, types: &[ValType], size: usize) -> Vec<Val> {
    let arguments = types.iter().enumerate().map(|(place, ty)| {
        let number = match (place, random.below(4)) {
            (0, 0..3) => random.below(12),
            // The length of a name, if a name's place was hit.
            (_, 0) => random.below(9),
            _ => random.number(size),
        };
        match ty {
            ValType::I64 => Val::I64(number.cast_signed()),
            _ => Val::I32((number as u32).cast_signed()),
        }
    });
    arguments.collect()
}

/// Where a call may write, by its name and arguments.
fn may_write(name: &str, arguments: &[Val], memory: &[u8]) -> Vec<Range<u64>> {
    let number = |place: usize| match arguments[place] {
        Val::I32(number) => u64::from(number.cast_unsigned()),
        Val::I64(number) => number.cast_unsigned(),
        _ => unreachable!(),
    };
    let at = |place: usize, size: u64| number(place)..number(place) + size;
    let vectors = |first: usize| {
        let (base, count) = (number(first), number(first + 1).min(1024));
        let vector = |n: u64| {
            let place = usize::try_from(base + n * 8).unwrap();
            let pair = memory.get(place..place + 8)?;
            let start = u64::from(u32::from_le_bytes(pair[..4].try_into().unwrap()));
            let length = u64::from(u32::from_le_bytes(pair[4..].try_into().unwrap()));
            Some(start..start + length)
        };
        (0..count).filter_map(vector).collect::<Vec<_>>()
    };
    match name {
        "args_get" | "environ_get" => vec![at(0, 12), at(1, 40)],
        "args_sizes_get" | "environ_sizes_get" => vec![at(0, 4), at(1, 4)],
        "clock_res_get" => vec![at(1, 8)],
        "clock_time_get" => vec![at(2, 8)],
        "random_get" => vec![at(0, number(1))],
        "fd_fdstat_get" => vec![at(1, 24)],
        "fd_filestat_get" => vec![at(1, 64)],
        "fd_pread" => [vectors(1), vec![at(4, 4)]].concat(),
        "fd_read" => [vectors(1), vec![at(3, 4)]].concat(),
        "fd_pwrite" => vec![at(4, 4)],
        "fd_write" => vec![at(3, 4)],
        "fd_seek" => vec![at(3, 8)],
        "fd_tell" => vec![at(1, 8)],
        "fd_prestat_get" => vec![at(1, 8)],
        "fd_prestat_dir_name" => vec![at(1, number(2))],
        "fd_readdir" => vec![at(1, number(2)), at(4, 4)],
        "path_filestat_get" => vec![at(4, 64)],
        "path_open" => vec![at(8, 4)],
        "path_readlink" => vec![at(3, number(4)), at(5, 4)],
        "poll_oneoff" => vec![at(1, number(2).saturating_mul(32)), at(3, 4)],
        "sock_accept" => vec![at(2, 4)],
        "sock_recv" => [vectors(1), vec![at(4, 4), at(5, 2)]].concat(),
        "sock_send" => vec![at(4, 4)],
        _ => Vec::new(),
    }
}

// ---- Processes ----

struct Stage {
    process: Arc<Process>,
    store: Store<Context>,
    functions: Vec<(&'static str, Func)>,
    _folder: tempfile::TempDir,
    client: TcpStream,
}

/// A process with a bit of everything.
fn stage(random: &mut Random) -> Stage {
    let engine = engine();
    let ty = MemoryTypeBuilder::default()
        .min(2)
        .max(Some(2))
        .shared(true)
        .build()
        .unwrap();
    let memory = SharedMemory::new(&engine, ty).unwrap();
    fill(random, &memory);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("dir")).unwrap();
    for name in ["file", "dir/file"] {
        std::fs::write(folder.path().join(name), "some bytes of a file").unwrap();
    }
    std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink("../..", folder.path().join("out")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path().join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.write_all(&[b'x'; 1000]).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let input = match random.below(2) {
        0 => Input::Bytes(vec![b'i'; 100_000]),
        _ => Input::Fd(OwnedFd::from(reader)),
    };
    let wasi = WasiBuilder::new()
        .args(["one".to_owned(), "two".to_owned()])
        .env([("NAME".to_owned(), "value".to_owned())])
        .preopen_dir(folder.path(), "/")
        .listener(listener)
        .stdin(input)
        .stdout(Output::Sink(Arc::new(Small(AtomicU64::new(100_000)))))
        .stderr(Output::Fd(OwnedFd::from(writer)))
        .limits(Limits {
            open_files: Some(20),
            file_bytes: Some(1 << 20),
            output: None,
        })
        .build()
        .unwrap();
    let process = Arc::new(Process {
        wasi,
        memory,
        is_ending: AtomicBool::new(false),
    });
    let mut linker = Linker::new(&engine);
    add_to_linker(&mut linker).unwrap();
    let mut store = Store::new(&engine, Context(Arc::clone(&process)));
    let function = |name: &&'static str| {
        let function = linker.get(&mut store, MODULE, name).unwrap().into_func();
        (*name, function.unwrap())
    };
    let functions: Vec<_> = FUNCTIONS.iter().map(function).collect();
    // Some files are open.
    let (_, open) = functions
        .iter()
        .find(|(name, _)| *name == "path_open")
        .unwrap();
    for _ in 0..3 {
        let length = FILE.len() as i32;
        let numbers = [3, 1, 0, length, 0].map(Val::I32);
        let rights = [Val::I64(-1), Val::I64(-1), Val::I32(0), Val::I32(1024)];
        let mut errno = [Val::I32(-1)];
        open.call(&mut store, &[&numbers[..], &rights].concat(), &mut errno)
            .unwrap();
        assert_eq!(errno[0].unwrap_i32(), 0);
    }
    Stage {
        process,
        store,
        functions,
        _folder: folder,
        client,
    }
}

/// Calls functions until something says that the process is ending; checks what they write.
fn call(random: &mut Random, stage: &mut Stage, calls: u32, checks: bool) {
    let memory = stage.process.memory.clone();
    let snapshot = || {
        let bytes = memory.data();
        let mut copy = vec![0_u8; bytes.len()];
        // SAFETY: both are as long as the memory; `checks` says that no other thread writes.
        unsafe {
            bytes
                .as_ptr()
                .cast::<u8>()
                .copy_to_nonoverlapping(copy.as_mut_ptr(), copy.len());
        }
        copy
    };
    for _ in 0..calls {
        let (name, function) = random.pick(&stage.functions);
        let ty = function.ty(&stage.store);
        let types: Vec<_> = ty.params().collect();
        let arguments = arguments(random, &types, memory.data_size());
        let before = if checks { snapshot() } else { Vec::new() };
        let mut results = [Val::I32(-1)];
        if function
            .call(&mut stage.store, &arguments, &mut results)
            .is_err()
        {
            assert!(
                stage.process.is_ending.load(Ordering::SeqCst),
                "{name}{arguments:?}"
            );
            return;
        }
        let errno = results[0].unwrap_i32();
        assert!((0..=76).contains(&errno), "{name}{arguments:?}: {errno}");
        if checks {
            let after = snapshot();
            if before == after {
                continue;
            }
            let allowed = may_write(name, &arguments, &before);
            for ((old, new), at) in before.iter().zip(&after).zip(0_u64..) {
                let is_allowed = old == new || allowed.iter().any(|range| range.contains(&at));
                assert!(is_allowed, "{name}{arguments:?} wrote at {at}");
            }
        }
    }
}

/// Ends a process whose threads do not come back by themselves: they must then.
fn with_watch(process: &Arc<Process>, threads: &[Thread], body: impl FnOnce()) {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            while !is_done.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(2));
                if start.elapsed() > Duration::from_millis(200) {
                    process.end(threads);
                }
                if start.elapsed() > Duration::from_secs(60) {
                    eprintln!("a call does not end");
                    std::process::abort();
                }
            }
        });
        // Also if it fails.
        let _done = Done(&is_done);
        body();
    });
}

/// Says when it goes.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Tells the seed if something fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("THREADWORK_SEED={}", self.0);
        }
    }
}

/// Runs so many seeds, or a hundred times as many. Most end in a call that waits, which takes no
/// core but time: many wait at once in the long run.
fn each_seed(few: u64, body: impl Fn(u64) + Sync) {
    let (seeds, at_once) = match std::env::var("THREADWORK_SEED") {
        Ok(seed) => {
            let seed = seed.parse().unwrap();
            (seed..seed + 1, 1)
        }
        Err(_) if std::env::var_os("THREADWORK_FULL").is_some() => (0..few * 100, 8),
        Err(_) => (0..few, 1),
    };
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let _seed = Seed(seed);
                    body(seed);
                }
            });
        }
    });
}

#[test]
fn calls_write_only_where_they_say() {
    each_seed(60, |seed| {
        let mut random = Random(seed);
        let mut stage = stage(&mut random);
        let process = Arc::clone(&stage.process);
        with_watch(&process, &[std::thread::current()], || {
            call(&mut random, &mut stage, 150, true);
        });
    });
}

#[test]
fn threads_do_it_at_the_same_time() {
    each_seed(30, |seed| {
        let mut random = Random(seed);
        let first = stage(&mut random);
        let (process, client) = (Arc::clone(&first.process), &first.client);
        let (send, receive) = std::sync::mpsc::channel();
        let is_begun = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (1..=3_u64)
                .map(|n| {
                    let (process, send, is_begun) = (Arc::clone(&process), send.clone(), &is_begun);
                    scope.spawn(move || {
                        let mut random = Random(seed ^ n << 32);
                        let mut own = stage(&mut Random(0));
                        // The same process, in a store of this thread's.
                        let engine = own.store.engine().clone();
                        let mut linker = Linker::new(&engine);
                        add_to_linker(&mut linker).unwrap();
                        own.process = Arc::clone(&process);
                        own.store = Store::new(&engine, Context(process));
                        for (name, function) in &mut own.functions {
                            let found = linker.get(&mut own.store, MODULE, name).unwrap();
                            *function = found.into_func().unwrap();
                        }
                        is_begun.wait();
                        call(&mut random, &mut own, 3000, false);
                        let _ = send.send(());
                    })
                })
                .collect();
            is_begun.wait();
            let threads: Vec<_> = workers
                .iter()
                .map(|worker| worker.thread().clone())
                .collect();
            with_watch(&process, &threads, || {
                (0..3).for_each(|_| receive.recv().unwrap());
            });
        });
        // Its other end was the process's alone.
        let _ = client.shutdown(std::net::Shutdown::Both);
    });
}
