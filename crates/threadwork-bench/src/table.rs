//! The result on the terminal.

use std::fmt::Write as _;
use std::io::IsTerminal;

use crate::case::{Bound, Goal, three_digits};
use crate::machine::Machine;
use crate::run::{CaseReport, ContestantReport};
use crate::statistics::Summary;

/// The longest bar, in characters.
const BAR: usize = 16;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub colour: bool,
    /// Unicode bars.
    pub bars: bool,
}

impl Style {
    /// For the standard output: plain if it is not a terminal, and no colours if
    /// `NO_COLOR` is set (<https://no-color.org>).
    pub fn detect() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Style {
            colour: terminal && !no_color,
            bars: terminal,
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }
}

/// The lines above all cases. `length` says how much was run.
pub fn header(suite: &str, machine: &Machine, length: &str, width: usize, style: Style) -> String {
    let columns = format!(
        "  {:width$}  {:>9}  {:>20}  {:>8}  {:>16}",
        "", "median", "p10 .. p90", "ratio", "p10 .. p90"
    );
    format!(
        "{} · {} · {length}\n{}\n",
        style.bold(suite),
        machine.line(),
        style.dim(&columns),
    )
}

/// The lines of a case. `width` is that of the column of names.
pub fn case(report: &CaseReport, width: usize, style: Style) -> String {
    let mut text = format!("{}\n", style.bold(&report.name));
    if let Some(failure) = &report.failure {
        let _ = writeln!(text, "  {} {failure}", style.bad("FAILED"));
    }
    let medians = report.contestants.iter().filter_map(|entry| entry.value);
    let longest = medians.map(|value| value.median).fold(0.0, f64::max);
    for entry in &report.contestants {
        let line = match (&entry.unavailable, entry.value) {
            (Some(reason), _) => {
                style.dim(&format!("  {:width$}  unavailable: {reason}", entry.name))
            }
            (None, Some(value)) => figures(report, entry, value, longest, width, style),
            (None, None) => continue,
        };
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for goal in &report.goals {
        let outcome = match goal.reached {
            Some(true) => style.good("reached"),
            Some(false) => style.bad("missed"),
            None => style.dim("not measured"),
        };
        let measured = goal
            .measured
            .map(|measured| measure(&goal.goal, measured, report.unit));
        let _ = writeln!(
            text,
            "  goal: {} {}: {outcome}{}",
            goal.goal.contestant,
            goal.goal.words(report.unit),
            measured.unwrap_or_default()
        );
    }
    text
}

/// What was measured of what a goal bounds.
fn measure(goal: &Goal, measured: f64, unit: crate::Unit) -> String {
    match goal.bound {
        Bound::Ratio { .. } => format!(" ({}x)", three_digits(measured)),
        Bound::Difference { .. } if measured < 0.0 => format!(" ({} less)", unit.format(-measured)),
        Bound::Difference { .. } => format!(" ({} more)", unit.format(measured)),
        Bound::Value { .. } => format!(" ({})", unit.format(measured)),
    }
}

fn figures(
    report: &CaseReport,
    entry: &ContestantReport,
    value: Summary,
    longest: f64,
    width: usize,
    style: Style,
) -> String {
    let unit = report.unit;
    let spread = format!("{} .. {}", unit.format(value.p10), unit.format(value.p90));
    let (ratio, ratio_spread) = match entry.ratio {
        _ if entry.name == report.baseline => ("baseline".to_string(), String::new()),
        Some(ratio) => (
            three_digits(ratio.median),
            format!("{} .. {}", three_digits(ratio.p10), three_digits(ratio.p90)),
        ),
        None => (String::new(), String::new()),
    };
    let cpu = entry
        .cpu_ns
        .map(|cpu| format!("  cpu {}", crate::Unit::Nanoseconds.format(cpu.median)));
    let bar = if style.bars {
        bar(value.median / longest)
    } else {
        String::new()
    };
    format!(
        "  {:width$}  {:>9}  {spread:>20}  {ratio:>8}  {ratio_spread:>16}{:14}  {bar}",
        entry.name,
        unit.format(value.median),
        cpu.unwrap_or_default(),
    )
}

/// A bar of eighths of a character.
fn bar(fraction: f64) -> String {
    let eighths = (fraction.clamp(0.0, 1.0) * BAR as f64 * 8.0)
        .round()
        .max(1.0) as usize;
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    format!("{}{rest}", "█".repeat(eighths / 8))
}

#[cfg(test)]
mod tests {
    use anyhow::{Result, bail};

    use super::*;
    use crate::case::{Case, Contestant, Sample, Unit};
    use crate::run::{self, Options};

    fn constant(value: f64, answer: u64) -> Result<Box<dyn Contestant>> {
        Ok(Box::new(move || Ok(Sample::new(value).answer(answer))))
    }

    fn example(answer: u64) -> CaseReport {
        let case = Case::new("spawn-join", Unit::Nanoseconds)
            .contestant("native", || constant(12_340.0, 200))
            .contestant("threadwork", move || constant(1_100.0, answer))
            .contestant("wasmtime", || bail!("dropped in 47"))
            .goal(Goal::better("threadwork", 10.0, "native"))
            .goal(Goal::better("threadwork", 20.0, "native"))
            .goal(Goal::at_most("threadwork", 1.0, "wasmtime"));
        run::case(case, &Options::quick(), &mut |_| ())
    }

    #[test]
    fn a_result() {
        assert_eq!(
            case(&example(200), 10, Style::default()),
            "\
spawn-join
  native        12.3 us    12.3 us .. 12.3 us  baseline
  threadwork    1.10 us    1.10 us .. 1.10 us    0.0891  0.0891 .. 0.0891
  wasmtime    unavailable: dropped in 47
  goal: threadwork at least 10x better than native: reached (0.0891x)
  goal: threadwork at least 20x better than native: missed (0.0891x)
  goal: threadwork at most 1x wasmtime: not measured
"
        );
    }

    #[test]
    fn a_failure_shows_no_figures() {
        let text = case(&example(201), 10, Style::default());
        assert!(text.starts_with("spawn-join\n  FAILED "), "{text}");
        assert!(text.contains("answered"), "{text}");
        assert!(!text.contains("12.3 us"), "{text}");
    }

    #[test]
    fn bars_and_colours_come_with_the_style() {
        let text = case(
            &example(200),
            10,
            Style {
                colour: true,
                bars: true,
            },
        );
        assert!(text.contains("████████████████\n"), "{text}");
        assert!(text.contains("\x1b[32mreached\x1b[0m"), "{text}");
        assert_eq!(bar(0.5), "████████");
        assert_eq!(bar(0.03), "▌");
    }

    #[test]
    fn the_cpu_time_has_a_column() {
        let mut report = example(200);
        report.contestants[0].cpu_ns = Summary::of([2.5e6]);
        let text = case(&report, 10, Style::default());
        assert!(text.contains("cpu 2.50 ms\n"), "{text}");
    }
}
