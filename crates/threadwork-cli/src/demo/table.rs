//! The picture at the end of the demo.
//!
//! ```text
//! pi  Monte Carlo, scoped threads                            answer 785389324 ✓
//!   1 thread   wasm    ████████████████████████████   1.204 s   1.00x     70 %
//!              native  ███████████████████▋           0.843 s   1.00x
//!   2 threads  wasm    ██████████████                 0.602 s   2.00x     70 %
//!              native  █████████▊                     0.421 s   2.00x
//! ```

use console::{Style, style};

use super::guests::{Answer, Kind};

/// The bars of one example share a scale; no bar is longer than this.
const LONGEST_BAR: usize = 60;
const SHORTEST_BAR: usize = 12;
/// Everything in a line but the bar.
const OTHER_COLUMNS: usize = 2 + THREADS + KIND + TIME + SPEED_UP + RATIO;
const THREADS: usize = 12;
const KIND: usize = 8;
const TIME: usize = 11;
const SPEED_UP: usize = 10;
const RATIO: usize = 11;

/// One example's runs.
pub(crate) struct Section {
    name: &'static str,
    about: &'static str,
    /// The different results that came out; all is well if there is one.
    results: Vec<String>,
    rows: Vec<Row>,
}

/// The best times on one number of threads, or with one library, in seconds.
#[derive(Clone)]
struct Row {
    label: String,
    wasm: f64,
    native: f64,
}

impl Section {
    /// An example that has not run yet.
    pub(crate) fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            results: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Takes in one run. Of several, the fastest counts: whatever disturbs a
    /// computation can only make it slower.
    pub(crate) fn add(&mut self, label: &str, kind: Kind, answer: &Answer) {
        if !self.results.contains(&answer.result) {
            self.results.push(answer.result.clone());
        }
        let row = self.row(label);
        let best = match kind {
            Kind::Wasm => &mut row.wasm,
            Kind::Native => &mut row.native,
        };
        *best = best.min(answer.seconds);
    }

    /// Whether every run gave the same answer.
    pub(crate) fn agreed(&self) -> bool {
        self.results.len() == 1
    }

    fn row(&mut self, label: &str) -> &mut Row {
        let found = self.rows.iter().position(|row| row.label == label);
        let index = found.unwrap_or_else(|| {
            self.rows.push(Row {
                label: label.to_owned(),
                wasm: f64::INFINITY,
                native: f64::INFINITY,
            });
            self.rows.len() - 1
        });
        &mut self.rows[index]
    }

    fn longest(&self) -> f64 {
        self.rows
            .iter()
            .flat_map(|row| [row.wasm, row.native])
            .fold(0.0, f64::max)
    }
}

impl Row {
    /// How fast the WebAssembly is where native code is 1.
    fn ratio(&self) -> f64 {
        self.native / self.wasm
    }
}

/// Both acts, for a terminal of this many columns.
pub(crate) fn render(sections: &[Section], rivalry: &Section, width: usize) -> String {
    let bar = width
        .saturating_sub(OTHER_COLUMNS + 1)
        .clamp(SHORTEST_BAR, LONGEST_BAR);
    let head = |speed_up: &str| {
        let head = format!(
            "{:before$}{:>TIME$}{speed_up:>SPEED_UP$}{:>RATIO$}",
            "",
            "time",
            "of native",
            before = 2 + THREADS + KIND + bar,
        );
        style(head).dim().to_string()
    };
    let sections: String = sections
        .iter()
        .map(|section| render_section(section, bar))
        .collect();
    let rivalry = render_section(rivalry, bar);
    format!(
        "\n{}\n{sections}{}\n{rivalry}",
        head("speed-up"),
        head("to std")
    )
}

/// One sentence about both acts together, in two lines.
pub(crate) fn summary(sections: &[Section], rivalry: &Section) -> String {
    let ends = || {
        let ends = |section: &Section| {
            let first = section.rows.first().cloned();
            first.zip(section.rows.last().cloned())
        };
        sections.iter().filter_map(ends)
    };
    let speed_up = |time: fn(&Row) -> f64| {
        geometric_mean(ends().map(|(first, last)| time(&first) / time(&last)))
    };
    let all = sections.iter().chain([rivalry]);
    let answers = match all.filter(|section| !section.agreed()).count() {
        0 => "all answers are the same".to_owned(),
        wrong => format!("BUT THE ANSWERS OF {wrong} DIFFER"),
    };
    format!(
        "On {}, WebAssembly runs at {} of native speed, {:.2}x as fast as on one\n\
         (native code: {:.2}x), and {answers}.",
        ends()
            .next()
            .map_or_else(String::new, |(_, last)| last.label),
        percent(geometric_mean(ends().map(|(_, last)| last.ratio()))),
        speed_up(|row| row.wasm),
        speed_up(|row| row.native),
    )
}

fn render_section(section: &Section, bar_width: usize) -> String {
    let mut text = render_title(section, bar_width);
    let Some(first) = section.rows.first() else {
        return text;
    };
    let scale = section.longest();
    let line = |label: &str, kind: &str, colour: Style, time: f64, alone: f64, ratio: &str| {
        let bar = colour.apply_to(format!("{:<bar_width$}", bar(time / scale, bar_width)));
        let time_text = format!("{time:.3} s");
        let speed_up = format!("{:.2}x", alone / time);
        let line = format!(
            "  {label:<THREADS$}{kind:<KIND$}{bar}{time_text:>TIME$}{speed_up:>SPEED_UP$}\
             {ratio:>RATIO$}"
        );
        line.trim_end().to_owned() + "\n"
    };
    let (wasm, native) = (Style::new().cyan(), Style::new().yellow());
    for row in &section.rows {
        let ratio = percent(row.ratio());
        text += &line(
            &row.label,
            "wasm",
            wasm.clone(),
            row.wasm,
            first.wasm,
            &ratio,
        );
        text += &line("", "native", native.clone(), row.native, first.native, "");
    }
    text + "\n"
}

/// The name on the left; the answer, which all runs gave, on the right.
fn render_title(section: &Section, bar_width: usize) -> String {
    let answer = match section.results.as_slice() {
        [] => String::new(),
        [result] => format!("answer {result} ✓"),
        several => format!("answers differ: {} ✗", several.join(", ")),
    };
    let left = section.name.len() + 2 + section.about.len();
    let gap = (OTHER_COLUMNS + bar_width)
        .saturating_sub(left + answer.chars().count())
        .max(2);
    let colour = if section.agreed() {
        Style::new().green()
    } else {
        Style::new().red().bold()
    };
    format!(
        "{}  {}{:gap$}{}\n",
        style(section.name).bold(),
        style(section.about).dim(),
        "",
        colour.apply_to(answer)
    )
}

/// A bar that fills this fraction of a width, to an eighth of a column.
fn bar(fraction: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = ((fraction * width as f64 * 8.0).round() as usize).clamp(1, width * 8);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

fn percent(ratio: f64) -> String {
    format!("{:.0} %", 100.0 * ratio)
}

fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, logs) = values.fold((0, 0.0), |(count, sum), value| {
        (count + 1, sum + value.ln())
    });
    (logs / f64::from(count.max(1))).exp()
}

#[cfg(test)]
mod tests {
    use super::super::guests::threads;
    use super::*;

    fn section(times: &[(usize, f64, f64)]) -> Section {
        let mut section = Section::new("pi", "Monte Carlo, scoped threads");
        for &(count, wasm, native) in times {
            for (kind, seconds) in [(Kind::Wasm, wasm), (Kind::Native, native)] {
                section.add(
                    &threads(count),
                    kind,
                    &Answer {
                        result: "785389324".into(),
                        seconds,
                    },
                );
            }
        }
        section
    }

    #[test]
    fn the_picture() {
        console::set_colors_enabled(false);
        let sections = [section(&[(1, 1.204, 0.843), (2, 0.602, 0.4215)])];
        let mut rivalry = Section::new("queens", "three libraries");
        for (library, seconds) in [("std", 0.5), ("threadwork", 0.25)] {
            for kind in [Kind::Wasm, Kind::Native] {
                let result = "92".into();
                rivalry.add(library, kind, &Answer { result, seconds });
            }
        }
        let expected = "
                                                       time  speed-up  of native
pi  Monte Carlo, scoped threads                               answer 785389324 ✓
  1 thread    wasm    ██████████████████████████    1.204 s     1.00x       70 %
              native  ██████████████████▎           0.843 s     1.00x
  2 threads   wasm    █████████████                 0.602 s     2.00x       70 %
              native  █████████▏                    0.421 s     2.00x

                                                       time    to std  of native
queens  three libraries                                              answer 92 ✓
  std         wasm    ██████████████████████████    0.500 s     1.00x      100 %
              native  ██████████████████████████    0.500 s     1.00x
  threadwork  wasm    █████████████                 0.250 s     2.00x      100 %
              native  █████████████                 0.250 s     2.00x

";
        assert_eq!(render(&sections, &rivalry, 81), expected);
        assert_eq!(
            summary(&sections, &rivalry),
            "On 2 threads, WebAssembly runs at 70 % of native speed, 2.00x as fast as on one\n\
             (native code: 2.00x), and all answers are the same."
        );
    }

    #[test]
    fn the_fastest_run_counts() {
        let mut section = section(&[(1, 2.0, 2.0), (1, 1.0, 3.0)]);
        let row = section.row(&threads(1));
        assert_eq!((row.wasm, row.native), (1.0, 2.0));
    }

    #[test]
    fn different_answers_are_shown() {
        console::set_colors_enabled(false);
        let mut section = section(&[(1, 1.0, 1.0)]);
        section.add(
            &threads(2),
            Kind::Wasm,
            &Answer {
                result: "7".into(),
                seconds: 0.5,
            },
        );
        assert!(!section.agreed());
        assert!(render(&[], &section, 80).contains("answers differ: 785389324, 7 ✗"));
    }

    #[test]
    fn bars_grow_by_eighths() {
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.5, 4), "██");
        assert_eq!(bar(0.53125, 4), "██▏");
        assert_eq!(bar(0.0, 4), "▏");
    }

    #[test]
    fn narrow_terminals_keep_a_bar() {
        console::set_colors_enabled(false);
        let narrow = render(&[], &section(&[(1, 1.0, 1.0)]), 20);
        assert!(narrow.contains(&"█".repeat(SHORTEST_BAR)));
    }
}
