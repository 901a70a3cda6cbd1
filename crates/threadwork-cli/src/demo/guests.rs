//! The example programs: which there are, and how one is run.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, anyhow, bail};
use threadwork_engine::{ExitStatus, Module, Output, ProcessBuilder, Stdin};

use crate::children;
use crate::workshop::Workshop;

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

/// The first act: each on a growing number of threads.
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

/// The second act: one program `--with` one library after the other, on all threads.
pub(crate) const RIVALRY: Guest = Guest {
    name: "queens",
    about: "the same search with three libraries",
    sizes: [14, 12],
    draws: false,
};

/// The libraries, by what the program calls them.
pub(crate) const LIBRARIES: [&str; 3] = ["std", "rayon", "threadwork"];

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

impl Guest {
    /// Runs it once, where the workshop has built it.
    pub(crate) fn run(
        &self,
        kind: Kind,
        workshop: &Workshop,
        module: &Module,
        threads: usize,
        library: Option<&str>,
        quick: bool,
    ) -> anyhow::Result<Answer> {
        let mut args = vec![
            "--threads".to_owned(),
            threads.to_string(),
            "--size".to_owned(),
            self.sizes[usize::from(quick)].to_string(),
        ];
        if self.draws {
            args.extend(["--output".to_owned(), self.picture(kind)]);
        }
        if let Some(library) = library {
            args.extend(["--with".to_owned(), library.to_owned()]);
        }
        let output = match kind {
            Kind::Wasm => self.run_wasm(workshop, module, args),
            Kind::Native => self.run_native(workshop, args),
        };
        output.and_then(|output| output.parse()).map_err(|error| {
            anyhow!(
                "{} failed as {kind} on {}: {error:#}",
                self.name,
                self::threads(threads)
            )
        })
    }

    fn run_wasm(
        &self,
        workshop: &Workshop,
        module: &Module,
        args: Vec<String>,
    ) -> anyhow::Result<String> {
        let process = ProcessBuilder::new(module)
            .arg0(self.name)
            .args(args)
            .stdin(Stdin::Null)
            .stdout(Output::Buffer)
            .stderr(Output::Buffer)
            .preopen_dir(workshop.folder(), ".")
            .spawn()?;
        match process.wait() {
            ExitStatus::Exited(0) => Ok(text(&process.stdout_buffer())),
            status => bail!("{status}; {}", text(&process.stderr_buffer())),
        }
    }

    fn run_native(&self, workshop: &Workshop, args: Vec<String>) -> anyhow::Result<String> {
        let mut program = Command::new(workshop.native(self.name));
        let output = children::output(program.args(args).current_dir(workshop.folder()))?;
        if !output.status.success() {
            bail!("{}; {}", output.status, text(&output.stderr));
        }
        Ok(text(&output.stdout))
    }

    fn picture(&self, kind: Kind) -> String {
        match kind {
            Kind::Wasm => format!("{}.png", self.name),
            Kind::Native => format!("{}-native.png", self.name),
        }
    }
}

/// `1 thread`, `2 threads`.
pub(crate) fn threads(count: usize) -> String {
    format!("{count} thread{}", if count == 1 { "" } else { "s" })
}

/// The pictures that the examples drew as WebAssembly.
pub(crate) fn pictures(workshop: &Workshop) -> impl Iterator<Item = PathBuf> {
    let drawing = GUESTS.iter().filter(|guest| guest.draws);
    drawing.map(|guest| workshop.folder().join(guest.picture(Kind::Wasm)))
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
