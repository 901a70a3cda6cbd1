//! Pictures for the documentation, as SVG.
//!
//! Two kinds: bars of all ratios of a suite, and lines over the number of threads
//! for each family of cases. All colours are of middle lightness on a transparent
//! ground, so that they can be read on a white page and on a black one.

use std::fmt::Write as _;

use crate::case::{Bound, Goal, Unit, three_digits};
use crate::run::{CaseReport, ContestantReport};

/// For text and axes: contrast above 4 on white and on black.
const GREY: &str = "#7d7d7d";
/// For contestants, in the order of their first appearance.
const COLOURS: [&str; 6] = [
    "#3f87d9", "#d9822b", "#37a169", "#a56cd6", "#d6567c", "#2aa5a5",
];

/// The ratio that a goal bounds, if it is one to a baseline: only that has a place on
/// the axis.
fn ratio_to_one_of(goal: &Goal, baselines: &[&str]) -> Option<f64> {
    match &goal.bound {
        Bound::Ratio { at_most, against } if baselines.contains(&against.as_str()) => {
            Some(*at_most)
        }
        _ => None,
    }
}

/// Horizontal bars: how many times better than the baseline each contestant is, on
/// a logarithmic axis. `None` if there is nothing to compare.
pub fn bars(suite: &str, reports: &[CaseReport]) -> Option<String> {
    const LEFT: f64 = 110.0;
    const RIGHT: f64 = 640.0;
    const ROW: f64 = 20.0;

    let rows: Vec<(&CaseReport, Vec<&ContestantReport>)> = reports
        .iter()
        .map(|report| (report, rivals(report)))
        .filter(|(_, rivals)| !rivals.is_empty())
        .collect();
    // The baseline has no bar, but keeps its colour, which is that of its line.
    let names = in_order(
        reports
            .iter()
            .flat_map(|report| &report.contestants)
            .map(|entry| entry.name.as_str()),
    );
    let baselines = in_order(rows.iter().map(|(report, _)| report.baseline.as_str()));
    let goals = rows.iter().flat_map(|(report, _)| &report.goals);
    let goals = goals.filter_map(|goal| ratio_to_one_of(&goal.goal, &baselines));
    let values = rows
        .iter()
        .flat_map(|(_, rivals)| rivals)
        .filter_map(|entry| entry.ratio)
        .flat_map(|ratio| [1.0 / ratio.p10, 1.0 / ratio.p90])
        .chain(goals.map(|at_most| 1.0 / at_most));
    let axis = Axis::new(values.chain([1.0]), LEFT, RIGHT)?;
    if rows.is_empty() {
        return None;
    }

    let mut body = String::new();
    let mut y = 52.0;
    let top = y;
    for (report, rivals) in &rows {
        y += 24.0;
        let _ = writeln!(
            body,
            r#"<text x="8" y="{y:.0}" class="name">{}</text>"#,
            escape(&report.name)
        );
        y += 6.0;
        for entry in rivals {
            let Some(ratio) = entry.ratio else { continue };
            let colour = colour(&names, &entry.name);
            let better = 1.0 / ratio.median;
            let (zero, end) = (axis.at(1.0), axis.at(better));
            let middle = y + ROW / 2.0;
            let base = middle + 4.0;
            let _ = writeln!(
                body,
                r#"<text x="{:.0}" y="{base:.1}" text-anchor="end">{}</text>
<rect x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}" rx="2" fill="{colour}"/>
<line x1="{:.1}" y1="{middle:.1}" x2="{:.1}" y2="{middle:.1}" class="spread"/>
<text x="{:.0}" y="{base:.1}">{}</text>"#,
                LEFT - 8.0,
                escape(&entry.name),
                zero.min(end),
                y + 3.0,
                (end - zero).abs().max(1.0),
                ROW - 6.0,
                axis.at(1.0 / ratio.p90),
                axis.at(1.0 / ratio.p10),
                RIGHT + 14.0,
                escape(&in_words(better, report.unit, entry)),
            );
            for goal in &report.goals {
                let bound = ratio_to_one_of(&goal.goal, &[&report.baseline]);
                if let Some(at_most) = bound.filter(|_| goal.goal.contestant == entry.name) {
                    let x = axis.at(1.0 / at_most);
                    let _ = writeln!(
                        body,
                        r#"<line x1="{x:.1}" y1="{y:.1}" x2="{x:.1}" y2="{:.1}" class="goal"/>"#,
                        y + ROW,
                    );
                }
            }
            y += ROW;
        }
    }
    y += 8.0;
    let mut grid = String::new();
    for (value, label) in axis.ticks(times) {
        let x = axis.at(value);
        let class = if value == 1.0 { "one" } else { "grid" };
        let _ = writeln!(
            grid,
            r#"<line x1="{x:.1}" y1="{top:.0}" x2="{x:.1}" y2="{y:.0}" class="{class}"/>
<text x="{x:.1}" y="{:.0}" text-anchor="middle">{label}</text>"#,
            y + 16.0,
        );
    }
    let against = if let [baseline] = baselines[..] {
        baseline
    } else {
        "the baseline"
    };
    let title = format!(
        r#"<text x="8" y="22" class="title">{} against {}</text>
<text x="8" y="42">to the right is better; thin line: p10 to p90 of the rounds; dashed: goal</text>"#,
        escape(suite),
        escape(against),
    );
    Some(document(860.0, y + 26.0, &format!("{title}\n{grid}{body}")))
}

/// Lines over the number of threads: one picture for each family of cases
/// `family/threads=N`, with the family's name.
pub fn lines(suite: &str, reports: &[CaseReport]) -> Vec<(String, String)> {
    let families = in_order(
        reports
            .iter()
            .filter_map(|report| family(&report.name))
            .map(|(name, _)| name),
    );
    let plot = |name: &str| Some((name.to_string(), family_lines(suite, name, reports)?));
    families.into_iter().filter_map(plot).collect()
}

/// `mutex/threads=4` is 4 in the family `mutex`.
fn family(case: &str) -> Option<(&str, f64)> {
    let (name, threads) = case.rsplit_once("/threads=")?;
    let threads: u32 = threads.parse().ok().filter(|threads| *threads > 0)?;
    Some((name, f64::from(threads)))
}

fn family_lines(suite: &str, name: &str, reports: &[CaseReport]) -> Option<String> {
    const LEFT: f64 = 76.0;
    const RIGHT: f64 = 600.0;
    const TOP: f64 = 64.0;
    const BOTTOM: f64 = 300.0;

    let members: Vec<(f64, &CaseReport)> = reports
        .iter()
        .filter_map(|report| {
            family(&report.name)
                .filter(|(of, _)| *of == name)
                .map(|(_, x)| (x, report))
        })
        .collect();
    let unit = members.first()?.1.unit;
    let entries = || members.iter().flat_map(|(_, report)| &report.contestants);
    let names = in_order(
        entries()
            .filter(|entry| entry.value.is_some())
            .map(|entry| entry.name.as_str()),
    );
    let x_axis = Axis::new(
        members.iter().map(|(threads, _)| *threads),
        LEFT + 12.0,
        RIGHT - 12.0,
    )?;
    let values = entries()
        .filter_map(|entry| entry.value)
        .flat_map(|value| [value.p10, value.p90]);
    let y_axis = Axis::new(values, BOTTOM - 6.0, TOP + 6.0)?;

    let mut body = String::new();
    for (value, label) in
        y_axis.ticks(|value| unit.format(value).replace(".00", "").replace(".0 ", " "))
    {
        let y = y_axis.at(value);
        let _ = writeln!(
            body,
            r#"<line x1="{LEFT:.0}" y1="{y:.1}" x2="{RIGHT:.0}" y2="{y:.1}" class="grid"/>
<text x="{:.0}" y="{:.1}" text-anchor="end">{label}</text>"#,
            LEFT - 8.0,
            y + 4.0,
        );
    }
    for (threads, _) in &members {
        let x = x_axis.at(*threads);
        let _ = writeln!(
            body,
            r#"<text x="{x:.1}" y="{:.0}" text-anchor="middle">{threads}</text>"#,
            BOTTOM + 18.0,
        );
    }
    let _ = writeln!(
        body,
        r#"<text x="{:.0}" y="{:.0}" text-anchor="middle">threads</text>"#,
        (LEFT + RIGHT) / 2.0,
        BOTTOM + 36.0,
    );
    for (position, who) in names.iter().enumerate() {
        let colour = colour(&names, who);
        let mut points = String::new();
        for (threads, report) in &members {
            let entry = report.contestants.iter().find(|entry| entry.name == *who);
            let Some(value) = entry.and_then(|entry| entry.value) else {
                continue;
            };
            let (x, y) = (x_axis.at(*threads), y_axis.at(value.median));
            let _ = write!(points, "{x:.1},{y:.1} ");
            let _ = writeln!(
                body,
                r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5" fill="{colour}"/>
<line x1="{x:.1}" y1="{:.1}" x2="{x:.1}" y2="{:.1}" stroke="{colour}" stroke-width="1.5"/>"#,
                y_axis.at(value.p10),
                y_axis.at(value.p90),
            );
        }
        let key = LEFT + 150.0 * position as f64;
        let _ = writeln!(
            body,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>
<rect x="{key:.0}" y="38" width="12" height="12" rx="2" fill="{colour}"/>
<text x="{:.0}" y="48">{}</text>"#,
            points.trim_end(),
            key + 18.0,
            escape(who),
        );
    }
    let title = format!(
        r#"<text x="8" y="22" class="title">{}: {} (lower is better; thin line: p10 to p90)</text>"#,
        escape(suite),
        escape(name),
    );
    Some(document(640.0, BOTTOM + 46.0, &format!("{title}\n{body}")))
}

/// Those who have a ratio, without the baseline itself.
fn rivals(report: &CaseReport) -> Vec<&ContestantReport> {
    let competes =
        |entry: &&ContestantReport| entry.ratio.is_some() && entry.name != report.baseline;
    report.contestants.iter().filter(competes).collect()
}

/// `8.3× faster (1.20 us)`
fn in_words(better: f64, unit: Unit, entry: &ContestantReport) -> String {
    let (good, bad) = unit.words();
    let (times, word) = if better >= 1.0 {
        (better, good)
    } else {
        (1.0 / better, bad)
    };
    let value = entry
        .value
        .map(|value| unit.format(value.median))
        .unwrap_or_default();
    format!("{}× {word} ({value})", three_digits(times))
}

/// `10×`, `1/10`
fn times(value: f64) -> String {
    if value >= 1.0 {
        format!("{value}×")
    } else {
        format!("1/{:.0}", 1.0 / value)
    }
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

fn colour(names: &[&str], name: &str) -> &'static str {
    let index = names.iter().position(|known| *known == name).unwrap_or(0);
    COLOURS[index % COLOURS.len()]
}

/// A logarithmic axis from one pixel to another.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Wide enough for all values, from one of 1, 2, 5 times a power of ten to
    /// another. `None` if there are no values.
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| value.is_finite() && *value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if high == 0.0 {
            return None;
        }
        let low = steps(low).rfind(|step| *step <= low * 1.000_001)?;
        let high = steps(high).find(|step| *step >= high * 0.999_999 && *step > low)?;
        Some(Axis {
            low,
            high,
            from,
            to,
        })
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * (value / self.low).ln() / (self.high / self.low).ln()
    }

    /// The values to be labelled: not more than about ten.
    fn ticks(&self, label: impl Fn(f64) -> String) -> Vec<(f64, String)> {
        let decades = (self.high / self.low).log10();
        let exponents = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let each = (decades / 10.0).ceil().max(1.0) as usize;
        let mantissas: &[i32] = if decades > 3.5 { &[1] } else { &[1, 2, 5] };
        exponents
            .step_by(each)
            .flat_map(|exponent| {
                mantissas
                    .iter()
                    .map(move |mantissa| step(*mantissa, exponent))
            })
            .filter(|value| (self.low * 0.999_999..=self.high * 1.000_001).contains(value))
            .map(|value| (value, label(value)))
            .collect()
    }
}

/// 1, 2, 5, 10 ... around a value, upwards.
fn steps(around: f64) -> impl DoubleEndedIterator<Item = f64> {
    let exponent = around.log10().floor() as i32;
    (exponent - 1..=exponent + 1)
        .flat_map(|exponent| [1, 2, 5].map(|mantissa| step(mantissa, exponent)))
}

/// Exact also below one: 0.2, and not 2 * 0.1.
fn step(mantissa: i32, exponent: i32) -> f64 {
    let power = 10_f64.powi(exponent.abs());
    if exponent < 0 {
        f64::from(mantissa) / power
    } else {
        f64::from(mantissa) * power
    }
}

fn document(width: f64, height: f64, body: &str) -> String {
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="12">
<style>
text {{ fill: {GREY} }}
.title {{ font-size: 16px; font-weight: 600 }}
.name {{ font-weight: 600 }}
.grid {{ stroke: {GREY}; stroke-opacity: 0.25 }}
.one {{ stroke: {GREY}; stroke-width: 1.5 }}
.spread {{ stroke: {GREY}; stroke-width: 1.5 }}
.goal {{ stroke: {GREY}; stroke-width: 2; stroke-dasharray: 3 2 }}
</style>
{body}</svg>
"#
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;
    use crate::case::{Case, Contestant, Goal, Sample};
    use crate::run::{self, Options};

    /// A case with a spread: each round is 10 % more than the one before.
    fn report(name: &str, unit: Unit, values: &[(&str, f64)]) -> CaseReport {
        let mut case = Case::new(name, unit).goal(Goal::better("threadwork", 10.0, "native"));
        for (who, value) in values {
            let mut value = *value;
            case = case.contestant(*who, move || -> Result<Box<dyn Contestant>> {
                Ok(Box::new(move || {
                    value *= 1.1;
                    Ok(Sample::new(value))
                }))
            });
        }
        run::case(case, &Options::quick(), &mut |_| ())
    }

    #[test]
    fn bars_point_to_the_better_side() {
        let reports = [
            report(
                "fast & small",
                Unit::Nanoseconds,
                &[("native", 100.0), ("threadwork", 5.0)],
            ),
            report(
                "slow",
                Unit::Bytes,
                &[("native", 100.0), ("threadwork", 300.0)],
            ),
        ];
        let svg = bars("engine", &reports).unwrap();
        assert!(svg.contains("fast &amp; small"));
        assert!(svg.contains("20.0× faster"), "{svg}");
        assert!(svg.contains("3.00× larger"), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 2);
        assert_eq!(svg.matches("class=\"goal\"").count(), 2);
    }

    #[test]
    fn there_is_no_picture_of_nothing() {
        assert!(bars("engine", &[]).is_none());
        assert!(
            bars(
                "engine",
                &[report("alone", Unit::Nanoseconds, &[("native", 1.0)])]
            )
            .is_none()
        );
        assert!(
            lines(
                "engine",
                &[report("alone", Unit::Nanoseconds, &[("native", 1.0)])]
            )
            .is_empty()
        );
    }

    #[test]
    fn a_family_is_one_picture() {
        let family = |n: u32| {
            let native = 10.0 * f64::from(n);
            report(
                &format!("mutex/threads={n}"),
                Unit::Nanoseconds,
                &[("native", native), ("threadwork", 20.0)],
            )
        };
        let plots = lines("engine", &[family(2), family(4), family(8)]);
        assert_eq!(plots.len(), 1);
        assert_eq!(plots[0].0, "mutex");
        assert_eq!(plots[0].1.matches("<polyline").count(), 2);
        assert_eq!(plots[0].1.matches("<circle").count(), 6);
    }

    #[test]
    fn an_axis_ends_at_round_values() {
        let axis = Axis::new([0.3, 14.0].into_iter(), 0.0, 100.0).unwrap();
        assert_eq!((axis.low, axis.high), (0.2, 20.0));
        let labels: Vec<_> = axis
            .ticks(times)
            .into_iter()
            .map(|(_, label)| label)
            .collect();
        assert_eq!(labels, ["1/5", "1/2", "1×", "2×", "5×", "10×", "20×"]);
        assert!((axis.at(2.0) - 50.0).abs() < 1e-9);
        assert!(Axis::new([1.0].into_iter(), 0.0, 1.0).is_some());
    }
}
