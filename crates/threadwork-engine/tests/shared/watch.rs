//! A watch over every test, so that a hang is a message and not a silence.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// After this time a test counts as hanging, also on a machine with much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Aborts the test program, with a message, if it is not dropped in time.
pub(crate) struct Watch(u64);

/// What is watched: when it is a hang, and its name.
static WATCHED: Mutex<BTreeMap<u64, (Instant, String)>> = Mutex::new(BTreeMap::new());

impl Watch {
    /// Watches the calling test.
    pub(crate) fn start() -> Self {
        Self::with(PATIENCE)
    }

    pub(crate) fn with(patience: Duration) -> Self {
        static WATCHER: OnceLock<()> = OnceLock::new();
        static NEXT: Mutex<u64> = Mutex::new(0);
        WATCHER.get_or_init(|| drop(thread::spawn(watch)));
        let number = {
            let mut next = NEXT.lock().unwrap();
            *next += 1;
            *next
        };
        let name = thread::current().name().unwrap_or("?").to_owned();
        WATCHED
            .lock()
            .unwrap()
            .insert(number, (Instant::now() + patience, name));
        Self(number)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.lock().unwrap().remove(&self.0);
    }
}

fn watch() {
    loop {
        thread::sleep(Duration::from_millis(200));
        let watched = WATCHED.lock().unwrap();
        if let Some((_, name)) = watched.values().find(|(hang, _)| *hang < Instant::now()) {
            // Not `eprintln`, which the test harness would keep to itself.
            let _ = writeln!(std::io::stderr(), "\nHANG: the test {name} does not end");
            std::process::abort();
        }
    }
}

/// Waits for something that another thread does, and that nobody announces.
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    let _watch = Watch::start();
    while !condition() {
        thread::sleep(Duration::from_micros(100));
    }
}
