//! The first process of a container, up to where the engine takes over.
//!
//! Invariant: the library with the engine is loaded before the container's root is, since its
//! files are not in there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::default::DefaultExecutor;
use libcontainer::workload::{
    Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError,
};

use crate::code;
use crate::container::chain;
use crate::library::Library;
use crate::request::Request;
use crate::share::Share;

/// What a container's first process does.
#[derive(Clone)]
pub(crate) enum Guest {
    /// Runs the module that lies there.
    Wasm(PathBuf, Library),
    /// Becomes a program of the system's.
    Native,
}

impl Executor for Guest {
    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        // The program was found, and looked at, in the image.
        Ok(())
    }

    fn setup_envs(&self, envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        match self {
            // The guest's variables are not the host's.
            Self::Wasm(..) => Ok(()),
            Self::Native => DefaultExecutor {}.setup_envs(envs),
        }
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let outcome = match self {
            Self::Wasm(program, library) => request(spec, program).map(|it| library.run(&it)),
            // Returns only if the system does not take the program.
            Self::Native => DefaultExecutor {}
                .exec(spec)
                .map(|()| CANNOT_RUN)
                .map_err(|error| chain(&error)),
        };
        std::process::exit(outcome.unwrap_or_else(|why| {
            // Nobody else hears of it: the container has been started.
            eprintln!("threadwork: error: {why}");
            CANNOT_RUN
        }))
    }
}

/// The program could not be run at all, as `threadwork run` has it.
const CANNOT_RUN: i32 = 125;

fn request(spec: &Spec, program: &Path) -> Result<Request, String> {
    let process = spec.process().as_ref();
    let process = process.ok_or("the container has no process")?;
    let args = process.args().as_deref().unwrap_or_default();
    let share = Share::of(spec)?;
    let code = PathBuf::from(code::IN_CONTAINER);
    Ok(Request {
        program: program.to_owned(),
        code: code.is_dir().then_some(code),
        args: args.iter().skip(1).cloned().collect(),
        env: process.env().clone().unwrap_or_default(),
        cwd: process.cwd().clone(),
        parallelism: share.parallelism,
        memory: share.memory,
        threads: share.threads,
    })
}
