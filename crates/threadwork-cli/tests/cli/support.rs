//! Runs the real binary, on programs compiled here, and never waits for ever.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// After this time a run counts as hanging. The longest builds programs first, on
/// a machine that builds others.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a finished run left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Outcome {
    /// The exit code, if no signal ended the run.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Checks the exit code and hands the run on.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{self:#?}");
        self
    }

    /// Checks that standard error has a line that contains all of `parts`.
    #[track_caller]
    pub(crate) fn expect_stderr(self, parts: &[&str]) -> Self {
        let has_all = |line: &str| parts.iter().all(|part| line.contains(part));
        assert!(
            self.stderr.lines().any(has_all),
            "no line with {parts:?}: {self:#?}"
        );
        self
    }
}

/// The binary under test, with a cache of its own.
pub(crate) fn threadwork() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_threadwork"));
    command.env("THREADWORK_CACHE_DIR", scratch().join("cache"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// `threadwork run OPTIONS guest.wasm ARGS` with the Rust guest.
pub(crate) fn run_guest(options: &[&str], args: &[&str]) -> Command {
    let mut command = threadwork();
    command.arg("run").args(options).arg(guest()).args(args);
    command
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Outcome {
    Running::start(command).finish()
}

/// A command that runs.
pub(crate) struct Running {
    pub(crate) child: Child,
    start: Instant,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.spawn().expect("the command starts");
        Self {
            child,
            start: Instant::now(),
        }
    }

    /// Reads standard output until the guest is `ready`.
    pub(crate) fn wait_until_ready(&mut self) {
        let stdout = self.child.stdout.as_mut().expect("stdout is a pipe");
        let mut line = [0; 6];
        stdout
            .read_exact(&mut line)
            .expect("the guest says that it is ready");
        assert_eq!(&line, b"ready\n");
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Outcome {
        let stdout = read_all(self.child.stdout.take());
        let stderr = read_all(self.child.stderr.take());
        let status = self.wait();
        let took = self.start.elapsed();
        let text = |reader: JoinHandle<String>| reader.join().expect("the reader does not panic");
        Outcome {
            status,
            stdout: text(stdout),
            stderr: text(stderr),
            took,
        }
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        while self.start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return status;
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.child.kill().expect("the child can be killed");
        panic!("still running after {PATIENCE:?}");
    }
}

fn read_all(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            stream
                .read_to_end(&mut bytes)
                .expect("the pipe is readable");
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// tests/fixtures/guest.rs, compiled once.
pub(crate) fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| {
        let compiled = scratch().join("guest.wasm");
        // Other test processes may compile at the same time: whoever renames last
        // replaces the same by the same.
        let unfinished = scratch().join(format!("guest-{}.wasm", std::process::id()));
        let rustc = Command::new("rustc")
            .args([
                "--edition",
                "2024",
                "--target",
                "wasm32-wasip1-threads",
                "-O",
                "-g",
                "-o",
            ])
            .arg(&unfinished)
            .arg(fixtures().join("guest.rs"))
            .status();
        assert!(
            rustc.expect("rustc starts").success(),
            "the guest does not compile"
        );
        fs::rename(&unfinished, &compiled).expect("the guest can be renamed");
        compiled
    })
}

/// A program of the repository's folder guests/wat.
pub(crate) fn text_guest(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/wat");
    folder.join(name).with_extension("wat")
}

/// A module whose one function of 100 KB takes minutes to compile.
pub(crate) fn slow_module() -> String {
    let (values, calls) = ("i64 ".repeat(100), "call 0 ".repeat(50_000));
    let zeros = "i64.const 0 ".repeat(100);
    format!(
        "(module (func (param {values}) (result {values}) {zeros} {calls})
           (func (export \"_start\")))"
    )
}

/// A file with these contents in `folder`.
pub(crate) fn file(folder: &Path, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    let mut file = fs::File::create(&path).expect("the file can be created");
    file.write_all(contents.as_ref())
        .expect("the file can be written");
    path
}

/// A folder that goes away after the test.
pub(crate) fn temporary_folder() -> tempfile::TempDir {
    tempfile::tempdir_in(scratch()).expect("a folder can be created")
}

/// Where tests may leave things.
pub(crate) fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// The folder tests/fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}
