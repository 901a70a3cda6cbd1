//! What a program says when a task's panic ends it.
//!
//! Where a panic unwinds it reaches the handle of its task, and nothing is done here. Where
//! it ends the program (`panic = "abort"`, as on WebAssembly) nobody is left to ask the
//! handle, and std's message names only the thread. So a hook names the task, then calls
//! the hook that was there before, whose message says what and where.

use std::panic;

use threadwork_sync::Once;

use super::worker::Worker;

/// Sees to it that last words name the task.
pub(super) fn prepare() {
    static HOOK: Once = Once::new();
    if cfg!(panic = "abort") {
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                name_task();
                before(panic);
            }));
        });
    }
}

fn name_task() {
    Worker::with(|worker| {
        if let Some(label) = worker.and_then(|worker| worker.top()).map(|t| t.label()) {
            match &label.name {
                Some(name) => eprintln!("{} `{name}` panics, which ends the program:", label.id),
                None => eprintln!("{} panics, which ends the program:", label.id),
            }
        }
    });
}
