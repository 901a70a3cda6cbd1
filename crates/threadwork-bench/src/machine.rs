//! What the figures were measured on.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use serde::Serialize;

/// Facts without which a figure means little. What cannot be found out is `None`.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// How many threads run at once.
    pub cores: usize,
    /// The model of the processor.
    pub cpu: Option<String>,
    /// Operating system and architecture.
    pub platform: String,
    /// The release of the Linux kernel.
    pub kernel: Option<String>,
    /// Load averages before the start: what else was running.
    pub load: Option<String>,
    /// The compiler that built the workloads.
    pub rustc: Option<String>,
    /// The commit of this repository, with `-dirty` if files differ from it.
    pub commit: Option<String>,
    /// Seconds since 1970.
    pub time: u64,
}

impl Machine {
    /// Asks the machine.
    pub fn facts() -> Self {
        let file = |path: &str| {
            fs::read_to_string(path)
                .ok()
                .map(|text| text.trim().to_string())
        };
        let here = env!("CARGO_MANIFEST_DIR");
        Machine {
            cores: thread::available_parallelism().map_or(1, Into::into),
            cpu: file("/proc/cpuinfo").and_then(|text| cpu_model(&text)),
            platform: format!("{}-{}", env::consts::OS, env::consts::ARCH),
            kernel: file("/proc/sys/kernel/osrelease"),
            load: file("/proc/loadavg"),
            rustc: output("rustc", &["--version"]),
            commit: Path::new(here)
                .exists()
                .then(|| {
                    // No locks: a benchmark must not disturb who works in the repository.
                    output(
                        "git",
                        &[
                            "-C",
                            here,
                            "--no-optional-locks",
                            "describe",
                            "--always",
                            "--dirty",
                            "--abbrev=40",
                            "--exclude=*",
                        ],
                    )
                })
                .flatten(),
            time: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_secs()),
        }
    }

    /// The facts in one line.
    pub fn line(&self) -> String {
        let cores = format!(
            "{} core{}",
            self.cores,
            if self.cores == 1 { "" } else { "s" }
        );
        // What else runs decides how much the figures are worth: it stands beside them.
        let load = self.load.as_deref().and_then(|load| load.split(' ').next());
        let load = load.map(|load| format!("load {load}"));
        let parts = [
            self.cpu.clone(),
            Some(cores),
            Some(self.platform.clone()),
            self.rustc.clone(),
            load,
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    line.split_once(':')
        .map(|(_, model)| model.trim().to_string())
}

/// The first line that the program prints, if it is there and succeeds.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .ok()
        .filter(|o| o.status.success())?;
    String::from_utf8(output.stdout)
        .ok()?
        .lines()
        .next()
        .map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found() {
        assert_eq!(
            cpu_model("processor : 0\nmodel name\t: A CPU\n").as_deref(),
            Some("A CPU")
        );
        assert_eq!(cpu_model(""), None);
    }

    #[test]
    fn a_missing_program_is_no_fact() {
        assert_eq!(output("/no/such/program", &[]), None);
    }
}
