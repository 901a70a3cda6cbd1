//! When nothing is done, nobody is awake. Linux counts how often each thread was.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use threadwork::{ThreadPool, join};

const CHILD: &str = "THREADWORK_TEST_SLEEP";

/// How often each thread of this process but the calling one has gone to sleep.
fn naps() -> BTreeMap<String, u64> {
    let own = fs::read_link("/proc/thread-self").unwrap();
    fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|task| task.unwrap().path())
        .filter(|path| path.file_name() != own.file_name())
        .map(|path| {
            let status = fs::read_to_string(path.join("status")).unwrap();
            let counts = status
                .lines()
                .filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
                .map(|count| count.trim().parse::<u64>().unwrap());
            (path.display().to_string(), counts.sum())
        })
        .collect()
}

fn tree(depth: u32) -> u64 {
    if depth == 0 {
        return 1;
    }
    let (a, b) = join(|| tree(depth - 1), || tree(depth - 1));
    a + b
}

/// In a process of its own: other tests have threads, too.
#[test]
fn an_idle_pool_sleeps_for_good() {
    if std::env::var_os(CHILD).is_none() {
        let own = std::env::current_exe().unwrap();
        let child = Command::new(own)
            .args(["--exact", "sleep::an_idle_pool_sleeps_for_good"])
            .args(["--test-threads", "1"])
            .env(CHILD, "1")
            .status()
            .unwrap();
        assert!(child.success());
        return;
    }
    let pool = ThreadPool::new(6).unwrap();
    for round in 0..3 {
        assert_eq!(pool.execute(|| tree(16)).wait().unwrap(), 1 << 16);
        assert_eq!(tree(12), 1 << 12, "with the global pool's help");
        // As long as the last naps take, on however slow a machine.
        let mut before = naps();
        let quiet = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(100));
            let now = naps();
            std::mem::replace(&mut before, now.clone()) == now
        });
        assert!(quiet, "somebody is awake after round {round}");
    }
}
