//! Contestants that run a program of `workloads/` under a host.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::hosts::{HOSTS, Host, Target};
use super::place::folder;
use crate::case::{Case, Contestant, Sample, Unit};
use crate::child::Child;
use crate::cpu;

/// A program that both kinds of host can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `workloads/src/main.rs`.
    Workload,
    /// `workloads/ping-pong.wat`; natively, the workload of the same name.
    PingPong,
    /// `workloads/sync/src/main.rs`: the primitives and their rivals.
    Sync,
    /// `workloads/memory/src/main.rs`: thread-local storage, shared memory, and rivals.
    Memory,
    /// `workloads/pool/src/main.rs`: the thread pool and its rivals.
    Pool,
    /// `workloads/fork-join/src/main.rs`: fork-join and its rivals.
    ForkJoin,
    /// `workloads/alloc/src/main.rs`: the allocator and its rivals.
    Alloc,
    /// The same program with the allocator as its global one.
    AllocGlobal,
}

impl Program {
    /// The file for a host, built if need be.
    fn file(self, target: Target) -> Result<PathBuf> {
        const PROGRAMS: usize = Program::AllocGlobal as usize + 1;
        static BUILT: [[OnceLock<Result<PathBuf, String>>; 2]; PROGRAMS] =
            [const { [const { OnceLock::new() }; 2] }; PROGRAMS];
        let (program, package, binary) = match (self, target) {
            (Program::PingPong, Target::Wasm) => return Ok(folder().join("ping-pong.wat")),
            (Program::Workload | Program::PingPong, _) => {
                (Program::Workload, "threadwork-workloads", "workload")
            }
            (Program::Sync, _) => (self, "threadwork-sync-workloads", "sync-workload"),
            (Program::Memory, _) => (self, "threadwork-memory-workloads", "memory-workload"),
            (Program::Pool, _) => (self, "threadwork-pool-workloads", "pool-workload"),
            (Program::ForkJoin, _) => {
                (self, "threadwork-fork-join-workloads", "fork-join-workload")
            }
            (Program::Alloc, _) => (self, "threadwork-alloc-workloads", "alloc-workload"),
            (Program::AllocGlobal, _) => {
                (self, "threadwork-alloc-workloads", "alloc-workload-global")
            }
        };
        let make = || build(target, package, binary).map_err(|error| format!("{error:#}"));
        let built = BUILT[program as usize][target as usize].get_or_init(make);
        built.clone().map_err(|error| anyhow!("{error}"))
    }
}

/// What a host is asked to do for one sample.
#[derive(Clone, Debug)]
pub struct Work {
    program: Program,
    request: String,
    cores: Option<u32>,
    by_cpu_time: bool,
}

impl Work {
    /// `iterations` operations of a workload, in all, on so many threads.
    pub fn new(program: Program, workload: &str, threads: u32, iterations: u64) -> Self {
        Work {
            program,
            request: format!("{workload} {threads} {iterations}"),
            cores: None,
            by_cpu_time: false,
        }
    }

    /// A contestant that does it under a host.
    ///
    /// # Errors
    ///
    /// If the host cannot run the program.
    pub fn set_up(self, host: &Host) -> Result<Box<dyn Contestant>> {
        Ok(Box::new(Served::start(host, self)?))
    }

    /// The same by one of the rivals that the program knows.
    pub fn done_by(&self, rival: &str) -> Self {
        let (workload, numbers) = self.request.split_once(' ').unwrap_or_default();
        Work {
            request: format!("{workload}/{rival} {numbers}"),
            ..self.clone()
        }
    }

    /// The same on no more than `count` cores.
    pub fn on_cores(self, count: u32) -> Self {
        Work {
            cores: Some(count),
            ..self
        }
    }

    /// The same, but the figure is the CPU time of the whole process for all of it.
    pub fn by_cpu_time(self) -> Self {
        Work {
            by_cpu_time: true,
            ..self
        }
    }

    /// A case in which every host does it.
    pub fn case(&self, name: impl Into<String>) -> Case {
        self.case_of(name, HOSTS)
    }

    /// A case in which these hosts do it.
    pub fn case_of(&self, name: impl Into<String>, hosts: &[Host]) -> Case {
        let case = Case::new(name, Unit::Nanoseconds).cpu_time();
        hosts.iter().fold(case, |case, host| {
            let (host, work) = (*host, self.clone());
            case.contestant(host.name, move || Ok(Box::new(Served::start(&host, work)?)))
        })
    }
}

/// A case in which rivals do it under one host: the program knows each as
/// `<workload>/<rival>`.
pub fn rivals(
    name: impl Into<String>,
    unit: Unit,
    host: Host,
    rivals: &[&str],
    work: &Work,
) -> Case {
    rivals.iter().fold(Case::new(name, unit), |case, rival| {
        let work = work.done_by(rival);
        case.contestant(*rival, move || Ok(Box::new(Served::start(&host, work)?)))
    })
}

/// A case of what the second piece of work costs as a multiple of the first, under
/// the same host. Both must be of one program, and need all cores.
pub fn relation(name: impl Into<String>, first: &Work, second: &Work) -> Case {
    HOSTS
        .iter()
        .fold(Case::new(name, Unit::Ratio), |case, host| {
            let (first, second) = (first.clone(), second.clone());
            case.contestant(host.name, move || {
                let mut served = Served::start(host, first)?;
                Ok(Box::new(move || {
                    let first = served.sample()?;
                    let second = parse(&served.child.ask(&second.request)?)?;
                    ensure!(
                        first.answer == second.answer,
                        "the two answers differ: {first:?}, {second:?}"
                    );
                    Ok(Sample {
                        value: second.value / first.value,
                        ..second
                    })
                }))
            })
        })
}

/// A case in which every host holds so many sleeping threads: resident memory for
/// each of them.
pub fn memory_case(name: impl Into<String>, threads: u32) -> Case {
    HOSTS
        .iter()
        .fold(Case::new(name, Unit::Bytes), |case, host| {
            case.contestant(host.name, move || {
                resident(host, 1)?;
                Ok(Box::new(move || {
                    let without = resident(host, 0)?;
                    let with = resident(host, threads)?;
                    Ok(Sample::new(
                        (with as f64 - without as f64) / f64::from(threads),
                    ))
                }))
            })
        })
}

/// A long-lived `workload serve` under a host. Each sample is one request, so that
/// rounds can be interleaved without the cost of a restart.
struct Served {
    child: Child,
    request: String,
    by_cpu_time: bool,
}

impl Served {
    fn start(host: &Host, work: Work) -> Result<Self> {
        let mut child = start(host, work.program, work.cores, &["serve"])?;
        // A first, smallest request: whoever cannot answer it is unavailable.
        parse(&child.ask("hello 2 1")?)?;
        Ok(Served {
            child,
            request: work.request,
            by_cpu_time: work.by_cpu_time,
        })
    }
}

impl Contestant for Served {
    fn sample(&mut self) -> Result<Sample> {
        if !self.by_cpu_time {
            return parse(&self.child.ask(&self.request)?);
        }
        let before = cpu_time(&self.child)?;
        let sample = parse(&self.child.ask(&self.request)?)?;
        Ok(Sample {
            value: (cpu_time(&self.child)? - before).as_nanos() as f64,
            ..sample
        })
    }

    fn process(&self) -> Option<u32> {
        Some(self.child.id())
    }
}

fn cpu_time(child: &Child) -> Result<Duration> {
    cpu::time(Some(child.id())).context("CPU time is not known on this platform")
}

/// `ns_per_op=<f64> answer=<u64>`, or `error=<text>`.
fn parse(line: &str) -> Result<Sample> {
    if let Some(error) = line.strip_prefix("error=") {
        bail!("{error}");
    }
    let malformed = || format!("`{line}` is no result");
    let (value, answer) = line
        .strip_prefix("ns_per_op=")
        .and_then(|rest| rest.split_once(" answer="))
        .with_context(malformed)?;
    Ok(Sample::new(value.parse().with_context(malformed)?).answer(answer))
}

/// Resident memory, in bytes, of a fresh process whose program holds sleeping threads.
fn resident(host: &Host, threads: u32) -> Result<u64> {
    /// All threads are under way when the child says so; the last ones may still have
    /// a few instructions to go.
    const SETTLE: Duration = Duration::from_millis(50);
    let mut child = start(
        host,
        Program::Workload,
        None,
        &["block", &threads.to_string()],
    )?;
    let line = child.line()?;
    ensure!(line == "ready", "said `{line}`, not `ready`");
    thread::sleep(SETTLE);
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))
        .context("resident memory is known on Linux only")?;
    vm_rss(&status).context("no VmRSS in /proc")
}

/// The line `VmRSS: 2048 kB`, in bytes.
fn vm_rss(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// A case of the time from the start of a process to its first line.
pub fn startup_case(name: impl Into<String>) -> Case {
    HOSTS
        .iter()
        .fold(Case::new(name, Unit::Nanoseconds), |case, host| {
            case.contestant(host.name, move || {
                // Compiles the module into the host's cache.
                first_line(host)?;
                Ok(Box::new(move || first_line(host)))
            })
        })
}

/// Starts the smallest program, and gives the time until its first line is here.
fn first_line(host: &Host) -> Result<Sample> {
    let args = ["hello", "1", "1"];
    let file = Program::Workload.file(host.target)?;
    let begin = Instant::now();
    let mut child = match host.target {
        // Itself, not this program that would become it.
        Target::Native => Child::start(Command::new(file).args(args))?,
        Target::Wasm => start(host, Program::Workload, None, &args)?,
    };
    let line = child.line()?;
    let elapsed = begin.elapsed();
    let answer = parse(&line)?.answer.unwrap_or_default();
    Ok(Sample::new(elapsed.as_nanos() as f64).answer(answer))
}

/// This binary again, as the host.
fn start(host: &Host, program: Program, cores: Option<u32>, args: &[&str]) -> Result<Child> {
    let file = program.file(host.target)?;
    let own = std::env::current_exe().context("this program does not know its own path")?;
    let cores = cores.map(|cores| format!("--cores={cores}"));
    Child::start(
        Command::new(own)
            .current_dir(folder())
            .arg("host")
            .args(cores)
            .arg(host.name)
            .arg(file)
            .arg("--")
            .args(args),
    )
}

/// Builds a package of `workloads/`, in its own target folder, and returns the file.
fn build(target: Target, package: &str, binary: &str) -> Result<PathBuf> {
    let output = folder().join("target");
    let (triple, suffix) = match target {
        Target::Native => (None, std::env::consts::EXE_SUFFIX),
        Target::Wasm => (Some("wasm32-wasip1-threads"), ".wasm"),
    };
    let mut command = Command::new("cargo");
    command
        .current_dir(folder())
        .args(["build", "--quiet", "--release", "--package", package])
        .arg("--target-dir")
        .arg(&output)
        .args(triple.map(|triple| format!("--target={triple}")));
    let result = command
        .output()
        .context("cannot start cargo to build the workloads")?;
    let errors = String::from_utf8_lossy(&result.stderr);
    let first = errors
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    ensure!(
        result.status.success(),
        "cannot build the workloads: {first}"
    );
    Ok(output
        .join(triple.unwrap_or_default())
        .join("release")
        .join(format!("{binary}{suffix}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_parsed() {
        assert_eq!(
            parse("ns_per_op=12.5 answer=7").unwrap(),
            Sample::new(12.5).answer(7)
        );
        assert_eq!(
            parse("error=no such thing").unwrap_err().to_string(),
            "no such thing"
        );
        for line in ["", "12.5", "ns_per_op= answer=7", "ns_per_op=1.0"] {
            assert!(
                parse(line)
                    .unwrap_err()
                    .to_string()
                    .contains("is no result"),
                "{line}"
            );
        }
    }

    #[test]
    fn memory_is_parsed() {
        assert_eq!(
            vm_rss("VmPeak:\t 9 kB\nVmRSS:\t    2048 kB\n"),
            Some(2 * 1024 * 1024)
        );
        assert_eq!(vm_rss("VmPeak:\t 9 kB\n"), None);
    }

    #[test]
    fn the_hand_written_program_is_valid() {
        let file = Program::PingPong.file(Target::Wasm).unwrap();
        wat::parse_file(file).unwrap();
    }
}
