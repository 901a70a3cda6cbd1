//! [`Exited`]: the end of a process as a future.

use crate::exit_status::ExitStatus;
use crate::process::Record;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The future of a process's status, made by [`Process::exited`](crate::Process::exited).
pub struct Exited {
    record: Arc<Record>,
    /// By which its waker is forgotten, once there is one.
    key: Option<u64>,
}

impl Exited {
    pub(super) fn new(record: Arc<Record>) -> Self {
        Self { record, key: None }
    }
}

impl Future for Exited {
    type Output = ExitStatus;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<ExitStatus> {
        let Self { record, key } = &mut *self;
        match record.poll(key, context.waker()) {
            Some(status) => Poll::Ready(status),
            None => Poll::Pending,
        }
    }
}

impl Drop for Exited {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.record.forget(key);
        }
    }
}

impl std::fmt::Debug for Exited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Exited").field(&self.record.id()).finish()
    }
}
