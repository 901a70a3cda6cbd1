//! One thread reads all of stdin while the others keep working: a read that
//! blocks holds nobody else up.
//!
//! Prints `tick <n>` from a second thread until the reader is done (at least
//! three times), then the input as it came, then how much it was.

use std::io::{self, BufRead};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use conformance::say;

fn main() {
    let done = AtomicBool::new(false);
    let lines = thread::scope(|scope| {
        scope.spawn(|| {
            for tick in 1.. {
                say(format_args!("tick {tick}"));
                if done.load(SeqCst) && tick >= 3 {
                    break;
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        let reader = scope.spawn(|| io::stdin().lock().lines().collect::<Result<Vec<_>, _>>());
        let lines = reader.join().expect("the reader panicked");
        done.store(true, SeqCst);
        lines.expect("stdin is text")
    });
    for line in &lines {
        println!("echo {line}");
    }
    eprintln!("{} lines on stderr", lines.len());
    println!(
        "lines={} bytes={}",
        lines.len(),
        lines.iter().map(|line| line.len() + 1).sum::<usize>()
    );
    println!("ok stdio");
}
