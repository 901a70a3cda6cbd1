//! The report for a terminal.

use super::place::{Place, line};
use super::resolve::label;
use super::view::View;
use crate::recorder::Sum;
use std::collections::HashMap;
use std::fmt::Write;

/// Rows that are printed of functions, waits, and threads.
const FUNCTIONS: usize = 12;
const WAITS: usize = 6;
const THREADS: usize = 16;

/// Wakers that are printed of a wait.
const WAKERS: usize = 3;

/// The report. Writing to a string cannot fail, so nothing is made of what that returns.
pub(super) fn write(view: &mut View<'_>) -> String {
    let mut text = String::new();
    head(view, &mut text);
    if view.period() > 0 {
        functions(view, &mut text);
    }
    waits(view, &mut text);
    threads(view, &mut text);
    text
}

fn head(view: &View<'_>, text: &mut String) {
    let collected = view.collected;
    let name = view.name;
    let wall = seconds(view.until.saturating_sub(view.began));
    let threads = collected.rows.len();
    let plural = if threads == 1 { "" } else { "s" };
    let _ = writeln!(text, "profile of {name}: {wall}, {threads} thread{plural}");
    if view.period() == 0 {
        return;
    }
    let periods: u64 = collected.cpu.values().sum();
    let cpu = seconds(periods.saturating_mul(view.period()));
    let whole = percent(collected.whole, collected.taken);
    let taken = collected.taken;
    let _ = write!(
        text,
        "{cpu} of processor time in {taken} samples, {whole} with all frames"
    );
    if collected.lost > 0 {
        let lost = seconds(collected.lost.saturating_mul(view.period()));
        let _ = write!(text, "; {lost} more in none");
    }
    text.push('\n');
}

/// What a function has used.
#[derive(Default)]
struct Used {
    own: u64,
    total: u64,
    /// Of its own, by source line.
    lines: HashMap<String, u64>,
}

fn functions(view: &mut View<'_>, text: &mut String) {
    let mut used: HashMap<String, Used> = HashMap::new();
    let mut all = 0;
    for (&(_, stack, doing), &periods) in &view.collected.cpu {
        all += periods;
        let sites = view.resolver.stack(stack, view.stacks.frames(stack));
        let tip = label(doing).map(str::to_owned);
        let mut names: Vec<_> = sites.iter().map(|site| site.function.to_string()).collect();
        names.splice(0..0, tip.iter().cloned());
        let Some(first) = names.first() else { continue };
        let own = used.entry(first.clone()).or_default();
        own.own += periods;
        let frame = sites.first().and_then(|site| site.frames.first());
        if tip.is_none()
            && let Some(line) = frame.and_then(line)
        {
            *own.lines.entry(line).or_default() += periods;
        }
        // A function that has called itself counts once.
        names.sort_unstable();
        names.dedup();
        for name in names {
            used.entry(name).or_default().total += periods;
        }
    }
    let mut rows: Vec<_> = used.into_iter().filter(|(_, used)| used.own > 0).collect();
    rows.sort_unstable_by(|(a, x), (b, y)| y.own.cmp(&x.own).then_with(|| a.cmp(b)));
    let _ = writeln!(text, "\n    self    total  function");
    for (name, used) in rows.iter().take(FUNCTIONS) {
        let (own, total) = (percent(used.own, all), percent(used.total, all));
        let _ = write!(text, "{own:>8} {total:>8}  {name}");
        let hottest = used
            .lines
            .iter()
            .max_by_key(|(line, periods)| (**periods, (*line).clone()));
        if let Some((line, periods)) = hottest {
            let _ = write!(text, "  (most at {line}: {})", percent(*periods, all));
        }
        text.push('\n');
    }
    rest(rows.len(), FUNCTIONS, text);
}

fn waits(view: &mut View<'_>, text: &mut String) {
    type Wakers = HashMap<Option<(u32, Place)>, Sum>;
    let mut waits: HashMap<Place, (Sum, Wakers)> = HashMap::new();
    let mut all = Sum::default();
    let mut place = |number: u32| {
        let sites = view.resolver.stack(number, view.stacks.frames(number));
        Place::of(&sites)
    };
    for (pair, sum) in &view.collected.waits {
        all.add_sum(*sum);
        let (wait, wakers) = waits.entry(place(pair.stack)).or_default();
        wait.add_sum(*sum);
        let waker = pair.waker.map(|(track, stack)| (track, place(stack)));
        wakers.entry(waker).or_default().add_sum(*sum);
    }
    let _ = writeln!(
        text,
        "\nwaits that slept: {}, {} in sum",
        times(all.count),
        seconds(all.time)
    );
    let mut rows: Vec<_> = waits.into_iter().collect();
    rows.sort_unstable_by(|(a, (x, _)), (b, (y, _))| y.time.cmp(&x.time).then_with(|| a.cmp(b)));
    for (place, (sum, wakers)) in rows.iter().take(WAITS) {
        let (time, longest) = (seconds(sum.time), seconds(sum.longest));
        let count = times(sum.count);
        let _ = writeln!(text, "{time:>10}  {count}, longest {longest}: {place}");
        let mut wakers: Vec<_> = wakers.iter().collect();
        wakers.sort_unstable_by(|(a, x), (b, y)| y.time.cmp(&x.time).then_with(|| a.cmp(b)));
        for (waker, sum) in wakers.iter().take(WAKERS) {
            let count = times(sum.count);
            let _ = match waker {
                Some((track, place)) => {
                    let thread = view.thread(*track);
                    writeln!(text, "            woken {count} by {thread}: {place}")
                }
                None => writeln!(text, "            {count} by no thread of the program"),
            };
        }
        if wakers.len() > WAKERS {
            let _ = writeln!(text, "            ... and {} others", wakers.len() - WAKERS);
        }
    }
    rest(rows.len(), WAITS, text);
}

fn threads(view: &View<'_>, text: &mut String) {
    let mut rows: Vec<_> = view.collected.rows.iter().enumerate().collect();
    let alive = |times: &crate::recorder::Times| times.alive_until(view.until);
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(alive(&row.times)));
    let _ = writeln!(
        text,
        "\n     alive  computing  hovering   asleep  host calls  processor  thread"
    );
    let count = rows.len();
    rows.truncate(THREADS);
    rows.sort_by_key(|(track, _)| *track);
    for (track, row) in rows {
        let times = &row.times;
        let all = alive(times);
        let away = times.hovering + times.asleep + times.host_calls;
        let name = match u32::try_from(track) {
            Ok(track) => view.thread(track),
            Err(_) => String::new(),
        };
        let processor = u64::try_from(times.processor.as_nanos()).unwrap_or(u64::MAX);
        let _ = writeln!(
            text,
            "{:>10} {:>10} {:>9} {:>8} {:>11} {:>10}  {name}",
            seconds(all),
            percent(all.saturating_sub(away), all),
            percent(times.hovering, all),
            percent(times.asleep, all),
            percent(times.host_calls, all),
            seconds(processor),
        );
    }
    rest(count, THREADS, text);
}

/// Says how many rows there are beyond those that were printed.
fn rest(count: usize, printed: usize, text: &mut String) {
    if count > printed {
        let _ = writeln!(text, "            ... and {} more", count - printed);
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "1 time".to_owned(),
        _ => format!("{count} times"),
    }
}

fn percent(part: u64, all: u64) -> String {
    match all {
        0 => "-".to_owned(),
        _ => format!("{:.1} %", part as f64 * 100.0 / all as f64),
    }
}

/// Nanoseconds for people.
fn seconds(nanoseconds: u64) -> String {
    let seconds = nanoseconds as f64 / 1e9;
    match seconds {
        _ if seconds >= 1.0 => format!("{seconds:.2} s"),
        _ if seconds >= 1e-3 => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{:.0} us", seconds * 1e6),
    }
}
