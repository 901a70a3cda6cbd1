//! The tests as a program for this machine, each run a child process.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::runner::{End, PATIENCE, Run, Runner};
use crate::children::{self, Child};

/// How often to look whether the child is done: std cannot wait with a timeout.
const LOOK: Duration = Duration::from_millis(2);

pub(crate) struct NativeHost {
    program: PathBuf,
}

impl NativeHost {
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program }
    }
}

impl Runner for NativeHost {
    fn name(&self) -> &'static str {
        "native"
    }

    fn is_webassembly(&self) -> bool {
        false
    }

    fn run(&self, args: &[&str]) -> anyhow::Result<Run> {
        let mut program = Command::new(&self.program);
        program
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = children::spawn(&mut program)
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let (stdout, stderr) = (child.stdout(), child.stderr());
        thread::scope(|scope| {
            // Readers of their own, so that a full pipe stops nothing.
            let stdout = scope.spawn(|| text(stdout));
            let stderr = scope.spawn(|| text(stderr));
            let end = wait(&mut child)?;
            Ok(Run {
                end,
                stdout: stdout.join().unwrap_or_default(),
                stderr: stderr.join().unwrap_or_default(),
            })
        })
    }
}

fn wait(child: &mut Child) -> io::Result<End> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(end(status));
        }
        thread::sleep(LOOK);
    }
    child.kill();
    child.wait()?;
    Ok(End::TimedOut)
}

fn end(status: ExitStatus) -> End {
    match status.code() {
        Some(code) => End::Exited(code),
        None => End::Ended(format!("it was ended by a signal ({status})")),
    }
}

fn text(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    // What cannot be read is missed where it is looked for.
    let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
