//! The archive: everything that was measured, so that a later reader can compute
//! another statistic.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::machine::Machine;
use crate::run::{CaseReport, Options};

/// Raised when a field changes its meaning.
const FORMAT: u32 = 1;

/// One run of a suite.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    /// The version of this format.
    pub format: u32,
    /// The name of the suite.
    pub suite: &'a str,
    /// What it ran on.
    pub machine: &'a Machine,
    /// How it was run.
    pub options: &'a Options,
    /// Whether the samples were made small: figures of a smoke test are not for use.
    pub quick: bool,
    /// What came out.
    pub cases: &'a [CaseReport],
}

impl<'a> Document<'a> {
    /// Puts the parts together.
    pub fn new(
        suite: &'a str,
        machine: &'a Machine,
        options: &'a Options,
        quick: bool,
        cases: &'a [CaseReport],
    ) -> Self {
        Document {
            format: FORMAT,
            suite,
            machine,
            options,
            quick,
            cases,
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::case::{Case, Contestant, Goal, Sample, Unit};
    use crate::run;

    #[test]
    fn the_shape() {
        let constant = |value| -> Result<Box<dyn Contestant>> {
            Ok(Box::new(move || Ok(Sample::new(value).answer(7))))
        };
        let case = Case::new("spawn-join", Unit::Nanoseconds)
            .contestant("native", move || constant(100.0))
            .contestant("wasm", move || constant(50.0))
            .contestant("absent", || anyhow::bail!("not here"))
            .goal(Goal::better("wasm", 4.0, "native"));
        let options = Options {
            rounds: 1,
            warm_up: 0,
            seed: 5,
        };
        let cases = [run::case(case, &options, &mut |_| ())];
        let machine = Machine {
            cores: 2,
            cpu: None,
            platform: "linux-x86_64".to_string(),
            kernel: None,
            load: None,
            rustc: Some("rustc 1.95.0".to_string()),
            commit: Some("abc".to_string()),
            time: 1,
        };
        let mut document =
            serde_json::to_value(Document::new("engine", &machine, &options, true, &cases))
                .unwrap();
        for index in 0..2 {
            // The only thing that is not the same in each run.
            document["cases"][0]["contestants"][index]["samples"][0]["wall_ns"] = Value::from(9);
        }
        let same = |value: f64| json!({ "minimum": value, "p10": value, "median": value, "p90": value, "maximum": value });
        assert_eq!(
            document,
            json!({
                "format": 1,
                "suite": "engine",
                "machine": {
                    "cores": 2, "cpu": null, "platform": "linux-x86_64", "kernel": null, "load": null,
                    "rustc": "rustc 1.95.0", "commit": "abc", "time": 1,
                },
                "options": { "rounds": 1, "warm_up": 0, "seed": 5 },
                "quick": true,
                "cases": [{
                    "name": "spawn-join",
                    "unit": "nanoseconds",
                    "baseline": "native",
                    "failure": null,
                    "contestants": [
                        {
                            "name": "native", "unavailable": null, "value": same(100.0), "ratio": same(1.0),
                            "cpu_ns": null,
                            "samples": [{ "value": 100.0, "answer": "7", "wall_ns": 9, "cpu_ns": null }],
                        },
                        {
                            "name": "wasm", "unavailable": null, "value": same(50.0), "ratio": same(0.5),
                            "cpu_ns": null,
                            "samples": [{ "value": 50.0, "answer": "7", "wall_ns": 9, "cpu_ns": null }],
                        },
                        {
                            "name": "absent", "unavailable": "not here", "value": null, "ratio": null,
                            "cpu_ns": null, "samples": [],
                        },
                    ],
                    "goals": [{
                        "contestant": "wasm", "bound": "ratio", "at_most": 0.25,
                        "against": "native", "measured": 0.5, "reached": false,
                    }],
                }],
            })
        );
    }
}
