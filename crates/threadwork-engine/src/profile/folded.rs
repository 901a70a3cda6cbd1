//! Stacks as lines: `outermost;...;innermost N`, with `N` in microseconds.

use super::resolve::{Site, label};
use super::view::View;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Processor time.
pub(super) fn cpu(view: &mut View<'_>) -> String {
    let mut lines = Lines::default();
    let period = view.period();
    for (&(_, stack, doing), periods) in &view.collected.cpu {
        let stack = view.resolver.stack(stack, view.stacks.frames(stack));
        lines.add(&stack, label(doing), periods.saturating_mul(period));
    }
    lines.text()
}

/// Time asleep.
pub(super) fn waits(view: &mut View<'_>) -> String {
    let mut lines = Lines::default();
    for (pair, sum) in &view.collected.waits {
        let stack = view
            .resolver
            .stack(pair.stack, view.stacks.frames(pair.stack));
        lines.add(&stack, Some("[asleep]"), sum.time);
    }
    for (&(_, stack), sum) in &view.collected.host_calls {
        let stack = view.resolver.stack(stack, view.stacks.frames(stack));
        lines.add(&stack, Some("[host call]"), sum.time);
    }
    lines.text()
}

/// Nanoseconds by stack.
#[derive(Default)]
struct Lines(BTreeMap<String, u64>);

impl Lines {
    fn add(&mut self, stack: &[Arc<Site>], tip: Option<&str>, nanoseconds: u64) {
        let mut line = String::new();
        let frames = stack.iter().rev().flat_map(|site| site.names().rev());
        for name in frames.chain(tip) {
            if !line.is_empty() {
                line.push(';');
            }
            // What separates frames, and lines, must not be in a name.
            line.extend(
                name.chars()
                    .map(|c| if matches!(c, ';' | '\n') { ':' } else { c }),
            );
        }
        if line.is_empty() {
            line.push_str("[unknown]");
        }
        *self.0.entry(line).or_default() += nanoseconds;
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (stack, nanoseconds) in &self.0 {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{stack} {}", nanoseconds / 1_000);
        }
        text
    }
}
