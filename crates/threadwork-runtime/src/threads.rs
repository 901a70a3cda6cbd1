//! Threads with numbers: started, listed, joined and limited by one manager.
//!
//! std's handles know nothing of each other. A manager knows all threads that it has
//! started: it can wait for them, say what each one does, and refuse one too many. A pool
//! is for tasks; this is for threads that have a life of their own.

mod error;
mod record;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use threadwork::thread::{Builder, LimitedJoin};
use threadwork_sync::Mutex;

pub use error::{JoinError, SpawnError, ThreadPanic};
use record::{Left, Record};

/// The number of a thread of a [`ThreadManager`]: 1, 2, ... in the order in which they were
/// started. It is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(NonZero<u64>);

impl ThreadId {
    /// The id with this number.
    #[must_use]
    pub const fn new(number: NonZero<u64>) -> Self {
        ThreadId(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {}", self.0)
    }
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThreadStatus {
    /// It runs, and can be joined.
    Running,
    /// It runs, and was detached.
    Detached,
    /// It has returned, and can be joined.
    Finished,
    /// It has panicked, and can be joined to learn why.
    Panicked,
    /// It was joined, or it was detached and has ended.
    Gone,
}

/// A thread, as a [list](ThreadManager::list) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// Its number.
    pub id: ThreadId,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// What it does.
    pub status: ThreadStatus,
}

/// Starts threads, and knows those that it has started.
///
/// A thread is joined once, by its [handle](ThreadHandle) or by its id, or else detached.
/// One that ends without either leaves its status behind, some hundred bytes, until
/// [`join_all`](Self::join_all); its handle may be gone by then.
///
/// Clones are handles to the same manager. Dropping the last one ends nothing: the threads
/// run on, and their handles work. Call [`join_all`](Self::join_all) before to wait for
/// them.
///
/// # Example
///
/// ```
/// use threadwork_runtime::{SpawnError, ThreadManager};
///
/// let threads = ThreadManager::with_max_threads(16);
/// let squares: Vec<_> = (1..=4_u32).map(|n| threads.spawn(move || n * n)).collect::<Result<_, _>>()?;
/// let sum: u32 = squares.iter().map(|thread| thread.join().unwrap()).sum();
/// assert_eq!(sum, 30);
/// assert!(squares[0].join().is_err(), "once");
/// # Ok::<(), SpawnError>(())
/// ```
#[derive(Clone)]
pub struct ThreadManager {
    shared: Arc<Shared>,
}

struct Shared {
    max_threads: usize,
    table: Mutex<Table>,
}

struct Table {
    /// The number of the thread that is started next.
    next: NonZero<u64>,
    /// How many threads are about to start, or inside of their functions.
    live: usize,
    /// Those that run, or can be joined.
    records: BTreeMap<ThreadId, Arc<Record>>,
}

/// That a thread is counted which may not be started: then what its function holds is dropped,
/// which may panic.
struct Reserved<'a>(&'a Shared);

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.0.table.lock().live -= 1;
    }
}

impl ThreadManager {
    /// A manager of as many threads as the system allows.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_threads(usize::MAX)
    }

    /// A manager of up to `max_threads` threads at once.
    #[must_use]
    pub fn with_max_threads(max_threads: usize) -> Self {
        ThreadManager {
            shared: Arc::new(Shared {
                max_threads,
                table: Mutex::new(Table {
                    next: NonZero::<u64>::MIN,
                    live: 0,
                    records: BTreeMap::new(),
                }),
            }),
        }
    }

    /// How many threads may run at once.
    #[must_use]
    pub fn max_threads(&self) -> usize {
        self.shared.max_threads
    }

    /// How many threads run now: those that are inside of their function. A thread that was
    /// joined is not among them.
    #[must_use]
    pub fn live(&self) -> usize {
        self.shared.table.lock().live
    }

    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// [`Limit`](SpawnError::Limit) if `max_threads` run, and
    /// [`System`](SpawnError::System).
    ///
    /// # Panics
    ///
    /// If no thread is started, and what `body` holds panics as it is dropped here.
    pub fn spawn<T, F>(&self, body: F) -> Result<ThreadHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_with(Builder::new(), body)
    }

    /// Starts a thread with a name, or a stack of a certain size.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn).
    ///
    /// # Panics
    ///
    /// As for [`spawn`](Self::spawn).
    pub fn spawn_with<T, F>(&self, builder: Builder, body: F) -> Result<ThreadHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (id, reserved) = self.shared.reserve()?;
        let record = Arc::new(Record::new(id, builder.get_name().map(str::to_owned)));
        let value = Arc::new(Mutex::new(None));
        let handle = ThreadHandle {
            shared: self.shared.clone(),
            record: record.clone(),
            value: value.clone(),
        };
        let shared = self.shared.clone();
        let run = move || {
            record.wait_listed();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                *value.lock() = Some(body());
                // If nobody has the handle, this drops the value, which may panic, too.
                drop(value);
            }));
            shared.end(&record, outcome.err());
            // With the panic, if nobody joins.
            discard(record);
        };
        // Where a panic ends the program, the name says who it was.
        let named = match builder.get_name() {
            Some(_) => builder,
            None => builder.name(id.to_string()),
        };
        let thread = LimitedJoin::spawn(named, run)?;
        // The thread itself says when it is not to be counted any more.
        mem::forget(reserved);
        self.shared.begin(&handle.record, thread);
        Ok(handle)
    }

    /// Waits until a thread is gone, thread-locals and all, and throws away what it returns. Blocks.
    ///
    /// # Errors
    ///
    /// [`JoinError`], but for a timeout.
    pub fn join(&self, id: ThreadId) -> Result<(), JoinError> {
        let record = self.shared.find(id)?;
        self.shared.join(&record, None)
    }

    /// [`join`](Self::join), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    pub fn join_timeout(&self, id: ThreadId, timeout: Duration) -> Result<(), JoinError> {
        let record = self.shared.find(id)?;
        self.shared.join(&record, deadline(timeout))
    }

    /// Lets a thread run on without anybody who joins it.
    ///
    /// # Errors
    ///
    /// [`Unknown`](JoinError::Unknown) and [`AlreadyJoined`](JoinError::AlreadyJoined).
    pub fn detach(&self, id: ThreadId) -> Result<(), JoinError> {
        let record = self.shared.find(id)?;
        self.shared.detach(&record)
    }

    /// Waits until all threads have left their functions that can be joined, also those that are
    /// started meanwhile, but not the calling one. Blocks.
    ///
    /// Those whose handles are gone are joined by this, thread-locals and all. The others can still be joined for
    /// what they return.
    ///
    /// # Errors
    ///
    /// The panics of the threads that were joined by this, in the order in which the
    /// threads were started.
    pub fn join_all(&self) -> Result<(), Vec<ThreadPanic>> {
        let mut panics = Vec::new();
        while let Some(record) = self.shared.unfinished() {
            // An error: it was joined by others meanwhile.
            if record.wait(None).is_ok()
                && !record.has_handle()
                && let Err(JoinError::Panicked(panic)) = self.shared.join(&record, None)
            {
                panics.push(panic);
            }
        }
        panics.sort_by_key(ThreadPanic::id);
        match panics.is_empty() {
            true => Ok(()),
            false => Err(panics),
        }
    }

    /// Does as [`join_all`](Self::join_all), for `timeout` at most, for somebody who does not
    /// ask about panics. Returns whether all have ended.
    pub(crate) fn end_all(&self, timeout: Duration) -> bool {
        let deadline = deadline(timeout);
        while let Some(record) = self.shared.unfinished() {
            let joined = record
                .wait(deadline)
                .and_then(|()| match record.has_handle() {
                    true => Ok(()),
                    false => self.shared.join(&record, deadline),
                });
            if let Err(JoinError::TimedOut { .. }) = joined {
                return false;
            }
            // Another error: it has panicked, or was joined by others meanwhile.
            discard(joined);
        }
        true
    }

    /// What a thread does; `None` if no thread has had this id yet.
    #[must_use]
    pub fn status(&self, id: ThreadId) -> Option<ThreadStatus> {
        match self.shared.find(id) {
            Ok(record) => Some(record.status()),
            Err(JoinError::Unknown { .. }) => None,
            Err(_) => Some(ThreadStatus::Gone),
        }
    }

    /// The threads that are not [`Gone`](ThreadStatus::Gone), in the order of their ids.
    #[must_use]
    pub fn list(&self) -> Vec<ThreadInfo> {
        let table = self.shared.table.lock();
        table.records.values().map(|record| record.info()).collect()
    }
}

impl Shared {
    /// Counts a thread that is to be started, and gives it a number.
    fn reserve(&self) -> Result<(ThreadId, Reserved<'_>), SpawnError> {
        let mut table = self.table.lock();
        if table.live >= self.max_threads {
            return Err(SpawnError::Limit {
                max: self.max_threads,
            });
        }
        let id = ThreadId(table.next);
        table.next = table.next.saturating_add(1);
        table.live += 1;
        Ok((id, Reserved(self)))
    }

    /// Lists a thread that was started, which waits for it.
    fn begin(&self, record: &Arc<Record>, thread: LimitedJoin) {
        record.start(thread);
        let mut table = self.table.lock();
        table.records.insert(record.id(), record.clone());
        drop(table);
        record.listed();
    }

    fn find(&self, id: ThreadId) -> Result<Arc<Record>, JoinError> {
        let table = self.table.lock();
        match table.records.get(&id) {
            Some(record) => Ok(record.clone()),
            None if id.0 < table.next => Err(JoinError::AlreadyJoined { id }),
            None => Err(JoinError::Unknown { id }),
        }
    }

    /// A thread for which `join_all` waits.
    fn unfinished(&self) -> Option<Arc<Record>> {
        let table = self.table.lock();
        let mut records = table.records.values();
        records.find(|record| record.is_awaited()).cloned()
    }

    fn forget(&self, record: &Record) {
        self.table.lock().records.remove(&record.id());
    }

    fn join(&self, record: &Record, deadline: Option<Instant>) -> Result<(), JoinError> {
        record.wait(deadline)?;
        record.wait_gone(deadline)?;
        let joined = record.reap();
        if !matches!(joined, Err(JoinError::AlreadyJoined { .. })) {
            self.forget(record);
        }
        joined
    }

    fn detach(&self, record: &Record) -> Result<(), JoinError> {
        if record.detach()? == Left::Yes {
            self.forget(record);
        }
        Ok(())
    }

    /// The calling thread has left its function.
    fn end(&self, record: &Record, panic: Option<Box<dyn Any + Send>>) {
        let detached = record.end(panic);
        {
            let mut table = self.table.lock();
            table.live -= 1;
            if detached {
                table.records.remove(&record.id());
            }
        }
        // Whoever has joined may start another in its stead.
        record.release();
    }
}

impl Default for ThreadManager {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ThreadManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadManager")
            .field("max_threads", &self.shared.max_threads)
            .field("threads", &self.list())
            .finish()
    }
}

/// A thread of a [`ThreadManager`], and what it returns.
///
/// Dropping the handle lets the thread run on; it can still be joined by its id.
#[must_use = "join it, or detach it: until then the manager remembers it"]
pub struct ThreadHandle<T> {
    shared: Arc<Shared>,
    record: Arc<Record>,
    value: Arc<Mutex<Option<T>>>,
}

impl<T> ThreadHandle<T> {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        self.record.id()
    }

    /// Waits until the thread is gone, thread-locals and all, and returns what it has
    /// returned. Blocks.
    ///
    /// # Errors
    ///
    /// [`JoinError`], but for a timeout.
    pub fn join(&self) -> Result<T, JoinError> {
        self.joined(None)
    }

    /// [`join`](Self::join), for `timeout` at most. If that passes first, in a destructor of one
    /// of its thread-locals too, the thread can be joined later.
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    pub fn join_timeout(&self, timeout: Duration) -> Result<T, JoinError> {
        self.joined(deadline(timeout))
    }

    fn joined(&self, deadline: Option<Instant>) -> Result<T, JoinError> {
        self.shared.join(&self.record, deadline)?;
        match self.value.lock().take() {
            Some(value) => Ok(value),
            None => unreachable!("a thread that has not panicked leaves a value for its one join"),
        }
    }

    /// Whether the thread has left its function.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.record.is_ended()
    }

    /// What it does.
    #[must_use]
    pub fn status(&self) -> ThreadStatus {
        self.record.status()
    }

    /// Lets the thread run on without anybody who joins it.
    ///
    /// # Errors
    ///
    /// [`AlreadyJoined`](JoinError::AlreadyJoined).
    pub fn detach(&self) -> Result<(), JoinError> {
        self.shared.detach(&self.record)
    }
}

impl<T> Drop for ThreadHandle<T> {
    fn drop(&mut self) {
        self.record.drop_handle();
    }
}

impl<T> fmt::Debug for ThreadHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadHandle")
            .field("id", &self.id())
            .field("status", &self.status())
            .finish()
    }
}

/// When a timeout that begins now is over. A time that the clock does not know is for ever.
fn deadline(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

/// Drops what is the user's, and goes on after its panic, which the panic hook has reported: no
/// thread that ends leaves its manager with a wrong count.
fn discard<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value)))
        && let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload)))
    {
        // It could go on like this for ever.
        mem::forget(another);
    }
}
