//! The tests as WebAssembly, on the engine in this process.

use std::path::Path;

use threadwork_engine::{
    Engine, ExitStatus, Limit, LimitExceeded, Limits, Module, Output, ProcessBuilder, Stdin,
};

use super::runner::{End, GUEST, PATIENCE, Run, Runner};

pub(crate) struct EngineHost {
    module: Module,
}

impl EngineHost {
    pub(crate) fn new(engine: &Engine, program: &Path) -> anyhow::Result<Self> {
        let module = Module::from_file(engine, program)?;
        Ok(Self { module })
    }
}

impl Runner for EngineHost {
    fn name(&self) -> &'static str {
        "engine"
    }

    fn is_webassembly(&self) -> bool {
        true
    }

    fn run(&self, args: &[&str]) -> anyhow::Result<Run> {
        let process = ProcessBuilder::new(&self.module)
            .arg0(GUEST)
            .args(args.iter().copied())
            .stdin(Stdin::Null)
            .stdout(Output::Buffer)
            .stderr(Output::Buffer)
            .limits(Limits::default().wall_time(PATIENCE))
            .spawn()?;
        let end = end(&process.wait());
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Run {
            end,
            stdout: text(process.stdout_buffer()),
            stderr: text(process.stderr_buffer()),
        })
    }
}

fn end(status: &ExitStatus) -> End {
    let report = status.to_string();
    match status {
        ExitStatus::Exited(code) => End::Exited(*code),
        ExitStatus::Trapped(_) => End::Trapped(report),
        ExitStatus::Deadlock(_) => End::Deadlock(report),
        ExitStatus::LimitExceeded(LimitExceeded {
            limit: Limit::WallTime(_),
            ..
        }) => End::TimedOut,
        _ => End::Ended(report),
    }
}
