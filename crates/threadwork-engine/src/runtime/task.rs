//! Tasks: calls of an exported function, and what becomes of them.

use crate::exit_status::{ExitStatus, LimitExceeded, Trap};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use threadwork_sync::Latch;
use wasmtime::{FuncType, ModuleExport, Val, ValType};

/// A call of an exported function, for [`ThreadRuntime::execute`](super::ThreadRuntime::execute).
///
/// ```
/// use std::time::Duration;
/// use threadwork_engine::{Priority, Task};
///
/// let task = Task::new("sum", [1_i32, 100])
///     .priority(Priority::High)
///     .timeout(Duration::from_secs(1));
/// assert_eq!(task.entry, "sum");
/// assert_eq!(task.args.len(), 2);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Task {
    /// The name of the function.
    pub entry: String,
    /// Its arguments: numbers, no references.
    pub args: Vec<Val>,
    /// Its place in the queue.
    pub priority: Priority,
    /// How long it may run. The time in the queue does not count.
    pub timeout: Option<Duration>,
}

impl Task {
    /// A call of `entry`. Arguments are numbers of Rust's or [`Val`]s.
    pub fn new(entry: impl Into<String>, args: impl IntoIterator<Item = impl Into<Val>>) -> Self {
        Self {
            entry: entry.into(),
            args: args.into_iter().map(Into::into).collect(),
            priority: Priority::default(),
            timeout: None,
        }
    }

    /// Appends an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<Val>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Its place in the queue; [`Priority::Normal`] unless set.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Ends it when it has run for so long, with [`TaskError::TimedOut`]. Unless set, the
    /// time of [`RuntimeBuilder::task_timeout`](super::RuntimeBuilder::task_timeout).
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }
}

/// Which of the queued tasks is run first. In each class they run in the order in which
/// they came; a lower class runs when the higher ones are empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// After all others.
    Low,
    /// What a task has unless it says so.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// The number of a task, unique in its runtime, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub(super) u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why [`ThreadRuntime::execute`](super::ThreadRuntime::execute) refused a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The module does not export such a function.
    #[error("the module exports no function `{name}`: {}", offer(exports))]
    NoEntry {
        /// The name.
        name: String,
        /// The functions that it exports.
        exports: Vec<String>,
    },
    /// The arguments do not fit the function.
    #[error(
        "the arguments ({}) do not fit `{name}`, which takes ({})",
        types(given),
        types(expected)
    )]
    Arguments {
        /// The function.
        name: String,
        /// The types that it takes.
        expected: Vec<String>,
        /// The types of the arguments.
        given: Vec<String>,
    },
    /// The function takes or returns references, which belong to one instance.
    #[error(
        "`{name}` takes or returns references, which mean nothing outside of the worker's \
         instance: export a function of numbers that calls it"
    )]
    References {
        /// The function.
        name: String,
    },
    /// The runtime was shut down, or has ended.
    #[error("the runtime takes no more tasks: it was shut down or has ended")]
    ShutDown,
}

fn offer(exports: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = exports
        .iter()
        .take(SHOWN)
        .map(|name| name.escape_debug().to_string());
    let shown = shown.collect::<Vec<_>>().join(", ");
    match exports.len() {
        0 => "export one (`--export=NAME` for the linker)".to_owned(),
        count if count > SHOWN => format!("it exports {shown} and {} more", count - SHOWN),
        _ => format!("it exports {shown}"),
    }
}

pub(super) fn types(types: &[String]) -> String {
    types.join(" ")
}

/// Why a task has no results.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// It trapped, or panicked. Its worker goes on with a new instance.
    #[error("{0}")]
    Trapped(Trap),
    /// It was refused something by a limit, and trapped.
    #[error("{0}")]
    LimitExceeded(LimitExceeded),
    /// By [`TaskHandle::cancel`](crate::TaskHandle::cancel).
    #[error("the task was cancelled")]
    Cancelled,
    /// It ran for longer than it may.
    #[error("the task ran for longer than {0:?}")]
    TimedOut(Duration),
    /// The runtime ended before the task did.
    #[error("the runtime has ended: {0}")]
    Ended(Box<ExitStatus>),
    /// No instance could be made to run it.
    #[error("no instance could be made for the task: {message}")]
    Instance {
        /// What went wrong.
        message: String,
    },
    /// The results are not what the caller asked for.
    #[error("the task's results are ({found}), not {expected}")]
    Results {
        /// The types of the results.
        found: String,
        /// What was asked for.
        expected: &'static str,
    },
}

/// The functions that a module exports.
pub(super) struct Entries(pub(super) BTreeMap<String, Arc<Entry>>);

impl Entries {
    /// The function that a task calls, if it can.
    pub(super) fn find(&self, task: &Task) -> Result<Arc<Entry>, ExecuteError> {
        let entry = self.get(&task.entry)?;
        entry.check(&task.args)?;
        Ok(entry)
    }

    /// The function that tasks may call under this name.
    pub(super) fn get(&self, name: &str) -> Result<Arc<Entry>, ExecuteError> {
        match self.0.get(name) {
            Some(entry) if entry.is_of_numbers() => Ok(Arc::clone(entry)),
            Some(_) => Err(ExecuteError::References {
                name: name.to_owned(),
            }),
            None => Err(ExecuteError::NoEntry {
                name: name.to_owned(),
                exports: self.0.keys().cloned().collect(),
            }),
        }
    }
}

/// An exported function that tasks can call.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) ty: FuncType,
    pub(super) export: ModuleExport,
}

impl Entry {
    /// Whether it takes and returns numbers only.
    fn is_of_numbers(&self) -> bool {
        let mut types = self.ty.params().chain(self.ty.results());
        types.all(|ty| !ty.is_ref())
    }

    /// Refuses arguments that do not fit.
    fn check(&self, args: &[Val]) -> Result<(), ExecuteError> {
        let fits =
            |(param, arg): (ValType, &Val)| type_of(arg).is_some_and(|ty| ValType::eq(&ty, &param));
        if args.len() == self.ty.params().len() && self.ty.params().zip(args).all(fits) {
            return Ok(());
        }
        let given = args
            .iter()
            .map(|arg| type_of(arg).map_or("ref".to_owned(), |ty| ty.to_string()));
        Err(ExecuteError::Arguments {
            name: self.name.clone(),
            expected: self.ty.params().map(|ty| ty.to_string()).collect(),
            given: given.collect(),
        })
    }
}

/// The type of a number; `None` for a reference.
fn type_of(value: &Val) -> Option<ValType> {
    Some(match value {
        Val::I32(_) => ValType::I32,
        Val::I64(_) => ValType::I64,
        Val::F32(_) => ValType::F32,
        Val::F64(_) => ValType::F64,
        Val::V128(_) => ValType::V128,
        _ => return None,
    })
}

/// What the pool, the worker and the handles of a task share.
pub(crate) struct TaskState {
    pub(super) id: TaskId,
    pub(super) entry: Arc<Entry>,
    pub(super) args: Vec<Val>,
    pub(super) timeout: Option<Duration>,
    /// Threads of the host that are away until it is done. Changed under the board's
    /// lock only.
    pub(super) waiters: AtomicU32,
    /// Set once, under the board's lock.
    pub(super) result: OnceLock<Result<Vec<Val>, TaskError>>,
    /// Opens when `result` is set.
    pub(super) done: Latch,
}
