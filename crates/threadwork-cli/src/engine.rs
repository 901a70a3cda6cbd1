//! The engine as this program sets it up: with a cache in the user's own folder.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use threadwork_engine::{CompilerProcess, Engine, Error};

/// The command that compiles for another process of this program.
pub(crate) const COMPILE: &str = "compile-child";

/// An engine, with compiled modules cached on disk if `cached`.
pub(crate) fn build(cached: bool) -> Result<Engine, Error> {
    build_with(cached, &Settings::default())
}

/// What a command may want of its engine.
#[derive(Default)]
pub(crate) struct Settings {
    /// Bytes of native stack of guest threads.
    pub(crate) stack: Option<usize>,
    /// For how long it compiles at most.
    pub(crate) compile_time: Option<Duration>,
    /// Whether `perf` is told the names of functions.
    pub(crate) perf_map: bool,
}

/// The same, with these settings.
pub(crate) fn build_with(cached: bool, settings: &Settings) -> Result<Engine, Error> {
    let cache = if cached { cache_folder() } else { None };
    let mut builder = Engine::builder()
        .cache_dir(cache)
        .perf_map(settings.perf_map);
    if let Some(bytes) = settings.stack {
        builder = builder.max_wasm_stack(bytes);
    }
    if let Some(time) = settings.compile_time {
        builder = builder.compiler_process(compiler(time));
    }
    builder.build()
}

/// This program once more, as a compiler that can be ended.
fn compiler(time: Duration) -> CompilerProcess {
    // The file that runs, even if another has its name by now.
    let this = match cfg!(target_os = "linux") {
        true => PathBuf::from("/proc/self/exe"),
        false => env::current_exe().unwrap_or_else(|_| "threadwork".into()),
    };
    CompilerProcess::new(this)
        .arg(COMPILE)
        .time(time)
        .memory(u64::MAX)
}

/// What the command [`COMPILE`] does; returns the code to exit with.
pub(crate) fn compile() -> i32 {
    i32::from(CompilerProcess::serve().is_err())
}

/// Where what is made once is kept, if the user has a home.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    cache_dir(|name| env::var_os(name))
}

/// `$THREADWORK_CACHE_DIR`, else `$XDG_CACHE_HOME/threadwork`, else
/// `~/.cache/threadwork`; `None` if the user has no home either.
fn cache_dir(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| !path.as_os_str().is_empty())
    };
    // A relative XDG folder is invalid, and the specification says to ignore it.
    let xdg = || path("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    let home = || {
        path("HOME")
            .or_else(|| path("USERPROFILE"))
            .map(|home| home.join(".cache"))
    };
    path("THREADWORK_CACHE_DIR").or_else(|| Some(xdg().or_else(home)?.join("threadwork")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &'static [(&str, &str)]) -> Option<PathBuf> {
        cache_dir(|wanted| {
            let (_, value) = variables.iter().find(|(name, _)| *name == wanted)?;
            Some(value.into())
        })
    }

    #[test]
    fn own_variable_wins() {
        let dir = with(&[
            ("THREADWORK_CACHE_DIR", "/a"),
            ("XDG_CACHE_HOME", "/b"),
            ("HOME", "/c"),
        ]);
        assert_eq!(dir, Some("/a".into()));
    }

    #[test]
    fn then_xdg_then_home() {
        let xdg = with(&[("XDG_CACHE_HOME", "/b"), ("HOME", "/c")]);
        assert_eq!(xdg, Some("/b/threadwork".into()));
        assert_eq!(with(&[("HOME", "/c")]), Some("/c/.cache/threadwork".into()));
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn empty_and_relative_ones_are_ignored() {
        let dir = with(&[
            ("THREADWORK_CACHE_DIR", ""),
            ("XDG_CACHE_HOME", "b"),
            ("HOME", "/c"),
        ]);
        assert_eq!(dir, Some("/c/.cache/threadwork".into()));
    }
}
