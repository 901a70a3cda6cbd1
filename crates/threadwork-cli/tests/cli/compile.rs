//! `threadwork compile`: machine code runs as the program does, where the user says that it
//! may.

use crate::support::{file, finish, guest, scratch, temporary_folder, threadwork};
use std::fs;

#[test]
fn machine_code_runs_as_the_program_does() {
    let code = scratch().join("compiled.tw");
    let mut compile = threadwork();
    compile.arg("compile").arg(guest()).arg("-o").arg(&code);
    let compiled = finish(&mut compile).expect_code(0);
    assert_eq!(compiled.stdout + &compiled.stderr, "");

    let run = |options: &[&str], file: &std::path::Path| {
        let mut run = threadwork();
        run.arg("run").args(options).arg(file).args(["exit", "7"]);
        finish(&mut run)
    };
    let expected = run(&[], guest()).expect_code(7);
    let compiled = run(&["--allow-precompiled"], &code).expect_code(7);
    assert_eq!(compiled.stdout, expected.stdout);
    // A module may be given as well.
    run(&["--allow-precompiled"], guest()).expect_code(7);

    run(&[], &code).expect_code(125).expect_stderr(&[
        "compiled.tw",
        "machine code",
        "--allow-precompiled",
    ]);
    run(&["--host", "node", "--allow-precompiled"], &code)
        .expect_code(125)
        .expect_stderr(&["compiled.tw", "machine code", "give the .wasm file"]);
    // The size of its stacks is not part of it.
    run(&["--allow-precompiled", "--stack", "1M"], &code).expect_code(7);

    let mut bytes = fs::read(&code).unwrap();
    bytes.truncate(bytes.len() / 2);
    let cut = scratch().join("cut.tw");
    fs::write(&cut, bytes).unwrap();
    run(&["--allow-precompiled"], &cut)
        .expect_code(125)
        .expect_stderr(&["cut.tw", "cut short"]);
}

/// What is no file is written to, and what a link leads to is replaced, not the link.
#[cfg(unix)]
#[test]
fn only_files_are_replaced() {
    let folder = temporary_folder();
    let (target, link) = (
        file(folder.path(), "target", "old"),
        folder.path().join("link"),
    );
    std::os::unix::fs::symlink("target", &link).unwrap();
    let compile = |output: &std::path::Path| {
        let mut compile = threadwork();
        compile.arg("compile").arg(guest()).arg("-o").arg(output);
        finish(&mut compile)
    };
    compile(&link).expect_code(0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read(target).unwrap().len() > 1000);
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::read(pipe).unwrap().len())
    };
    compile(&pipe).expect_code(0);
    assert!(reader.join().unwrap() > 1000);
    assert!(!fs::symlink_metadata(&pipe).unwrap().is_file());
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let place = scratch().join("compiled-folder");
    fs::create_dir_all(place.join("in it")).unwrap();
    let mut compile = threadwork();
    compile.arg("compile").arg(guest()).arg("-o").arg(&place);
    finish(&mut compile)
        .expect_code(125)
        .expect_stderr(&["cannot write", "compiled-folder"]);
    assert!(!scratch().join("compiled-folder.unfinished").exists());
}
