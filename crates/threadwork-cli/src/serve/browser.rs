//! `--open`.

use std::process::{Command, Stdio};

use crate::report;

/// Opens a browser where there is one; says so where there is none, which is no reason
/// not to serve.
pub(super) fn open(address: &str) {
    let outcome = opener(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = outcome {
        let what = "cannot open a browser (open the address by hand)";
        report::error(&report::explain(what, error), false);
    }
}

fn opener(address: &str) -> Command {
    let program = match std::env::consts::OS {
        "macos" => "open",
        "windows" => "explorer",
        _ => "xdg-open",
    };
    let mut command = Command::new(program);
    command.arg(address);
    command
}
