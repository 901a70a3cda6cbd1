//! Lists the files of the web host, so that the binary carries them: an installed
//! `threadwork` has no repository beside it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Folders of the repository, and what they are called on a site.
const FOLDERS: [(&str, &str); 3] = [
    ("../../web/page", ""),
    ("../../web/sw", ""),
    ("../../web/src", "runtime/src/"),
];

/// The runtime's entries, beside its folder.
const ENTRIES: [(&str, &str); 2] = [
    ("../../web/index.js", "runtime/index.js"),
    ("../../web/sync.js", "runtime/sync.js"),
];

/// What a browser or Node loads. Types, pictures for people and notes stay behind.
const KINDS: [&str; 4] = ["html", "css", "js", "svg"];

fn main() {
    let crate_dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("Cargo sets it"));
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets it"));
    let mut files = Vec::new();
    for (folder, site) in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        collect(&crate_dir.join(folder), site, &mut files);
    }
    for (entry, site) in ENTRIES {
        println!("cargo::rerun-if-changed={entry}");
        files.push((site.to_owned(), crate_dir.join(entry)));
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
        panic!("cannot read {folder}: {error}; build threadwork-cli inside its repository")
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
