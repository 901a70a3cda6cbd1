//! The engine as this program sets it up: with a cache in the user's own folder.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use threadwork_engine::{Engine, Error};

/// An engine, with compiled modules cached on disk if `cached`.
pub(crate) fn build(cached: bool) -> Result<Engine, Error> {
    build_with_stack(cached, None)
}

/// The same, whose guest threads have so many bytes of native stack, if given.
pub(crate) fn build_with_stack(cached: bool, stack: Option<usize>) -> Result<Engine, Error> {
    let cache = if cached { cache_folder() } else { None };
    let builder = Engine::builder().cache_dir(cache);
    match stack {
        Some(bytes) => builder.max_wasm_stack(bytes).build(),
        None => builder.build(),
    }
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
