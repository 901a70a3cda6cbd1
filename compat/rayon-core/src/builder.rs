//! How a pool is to be.

use std::error::Error;
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::{env, io, thread};

use crate::registry::{Handlers, Registry};
use crate::thread_pool::{ThreadPool, max_num_threads};
use crate::worker;

type GetName = Box<dyn FnMut(usize) -> String>;

/// How a [`ThreadPool`] is to be.
///
/// # Example
///
/// ```
/// let pool = rayon_core::ThreadPoolBuilder::new()
///     .num_threads(2)
///     .thread_name(|index| format!("images-{index}"))
///     .build()?;
/// assert_eq!(pool.current_num_threads(), 2);
/// # Ok::<(), rayon_core::ThreadPoolBuildError>(())
/// ```
pub struct ThreadPoolBuilder<S = DefaultSpawn> {
    num_threads: usize,
    use_current_thread: bool,
    name: Option<GetName>,
    stack_size: Option<usize>,
    handlers: Handlers,
    spawn: S,
}

/// Who starts the threads of a pool.
pub trait ThreadSpawn {
    /// Starts one.
    #[doc(hidden)]
    fn spawn(&mut self, thread: ThreadBuilder) -> io::Result<()>;
}

/// [`std::thread`] starts them.
#[derive(Debug, Default)]
pub struct DefaultSpawn;

/// What [`spawn_handler`](ThreadPoolBuilder::spawn_handler) was given starts them.
#[derive(Debug)]
pub struct CustomSpawn<F>(F);

impl ThreadSpawn for DefaultSpawn {
    fn spawn(&mut self, thread: ThreadBuilder) -> io::Result<()> {
        thread.std_builder().spawn(|| thread.run())?;
        Ok(())
    }
}

impl<F: FnMut(ThreadBuilder) -> io::Result<()>> ThreadSpawn for CustomSpawn<F> {
    fn spawn(&mut self, thread: ThreadBuilder) -> io::Result<()> {
        (self.0)(thread)
    }
}

/// A thread of a pool that is to be started.
pub struct ThreadBuilder {
    name: Option<String>,
    stack_size: Option<usize>,
    registry: Arc<Registry>,
    index: usize,
}

impl ThreadBuilder {
    pub(crate) fn new<S>(
        builder: &mut ThreadPoolBuilder<S>,
        registry: Arc<Registry>,
        index: usize,
    ) -> Self {
        ThreadBuilder {
            name: builder.name.as_mut().map(|name| name(index)),
            stack_size: builder.stack_size,
            registry,
            index,
        }
    }

    /// Its index in the pool.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What it is to be called.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How large its stack is to be, in bytes.
    pub fn stack_size(&self) -> Option<usize> {
        self.stack_size
    }

    /// Is the thread, until the pool ends.
    pub fn run(self) {
        worker::work(self.registry, self.index);
    }

    fn std_builder(&self) -> thread::Builder {
        let mut builder = thread::Builder::new();
        if let Some(name) = &self.name {
            builder = builder.name(name.clone());
        }
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        builder
    }
}

impl fmt::Debug for ThreadBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadBuilder")
            .field("index", &self.index)
            .field("name", &self.name)
            .field("stack_size", &self.stack_size)
            .finish_non_exhaustive()
    }
}

impl Default for ThreadPoolBuilder {
    fn default() -> Self {
        ThreadPoolBuilder {
            num_threads: 0,
            use_current_thread: false,
            name: None,
            stack_size: None,
            handlers: Handlers::default(),
            spawn: DefaultSpawn,
        }
    }
}

impl ThreadPoolBuilder {
    /// A pool as it is if nothing is said.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a pool whose threads end before this returns: `wrapper` is called on each and calls
    /// [`ThreadBuilder::run`], and `with_pool` on the calling thread. Both may borrow.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    ///
    /// # Panics
    ///
    /// If `with_pool` or a thread does.
    pub fn build_scoped<W, F, R>(self, wrapper: W, with_pool: F) -> Result<R, ThreadPoolBuildError>
    where
        W: Fn(ThreadBuilder) + Sync,
        F: FnOnce(&ThreadPool) -> R,
    {
        thread::scope(|scope| {
            let wrapper = &wrapper;
            let pool = self
                .spawn_handler(|thread| {
                    thread
                        .std_builder()
                        .spawn_scoped(scope, move || wrapper(thread))?;
                    Ok(())
                })
                .build()?;
            Ok(with_pool(&pool))
        })
    }
}

impl<S> ThreadPoolBuilder<S> {
    /// So many threads. Zero, or nothing: as many as the environment variable
    /// `RAYON_NUM_THREADS` says, or else as can run at once.
    pub fn num_threads(mut self, num_threads: usize) -> Self {
        self.num_threads = num_threads;
        self
    }

    /// The calling thread is the one of index 0, and works for the pool while it waits for it.
    /// The pool's state is never freed.
    pub fn use_current_thread(mut self) -> Self {
        self.use_current_thread = true;
        self
    }

    /// What the threads are called, by their indices.
    pub fn thread_name<F>(mut self, closure: F) -> Self
    where
        F: FnMut(usize) -> String + 'static,
    {
        self.name = Some(Box::new(closure));
        self
    }

    /// The stack of each thread, in bytes.
    pub fn stack_size(mut self, stack_size: usize) -> Self {
        self.stack_size = Some(stack_size);
        self
    }

    /// Is called with panics that nobody waits for: of spawned jobs, and of the handlers. If there
    /// is none, or it panics, the program ends.
    pub fn panic_handler<H>(mut self, panic_handler: H) -> Self
    where
        H: Fn(Box<dyn std::any::Any + Send>) + Send + Sync + 'static,
    {
        self.handlers.panic = Some(Box::new(panic_handler));
        self
    }

    /// Is called on each thread when it begins, with its index.
    pub fn start_handler<H>(mut self, start_handler: H) -> Self
    where
        H: Fn(usize) + Send + Sync + 'static,
    {
        self.handlers.start = Some(Box::new(start_handler));
        self
    }

    /// Is called on each thread when it ends, with its index.
    pub fn exit_handler<H>(mut self, exit_handler: H) -> Self
    where
        H: Fn(usize) + Send + Sync + 'static,
    {
        self.handlers.exit = Some(Box::new(exit_handler));
        self
    }

    /// Has no effect any more: see `scope_fifo` and `spawn_fifo`.
    #[deprecated(note = "use `scope_fifo` and `spawn_fifo` for similar effect")]
    pub fn breadth_first(self) -> Self {
        self
    }

    /// Starts the threads: has [`ThreadBuilder::run`] called on a new one.
    ///
    /// # Example
    ///
    /// ```
    /// let pool = rayon_core::ThreadPoolBuilder::new()
    ///     .num_threads(2)
    ///     .spawn_handler(|thread| {
    ///         std::thread::Builder::new().spawn(|| thread.run()).map(drop)
    ///     })
    ///     .build()?;
    /// assert_eq!(pool.install(|| 6 * 7), 42);
    /// # Ok::<(), rayon_core::ThreadPoolBuildError>(())
    /// ```
    pub fn spawn_handler<F>(self, spawn: F) -> ThreadPoolBuilder<CustomSpawn<F>>
    where
        F: FnMut(ThreadBuilder) -> io::Result<()>,
    {
        ThreadPoolBuilder {
            num_threads: self.num_threads,
            use_current_thread: self.use_current_thread,
            name: self.name,
            stack_size: self.stack_size,
            handlers: self.handlers,
            spawn: CustomSpawn(spawn),
        }
    }

    pub(crate) fn threads(&self) -> usize {
        let wanted = match self.num_threads {
            0 => default_threads(),
            threads => threads,
        };
        wanted.min(max_num_threads())
    }

    pub(crate) fn uses_current_thread(&self) -> bool {
        self.use_current_thread
    }

    pub(crate) fn take_handlers(&mut self) -> Handlers {
        std::mem::take(&mut self.handlers)
    }
}

impl<S: ThreadSpawn> ThreadPoolBuilder<S> {
    /// Starts the pool.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started, or the [current one](Self::use_current_thread) is of a pool.
    pub fn build(self) -> Result<ThreadPool, ThreadPoolBuildError> {
        Registry::start(self)
    }

    /// Starts the pool of the whole program, which is made by its first use otherwise.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build), and if it was started before.
    pub fn build_global(self) -> Result<(), ThreadPoolBuildError> {
        match Registry::make_global(|| Registry::start(self))? {
            true => Ok(()),
            false => Err(ThreadPoolBuildError(Kind::GlobalExists)),
        }
    }

    pub(crate) fn spawn(&mut self, thread: ThreadBuilder) -> io::Result<()> {
        self.spawn.spawn(thread)
    }
}

/// What the environment says, or the system.
fn default_threads() -> usize {
    ["RAYON_NUM_THREADS", "RAYON_RS_NUM_CPUS"]
        .into_iter()
        .find_map(|name| env::var(name).ok()?.parse().ok())
        .filter(|threads| *threads > 0)
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get))
}

impl<S> fmt::Debug for ThreadPoolBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPoolBuilder")
            .field("num_threads", &self.num_threads)
            .field("use_current_thread", &self.use_current_thread)
            .field("stack_size", &self.stack_size)
            .finish_non_exhaustive()
    }
}

/// Why a pool was not made.
#[derive(Debug)]
pub struct ThreadPoolBuildError(Kind);

#[derive(Debug)]
enum Kind {
    GlobalExists,
    AlreadyInPool,
    Io(io::Error),
}

impl ThreadPoolBuildError {
    pub(crate) fn already_in_pool() -> Self {
        ThreadPoolBuildError(Kind::AlreadyInPool)
    }

    pub(crate) fn io_kind(&self) -> Option<io::ErrorKind> {
        match &self.0 {
            Kind::Io(error) => Some(error.kind()),
            Kind::GlobalExists | Kind::AlreadyInPool => None,
        }
    }
}

impl From<io::Error> for ThreadPoolBuildError {
    fn from(error: io::Error) -> Self {
        ThreadPoolBuildError(Kind::Io(error))
    }
}

impl fmt::Display for ThreadPoolBuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            // Programs look for these, as rayon has them.
            Kind::GlobalExists => {
                f.write_str("The global thread pool has already been initialized.")
            }
            Kind::AlreadyInPool => {
                f.write_str("The current thread is already part of another thread pool.")
            }
            Kind::Io(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl Error for ThreadPoolBuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Kind::Io(error) => Some(error),
            Kind::GlobalExists | Kind::AlreadyInPool => None,
        }
    }
}

/// The older name of [`ThreadPoolBuilder`].
#[deprecated(note = "use `ThreadPoolBuilder`")]
#[derive(Debug, Default)]
pub struct Configuration {
    builder: ThreadPoolBuilder,
}

/// The older name of [`ThreadPoolBuilder::build_global`].
///
/// # Errors
///
/// As there.
#[deprecated(note = "use `ThreadPoolBuilder::build_global`")]
#[allow(deprecated, reason = "of the interface")]
pub fn initialize(config: Configuration) -> Result<(), Box<dyn Error + 'static>> {
    config.into_builder().build_global().map_err(Box::from)
}

#[allow(deprecated, reason = "of the interface")]
impl Configuration {
    /// See [`ThreadPoolBuilder::new`].
    pub fn new() -> Self {
        Self::default()
    }

    /// See [`ThreadPoolBuilder::build`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn build(self) -> Result<ThreadPool, Box<dyn Error + 'static>> {
        self.builder.build().map_err(Box::from)
    }

    /// See [`ThreadPoolBuilder::thread_name`].
    pub fn thread_name<F>(self, closure: F) -> Self
    where
        F: FnMut(usize) -> String + 'static,
    {
        self.map(|builder| builder.thread_name(closure))
    }

    /// See [`ThreadPoolBuilder::num_threads`].
    pub fn num_threads(self, num_threads: usize) -> Self {
        self.map(|builder| builder.num_threads(num_threads))
    }

    /// See [`ThreadPoolBuilder::panic_handler`].
    pub fn panic_handler<H>(self, panic_handler: H) -> Self
    where
        H: Fn(Box<dyn std::any::Any + Send>) + Send + Sync + 'static,
    {
        self.map(|builder| builder.panic_handler(panic_handler))
    }

    /// See [`ThreadPoolBuilder::stack_size`].
    pub fn stack_size(self, stack_size: usize) -> Self {
        self.map(|builder| builder.stack_size(stack_size))
    }

    /// Has no effect any more.
    pub fn breadth_first(self) -> Self {
        self
    }

    /// See [`ThreadPoolBuilder::start_handler`].
    pub fn start_handler<H>(self, start_handler: H) -> Self
    where
        H: Fn(usize) + Send + Sync + 'static,
    {
        self.map(|builder| builder.start_handler(start_handler))
    }

    /// See [`ThreadPoolBuilder::exit_handler`].
    pub fn exit_handler<H>(self, exit_handler: H) -> Self
    where
        H: Fn(usize) + Send + Sync + 'static,
    {
        self.map(|builder| builder.exit_handler(exit_handler))
    }

    pub(crate) fn into_builder(self) -> ThreadPoolBuilder {
        self.builder
    }

    fn map(self, change: impl FnOnce(ThreadPoolBuilder) -> ThreadPoolBuilder) -> Self {
        Configuration {
            builder: change(self.builder),
        }
    }
}
