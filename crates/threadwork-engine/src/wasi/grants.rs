//! [`Grants`]: what a process is allowed to see.

use super::stdio::Streams;
use crate::error::Error;
use crate::limits::Limits;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use threadwork_wasi::{BuildError, Wasi, WasiBuilder};

/// What a process is allowed to see.
#[derive(Default)]
pub(crate) struct Grants {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) dirs: Vec<Dir>,
    /// Sockets that listen.
    pub(crate) listeners: Vec<OwnedFd>,
}

/// A directory of the host's.
pub(crate) struct Dir {
    pub(crate) host: PathBuf,
    /// The guest's name for it.
    pub(crate) guest: String,
    pub(crate) read_only: bool,
}

impl Grants {
    /// Refuses texts that the program would read as others: they end at a NUL there, and the
    /// name of a variable at the first `=`.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let args = self.args.iter().map(|arg| ("the argument", arg));
        let names = self.env.iter().map(|(name, _)| ("the variable", name));
        let values = self.env.iter().map(|(_, value)| ("the value", value));
        let dirs = self
            .dirs
            .iter()
            .map(|dir| ("the directory's name", &dir.guest));
        for (what, text) in args.chain(names.clone()).chain(values).chain(dirs) {
            refuse(text.contains('\0'), what, text, "it has a NUL character")?;
        }
        for (what, name) in names {
            refuse(name.is_empty(), what, name, "a name cannot be empty")?;
            refuse(name.contains('='), what, name, "a name cannot have a `=`")?;
        }
        Ok(())
    }

    /// The WASI side of a process that is granted this.
    pub(crate) fn open(self, streams: Streams, limits: &Limits) -> Result<Wasi, Error> {
        let builder = WasiBuilder::new()
            .args(self.args)
            .env(self.env)
            .stdin(streams.stdin)
            .stdout(streams.stdout)
            .stderr(streams.stderr)
            .limits(threadwork_wasi::Limits {
                open_files: limits.open_files,
                file_bytes: limits.file_bytes,
                output: limits.output,
            });
        let grant = |builder: WasiBuilder, dir: Dir| match dir.read_only {
            true => builder.preopen_dir_read_only(dir.host, dir.guest),
            false => builder.preopen_dir(dir.host, dir.guest),
        };
        let builder = self.dirs.into_iter().fold(builder, grant);
        let builder = self
            .listeners
            .into_iter()
            .fold(builder, WasiBuilder::listener);
        builder.build().map_err(explain)
    }
}

fn explain(error: BuildError) -> Error {
    match error {
        BuildError::Directory { path, source } => Error::Preopen {
            path,
            reason: source.to_string(),
        },
        BuildError::System { what, source } => Error::System { what, source },
        error => Error::System {
            what: "WASI",
            source: std::io::Error::other(error),
        },
    }
}

fn refuse(
    is_wrong: bool,
    what: &'static str,
    text: &str,
    reason: &'static str,
) -> Result<(), Error> {
    match is_wrong {
        false => Ok(()),
        true => Err(Error::Given {
            what,
            text: text.to_owned(),
            reason,
        }),
    }
}
