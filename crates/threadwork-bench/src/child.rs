//! A child process that is spoken to in lines, and that cannot hang its parent.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{self, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A line may take this long. The benchmarks are of thread runtimes: a deadlock is
/// to be expected, and must not stop the whole run.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running child with pipes. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    input: ChildStdin,
    lines: Receiver<std::io::Result<String>>,
    errors: Option<JoinHandle<String>>,
    patience: Duration,
}

impl Child {
    /// Starts the command.
    ///
    /// # Errors
    ///
    /// If there is no such program.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let (Some(input), Some(output), Some(mut errors)) = (
            process.stdin.take(),
            process.stdout.take(),
            process.stderr.take(),
        ) else {
            unreachable!("all three are piped");
        };
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .try_for_each(|line| sender.send(line))
        });
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            // Whatever could be read is what there is to tell.
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Child {
            process,
            input,
            lines,
            errors: Some(errors),
            patience: PATIENCE,
        })
    }

    /// Sends a line and waits for the answer.
    ///
    /// # Errors
    ///
    /// As for [`Child::line`].
    pub fn ask(&mut self, question: &str) -> Result<String> {
        // If it cannot be written, the child has ended: `line` says how.
        let _ = self.input.write_all(format!("{question}\n").as_bytes());
        let _ = self.input.flush();
        self.line()
    }

    /// Waits for the next line.
    ///
    /// # Errors
    ///
    /// If the child ends instead (the error has the first lines that it wrote to stderr),
    /// or is silent for a minute.
    pub fn line(&mut self) -> Result<String> {
        match self.lines.recv_timeout(self.patience) {
            Ok(line) => Ok(line?),
            Err(RecvTimeoutError::Timeout) => bail!("silent for {:?}", self.patience),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.process.wait()?;
                let errors = self
                    .errors
                    .take()
                    .and_then(|thread| thread.join().ok())
                    .unwrap_or_default();
                let words: Vec<_> = errors
                    .lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty())
                    .take(3)
                    .collect();
                if words.is_empty() {
                    bail!("ended with {status}")
                } else {
                    bail!("{}", words.join(" / "))
                }
            }
        }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        Child::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn it_answers() {
        let mut child = shell("while read line; do echo \"got $line\"; done");
        assert_eq!(child.ask("one").unwrap(), "got one");
        assert_eq!(child.ask("two").unwrap(), "got two");
    }

    #[test]
    fn what_it_complains_of_is_the_error() {
        let mut child =
            shell("echo 'no such engine' >&2; echo >&2; echo 'try another' >&2; exit 3");
        assert_eq!(
            child.ask("one").unwrap_err().to_string(),
            "no such engine / try another"
        );
        assert_eq!(
            shell("exit 3").line().unwrap_err().to_string(),
            "ended with exit status: 3"
        );
    }

    #[test]
    fn a_silent_child_is_given_up_and_killed() {
        let mut child = shell("exec sleep 1000");
        child.patience = Duration::from_millis(20);
        assert_eq!(child.ask("one").unwrap_err().to_string(), "silent for 20ms");
    }

    #[test]
    fn an_unknown_program_is_an_error() {
        let error = Child::start(&mut Command::new("/no/such/program")).unwrap_err();
        assert!(error.to_string().contains("/no/such/program"));
    }
}
