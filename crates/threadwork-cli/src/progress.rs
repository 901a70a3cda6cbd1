//! What the user sees while something long goes on.

use std::env;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// From now on, standard output has colours if it is a terminal and `NO_COLOR` is not
/// set.
pub(crate) fn colour_terminals_only() {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    console::set_colors_enabled(io::stdout().is_terminal() && !refused);
}

/// One moving line on a terminal, which goes away when this is dropped;
/// milestones as plain lines elsewhere.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A spinner, for work of unknown length.
    pub(crate) fn without_end(message: &str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(message.to_owned());
        Self::start(bar, "  {spinner:.cyan} {elapsed:>3} {wide_msg}")
    }

    /// A bar of this many steps.
    pub(crate) fn with_steps(steps: usize) -> Self {
        let bar = ProgressBar::new(steps as u64);
        Self::start(
            bar,
            "  {spinner:.cyan} {elapsed:>3} {bar:24.cyan/dim} {pos}/{len} {wide_msg}",
        )
    }

    fn start(bar: ProgressBar, template: &str) -> Self {
        let style = ProgressStyle::with_template(template).expect("the templates above are valid");
        bar.set_style(style.progress_chars("━╸─"));
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Says what happens now, wherever the output goes.
    pub(crate) fn milestone(&self, message: &str) {
        if !io::stderr().is_terminal() {
            eprintln!("{message}");
        }
        self.detail(message);
    }

    /// Says what happens now to someone who watches.
    pub(crate) fn detail(&self, message: &str) {
        self.0.set_message(message.to_owned());
    }

    /// One step is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
