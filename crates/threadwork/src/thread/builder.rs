//! How a thread is started.

use std::io;
use std::thread::{JoinHandle, Scope, ScopedJoinHandle};

use super::stack::Guard;

/// A thread to start: its name and the size of its stack.
///
/// It is std's, but that an overflow of the stack is found in a guest, too (see
/// [`check_stack`](super::check_stack)), and that a name cannot panic.
///
/// # Example
///
/// ```
/// use threadwork::thread::{self, Builder};
///
/// let name = Builder::new()
///     .name("reader".into())
///     .stack_size(256 * 1024)
///     .spawn(|| thread::current().name().map(str::to_owned))?
///     .join()
///     .unwrap();
/// assert_eq!(name.as_deref(), Some("reader"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "it starts nothing until `spawn`"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
}

impl Builder {
    /// A thread without a name, with a stack of std's size: 2 MiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its name, for panics, debuggers and reports.
    pub fn name(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// The name that it was given. Never blocks.
    #[must_use]
    pub fn get_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The size of its stack in bytes. The system rounds it up. In a guest it is allocated
    /// in linear memory, and the host has a stack of its own besides.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// What the system says when there are too many threads or too little memory, and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a name that contains a zero byte.
    pub fn spawn<F, T>(self, body: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.std()?.spawn(guarded(body))
    }

    /// Starts it in a [`scope`](super::scope), which waits for it.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn).
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        body: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.std()?.spawn_scoped(scope, guarded(body))
    }

    fn std(self) -> io::Result<std::thread::Builder> {
        let mut std = std::thread::Builder::new();
        if let Some(name) = self.name {
            if name.contains('\0') {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the name of a thread cannot contain a zero byte: leave it out",
                ));
            }
            std = std.name(name);
        }
        if let Some(bytes) = self.stack_size {
            std = std.stack_size(bytes);
        }
        Ok(std)
    }
}

fn guarded<T>(body: impl FnOnce() -> T) -> impl FnOnce() -> T {
    || {
        let _guard = Guard::new();
        body()
    }
}
