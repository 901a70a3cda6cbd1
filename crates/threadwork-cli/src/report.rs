//! What the user reads on standard error.
//!
//! Nothing here may fail: a closed standard error is no reason to panic. And where the
//! user has given a limit of time, nothing here waits for ever: see [`hurry`].

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use threadwork_engine::{ExitStatus, Limit, Stats};

/// Whether there is a limit of time.
static HURRY: AtomicBool = AtomicBool::new(false);

/// How long a text waits, then, for somebody to read what was written before it.
const PATIENCE: Duration = Duration::from_secs(2);

/// There is a limit of time: from now on a text that nobody reads is given up after two
/// seconds. Without one, `threadwork` waits for its reader like any other program.
pub(crate) fn hurry() {
    // Ordering: Relaxed; by the thread that prints.
    HURRY.store(true, Ordering::Relaxed);
}

/// An error that says what could not be done and why, in one line; the causes
/// of the cause stay behind it.
pub(crate) fn explain<E>(what: impl Display, cause: E) -> anyhow::Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    let message = format!("{what}: {cause}");
    anyhow::Error::new(cause).context(message)
}

/// Prints an error on exactly one line; with `verbose`, after it the causes that
/// the line does not tell yet.
pub(crate) fn error(error: &anyhow::Error, verbose: bool) {
    let message = error.to_string();
    print(format_args!("threadwork: error: {}", one_line(&message)));
    if verbose {
        let causes = error.chain().skip(1).map(ToString::to_string);
        let new_causes = causes.filter(|cause| !message.contains(cause));
        new_causes.for_each(|cause| print(format_args!("  caused by: {cause}")));
    }
}

/// Says how a program ended, unless it ended itself or the user ended it.
pub(crate) fn ending(status: &ExitStatus) {
    let code = status.code();
    match status {
        ExitStatus::Exited(own) if *own != code => print(format_args!(
            "threadwork: the program {status}, which does not fit into 0 to 255: this is {code}"
        )),
        ExitStatus::Exited(_) | ExitStatus::Killed { .. } => {}
        ExitStatus::LimitExceeded(exceeded) => {
            print(format_args!("threadwork: {status}"));
            print(format_args!(
                "threadwork: {} sets this limit",
                option_of(exceeded.limit)
            ));
        }
        _ => print(format_args!("threadwork: {status}")),
    }
}

/// The option that sets a limit.
pub(crate) fn option_of(limit: Limit) -> &'static str {
    match limit {
        Limit::Threads(_) => "--threads",
        Limit::Memory(_) => "--max-memory",
        Limit::WallTime(_) => "--timeout",
        Limit::CpuTime(_) => "--max-cpu",
        Limit::OpenFiles(_) => "--max-open-files",
        Limit::FileBytes(_) => "--max-file-bytes",
        Limit::Output(_) => "--max-output",
        _ => "a limit",
    }
}

/// Prints what a tool has to say.
pub(crate) fn tell(text: impl Display) {
    print(format_args!("threadwork: {text}"));
}

/// Prints the block of `--stats`.
pub(crate) fn stats(stats: &Stats) {
    print(render_stats(stats));
}

/// Prints what a program's threads did.
pub(crate) fn profile(summary: &str) {
    print(format_args!("threadwork: {}", summary.trim_end()));
}

fn render_stats(stats: &Stats) -> String {
    let cores = stats.cpu_time.as_secs_f64() / stats.wall_time.as_secs_f64().max(1e-9);
    format!(
        "threadwork: statistics\n\
         \x20 time      {}, on CPUs {} ({cores:.2} busy)\n\
         \x20 threads   {} started, at most {} at one time, {} refused\n\
         \x20 waits     {}, of which {} found the value changed\n\
         \x20 notifies  {}, which woke {}\n\
         \x20 memory    {}",
        seconds(stats.wall_time),
        seconds(stats.cpu_time),
        stats.threads_started,
        stats.threads_peak,
        stats.spawns_failed,
        stats.waits,
        stats.waits_not_equal,
        stats.notifies,
        stats.woken,
        bytes(stats.memory),
    )
}

/// A time span for people: three digits or more, in a unit that fits.
fn seconds(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        _ if seconds >= 1.0 => format!("{seconds:.2} s"),
        _ if seconds >= 1e-3 => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{:.0} us", seconds * 1e6),
    }
}

/// A size for people.
fn bytes(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 30 => format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30)),
        _ if bytes >= 1 << 20 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{} KiB", bytes >> 10),
    }
}

/// The same text without its line breaks.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same text without what a terminal would act on: names, and pieces of a module's
/// text, are the guest's. Reports have more than one line, so line breaks stay.
fn harmless(text: &str) -> String {
    let acts = |character: char| character.is_control() && character != '\n';
    text.replace(acts, "\u{fffd}")
}

/// Prints a line, or several.
pub(crate) fn line(text: impl Display) {
    print(text);
}

fn print(text: impl Display) {
    let text = harmless(&text.to_string());
    // There is nowhere left to say that this failed.
    let _ = match HURRY.load(Ordering::Relaxed) {
        true => write_within(format!("{text}\n").as_bytes(), Instant::now() + PATIENCE),
        false => writeln!(io::stderr(), "{text}"),
    };
}

/// Writes to standard error as long as somebody makes room for it.
fn write_within(mut text: &[u8], deadline: Instant) -> io::Result<()> {
    /// A pipe that is ready has room for as much.
    const PART: usize = 512;
    while !text.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if !has_room(rustix::stdio::stderr(), left) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let part = &text[..text.len().min(PART)];
        text = &text[io::stderr().write(part)?..];
    }
    Ok(())
}

/// Whether a write would not wait, or fail, which it then says itself; waits for that at most
/// for `time`.
pub(crate) fn has_room(stream: BorrowedFd<'_>, time: Duration) -> bool {
    let timeout = Timespec::try_from(time).unwrap_or_default();
    // A signal that interrupts it has been handled, or ends us.
    poll(
        &mut [PollFd::from_borrowed_fd(stream, PollFlags::OUT)],
        Some(&timeout),
    ) != Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_lose_their_line_breaks() {
        assert_eq!(one_line("bad\n   module:\tthere\n"), "bad module: there");
    }

    #[test]
    fn what_a_terminal_would_act_on_is_gone() {
        let text = harmless("no \u{1b}[2J\u{9b}2J\u{7}\r\n  caused by: \u{e9}");
        assert_eq!(
            text,
            "no \u{fffd}[2J\u{fffd}2J\u{fffd}\u{fffd}\n  caused by: \u{e9}"
        );
    }

    #[test]
    fn spans_and_sizes_read_well() {
        assert_eq!(seconds(Duration::from_millis(1234)), "1.23 s");
        assert_eq!(seconds(Duration::from_micros(1234)), "1.2 ms");
        assert_eq!(seconds(Duration::from_nanos(1234)), "1 us");
        assert_eq!(bytes(65_536), "64 KiB");
        assert_eq!(bytes(17 << 16), "1.1 MiB");
        assert_eq!(bytes(3 << 29), "1.50 GiB");
    }
}
