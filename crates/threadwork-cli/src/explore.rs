//! `threadwork explore`: one program in many schedules, until one breaks it; and `threadwork
//! replay`, which repeats that one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, ValueEnum};
use threadwork_check::{Explorer, Failure, Program, Replay, Report, StrategyKind};

use crate::options::{self, EnvVar};
use crate::{exit_codes, program, report};

/// Said under the options of `threadwork explore --help`.
const HELP: &str = "\
A program fails that traps, panics, exits with another code than 0, deadlocks, does nothing but
spin up to the last of its --steps, or writes something else than --expect; with --race also one
with a data race, a use after free or a double free. The schedule is
reduced until no preemption can be left out, and kept in a file for `threadwork replay`.

As Cargo's runner, each test is explored by itself:
  export CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER=\"threadwork explore\"
  cargo test --target wasm32-wasip1-threads

Exit codes:
    0  no schedule that was tried fails
    1  one fails
    2  the command line of threadwork is wrong
  125  the program cannot be explored, or no execution came to its end";

/// Schedules that are tried unless it is said how many, or for how long.
const SCHEDULES: u64 = 10_000;
const TIME: Duration = Duration::from_secs(30);

/// The same for each of a program's tests.
const TEST_SCHEDULES: u64 = 1_000;
const TEST_TIME: Duration = Duration::from_secs(10);

/// How long `replay` takes for a schedule, unless it is said how long.
const REPLAY_TIME: &str = "30s";

/// Bytes of a file that is kept as a whole: of a replay file, of input, of output.
const LARGEST: u64 = 64 << 20;

/// Ways to search, as the command line has them.
#[derive(Clone, Copy, ValueEnum)]
enum Strategy {
    /// Switches at random
    Random,
    /// Random priorities, and a few changes of them
    Pct,
    /// Random priorities of operations that conflict
    Pos,
    /// Everything with no preemption, then everything with one, and so on
    Bounded,
}

impl From<Strategy> for StrategyKind {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Random => Self::Random,
            Strategy::Pct => Self::Pct,
            Strategy::Pos => Self::Pos,
            Strategy::Bounded => Self::Bounded,
        }
    }
}

/// The command line of `threadwork explore`.
#[derive(Args)]
#[command(
    override_usage = "threadwork explore [OPTIONS] <FILE> [ARGS]...",
    after_help = HELP
)]
pub(crate) struct ExploreArgs {
    /// Decides which schedules are tried, and the program's own random numbers
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Schedules to try at most: 10000 unless there is a --time, for each test 1000
    #[arg(long, value_name = "N", value_parser = options::parse_count)]
    schedules: Option<u32>,

    /// Longest time to search, after which an execution that is under way is given up: 30s unless there are --schedules, for each test 10s
    #[arg(long, value_name = "DURATION", value_parser = options::parse_duration)]
    time: Option<Duration>,

    /// Strategies to take turns with: all unless set
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',')]
    strategy: Vec<Strategy>,

    /// Scheduling points that one execution may have before it is given up
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = parse_steps)]
    steps: u64,

    /// Take a data race, a use after free and a double free for failures, too, whatever comes of them
    #[arg(long)]
    race: bool,

    /// A file with what the program has to write to standard output
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,

    /// A file with what the program reads from standard input, which is empty unless set
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,

    /// Set an environment variable; without a value, pass on the one set here
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = options::parse_env)]
    variables: Vec<EnvVar>,

    /// Where to put the schedule that fails: FILE's name with `.schedule` unless set
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The program, .wasm or .wat, and its arguments: all that follows is its own
    #[arg(value_names = ["FILE", "ARGS"], required = true, trailing_var_arg = true)]
    command: Vec<String>,
}

/// The command line of `threadwork replay`.
#[derive(Args)]
#[command(after_help = "\
Exit codes:
    0  none of the schedules up to that one fails any more
    1  it fails
    2  the command line of threadwork is wrong
  125  it cannot be replayed, or there was not enough --time")]
pub(crate) struct ReplayArgs {
    /// The program, if it is not where the file says
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,

    /// Longest time to repeat the schedule, and to search where it does not do the same any more
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = options::parse_duration,
        default_value = REPLAY_TIME
    )]
    time: Duration,

    /// What `threadwork explore` has written
    #[arg(value_name = "FILE")]
    schedule: PathBuf,
}

fn parse_steps(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("an execution without steps does nothing: write at least 1".to_owned()),
        Ok(steps) => Ok(steps),
        Err(_) => Err("write a whole number, for example 1000000".to_owned()),
    }
}

/// Searches, and returns the code to exit with.
pub(crate) fn explore(args: &ExploreArgs) -> anyhow::Result<i32> {
    let Some((file, rest)) = args.command.split_first() else {
        bail!("no file given");
    };
    let file = Path::new(file);
    if let Some(output) = &args.output {
        check_output(output)?;
    }
    let program = load(file, args.race)?;
    let name = file.file_stem().unwrap_or(file.as_os_str());
    let name = name.to_string_lossy().into_owned();
    let explorer = args.explorer(&program)?;
    if program.is_rust_test() {
        return tests(args, &explorer, file, &name, rest);
    }
    let arguments = [name.clone()].into_iter().chain(rest.iter().cloned());
    let explorer = args.bounded(explorer, SCHEDULES, TIME).args(arguments);
    let found = explorer.run().map_err(|error| cannot(file, error))?;
    let unseen = match (&found.failure, args.race) {
        (None, false) => "; data races were not looked for (--race)",
        _ => "",
    };
    report::line(format_args!("threadwork: {}{unseen}", summary(&found)));
    match &found.failure {
        None if found.finished() == 0 => bail!(
            "cannot explore {}: no execution came to its end, so nothing is known of how it ends",
            file.display()
        ),
        None => Ok(0),
        Some(failure) => {
            let output = args.output.clone();
            let output = output.unwrap_or_else(|| format!("{name}.schedule").into());
            tell(failure, file, &output)?;
            Ok(exit_codes::SCHEDULE_FAILS)
        }
    }
}

impl ExploreArgs {
    fn explorer(&self, program: &Program) -> anyhow::Result<Explorer> {
        let mut explorer = Explorer::new(program).seed(self.seed).steps(self.steps);
        if !self.strategy.is_empty() {
            explorer = explorer.strategies(self.strategy.iter().map(|strategy| (*strategy).into()));
        }
        if let Some(file) = &self.expect {
            explorer = explorer.expect_stdout(read(file, "the file of --expect")?);
        }
        if let Some(file) = &self.stdin {
            explorer = explorer.stdin(read(file, "the file of --stdin")?);
        }
        for variable in &self.variables {
            if let Some(value) = variable.resolve()? {
                explorer = explorer.env(&variable.name, value);
            }
        }
        Ok(explorer)
    }

    /// With the bounds that were asked for, or with these.
    fn bounded(&self, explorer: Explorer, schedules: u64, time: Duration) -> Explorer {
        let (schedules, time) = match (self.schedules, self.time) {
            (None, None) => (schedules, Some(time)),
            (None, time) => (u64::MAX, time),
            (Some(schedules), time) => (schedules.into(), time),
        };
        let explorer = explorer.schedules(schedules);
        match time {
            Some(time) => explorer.time(time),
            None => explorer,
        }
    }
}

/// Explores each test that the arguments choose, as `cargo test` runs them.
fn tests(
    args: &ExploreArgs,
    explorer: &Explorer,
    file: &Path,
    name: &str,
    rest: &[String],
) -> anyhow::Result<i32> {
    let with = |rest: Vec<String>| {
        explorer
            .clone()
            .args([name.to_owned()].into_iter().chain(rest))
    };
    let list = |more: &[&str]| {
        let more = ["--list", "--format=terse"].iter().chain(more);
        let list = rest.iter().cloned().chain(more.map(ToString::to_string));
        let list = with(list.collect()).stdout();
        let list = list.map_err(|error| cannot(file, error))?;
        anyhow::Ok(String::from_utf8_lossy(&list).into_owned())
    };
    let ignored = ["--ignored", "--include-ignored"];
    let wants_ignored = rest.iter().any(|arg| ignored.contains(&arg.as_str()));
    let skipped = match wants_ignored {
        true => String::new(),
        false => list(&["--ignored"])?,
    };
    let list = list(&[])?;
    if rest.iter().any(|arg| arg == "--list") {
        // A closed standard output is no reason to fail.
        let _ = io::stdout().write_all(list.as_bytes());
        return Ok(0);
    }
    let kept = || {
        rest.iter()
            .filter(|arg| ignored.contains(&arg.as_str()))
            .cloned()
    };
    let mut failed = 0;
    let mut unknown = 0;
    let mut count = 0;
    let is_chosen = |line: &&str| !skipped.lines().any(|skipped| skipped == *line);
    let tests = list.lines().filter(is_chosen);
    for test in tests.filter_map(|line| line.strip_suffix(": test")) {
        let mut rest = vec![
            test.to_owned(),
            "--exact".to_owned(),
            "--nocapture".to_owned(),
        ];
        rest.extend(kept());
        let explorer = args.bounded(with(rest), TEST_SCHEDULES, TEST_TIME);
        let found = explorer.run().map_err(|error| cannot(file, error))?;
        count += 1;
        let verdict = match &found.failure {
            Some(_) => "FAILED",
            None if found.finished() == 0 => "UNKNOWN",
            None => "ok",
        };
        unknown += u64::from(verdict == "UNKNOWN");
        report::line(format_args!(
            "test {test} ... {verdict} ({})",
            summary(&found)
        ));
        if let Some(failure) = &found.failure {
            failed += 1;
            let place = test.replace("::", "-");
            let output = args.output.clone().filter(|_| failed == 1);
            tell(
                failure,
                file,
                &output.unwrap_or_else(|| format!("{place}.schedule").into()),
            )?;
        }
    }
    report::line(format_args!(
        "threadwork: {} explored, {failed} failed",
        counted(count, "test")
    ));
    match failed {
        0 if unknown > 0 => bail!(
            "cannot explore {} of {}: no execution came to its end",
            counted(unknown, "test"),
            file.display()
        ),
        0 => Ok(0),
        _ => Ok(exit_codes::SCHEDULE_FAILS),
    }
}

/// Repeats a schedule, and returns the code to exit with.
pub(crate) fn replay(args: &ReplayArgs) -> anyhow::Result<i32> {
    let name = args.schedule.display();
    let text = read(&args.schedule, "the replay file")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let replay: Replay = text
        .parse()
        .map_err(|error| report::explain(format_args!("cannot replay {name}"), error))?;
    let program = args.program.clone();
    let Some(file) = program.or_else(|| replay.program().map(PathBuf::from)) else {
        bail!("{name} does not say where the program is: add --program FILE");
    };
    if args.program.is_none() && !file.exists() {
        bail!(
            "the program of {name} is not at {} any more: say where it is with --program FILE",
            file.display()
        );
    }
    let program = load(&file, replay.is_of_race())?;
    let failed = |error| cannot(&file, error);
    let begun = Instant::now();
    if let Some(failure) = replay.repeat(&program, args.time).map_err(failed)? {
        report::line("threadwork: the same failure, bit for bit");
        report::line(failure);
        return Ok(exit_codes::SCHEDULE_FAILS);
    }
    let why = match replay.is_of(&program) {
        true => "the schedule leads elsewhere than when it was recorded",
        false => "the program is not the one that was recorded",
    };
    report::line(format_args!(
        "threadwork: {why}: searching again from its seed, up to schedule {}, for {:?} at most",
        replay.schedule(),
        args.time
    ));
    let left = args.time.saturating_sub(begun.elapsed());
    let found = replay.search(&program, left).map_err(failed)?;
    report::line(format_args!("threadwork: {}", summary(&found)));
    match &found.failure {
        Some(failure) => {
            report::line(failure);
            Ok(exit_codes::SCHEDULE_FAILS)
        }
        None if found.schedules <= replay.schedule() && !found.is_complete => bail!(
            "cannot replay {name}: not all of those schedules were tried, and none of the others \
             failed: --time gives it longer"
        ),
        None if found.finished() == 0 => bail!("cannot replay {name}: it did not come to an end"),
        None => {
            report::line(format_args!(
                "threadwork: none of those schedules fails any more; others may: threadwork \
                 explore {}",
                file.display()
            ));
            Ok(0)
        }
    }
}

fn load(file: &Path, races: bool) -> anyhow::Result<Program> {
    let new = match races {
        true => Program::with_races,
        false => Program::new,
    };
    new(&program::read(file)?).map_err(|error| cannot(file, error))
}

/// Reads a file; `what` says which one it is.
fn read(file: &Path, what: &str) -> anyhow::Result<Vec<u8>> {
    let name = file.display();
    if file.is_dir() {
        bail!("{what}, {name}, is a directory");
    }
    let mut bytes = Vec::new();
    // A device may have no end.
    File::open(file)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| report::explain(format_args!("cannot read {what}, {name}"), error))?;
    if bytes.len() as u64 > LARGEST {
        bail!("{what}, {name}, has more than {} MiB", LARGEST >> 20);
    }
    Ok(bytes)
}

/// Refuses a file that cannot be written for want of a folder, before a search begins.
fn check_output(file: &Path) -> anyhow::Result<()> {
    let name = file.display();
    if file.is_dir() {
        bail!("the file of --output, {name}, is a directory");
    }
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    match folder.filter(|folder| !folder.is_dir()) {
        Some(folder) => bail!(
            "the folder of --output, {}, does not exist: make it first",
            folder.display()
        ),
        None => Ok(()),
    }
}

fn cannot(file: &Path, error: threadwork_check::Error) -> anyhow::Error {
    report::explain(format_args!("cannot explore {}", file.display()), error)
}

/// Prints a failure, and keeps its schedule.
fn tell(failure: &Failure, file: &Path, output: &Path) -> anyhow::Result<()> {
    report::line(format_args!(
        "threadwork: schedule {} fails{}\n{failure}",
        failure.schedule(),
        match failure.strategy() {
            "none" => String::new(),
            strategy => format!(" ({strategy})"),
        }
    ));
    let replay = failure.replay().clone();
    let replay = replay.with_program(file.to_string_lossy());
    fs::write(output, replay.to_string()).map_err(|error| {
        report::explain(format_args!("cannot write {}", output.display()), error)
    })?;
    report::line(format_args!(
        "threadwork: repeat it with: threadwork replay {}",
        output.display()
    ));
    Ok(())
}

/// What was tried, in one line.
fn summary(report: &Report) -> String {
    let seconds = report.time.as_secs_f64();
    let mut text = format!(
        "{}, {}, {seconds:.1} s",
        counted(report.schedules, "schedule"),
        counted(report.steps, "step")
    );
    if report.is_complete {
        text += ", and there are no others";
    } else if let Some(bound) = report.bound {
        let most = counted(bound.into(), "preemption");
        text += &format!(", among them all with at most {most}");
    }
    if report.unfinished > 0 {
        text += &format!(
            "; given up: {} with too many steps, perhaps a livelock (--steps)",
            report.unfinished
        );
    }
    if report.stuck > 0 {
        text += &format!(
            "; given up: {} that computed for 10 s without a scheduling point, perhaps without end",
            report.stuck
        );
    }
    if report.is_cut {
        text += "; the last one was cut short (--time)";
    }
    text
}

/// So many of them.
fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
