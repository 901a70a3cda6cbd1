//! `threadwork bundle`: what lies in the folder, and what stays untouched.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{file, finish, temporary_folder, threadwork};

const PROGRAM: &str = r#"(module (func (export "_start")))"#;

fn bundle(program: &Path, output: &Path) -> Command {
    let mut command = threadwork();
    command.arg("bundle").arg(program).arg("-o").arg(output);
    command
}

/// A folder with a program, and the path of a bundle that is not there yet.
fn setting() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = temporary_folder();
    let program = file(folder.path(), "app.wat", PROGRAM);
    let output = folder.path().join("dist");
    (folder, program, output)
}

/// All files below a folder.
fn tree(folder: &Path) -> BTreeSet<String> {
    fn add(folder: &Path, prefix: &str, files: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("readable") {
            let entry = entry.expect("readable");
            let path = format!("{prefix}{}", entry.file_name().display());
            match entry.path().is_dir() {
                true => add(&entry.path(), &format!("{path}/"), files),
                false => assert!(files.insert(path)),
            }
        }
    }
    let mut files = BTreeSet::new();
    add(folder, "", &mut files);
    files
}

#[test]
fn bundle_is_complete_and_says_what_is_in_it() {
    let (folder, program, output) = setting();
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    file(&data, "a.txt", "hello");
    let mapping = format!("{}::/data", data.display());
    let mut command = bundle(&program, &output);
    command.args(["--dir", &mapping, "--env", "A=b", "--", "-x", "y"]);
    let outcome = finish(&mut command).expect_code(0);
    let files = tree(&output);
    let told = |what: &str| outcome.stdout.contains(what);
    assert!(
        told("static host") && told("python3 -m http.server"),
        "{outcome:?}"
    );
    assert!(told(&format!("{} files", files.len() - 1)), "{outcome:?}");

    for name in [
        "index.html",
        "main.js",
        "style.css",
        "sw.js",
        "program.wasm",
        "files/0/a.txt",
    ] {
        assert!(files.contains(name), "{name} is not in {files:?}");
    }
    assert!(
        files.iter().any(|name| name.starts_with("runtime/")),
        "{files:?}"
    );
    assert!(files.contains(".nojekyll"), "{files:?}");
    let read = |name: &str| fs::read(output.join(name)).expect("readable");
    assert!(read("program.wasm").starts_with(b"\0asm"));
    let about: serde_json::Value = serde_json::from_slice(&read("program.json")).expect("JSON");
    assert_eq!(about["args"], serde_json::json!(["-x", "y"]));
    assert_eq!(about["env"], serde_json::json!({ "A": "b" }));
    assert_eq!(about["files"][0]["url"], "files/0/a.txt");

    let manifest: serde_json::Value =
        serde_json::from_slice(&read("threadwork-bundle.json")).expect("JSON");
    let entries = manifest["files"].as_array().expect("a list");
    for entry in entries {
        let contents = read(entry["path"].as_str().expect("a path"));
        assert_eq!(entry["bytes"], contents.len());
        assert_eq!(entry["blake3"], blake3::hash(&contents).to_hex().as_str());
    }
    let mut named: BTreeSet<String> = entries
        .iter()
        .map(|entry| entry["path"].as_str().expect("a path").to_owned())
        .collect();
    named.insert("threadwork-bundle.json".to_owned());
    assert_eq!(named, files);
}

#[test]
fn older_bundles_are_replaced_without_leftovers() {
    let (folder, program, output) = setting();
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    file(&data, "old.txt", "old");
    let mapping = format!("{}::/data", data.display());
    finish(bundle(&program, &output).args(["--dir", &mapping])).expect_code(0);
    assert!(output.join("files/0/old.txt").exists());
    finish(&mut bundle(&program, &output)).expect_code(0);
    assert!(!output.join("files").exists());
    assert!(output.join("index.html").exists());
}

#[test]
fn empty_and_new_folders_are_filled() {
    let (folder, program, output) = setting();
    let deep = folder.path().join("not/yet/there");
    finish(&mut bundle(&program, &deep)).expect_code(0);
    fs::create_dir(&output).expect("a folder");
    finish(&mut bundle(&program, &output)).expect_code(0);
    assert_eq!(tree(&output), tree(&deep));
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).expect("a folder");
    let mut command = bundle(&program, Path::new("."));
    finish(command.current_dir(&inside)).expect_code(0);
    assert_eq!(tree(&inside), tree(&deep));
}

/// A run that was ended leaves its folder behind, which is in nobody's way.
#[test]
fn what_a_run_has_left_that_was_ended_does_not_matter() {
    let (_folder, program, output) = setting();
    let left = output.join(".threadwork-1");
    fs::create_dir_all(&left).expect("a folder");
    file(&left, "index.html", "half of it");
    finish(&mut bundle(&program, &output)).expect_code(0);
    assert!(output.join("index.html").exists());
}

#[test]
fn what_others_have_put_there_stays() {
    let (_folder, program, output) = setting();
    fs::create_dir(&output).expect("a folder");
    file(&output, "thesis.txt", "ten years of work");
    let outcome = finish(&mut bundle(&program, &output)).expect_code(125);
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    outcome.expect_stderr(&["thesis.txt", "--force"]);
    assert_eq!(tree(&output), BTreeSet::from(["thesis.txt".to_owned()]));

    for _ in 0..2 {
        finish(bundle(&program, &output).arg("--force")).expect_code(0);
        assert!(output.join("index.html").exists());
        let thesis = fs::read_to_string(output.join("thesis.txt"));
        assert_eq!(thesis.expect("it is still there"), "ten years of work");
    }
    // A bundle beside a thesis is not only a bundle.
    finish(&mut bundle(&program, &output))
        .expect_code(125)
        .expect_stderr(&["thesis.txt"]);
}

/// A file's name can be in a manifest that somebody wrote by hand, and lead out.
#[test]
fn manifests_remove_nothing_outside() {
    let (folder, program, output) = setting();
    file(folder.path(), "precious", "precious");
    fs::create_dir(&output).expect("a folder");
    let entry = r#"{"path": "../precious", "bytes": 0, "blake3": ""}"#;
    let manifest = format!(r#"{{"threadwork": "0", "files": [{entry}]}}"#);
    file(&output, "threadwork-bundle.json", manifest);
    finish(&mut bundle(&program, &output)).expect_code(0);
    assert!(folder.path().join("precious").exists());
}

#[test]
fn failed_runs_leave_nothing() {
    let (folder, program, output) = setting();
    let before = tree(folder.path());
    let broken = file(folder.path(), "broken.wasm", "nothing");
    finish(&mut bundle(&broken, &output))
        .expect_code(125)
        .expect_stderr(&["broken.wasm"]);
    fs::remove_file(broken).expect("removable");
    assert!(!output.exists());

    let blocked = file(folder.path(), "file", "");
    finish(&mut bundle(&program, &blocked))
        .expect_code(125)
        .expect_stderr(&["file", "folder"]);
    let below = blocked.join("dist");
    finish(&mut bundle(&program, &below)).expect_code(125);
    fs::remove_file(&blocked).expect("removable");
    assert_eq!(tree(folder.path()), before);
}

/// Fails in the middle: one file of `--dir` cannot be read, and all before it could.
#[test]
#[cfg(target_os = "linux")]
fn failure_in_the_middle_leaves_the_older_bundle() {
    let (folder, program, output) = setting();
    finish(&mut bundle(&program, &output)).expect_code(0);
    let before = tree(folder.path());
    // Listed as a regular file, and reading it fails, even for root.
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    let outcome = finish(bundle(&program, &output).args(["--dir", "/proc/self/task::/data"]));
    outcome.expect_code(125);
    fs::remove_dir(&data).expect("removable");
    assert_eq!(tree(folder.path()), before);
}

/// A file that cannot be put there stands for a run that is killed.
#[test]
fn half_a_bundle_is_replaced_by_a_whole_one() {
    let (_folder, program, output) = setting();
    let obstacle = output.join("sw.js");
    fs::create_dir_all(&obstacle).expect("a folder");
    finish(&mut bundle(&program, &output)).expect_code(125);
    assert!(!tree(&output).is_empty());
    fs::remove_dir(&obstacle).expect("an empty folder");
    finish(&mut bundle(&program, &output)).expect_code(0);
    let whole = output.with_extension("new");
    finish(&mut bundle(&program, &whole)).expect_code(0);
    assert_eq!(tree(&output), tree(&whole));
}
