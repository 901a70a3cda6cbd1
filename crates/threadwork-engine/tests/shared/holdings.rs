//! What a host program has of everything that may leak, counted where nothing else runs.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::watch::Watch;

/// Runs the test of this name, which is ignored otherwise, by itself.
#[track_caller]
pub(crate) fn alone(name: &str) {
    let _watch = Watch::with(Duration::from_secs(1200));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        // As servers have it: an error may then cost a walk over the stack.
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    // A name that matches no test would succeed, too.
    assert!(stdout.contains("1 passed"), "{stdout}");
}

/// What a host program has of everything that may leak.
#[derive(Debug)]
pub(crate) struct Holdings {
    pub(crate) threads: usize,
    /// What each descriptor is of.
    files: Vec<String>,
    mappings: usize,
    pub(crate) resident_kib: usize,
}

impl Holdings {
    /// Counted when idle workers have gone home, but for so many.
    pub(crate) fn now(workers_left: usize) -> Self {
        let deadline = Instant::now() + Duration::from_secs(10);
        while workers() > workers_left && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|rest| rest.split_whitespace().next());
        Self {
            threads: count("/proc/self/task"),
            files: files(),
            mappings: fs::read_to_string("/proc/self/maps")
                .unwrap()
                .lines()
                .count(),
            resident_kib: resident.unwrap().parse().unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn must_not_exceed(&self, before: &Self) {
        println!("before: {before:?}\nafter:  {self:?}");
        assert!(self.threads <= before.threads, "threads leak");
        // A thread may be reading about its cores just now; what leaks stays.
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut now = self.files.clone();
        while now.len() > before.files.len() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
            now = files();
        }
        assert!(
            now.len() <= before.files.len(),
            "file descriptors leak: {now:?}"
        );
        // The allocator's arenas come and go, and workers that run on; one mapping for each of
        // 2,000 processes would be 2,000.
        assert!(self.mappings <= before.mappings + 100, "mappings leak");
        // 2 KiB for each of 2,000 processes would be 4 MiB.
        assert!(
            self.resident_kib <= before.resident_kib + 4096,
            "memory leaks"
        );
    }
}

fn count(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// What each descriptor of this program is of. The one that reads it is among them.
fn files() -> Vec<String> {
    let files = fs::read_dir("/proc/self/fd").unwrap();
    files
        .map(|file| match fs::read_link(file.unwrap().path()) {
            Ok(target) => target.display().to_string(),
            Err(error) => error.to_string(),
        })
        .collect()
}

/// Threads of the engine that run guests.
fn workers() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name == "threadwork\n")
        .count()
}

/// xorshift*: the same delays in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}
