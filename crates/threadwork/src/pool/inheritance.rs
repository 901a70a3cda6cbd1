//! Whoever waits for a lock lends its priority to the task that holds it.
//!
//! [`PriorityMutex`](threadwork_sync::PriorityMutex) tells a hook which holder is waited
//! for at which priority. A pool's holder is a worker, by a number that no other worker
//! has had for the last sixteen million. No system call here could run its thread sooner,
//! least of all in WebAssembly; what a pool can do is to order its queue, so that is
//! what *inherits* means:
//!
//! - tasks that the holder has spawned, or waits for, and that are queued, are taken before
//!   those of lower classes, as if they had been executed at the waiter's priority;
//! - such a task that runs passes the raise on to those that it has spawned or waits for;
//! - what the holder spawns from now on begins at that priority, until nobody waits at
//!   it any more.
//!
//! A task that was raised stays so. The order of threads that run is the system's.
//!
//! A program that has set a hook of its own before it made its first pool keeps that one;
//! then nothing is inherited here.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use threadwork_sync::{Mutex, Once, Priority, PriorityHook, ThreadToken, set_priority_hook};

use super::shared::Shared;
use super::task::WorkerSlot;
use crate::boundary::discard;

/// The number of a worker that lives.
pub(super) struct Token(Option<ThreadToken>);

/// Who has which token. Only looked at when somebody waits for a lock.
static HOLDERS: Mutex<Holders> = Mutex::new(Holders {
    last: 0,
    slots: BTreeMap::new(),
});

struct Holders {
    last: u32,
    slots: BTreeMap<u32, (Weak<Shared>, WorkerSlot)>,
}

struct Hook;

impl Token {
    pub(super) fn issue(shared: &Arc<Shared>, slot: WorkerSlot) -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            // See above on an error.
            let _ = set_priority_hook(&Hook);
        });
        let mut holders = HOLDERS.lock();
        if holders.slots.len() >= ThreadToken::MAX as usize {
            return Token(None);
        }
        let token = loop {
            holders.last = holders.last % ThreadToken::MAX + 1;
            if !holders.slots.contains_key(&holders.last) {
                break holders.last;
            }
        };
        holders.slots.insert(token, (Arc::downgrade(shared), slot));
        Token(ThreadToken::new(token))
    }

    pub(super) fn get(&self) -> Option<ThreadToken> {
        self.0
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(token) = self.0 {
            HOLDERS.lock().slots.remove(&token.get());
        }
    }
}

/// The worker with this token, if it lives.
fn find(holder: ThreadToken) -> Option<(Arc<Shared>, WorkerSlot)> {
    let holders = HOLDERS.lock();
    let (shared, slot) = holders.slots.get(&holder.get())?;
    Some((shared.upgrade()?, *slot))
}

impl PriorityHook for Hook {
    fn raise(&self, holder: ThreadToken, to: Priority) {
        if let Some((shared, slot)) = find(holder) {
            shared.records[slot.index()].inherited.raise(to);
            shared.raise_dependencies(slot, to);
            discard(shared);
        }
    }

    fn restore(&self, holder: ThreadToken, to: Priority) {
        if let Some((shared, slot)) = find(holder) {
            shared.records[slot.index()].inherited.restore(to);
            discard(shared);
        }
    }
}
