//! What the command says of itself.

use crate::support::{finish, threadwork};

#[test]
fn the_version_names_commit_and_wasmtime() {
    let short = finish(threadwork().arg("-V")).expect_code(0).stdout;
    let own = concat!("threadwork ", env!("CARGO_PKG_VERSION"));
    assert_eq!(short.trim_end(), own);
    let long = finish(threadwork().arg("--version")).expect_code(0).stdout;
    let facts = long.trim_end().strip_prefix(own);
    let facts = facts.and_then(|rest| rest.strip_prefix(" (")?.strip_suffix(')'));
    let facts = facts.unwrap_or_else(|| panic!("{long}"));
    // The commit is missing where the sources did not come by Git.
    let (commit, wasmtime) = facts.rsplit_once(", ").unwrap_or(("", facts));
    assert!(commit.chars().all(|c| c.is_ascii_hexdigit()), "{long}");
    assert!(wasmtime.starts_with("Wasmtime 48"), "{long}");
}

#[cfg(feature = "manual")]
#[test]
fn pages_and_completions_are_of_this_command_line() {
    let folder = crate::support::temporary_folder();
    finish(threadwork().arg("manual").arg(folder.path())).expect_code(0);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(read("man1/threadwork-run.1").contains(r"max\-memory"));
    assert!(!folder.path().join("man1/threadwork-help.1").exists());
    for name in ["threadwork.bash", "_threadwork", "threadwork.fish"] {
        assert!(
            read(&format!("completions/{name}")).contains("max-memory"),
            "{name}"
        );
    }
}
