//! Lists the files of the web host, so that the binary carries them: an installed
//! `threadwork` has no repository beside it. And finds out what `--version` says.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Where the web host is: in the repository; in a package, which has a copy.
const WEB: [&str; 2] = ["../../web", "web"];

/// Its folders, and what they are called on a site.
const FOLDERS: [(&str, &str); 3] = [("page", ""), ("sw", ""), ("src", "runtime/src/")];

/// The runtime's entries, beside its folder.
const ENTRIES: [(&str, &str); 3] = [
    ("index.js", "runtime/index.js"),
    ("run.js", "runtime/run.js"),
    ("sync.js", "runtime/sync.js"),
];

/// What a browser or Node loads. Types, pictures for people and notes stay behind.
const KINDS: [&str; 4] = ["html", "css", "js", "svg"];

fn main() {
    let crate_dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("Cargo sets it"));
    println!("cargo::rerun-if-changed=build.rs");
    println!(
        "cargo::rustc-env=THREADWORK_VERSION={}",
        version(&crate_dir)
    );
    list_web(&crate_dir);
    // The standard library's line tables are 17 MB of the program otherwise; backtraces read
    // them as they are.
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo::rustc-link-arg-bins=-Wl,--compress-debug-sections=zlib");
    }
}

fn list_web(crate_dir: &Path) {
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets it"));
    let places = WEB.map(|place| crate_dir.join(place));
    let web = places.iter().find(|place| place.join("page").is_dir());
    let web = web.expect("the web host lies in the repository, and in the package");
    let mut files = Vec::new();
    for (folder, site) in FOLDERS {
        let folder = web.join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        collect(&folder, site, &mut files);
    }
    for (entry, site) in ENTRIES {
        let entry = web.join(entry);
        println!("cargo::rerun-if-changed={}", entry.display());
        files.push((site.to_owned(), entry));
    }
    // Neither the order of folders nor the machine shows in the binary.
    files.sort();
    let mut list = String::from("[\n");
    for (path, file) in files {
        writeln!(list, "({path:?}, include_bytes!({file:?}) as &[u8]),").expect("strings grow");
    }
    list.push(']');
    fs::write(out_dir.join("assets.rs"), list).expect("the build folder is writable");
}

fn collect(folder: &Path, site: &str, files: &mut Vec<(String, PathBuf)>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| {
        let folder = folder.display();
        panic!("cannot read {folder}: {error}")
    });
    for entry in entries {
        let path = entry
            .expect("folders of the repository are readable")
            .path();
        let name = path
            .file_name()
            .expect("entries have names")
            .to_string_lossy();
        let site = format!("{site}{name}");
        if path.is_dir() {
            collect(&path, &format!("{site}/"), files);
        } else if KINDS
            .iter()
            .any(|kind| path.extension().is_some_and(|found| found == *kind))
        {
            files.push((site, path));
        }
    }
}

/// The version with what else tells one build from another: `0.1.0 (4c17e5d0a1b2, Wasmtime 48.0.8)`.
fn version(crate_dir: &Path) -> String {
    let own = env::var("CARGO_PKG_VERSION").expect("Cargo sets it");
    let repository = crate_dir.join("../..");
    let lock = repository.join("Cargo.lock");
    let (commit, wasmtime) = match fs::read_to_string(&lock) {
        Ok(text) => {
            println!("cargo::rerun-if-changed={}", lock.display());
            (commit_of_repository(&repository), wasmtime_of(&text))
        }
        // A package. Whoever builds it may have a newer Wasmtime of the same major version
        // than its lock file names.
        Err(_) => {
            let lock = fs::read_to_string(crate_dir.join("Cargo.lock")).unwrap_or_default();
            let major = |version: String| version.split('.').next().map(str::to_owned);
            (
                commit_of_package(crate_dir),
                wasmtime_of(&lock).and_then(major),
            )
        }
    };
    let wasmtime = wasmtime.map(|version| format!("Wasmtime {version}"));
    let facts: Vec<_> = commit.into_iter().chain(wasmtime).collect();
    match facts.is_empty() {
        true => own,
        false => format!("{own} ({})", facts.join(", ")),
    }
}

/// What Git says, if it is there and the sources came by it.
fn commit_of_repository(repository: &Path) -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .current_dir(repository)
            .args(args)
            .output();
        let output = output.ok().filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_owned())
    };
    // Grows with each commit, whatever branch it is on.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    let log = repository.join(log);
    if log.exists() {
        println!("cargo::rerun-if-changed={}", log.display());
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// What Cargo wrote down when it made the package.
fn commit_of_package(crate_dir: &Path) -> Option<String> {
    let text = fs::read_to_string(crate_dir.join(".cargo_vcs_info.json")).ok()?;
    let (_, rest) = text.split_once("\"sha1\": \"")?;
    rest.get(..12).map(str::to_owned)
}

/// The version in a lock file.
fn wasmtime_of(lock: &str) -> Option<String> {
    let (_, rest) = lock.split_once("name = \"wasmtime\"\nversion = \"")?;
    rest.split('"').next().map(str::to_owned)
}
