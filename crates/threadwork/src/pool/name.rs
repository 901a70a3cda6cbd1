//! What tasks are called: a number, and a name for those that were given one.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The number of a task: in each pool they count from 1, in the order in which the tasks
/// came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl TaskId {
    pub(crate) const fn new(number: u64) -> Self {
        TaskId(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.0)
    }
}

/// The name of a task, for [`WorkerStatus`](crate::WorkerStatus) and for the message if it
/// panics.
///
/// A literal costs nothing; a `String` is an allocation.
///
/// ```
/// use threadwork::TaskName;
///
/// assert_eq!(&*TaskName::from("resize"), "resize");
/// assert_eq!(TaskName::from(format!("part {}", 1)).to_string(), "part 1");
/// ```
#[derive(Clone)]
pub struct TaskName(Text);

/// Cheap to clone, since a worker publishes the name of what it runs.
#[derive(Clone)]
enum Text {
    Literal(&'static str),
    Shared(Arc<str>),
}

impl From<&'static str> for TaskName {
    fn from(text: &'static str) -> Self {
        TaskName(Text::Literal(text))
    }
}

impl From<String> for TaskName {
    fn from(text: String) -> Self {
        TaskName(Text::Shared(text.into()))
    }
}

impl From<Arc<str>> for TaskName {
    fn from(text: Arc<str>) -> Self {
        TaskName(Text::Shared(text))
    }
}

impl Deref for TaskName {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Text::Literal(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl PartialEq for TaskName {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for TaskName {}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
