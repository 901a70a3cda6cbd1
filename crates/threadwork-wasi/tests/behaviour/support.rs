//! A guest without code: the test makes its calls.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use threadwork_wasi::{Host, Limit, Wasi, WasiBuilder, add_to_linker};
use wasmtime::error::Error;
use wasmtime::{Config, Engine, Linker, MemoryTypeBuilder, SharedMemory, Store, Val};

fn engine() -> Engine {
    Engine::new(Config::new().shared_memory(true)).unwrap()
}

/// How long a test waits for what takes no time.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Process {
    wasi: Wasi,
    memory: SharedMemory,
    is_ending: AtomicBool,
    /// Threads that sleep in a call.
    asleep: Mutex<u32>,
    fell_asleep: Condvar,
    pub(crate) refusals: Mutex<Vec<Limit>>,
    next: AtomicU32,
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
        Duration::from_nanos(2)
    }

    fn thread_cpu_time(&self) -> Duration {
        Duration::from_nanos(3)
    }

    fn sleep_begins(&self) {
        *self.0.asleep.lock().unwrap() += 1;
        self.0.fell_asleep.notify_all();
    }

    fn sleep_ends(&self) {
        *self.0.asleep.lock().unwrap() -= 1;
    }

    fn refused(&self, limit: Limit) {
        self.0.refusals.lock().unwrap().push(limit);
    }
}

/// A thread of a process.
pub(crate) struct Guest {
    pub(crate) process: Arc<Process>,
    store: Store<Context>,
    linker: Linker<Context>,
}

/// Where a guest has something in its memory.
#[derive(Clone, Copy)]
pub(crate) struct At(pub(crate) u32);

pub(crate) const BADF: i32 = 8;
pub(crate) const AGAIN: i32 = 6;
pub(crate) const DQUOT: i32 = 19;
pub(crate) const FAULT: i32 = 21;
pub(crate) const ILSEQ: i32 = 25;
pub(crate) const INVAL: i32 = 28;
pub(crate) const ISDIR: i32 = 31;
pub(crate) const MFILE: i32 = 33;
pub(crate) const NAMETOOLONG: i32 = 37;
pub(crate) const NOENT: i32 = 44;
pub(crate) const NOTDIR: i32 = 54;
pub(crate) const NOTSOCK: i32 = 57;
pub(crate) const NXIO: i32 = 60;
pub(crate) const PERM: i32 = 63;
pub(crate) const PIPE: i32 = 64;
pub(crate) const SPIPE: i32 = 70;
pub(crate) const NOTCAPABLE: i32 = 76;

pub(crate) const READ: u64 = 1 << 1;
pub(crate) const WRITE: u64 = 1 << 6;
pub(crate) const CREAT: u32 = 1;
pub(crate) const DIRECTORY: u32 = 2;
pub(crate) const APPEND: u32 = 1;
pub(crate) const NONBLOCK: u32 = 4;

impl Guest {
    pub(crate) fn new(builder: WasiBuilder) -> Self {
        let engine = engine();
        let ty = MemoryTypeBuilder::default()
            .min(32)
            .max(Some(32))
            .shared(true)
            .build();
        Self::of(Arc::new(Process {
            wasi: builder.build().unwrap(),
            memory: SharedMemory::new(&engine, ty.unwrap()).unwrap(),
            is_ending: AtomicBool::new(false),
            asleep: Mutex::new(0),
            fell_asleep: Condvar::new(),
            refusals: Mutex::default(),
            next: AtomicU32::new(64),
        }))
    }

    /// Another thread of a process.
    pub(crate) fn of(process: Arc<Process>) -> Self {
        let engine = engine();
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker).unwrap();
        Self {
            store: Store::new(&engine, Context(Arc::clone(&process))),
            process,
            linker,
        }
    }

    /// Makes a call; `None` if the guest would have been stopped.
    pub(crate) fn try_call(&mut self, name: &str, arguments: &[u64]) -> Option<i32> {
        let found = self
            .linker
            .get(&mut self.store, "wasi_snapshot_preview1", name);
        let function = found.unwrap().into_func().unwrap();
        let ty = function.ty(&self.store);
        assert_eq!(ty.params().len(), arguments.len(), "{name}");
        let value = |(ty, number): (wasmtime::ValType, &u64)| match ty {
            wasmtime::ValType::I64 => Val::I64(number.cast_signed()),
            _ => Val::I32((*number as u32).cast_signed()),
        };
        let arguments: Vec<_> = ty.params().zip(arguments).map(value).collect();
        let mut results = [Val::I32(-1)];
        function
            .call(&mut self.store, &arguments, &mut results)
            .ok()?;
        Some(results[0].unwrap_i32())
    }

    #[track_caller]
    pub(crate) fn call(&mut self, name: &str, arguments: &[u64]) -> i32 {
        self.try_call(name, arguments)
            .expect("the guest was stopped")
    }

    // ---- Memory ----

    /// Room for so many bytes.
    pub(crate) fn room(&self, size: u32) -> At {
        let at = self
            .process
            .next
            .fetch_add(size.next_multiple_of(16), Ordering::SeqCst);
        assert!(((at + size) as usize) < self.process.memory.data_size());
        At(at)
    }

    pub(crate) fn put(&self, bytes: &[u8]) -> At {
        let at = self.room(bytes.len() as u32);
        self.write(at, bytes);
        at
    }

    pub(crate) fn write(&self, at: At, bytes: &[u8]) {
        let place = &self.process.memory.data()[at.0 as usize..][..bytes.len()];
        for (byte, new) in place.iter().zip(bytes) {
            // SAFETY: only the test's own threads use this place, one after the other.
            unsafe { *byte.get() = *new };
        }
    }

    pub(crate) fn bytes(&self, at: At, length: usize) -> Vec<u8> {
        let place = &self.process.memory.data()[at.0 as usize..][..length];
        // SAFETY: as in `write`.
        place.iter().map(|byte| unsafe { *byte.get() }).collect()
    }

    pub(crate) fn number(&self, at: At) -> u32 {
        u32::from_le_bytes(self.bytes(at, 4).try_into().unwrap())
    }

    pub(crate) fn long(&self, at: At) -> u64 {
        u64::from_le_bytes(self.bytes(at, 8).try_into().unwrap())
    }

    /// Vectors of these places and lengths.
    pub(crate) fn vectors(&self, all: &[(At, u32)]) -> At {
        let bytes = all
            .iter()
            .flat_map(|(at, length)| [at.0.to_le_bytes(), length.to_le_bytes()]);
        self.put(&bytes.flatten().collect::<Vec<_>>())
    }

    // ---- Calls with what they need ----

    pub(crate) fn open_with(&mut self, dir: u32, path: &str, flags: [u64; 4]) -> Result<u32, i32> {
        let [lookup, open, rights, descriptor] = flags;
        let (name, result) = (self.put(path.as_bytes()), self.room(4));
        let length = path.len() as u64;
        let errno = self.call(
            "path_open",
            &[
                dir.into(),
                lookup,
                name.0.into(),
                length,
                open,
                rights,
                rights,
                descriptor,
                result.0.into(),
            ],
        );
        match errno {
            0 => Ok(self.number(result)),
            errno => Err(errno),
        }
    }

    /// Opens a file below descriptor 3 for reading and writing, and makes it.
    #[track_caller]
    pub(crate) fn open(&mut self, path: &str) -> u32 {
        self.open_with(3, path, [0, CREAT.into(), READ | WRITE, 0])
            .unwrap()
    }

    pub(crate) fn path(&mut self, name: &str, path: &[u8]) -> i32 {
        let at = self.put(path);
        self.call(name, &[3, at.0.into(), path.len() as u64])
    }

    pub(crate) fn write_to(&mut self, fd: u32, bytes: &[u8]) -> Result<u32, i32> {
        let bytes = (self.put(bytes), bytes.len() as u32);
        let (vectors, result) = (self.vectors(&[bytes]), self.room(4));
        match self.call(
            "fd_write",
            &[fd.into(), vectors.0.into(), 1, result.0.into()],
        ) {
            0 => Ok(self.number(result)),
            errno => Err(errno),
        }
    }

    pub(crate) fn read_from(&mut self, fd: u32, length: u32) -> Result<Vec<u8>, i32> {
        match self.try_read(fd, length) {
            Some(read) => read,
            None => panic!("the guest was stopped"),
        }
    }

    pub(crate) fn try_read(&mut self, fd: u32, length: u32) -> Option<Result<Vec<u8>, i32>> {
        let room = self.room(length);
        let (vectors, result) = (self.vectors(&[(room, length)]), self.room(4));
        let errno = self.try_call(
            "fd_read",
            &[fd.into(), vectors.0.into(), 1, result.0.into()],
        )?;
        Some(match errno {
            0 => Ok(self.bytes(room, self.number(result) as usize)),
            errno => Err(errno),
        })
    }

    /// The names in a directory, as a program reads them with a buffer of this size.
    pub(crate) fn list(&mut self, fd: u32, room: u32) -> Vec<(Vec<u8>, u8, u64)> {
        let (buffer, result) = (self.room(room), self.room(4));
        let (mut cookie, mut all) = (0, Vec::new());
        loop {
            let arguments = [
                fd.into(),
                buffer.0.into(),
                room.into(),
                cookie,
                result.0.into(),
            ];
            assert_eq!(self.call("fd_readdir", &arguments), 0);
            let used = self.number(result) as usize;
            let bytes = self.bytes(buffer, used);
            let mut rest = &bytes[..];
            while rest.len() >= 24 {
                let length = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
                let Some(name) = rest.get(24..24 + length) else {
                    break;
                };
                cookie = u64::from_le_bytes(rest[..8].try_into().unwrap());
                let inode = u64::from_le_bytes(rest[8..16].try_into().unwrap());
                all.push((name.to_vec(), rest[20], inode));
                rest = &rest[24 + length..];
            }
            if used < room as usize {
                return all;
            }
        }
    }

    /// Waits for each of these (kind 1: read, 2: write) or so many nanoseconds; the events:
    /// userdata, errno, bytes, flags.
    pub(crate) fn poll(&mut self, fds: &[(u8, u32)], timeout: Option<u64>) -> Vec<Event> {
        let mut subscriptions = Vec::new();
        for (place, (kind, fd)) in fds.iter().enumerate() {
            let mut bytes = [0; 48];
            bytes[..8].copy_from_slice(&(place as u64).to_le_bytes());
            bytes[8] = *kind;
            bytes[16..20].copy_from_slice(&fd.to_le_bytes());
            subscriptions.extend(bytes);
        }
        if let Some(timeout) = timeout {
            let mut bytes = [0; 48];
            bytes[..8].copy_from_slice(&99_u64.to_le_bytes());
            bytes[16] = 1;
            bytes[24..32].copy_from_slice(&timeout.to_le_bytes());
            subscriptions.extend(bytes);
        }
        let count = subscriptions.len() as u64 / 48;
        let (at, events) = (self.put(&subscriptions), self.room(count as u32 * 32));
        let result = self.room(4);
        let arguments = [at.0.into(), events.0.into(), count, result.0.into()];
        assert_eq!(self.call("poll_oneoff", &arguments), 0);
        let event = |n| {
            let bytes = self.bytes(At(events.0 + n * 32), 32);
            Event {
                userdata: u64::from_le_bytes(bytes[..8].try_into().unwrap()),
                errno: i32::from(bytes[8]),
                bytes: u64::from_le_bytes(bytes[16..24].try_into().unwrap()),
                is_hangup: bytes[24] != 0,
            }
        };
        (0..self.number(result)).map(event).collect()
    }

    // ---- Threads ----

    /// Runs `body` in another thread of the process, and waits until it sleeps in a call.
    pub(crate) fn asleep<R: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Self) -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let process = Arc::clone(&self.process);
        let thread = std::thread::spawn(move || body(&mut Self::of(process)));
        let asleep = self.process.asleep.lock().unwrap();
        let waits = |asleep: &mut u32| *asleep == 0;
        let waited = self
            .process
            .fell_asleep
            .wait_timeout_while(asleep, PATIENCE, waits);
        assert!(!waited.unwrap().1.timed_out(), "the thread does not sleep");
        thread
    }

    /// Ends the process.
    pub(crate) fn end(&self, threads: &[&JoinHandle<bool>]) {
        self.process.is_ending.store(true, Ordering::SeqCst);
        self.process.wasi.wake();
        threads.iter().for_each(|thread| thread.thread().unpark());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) userdata: u64,
    pub(crate) errno: i32,
    pub(crate) bytes: u64,
    pub(crate) is_hangup: bool,
}

/// A process with one directory.
pub(crate) fn with_folder() -> (tempfile::TempDir, Guest) {
    let folder = tempfile::tempdir().unwrap();
    let guest = Guest::new(WasiBuilder::new().preopen_dir(folder.path(), "/"));
    (folder, guest)
}

pub(crate) fn pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader.into(), writer.into())
}
