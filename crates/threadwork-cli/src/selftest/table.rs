//! The picture at the end: a row for each test, a column for each host.
//!
//! ```text
//!                               native       engine       api
//! Atomics
//!   16  concurrent_increment    ✓            ✓            ✓
//!   18  atomic_cost             ✓ 5.9 ns     ✓ 6.1 ns     –
//! ```

use console::{Style, measure_text_width, style};

use super::list::Test;
use super::verdict::Verdict;

/// Between two columns.
const GAP: usize = 4;
/// Before a test's name: its number.
const NUMBER: usize = 6;

/// What came of all tests on all hosts.
pub(crate) struct Table {
    hosts: Vec<&'static str>,
    rows: Vec<(Test, Vec<Verdict>)>,
    /// Whether each test has its time.
    timed: bool,
}

impl Table {
    pub(crate) fn new(hosts: impl Iterator<Item = &'static str>, timed: bool) -> Self {
        Self {
            hosts: hosts.collect(),
            rows: Vec::new(),
            timed,
        }
    }

    /// Adds a test with a verdict for each host.
    pub(crate) fn add(&mut self, test: Test, verdicts: Vec<Verdict>) {
        self.rows.push((test, verdicts));
    }

    /// Whether no test failed anywhere.
    pub(crate) fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The table, the reasons of failures, and a sentence.
    pub(crate) fn render(&self) -> String {
        let widths = self.widths();
        let mut text = format!("\n{:1$}", "", widths.name);
        for (host, width) in self.hosts.iter().zip(&widths.hosts) {
            text += &pad(&style(host).bold().to_string(), *width);
        }
        text = text.trim_end().to_owned() + "\n";
        let mut group = "";
        for (test, verdicts) in &self.rows {
            if group != test.group {
                group = &test.group;
                text += &format!("{}\n", style(group).bold());
            }
            let number = style(format!("{:>4}", test.number)).dim().to_string();
            let name = pad(&number, NUMBER) + &test.name;
            let cells = verdicts.iter().zip(&widths.hosts);
            let cells = cells.map(|(verdict, width)| pad(&self.cell(verdict), *width));
            let row = pad(&name, widths.name) + &cells.collect::<String>();
            text += &format!("{}\n", row.trim_end());
        }
        text + "\n" + &self.render_failures() + &self.summary() + "\n"
    }

    fn render_failures(&self) -> String {
        let render = |(test, host, reason): (&Test, &str, &str)| {
            let head = Style::new().red().bold();
            let head = head.apply_to(format!("{} on {host}:", test.name));
            format!("{head} {}\n\n", reason.replace('\n', "\n    "))
        };
        self.failures().map(render).collect()
    }

    fn summary(&self) -> String {
        let run = self
            .verdicts()
            .filter(|(_, _, verdict)| **verdict != Verdict::NotHere)
            .count();
        let hosts = self.hosts.join(", ");
        match self.failures().count() {
            0 => format!("All {run} tests passed ({hosts})."),
            failed => format!("{failed} OF {run} TESTS FAILED ({hosts})."),
        }
    }

    fn failures(&self) -> impl Iterator<Item = (&Test, &'static str, &str)> {
        self.verdicts()
            .filter_map(|(test, host, verdict)| match verdict {
                Verdict::Failed(reason) => Some((test, host, reason.as_str())),
                _ => None,
            })
    }

    fn verdicts(&self) -> impl Iterator<Item = (&Test, &'static str, &Verdict)> {
        self.rows.iter().flat_map(|(test, verdicts)| {
            let cells = self.hosts.iter().zip(verdicts);
            cells.map(move |(host, verdict)| (test, *host, verdict))
        })
    }

    fn cell(&self, verdict: &Verdict) -> String {
        match verdict {
            Verdict::Passed { seconds, figure } => {
                let tick = style("✓").green().to_string();
                match figure {
                    Some(figure) => format!("{tick} {figure}"),
                    None if self.timed => format!("{tick} {seconds:.3} s"),
                    None => tick,
                }
            }
            Verdict::Failed(_) => style("✗").red().bold().to_string(),
            Verdict::NotHere => style("–").dim().to_string(),
        }
    }

    fn widths(&self) -> Widths {
        let names = self.rows.iter().map(|(test, _)| test.name.len());
        let host = |(column, host): (usize, &&str)| {
            let cells = self.rows.iter().map(|(_, verdicts)| &verdicts[column]);
            let cells = cells.map(|verdict| measure_text_width(&self.cell(verdict)));
            cells.fold(host.len(), usize::max) + GAP
        };
        Widths {
            name: NUMBER + names.max().unwrap_or(0) + GAP,
            hosts: self.hosts.iter().enumerate().map(host).collect(),
        }
    }
}

/// Of the columns, with the gap after each.
struct Widths {
    name: usize,
    hosts: Vec<usize>,
}

/// Fills up with blanks: `{:<width$}` counts the bytes of colours.
fn pad(text: &str, width: usize) -> String {
    let blanks = width.saturating_sub(measure_text_width(text));
    text.to_owned() + &" ".repeat(blanks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(number: u32, name: &str, group: &str) -> Test {
        Test {
            number,
            name: name.into(),
            group: group.into(),
        }
    }

    fn passed(figure: Option<&str>) -> Verdict {
        Verdict::Passed {
            seconds: 0.5,
            figure: figure.map(str::to_owned),
        }
    }

    #[test]
    fn the_picture() {
        console::set_colors_enabled(false);
        let mut table = Table::new(["native", "api"].into_iter(), false);
        table.add(
            test(8, "visibility", "Shared memory"),
            vec![passed(None), passed(None)],
        );
        table.add(
            test(18, "atomic_cost", "Atomics"),
            vec![passed(Some("5.9 ns")), Verdict::NotHere],
        );
        let expected = "
                     native      api
Shared memory
   8  visibility     ✓           ✓
Atomics
  18  atomic_cost    ✓ 5.9 ns    –

All 3 tests passed (native, api).
";
        assert_eq!(table.render(), expected);
        assert!(table.passed());
    }

    #[test]
    fn a_failure_has_its_reason_below() {
        console::set_colors_enabled(false);
        let mut table = Table::new(["native"].into_iter(), false);
        table.add(
            test(27, "mutex", "Synchronization"),
            vec![Verdict::Failed("399\nof 400".into())],
        );
        let text = table.render();
        assert!(text.contains("  27  mutex    ✗\n"), "{text}");
        assert!(
            text.contains("mutex on native: 399\n    of 400\n"),
            "{text}"
        );
        assert!(text.contains("1 OF 1 TESTS FAILED"), "{text}");
        assert!(!table.passed());
    }
}
