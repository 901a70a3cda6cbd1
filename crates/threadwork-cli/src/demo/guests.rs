//! The example programs: where they are, how they are built, how they run.

use std::env;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::{Context, anyhow, bail};
use threadwork_engine::{Engine, ExitStatus, Module, Output, ProcessBuilder, Stdin};

use super::table;
use super::toolchain::{self, WASM_TARGET};

/// An example program.
pub(crate) struct Guest {
    /// Its name, of the package and of the binary.
    pub(crate) name: &'static str,
    /// What it does, in a few words.
    pub(crate) about: &'static str,
    /// Its `--size` in a full run and in a quick one.
    sizes: [u64; 2],
    /// Whether it writes a picture to `--output`.
    draws: bool,
}

/// All of them, in the order in which they are shown.
pub(crate) const GUESTS: [Guest; 4] = [
    Guest {
        name: "pi",
        about: "Monte Carlo, scoped threads",
        sizes: [500_000_000, 50_000_000],
        draws: false,
    },
    Guest {
        name: "merge-sort",
        about: "parallel sort with rayon",
        sizes: [16_000_000, 2_000_000],
        draws: false,
    },
    Guest {
        name: "pipeline",
        about: "hashing over bounded channels",
        sizes: [100_000, 15_000],
        draws: false,
    },
    Guest {
        name: "mandelbrot",
        about: "rows from an atomic counter, as PNG",
        sizes: [1_600, 480],
        draws: true,
    },
];

/// How a program is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// In this process, on the engine.
    Wasm,
    /// As a child process.
    Native,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wasm => "WebAssembly",
            Self::Native => "native code",
        })
    }
}

/// The last line that every example prints.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// What was computed, which depends on the size alone.
    pub(crate) result: String,
    /// How long the parallel part took.
    pub(crate) seconds: f64,
}

/// The folder with the sources of the examples.
pub(crate) fn find_folder() -> anyhow::Result<PathBuf> {
    let candidates = [
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests"),
        PathBuf::from("guests"),
    ];
    let folder = candidates
        .into_iter()
        .find(|folder| folder.join("Cargo.toml").is_file());
    let folder = folder.context(
        "the demo needs the folder guests/ of the Threadwork repository; \
         run it from the repository's root",
    )?;
    folder
        .canonicalize()
        .with_context(|| format!("cannot open {}", folder.display()))
}

/// Where the examples are built and run.
pub(crate) struct Workshop {
    sources: PathBuf,
    /// Where cargo puts what it builds, and the examples their pictures.
    target: PathBuf,
    /// The target triple of this machine.
    host: String,
}

impl Workshop {
    /// Sets up a workshop for the examples in `sources`.
    pub(crate) fn new(sources: PathBuf) -> anyhow::Result<Self> {
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(target) => std::path::absolute(target)?,
            None => sources.join("../target"),
        };
        let host = toolchain::host_target(&sources)?;
        Ok(Self {
            target: target.join("guests"),
            host,
            sources,
        })
    }

    /// Adds the WebAssembly target to the toolchain if it is missing; says so first.
    pub(crate) fn ensure_wasm_target(&self, announce: impl FnOnce(&str)) -> anyhow::Result<()> {
        toolchain::ensure_wasm_target(&self.sources, || announce(WASM_TARGET))
    }

    /// Builds all examples, for WebAssembly and for this machine, and tells
    /// `progress` how far that is.
    pub(crate) fn build(&self, progress: impl Fn(&str)) -> anyhow::Result<()> {
        let mut cargo = toolchain::cargo(&self.sources);
        cargo.args(["build", "--release", "--color", "never"]);
        cargo.arg("--target-dir").arg(&self.target);
        cargo.args(["--target", WASM_TARGET, "--target", &self.host]);
        cargo.args(GUESTS.iter().flat_map(|guest| ["--package", guest.name]));
        let log = follow(&mut cargo, progress)?;
        log.map_err(|log| {
            anyhow!(log).context("the examples do not build; add -v to see what cargo says")
        })
    }

    /// Compiles an example's WebAssembly to machine code.
    pub(crate) fn load(&self, engine: &Engine, guest: &Guest) -> anyhow::Result<Module> {
        let file = self
            .target
            .join(WASM_TARGET)
            .join("release")
            .join(guest.name);
        Ok(Module::from_file(engine, file.with_extension("wasm"))?)
    }

    /// Runs an example once.
    pub(crate) fn run(
        &self,
        kind: Kind,
        guest: &Guest,
        module: &Module,
        threads: usize,
        quick: bool,
    ) -> anyhow::Result<Answer> {
        let mut args = vec![
            "--threads".to_owned(),
            threads.to_string(),
            "--size".to_owned(),
            guest.sizes[usize::from(quick)].to_string(),
        ];
        if guest.draws {
            args.extend(["--output".to_owned(), picture(kind, guest)]);
        }
        let output = match kind {
            Kind::Wasm => self.run_wasm(guest, module, args),
            Kind::Native => self.run_native(guest, args),
        };
        output.and_then(|output| output.parse()).map_err(|error| {
            anyhow!(
                "{} failed as {kind} on {}: {error:#}",
                guest.name,
                table::threads(threads)
            )
        })
    }

    /// The pictures that the examples drew as WebAssembly.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = PathBuf> {
        let drawing = GUESTS.iter().filter(|guest| guest.draws);
        drawing.map(|guest| self.target.join(picture(Kind::Wasm, guest)))
    }

    fn run_wasm(
        &self,
        guest: &Guest,
        module: &Module,
        args: Vec<String>,
    ) -> anyhow::Result<String> {
        let process = ProcessBuilder::new(module)
            .arg0(guest.name)
            .args(args)
            .stdin(Stdin::Null)
            .stdout(Output::Buffer)
            .stderr(Output::Buffer)
            .preopen_dir(&self.target, ".")
            .spawn()?;
        match process.wait() {
            ExitStatus::Exited(0) => Ok(text(&process.stdout_buffer())),
            status => bail!("{status}; {}", text(&process.stderr_buffer())),
        }
    }

    fn run_native(&self, guest: &Guest, args: Vec<String>) -> anyhow::Result<String> {
        let program = self
            .target
            .join(&self.host)
            .join("release")
            .join(guest.name);
        let output = Command::new(program.with_extension(env::consts::EXE_EXTENSION))
            .args(args)
            .current_dir(&self.target)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("{}; {}", output.status, text(&output.stderr));
        }
        Ok(text(&output.stdout))
    }
}

impl FromStr for Answer {
    type Err = anyhow::Error;

    /// Reads `result: <answer> seconds: <s> threads: <n>` from the last line.
    fn from_str(output: &str) -> Result<Self, Self::Err> {
        let line = output.lines().last().unwrap_or_default();
        let parse = || {
            let (result, rest) = line.strip_prefix("result: ")?.split_once(" seconds: ")?;
            let (seconds, _threads) = rest.split_once(" threads: ")?;
            Some(Self {
                result: result.to_owned(),
                seconds: seconds.parse().ok()?,
            })
        };
        parse().with_context(|| format!("no result in its last line, {line:?}"))
    }
}

/// Runs cargo to its end and tells `progress` what it does. The inner error is
/// all that cargo said.
fn follow(cargo: &mut Command, progress: impl Fn(&str)) -> anyhow::Result<Result<(), String>> {
    let mut child = cargo
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let stderr = child.stderr.take().context("cargo has no standard error")?;
    let mut log = String::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.context("cannot read what cargo says")?;
        let status = line.trim_start();
        if status.starts_with("Blocking") {
            progress("waiting for another cargo to finish");
        } else if let Some(krate) = status.strip_prefix("Compiling ") {
            progress(&format!("building {krate}"));
        }
        log = log + &line + "\n";
    }
    let success = child.wait().context("cannot wait for cargo")?.success();
    Ok(if success { Ok(()) } else { Err(log) })
}

fn picture(kind: Kind, guest: &Guest) -> String {
    match kind {
        Kind::Wasm => format!("{}.png", guest.name),
        Kind::Native => format!("{}-native.png", guest.name),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_is_in_the_last_line() {
        let answer: Answer = "hello\nresult: 3.14 and so on seconds: 0.25 threads: 4\n"
            .parse()
            .unwrap();
        assert_eq!(
            answer,
            Answer {
                result: "3.14 and so on".into(),
                seconds: 0.25
            }
        );
    }

    #[test]
    fn other_output_is_refused_with_the_line() {
        for output in [
            "",
            "result: 1",
            "result: 1 seconds: x threads: 1",
            "result: 1 seconds: 1\nx",
        ] {
            let error = Answer::from_str(output).unwrap_err();
            assert!(
                error.to_string().starts_with("no result"),
                "{output}: {error}"
            );
        }
    }
}
