//! What a manager knows of one thread.
//!
//! # Life
//!
//! `Running`, then `Finished` or `Panicked`, and then `ended` opens. The destructors of its
//! thread-locals follow, which may take long; then `gone` of `thread` opens. `thread` is taken by
//! whoever joins or detaches it, which is done once. The record is in the manager's table
//! until then, and as long as the thread runs.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use threadwork::thread::LimitedJoin;
use threadwork_sync::{Latch, Mutex};

use super::error::{JoinError, ThreadPanic};
use super::{ThreadId, ThreadInfo, ThreadStatus, discard};

pub(super) struct Record {
    id: ThreadId,
    name: Option<String>,
    /// Opens when the manager has the record in its table.
    listed: Latch,
    /// Opens when the thread has left its function.
    ended: Latch,
    state: Mutex<State>,
}

struct State {
    /// Gone once it was joined or detached.
    thread: Option<LimitedJoin>,
    outcome: Outcome,
    /// Somebody has a handle with which to join it.
    has_handle: bool,
}

/// Whether a thread has left its function.
#[derive(PartialEq)]
pub(super) enum Left {
    Yes,
    No,
}

enum Outcome {
    Running,
    Finished,
    /// The payload, until it is given to who joins.
    Panicked(Option<Box<dyn Any + Send>>),
}

impl Drop for Record {
    /// Nobody has asked for the panic, nor is to be hit by that of its payload: least of all whoever
    /// drops the records of many threads.
    fn drop(&mut self) {
        if let Outcome::Panicked(payload) = &mut self.state.get_mut().outcome {
            discard(payload.take());
        }
    }
}

impl Record {
    pub(super) fn new(id: ThreadId, name: Option<String>) -> Self {
        Record {
            id,
            name,
            listed: Latch::new(),
            ended: Latch::new(),
            state: Mutex::new(State {
                thread: None,
                outcome: Outcome::Running,
                has_handle: true,
            }),
        }
    }

    pub(super) fn id(&self) -> ThreadId {
        self.id
    }

    /// The thread was started.
    pub(super) fn start(&self, thread: LimitedJoin) {
        self.state.lock().thread = Some(thread);
    }

    /// The manager has the record in its table: the thread may begin.
    pub(super) fn listed(&self) {
        self.listed.open();
    }

    pub(super) fn wait_listed(&self) {
        self.listed.wait();
    }

    /// The thread has left its function, with a panic or without. Returns whether it was
    /// detached: then nobody will ask for it. Those who wait are let go by `release`.
    pub(super) fn end(&self, panic: Option<Box<dyn Any + Send>>) -> bool {
        let mut state = self.state.lock();
        state.outcome = match panic {
            None => Outcome::Finished,
            payload => Outcome::Panicked(payload),
        };
        state.thread.is_none()
    }

    pub(super) fn release(&self) {
        self.ended.open();
    }

    /// Waits until the thread has left its function.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Result<(), JoinError> {
        self.gone()?;
        self.wait_for(&self.ended, deadline)
    }

    /// Waits until the thread, which has left its function, has nothing more to do.
    pub(super) fn wait_gone(&self, deadline: Option<Instant>) -> Result<(), JoinError> {
        let gone = self.gone()?;
        self.wait_for(&gone, deadline)
    }

    /// What another thread may wait for.
    fn gone(&self) -> Result<Arc<Latch>, JoinError> {
        let id = self.id;
        match &self.state.lock().thread {
            None => Err(JoinError::AlreadyJoined { id }),
            Some(thread) if thread.thread().id() == std::thread::current().id() => {
                Err(JoinError::Itself { id })
            }
            Some(thread) => Ok(thread.gone().clone()),
        }
    }

    fn wait_for(&self, latch: &Latch, deadline: Option<Instant>) -> Result<(), JoinError> {
        match deadline {
            None => latch.wait(),
            Some(deadline) if latch.wait_deadline(deadline) => {}
            Some(_) => return Err(JoinError::TimedOut { id: self.id }),
        }
        Ok(())
    }

    /// Claims the thread, which has nothing more to do, and waits until the system has done with it.
    pub(super) fn reap(&self) -> Result<(), JoinError> {
        let id = self.id;
        let mut state = self.state.lock();
        let Some(thread) = state.thread.take() else {
            return Err(JoinError::AlreadyJoined { id });
        };
        let payload = match &mut state.outcome {
            Outcome::Panicked(payload) => payload.take(),
            Outcome::Running | Outcome::Finished => None,
        };
        drop(state);
        thread.join();
        match payload {
            None => Ok(()),
            Some(payload) => {
                let name = self.name.clone();
                Err(JoinError::Panicked(ThreadPanic::new(id, name, payload)))
            }
        }
    }

    /// Gives the thread up; returns whether it has left its function.
    pub(super) fn detach(&self) -> Result<Left, JoinError> {
        let mut state = self.state.lock();
        match (state.thread.take(), &state.outcome) {
            (None, _) => Err(JoinError::AlreadyJoined { id: self.id }),
            (Some(_), Outcome::Running) => Ok(Left::No),
            (Some(_), _) => Ok(Left::Yes),
        }
    }

    /// Its handle is gone.
    pub(super) fn drop_handle(&self) {
        self.state.lock().has_handle = false;
    }

    pub(super) fn has_handle(&self) -> bool {
        self.state.lock().has_handle
    }

    /// Whether `join_all` has to do with it: it runs, or nobody else will join it.
    pub(super) fn is_awaited(&self) -> bool {
        let state = self.state.lock();
        match &state.thread {
            None => false,
            Some(thread) if thread.thread().id() == std::thread::current().id() => false,
            Some(_) => !state.has_handle || !self.is_ended(),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.is_open()
    }

    pub(super) fn status(&self) -> ThreadStatus {
        let state = self.state.lock();
        match state.outcome {
            Outcome::Running if state.thread.is_none() => ThreadStatus::Detached,
            Outcome::Running => ThreadStatus::Running,
            _ if state.thread.is_none() => ThreadStatus::Gone,
            Outcome::Finished => ThreadStatus::Finished,
            Outcome::Panicked(_) => ThreadStatus::Panicked,
        }
    }

    pub(super) fn info(&self) -> ThreadInfo {
        ThreadInfo {
            id: self.id,
            name: self.name.clone(),
            status: self.status(),
        }
    }
}
