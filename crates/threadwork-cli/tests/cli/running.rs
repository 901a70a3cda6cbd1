//! What a program gets, and what comes back.

use std::fs;
use std::process::Stdio;

use crate::support::{
    Running, file, finish, guest, run_guest, temporary_folder, text, text_guest, threadwork,
};

#[test]
fn exit_code_passes_through() {
    for code in [0, 1, 42, 255] {
        let outcome = finish(&mut run_guest(&[], &["exit", &code.to_string()]));
        assert_eq!(outcome.expect_code(code).stderr, "");
    }
}

/// The system would keep the lowest eight bits: a failure must not become a success.
#[test]
fn exit_code_that_no_process_can_have() {
    for host in ["engine", "node"] {
        for code in ["256", "257", "-1", "2147483647", "-2147483648"] {
            finish(&mut run_guest(&["--host", host], &["exit", code]))
                .expect_code(255)
                .expect_stderr(&["threadwork: ", &format!("code {code},"), "255"]);
        }
    }
}

#[test]
fn exit_in_a_thread_ends_the_program() {
    finish(&mut run_guest(&[], &["exit-in-thread", "7"])).expect_code(7);
}

#[test]
fn everything_after_the_file_is_the_programs() {
    let args = [
        "args",
        "--help",
        "-v",
        "--",
        "--threads",
        "0",
        "",
        "a b",
        "-",
        "--dir=/",
        "ünï",
    ];
    let outcome = finish(&mut run_guest(&["--threads", "2"], &args)).expect_code(0);
    let name = guest().file_name().unwrap().to_str().unwrap();
    let expected: Vec<&str> = [name].into_iter().chain(args).collect();
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn standard_input_is_the_programs() {
    let mut command = run_guest(&[], &["stdin"]);
    let input = temporary_folder();
    let input = file(input.path(), "input", "one\ntwo\n");
    let outcome = finish(command.stdin(fs::File::open(input).unwrap())).expect_code(0);
    assert_eq!(outcome.stdout, "one\ntwo\n");
}

#[test]
fn standard_input_may_be_closed() {
    let outcome = finish(run_guest(&[], &["stdin"]).stdin(Stdio::null())).expect_code(0);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn directory_under_its_own_name() {
    let folder = temporary_folder();
    file(folder.path(), "a.txt", "found");
    let mut command = run_guest(&["--dir", "."], &["read", "a.txt"]);
    let outcome = finish(command.current_dir(folder.path())).expect_code(0);
    assert_eq!(outcome.stdout, "found");
}

#[test]
fn directory_for_reading_only() {
    for host in ["engine", "node"] {
        let folder = temporary_folder();
        let path = file(folder.path(), "a.txt", "found");
        let run = |args: &[&str]| {
            let mut command = run_guest(&["--host", host, "--dir", ".:ro"], args);
            finish(command.current_dir(folder.path()))
        };
        assert_eq!(run(&["read", "a.txt"]).expect_code(0).stdout, "found");
        for name in ["a.txt", "b.txt"] {
            run(&["write", name, "changed"])
                .expect_code(134)
                .expect_stderr(&["writable", "Read-only file system"]);
        }
        assert_eq!(fs::read_to_string(path).unwrap(), "found");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn directories_under_other_names() {
    let (one, two) = (temporary_folder(), temporary_folder());
    file(one.path(), "a.txt", "from one");
    let one_option = format!("{}::/one", text(one.path()));
    let two_option = format!("{}::/deep/two", text(two.path()));
    let options = ["--dir", &one_option, "--dir", &two_option];
    let outcome = finish(&mut run_guest(&options, &["read", "/one/a.txt"])).expect_code(0);
    assert_eq!(outcome.stdout, "from one");
    finish(&mut run_guest(
        &options,
        &["write", "/deep/two/b.txt", "to two"],
    ))
    .expect_code(0);
    assert_eq!(
        fs::read_to_string(two.path().join("b.txt")).unwrap(),
        "to two"
    );
}

#[test]
fn no_directory_unless_given() {
    let folder = temporary_folder();
    let path = file(folder.path(), "a.txt", "secret");
    for options in [&[][..], &["--dir", text(folder.path())]] {
        let mut command = run_guest(options, &["read", "/etc/passwd"]);
        let outcome = finish(command.current_dir(folder.path()));
        assert_eq!(outcome.stdout, "", "{outcome:?}");
    }
    assert_eq!(
        finish(&mut run_guest(&[], &["read", text(&path)])).stdout,
        ""
    );
}

#[test]
fn no_way_out_of_a_directory() {
    let folder = temporary_folder();
    file(folder.path(), "secret.txt", "secret");
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let option = format!("{}::/", text(&inner));
    for path in ["../secret.txt", "/../secret.txt"] {
        assert_eq!(
            finish(&mut run_guest(&["--dir", &option], &["read", path])).stdout,
            ""
        );
    }
}

#[test]
fn environment_is_what_was_given() {
    let options = [
        "--env", "A=1", "--env", "B=x=y", "--env", "C=", "--env", "D", "--env", "E",
    ];
    let mut command = run_guest(&options, &["env"]);
    let outcome = finish(
        command
            .env("D", "inherited")
            .env("F", "secret")
            .env_remove("E"),
    );
    let stdout = outcome.expect_code(0).stdout;
    let mut variables: Vec<&str> = stdout.lines().collect();
    variables.sort_unstable();
    variables.retain(|variable| {
        !variable.starts_with("RAYON_NUM_THREADS=")
            && !variable.starts_with("THREADWORK_PARALLELISM=")
    });
    assert_eq!(variables, ["A=1", "B=x=y", "C=", "D=inherited"]);
}

#[test]
fn rayon_is_told_how_many_threads_there_are() {
    let stdout = finish(&mut run_guest(&["--threads", "1"], &["env"]))
        .expect_code(0)
        .stdout;
    assert!(
        stdout
            .lines()
            .any(|variable| variable == "RAYON_NUM_THREADS=1"),
        "{stdout}"
    );
    let options = ["--threads", "1", "--env", "RAYON_NUM_THREADS=7"];
    let stdout = finish(&mut run_guest(&options, &["env"]))
        .expect_code(0)
        .stdout;
    assert!(
        stdout
            .lines()
            .any(|variable| variable == "RAYON_NUM_THREADS=7"),
        "{stdout}"
    );
}

#[test]
fn text_format_runs_too() {
    for name in ["hello-threads", "memory-other-name", "single"] {
        let outcome = finish(threadwork().arg("run").arg(text_guest(name))).expect_code(0);
        assert_eq!(
            (outcome.stdout, outcome.stderr),
            (format!("ok {name}\n"), String::new())
        );
    }
}

#[test]
fn statistics_come_last_on_standard_error() {
    let outcome = finish(&mut run_guest(&["--stats"], &["spawn", "3"])).expect_code(0);
    assert_eq!(outcome.stdout, "3 threads met\n");
    assert_eq!(
        outcome.stderr.lines().next(),
        Some("threadwork: statistics")
    );
    outcome
        .expect_stderr(&["time", "on CPUs"])
        .expect_stderr(&["threads", "4 started", "0 refused"])
        .expect_stderr(&["waits"])
        .expect_stderr(&["notifies"])
        .expect_stderr(&["memory", "iB"]);
}

#[test]
fn unusable_cache_does_not_matter() {
    let folder = temporary_folder();
    let in_the_way = file(folder.path(), "cache", "not a directory");
    let mut command = run_guest(&[], &["exit", "3"]);
    let outcome = finish(command.env("THREADWORK_CACHE_DIR", in_the_way)).expect_code(3);
    assert_eq!(outcome.stderr, "");
}

#[test]
fn cache_is_used_unless_refused() {
    let folder = temporary_folder();
    let entries = || fs::read_dir(folder.path()).unwrap().count();
    let run = |options: &[&str]| {
        let mut command = run_guest(options, &["exit", "0"]);
        finish(command.env("THREADWORK_CACHE_DIR", folder.path())).expect_code(0);
    };
    run(&["--no-cache"]);
    assert_eq!(entries(), 0);
    run(&[]);
    assert_ne!(entries(), 0);
    run(&[]);
}

#[test]
fn help_without_arguments() {
    let outcome = finish(&mut threadwork());
    assert!(outcome.stderr.contains("Usage: threadwork"), "{outcome:?}");
}

#[test]
fn help_has_the_exit_codes() {
    let outcome = finish(threadwork().args(["run", "--help"])).expect_code(0);
    for code in [
        "120", "121", "122", "124", "125", "130", "134", "137", "152",
    ] {
        assert!(
            outcome.stdout.contains(&format!("\n  {code}  ")),
            "{code}: {}",
            outcome.stdout
        );
    }
}

#[test]
fn programs_may_run_at_the_same_time() {
    let mut commands: Vec<_> = (0..8).map(|_| run_guest(&[], &["spawn", "4"])).collect();
    let running: Vec<Running> = commands.iter_mut().map(Running::start).collect();
    for program in running {
        assert_eq!(program.finish().expect_code(0).stdout, "4 threads met\n");
    }
}
