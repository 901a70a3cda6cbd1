//! WASI of a process: one for all its threads, nothing that was not granted, and no
//! thread that holds up another.

use crate::support::{
    NO_THREADS, READ, RETURN, SLEEP, WRITE, on_stage, output, play, plot, plot_text, run, start,
    text, until,
};
use std::io::{Read, Write};
use threadwork_engine::{Activity, Module, Output, ProcessBuilder, Stdin};

// Errors of WASI preview 1, as the plots say them.
const BADF: i32 = 8;
const NOENT: i32 = 44;
const NOSPC: i32 = 51;
const PERM: i32 = 63;
const PIPE: i32 = 64;
const SUCCESS: i32 = 0;

/// `$open path-length` opens the path at 512 in directory 3 and says the error. The
/// descriptor is at 520. Rights: read and write; no other flags.
const OPEN: &str = r#"
  (func $open (param $length i32)
    (call $say (call $path_open (i32.const 3) (i32.const 1) (i32.const 512)
      (local.get $length) (i32.const 0) (i64.const 0x42) (i64.const 0) (i32.const 0)
      (i32.const 544))))
  (func $fd (result i32) (i32.load (i32.const 544)))
"#;

#[test]
fn a_file_opened_in_one_thread_works_in_another() {
    let module = plot(&format!(
        r#"{OPEN} (data (i32.const 512) "f")
           (func (export "wasi_thread_start") (param i32) (param $what i32)
             (if (local.get $what)
               (then (call $say
                 (call $fd_write (call $fd) (i32.const 192) (i32.const 1) (i32.const 200))))
               (else (call $open (i32.const 1))))
             (call $count))
           (func (export "_start")
             (drop (call $spawn (i32.const 0))) (call $until_counted (i32.const 1))
             (drop (call $spawn (i32.const 1))) (call $until_counted (i32.const 2))
             (call $say (call $fd_close (call $fd)))
             (call $say (call $fd_close (call $fd))))"#
    ));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), "").unwrap();
    let (builder, stage) = on_stage(&module);
    assert!(run(builder.preopen_dir(folder.path(), "/")).success());
    assert_eq!(stage.heard(), [SUCCESS, SUCCESS, SUCCESS, BADF]);
    assert_eq!(
        std::fs::metadata(folder.path().join("f")).unwrap().len(),
        4096
    );
}

/// One thread is in a call that can take long. Others make all the other calls.
#[test]
fn a_thread_that_blocks_stops_nobody() {
    for what in [SLEEP, READ, WRITE] {
        let module = plot(&format!(
            r#"{OPEN} (data (i32.const 512) "f")
               (func (export "wasi_thread_start") (param i32) (param $what i32)
                 (call $do (local.get $what)))
               (func (export "_start") (local $n i32)
                 (drop (call $spawn (i32.const {what})))
                 (drop (call $spawn (i32.const {what})))
                 (call $say (i32.const 0))
                 (call $until_open)
                 (loop
                   (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 600)))
                   (drop (call $random (i32.const 600) (i32.const 8)))
                   (drop (call $fd_write (i32.const 2) (i32.const 192) (i32.const 1)
                     (i32.const 200)))
                   (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 512)
                     (i32.const 1) (i32.const 0) (i64.const 0x42) (i64.const 0) (i32.const 0)
                     (i32.const 544)) (then unreachable))
                   (if (call $fd_close (call $fd)) (then unreachable))
                   (drop (call $spawn (i32.const {RETURN})))
                   (local.set $n (i32.add (local.get $n) (i32.const 1)))
                   (br_if 0 (i32.lt_u (local.get $n) (i32.const 200))))
                 (call $say (local.get $n)))"#
        ));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("f"), "").unwrap();
        let (builder, stage) = on_stage(&module);
        let builder = builder.preopen_dir(folder.path(), "/").stdin(Stdin::Pipe);
        let process = start(builder.stdout(Output::Pipe).stderr(Output::Buffer));
        let _pipes = (process.take_stdin(), process.take_stdout());
        stage.hear();
        until(|| {
            let infos = process.threads();
            infos
                .iter()
                .filter(|t| t.activity == Activity::InHostCall)
                .count()
                == 2
        });
        stage.open();
        assert_eq!(stage.hear(), 200, "while others do {what}");
        assert!(process.wait().success());
        assert_eq!(process.stderr_buffer().len(), 200 * 4096);
    }
}

#[test]
fn clocks_go_forward_and_random_numbers_differ() {
    let module = plot(&format!(
        r#"{NO_THREADS}
           (func $now (param $clock i32) (result i64)
             (if (call $clock (local.get $clock) (i64.const 0) (i32.const 600))
               (then unreachable))
             (i64.load (i32.const 600)))
           (func $goes_forward (param $clock i32) (local $before i64)
             (local.set $before (call $now (local.get $clock)))
             (loop (br_if 0 (i64.eq (local.get $before) (call $now (local.get $clock)))))
             (call $say (i64.gt_u (call $now (local.get $clock)) (local.get $before))))
           (func (export "_start")
             (call $goes_forward (i32.const 0)) (call $goes_forward (i32.const 1))
             (call $goes_forward (i32.const 2)) (call $goes_forward (i32.const 3))
             (call $say (call $clock (i32.const 9) (i64.const 0) (i32.const 600)))
             (drop (call $random (i32.const 600) (i32.const 16)))
             (call $say (i64.eq (i64.load (i32.const 600)) (i64.load (i32.const 608))))
             ;; Seconds since 1970.
             (call $say (i32.wrap_i64
               (i64.div_u (call $now (i32.const 0)) (i64.const 1000000000)))))"#
    ));
    let (heard, status) = play(&module);
    assert!(status.success(), "{status}");
    const INVAL: i32 = 28;
    assert_eq!(heard[..6], [1, 1, 1, 1, INVAL, 0]);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert!(now.as_secs().abs_diff(heard[6] as u64) < 60);
}

// ---- Capabilities ----

/// Opens each path and says the error; `main` may do more.
fn opens(paths: &[&str]) -> Module {
    let open = |path: &&str| {
        let bytes: String = path.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        let length = path.len();
        (bytes, length)
    };
    let mut data = String::new();
    let mut calls = String::new();
    for (number, (bytes, length)) in paths.iter().map(open).enumerate() {
        data.push_str(&format!("(data $path{number} \"{bytes}\")"));
        calls.push_str(&format!(
            "(memory.init $path{number} (i32.const 512) (i32.const 0) (i32.const {length}))
             (call $open (i32.const {length}))"
        ));
    }
    plot(&format!(
        r#"{OPEN} {NO_THREADS} {data} (func (export "_start") {calls})"#
    ))
}

#[test]
fn without_a_grant_nothing_is_reachable() {
    let module = opens(&["f", "/etc/passwd", "..", "."]);
    let (heard, _) = play(&module);
    assert_eq!(heard, [BADF; 4]);
}

#[test]
fn nothing_outside_of_a_granted_folder_is_reachable() {
    let outside = tempfile::tempdir().unwrap();
    let granted = outside.path().join("granted");
    std::fs::create_dir(&granted).unwrap();
    std::fs::write(outside.path().join("secret"), "s").unwrap();
    std::fs::write(granted.join("f"), "").unwrap();
    std::os::unix::fs::symlink("../secret", granted.join("link")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", granted.join("root")).unwrap();
    let module = opens(&[
        "f",
        "../secret",
        "/etc/passwd",
        "link",
        "root",
        "f/../../secret",
        "no",
        "..",
    ]);
    let (builder, stage) = on_stage(&module);
    assert!(run(builder.preopen_dir(&granted, "/")).success());
    let heard = stage.heard();
    assert_eq!(heard[0], SUCCESS);
    assert_eq!(heard[1..5], [PERM; 4]);
    assert_ne!(heard[5], SUCCESS);
    assert_eq!(heard[6..], [NOENT, PERM]);
}

/// `std` of the guest knows this error by its number only.
#[test]
fn a_folder_that_is_not_empty_is_told() {
    const NOTEMPTY: i32 = 55;
    let remove = r#"(module (import "wasi_snapshot_preview1" "path_remove_directory"
      (func $remove (param i32 i32 i32) (result i32)))"#;
    let program = plot_text(&format!(
        r#"{NO_THREADS} (data (i32.const 512) "d") (func (export "_start")
             (call $say (call $remove (i32.const 3) (i32.const 512) (i32.const 1))))"#
    ));
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("d/inner")).unwrap();
    let (builder, stage) = on_stage(&text(&program.replacen("(module", remove, 1)));
    assert!(run(builder.preopen_dir(folder.path(), "/")).success());
    assert_eq!(stage.heard(), [NOTEMPTY]);
}

#[test]
fn a_fifo_that_nobody_writes_to_is_opened_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = std::process::Command::new("mkfifo")
        .arg(folder.path().join("p"))
        .status();
    assert!(fifo.unwrap().success());
    std::os::unix::fs::symlink("p", folder.path().join("link")).unwrap();
    let (builder, stage) = on_stage(&opens(&["p", "link"]));
    assert!(run(builder.preopen_dir(folder.path(), "/")).success());
    assert_eq!(stage.heard(), [SUCCESS; 2]);
}

#[test]
fn a_full_device_is_told() {
    let module = plot(&format!(
        r#"{OPEN} {NO_THREADS} (data (i32.const 512) "full")
           (func (export "_start")
             (call $open (i32.const 4))
             (call $say
               (call $fd_write (call $fd) (i32.const 192) (i32.const 1) (i32.const 200))))"#
    ));
    let (builder, stage) = on_stage(&module);
    assert!(run(builder.preopen_dir("/dev", "/")).success());
    assert_eq!(stage.heard(), [SUCCESS, NOSPC]);
}

// ---- Standard streams ----

#[test]
fn a_pipe_that_nobody_reads_any_more_is_an_error_of_the_write() {
    let module = plot(&format!(
        r#"{NO_THREADS} (func (export "_start")
             (call $until_open)
             (call $say (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1)
               (i32.const 200))))"#
    ));
    let (builder, stage) = on_stage(&module);
    let process = start(builder.stdout(Output::Pipe));
    drop(process.take_stdout());
    stage.open();
    assert_eq!(stage.hear(), PIPE);
    assert!(process.wait().success());
}

/// A writer sleeps in a full pipe, and its reader goes away.
#[test]
fn a_writer_is_woken_when_the_reader_goes() {
    let module = plot(&format!(
        r#"{NO_THREADS} (func (export "_start") (call $write) (call $say (i32.const 1)))"#
    ));
    let (builder, stage) = on_stage(&module);
    let process = start(builder.stdout(Output::Pipe));
    let reader = process.take_stdout();
    until(|| {
        process
            .threads()
            .first()
            .is_some_and(|t| t.activity == Activity::InHostCall)
    });
    drop(reader);
    assert_eq!(stage.hear(), 1);
    assert!(process.wait().success());
}

/// Copies its input to its output.
pub(crate) fn echo() -> Module {
    plot(&format!(
        r#"{NO_THREADS}
           (func (export "_start") (local $at i32)
             (loop $more
               (i32.store (i32.const 192) (i32.const 4096))
               (i32.store (i32.const 196) (i32.const 4096))
               (if (call $fd_read (i32.const 0) (i32.const 192) (i32.const 1) (i32.const 200))
                 (then unreachable))
               (if (i32.eqz (i32.load (i32.const 200))) (then return))
               (i32.store (i32.const 196) (i32.load (i32.const 200)))
               (loop $rest
                 (if (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1)
                   (i32.const 200)) (then unreachable))
                 (i32.store (i32.const 192)
                   (i32.add (i32.load (i32.const 192)) (i32.load (i32.const 200))))
                 (i32.store (i32.const 196)
                   (i32.sub (i32.load (i32.const 196)) (i32.load (i32.const 200))))
                 (br_if $rest (i32.load (i32.const 196))))
               (br $more)))"#
    ))
}

#[test]
fn bytes_pipes_and_buffers_deliver_everything() {
    let data: Vec<u8> = (0..1_000_000_u32).map(|n| ((n * 7) >> 3) as u8).collect();
    let module = echo();

    let (builder, _stage) = on_stage(&module);
    let process = start(
        builder
            .stdin(Stdin::Bytes(data.clone()))
            .stdout(Output::Buffer),
    );
    assert!(process.wait().success());
    assert!(process.stdout_buffer() == data);
    assert_eq!(process.stdout_buffer(), b"", "once");

    let (builder, _stage) = on_stage(&module);
    let process = start(builder.stdin(Stdin::Pipe).stdout(Output::Pipe));
    let mut stdin = process.take_stdin().unwrap();
    let mut stdout = process.take_stdout().unwrap();
    assert!(process.take_stdin().is_none() && process.take_stdout().is_none());
    let sent = data.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let mut received = Vec::new();
    stdout.read_to_end(&mut received).unwrap();
    writer.join().unwrap();
    assert!(received == data);
    assert!(process.wait().success());

    let (builder, _stage) = on_stage(&module);
    let process = start(builder.stdin(Stdin::Null).stdout(Output::Buffer));
    assert!(process.wait().success());
    assert_eq!(process.stdout_buffer(), b"");
}

/// Several threads write: every piece arrives whole.
#[test]
fn pieces_of_several_writers_stay_whole() {
    let module = plot(
        r#"(func (export "wasi_thread_start") (param $id i32) (param $letter i32)
             (local $at i32) (local $n i32)
             ;; A page of its own letter, with a buffer in front.
             (local.set $at (i32.mul (local.get $letter) (i32.const 1024)))
             (i32.store (local.get $at) (i32.add (local.get $at) (i32.const 16)))
             (i32.store offset=4 (local.get $at) (i32.const 100))
             (memory.fill (i32.add (local.get $at) (i32.const 16)) (local.get $letter)
               (i32.const 100))
             (loop
               (if (call $fd_write (i32.const 1) (local.get $at) (i32.const 1)
                 (i32.add (local.get $at) (i32.const 8))) (then unreachable))
               (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if 0 (i32.lt_u (local.get $n) (i32.const 500))))
             (call $count))
           (func (export "_start")
             (drop (call $spawn (i32.const 65))) (drop (call $spawn (i32.const 66)))
             (drop (call $spawn (i32.const 67))) (drop (call $spawn (i32.const 68)))
             (call $until_counted (i32.const 4)))"#,
    );
    let (builder, _stage) = on_stage(&module);
    let process = start(builder.stdout(Output::Pipe));
    let mut received = Vec::new();
    process
        .take_stdout()
        .unwrap()
        .read_to_end(&mut received)
        .unwrap();
    assert!(process.wait().success());
    assert_eq!(received.len(), 4 * 500 * 100);
    assert!(
        received
            .chunks(100)
            .all(|piece| piece.iter().all(|byte| *byte == piece[0]))
    );
}

#[test]
fn pipes_are_no_terminals() {
    // The file type of `fd_fdstat_get`: 2 is a character device, which `isatty` takes
    // for a terminal.
    let module = plot(&format!(
        r#"{NO_THREADS}
           (func $kind (param $fd i32)
             (if (call $fd_fdstat_get (local.get $fd) (i32.const 600)) (then unreachable))
             (call $say (i32.eq (i32.load8_u (i32.const 600)) (i32.const 2))))
           (func (export "_start")
             (call $kind (i32.const 0)) (call $kind (i32.const 1)) (call $kind (i32.const 2)))"#
    ));
    for output in [|| Output::Pipe, || Output::Buffer, || Output::Null] {
        let (builder, stage) = on_stage(&module);
        let builder = builder.stdin(Stdin::Pipe);
        let builder = builder.stdout(output()).stderr(output());
        let process = start(builder);
        assert!(process.wait().success());
        assert_eq!(stage.heard(), [0, 0, 0]);
    }
}

#[test]
fn closed_standard_streams_are_closed() {
    let module = plot(&format!(
        r#"{NO_THREADS} (func (export "_start")
             (call $say (call $fd_close (i32.const 1)))
             (call $say (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1)
               (i32.const 200)))
             (call $say (call $fd_renumber (i32.const 2) (i32.const 1)))
             (call $say (call $fd_write (i32.const 1) (i32.const 192) (i32.const 1)
               (i32.const 200)))
             (call $say (call $fd_write (i32.const 0) (i32.const 192) (i32.const 1)
               (i32.const 200))))"#
    ));
    let (builder, stage) = on_stage(&module);
    let process = start(builder.stdout(Output::Buffer).stderr(Output::Buffer));
    assert!(process.wait().success());
    let heard = stage.heard();
    assert_eq!(heard[..2], [SUCCESS, BADF]);
    if heard[2] == SUCCESS {
        assert_eq!(process.stderr_buffer().len(), 4096);
    }
    assert_eq!(heard[4], BADF);
    assert_eq!(process.stdout_buffer(), b"");
}

#[test]
fn bad_pointers_trap_and_harm_nobody() {
    for call in [
        "(call $fd_write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 200))",
        "(call $random (i32.const 0x7ffffff0) (i32.const 64))",
        "(call $poll (i32.const -48) (i32.const 128) (i32.const 1) (i32.const 160))",
        "(call $clock (i32.const 1) (i64.const 0) (i32.const -8))",
    ] {
        let module = plot(&format!(
            r#"{NO_THREADS} (func (export "_start") (call $say {call}))"#
        ));
        let (heard, status) = play(&module);
        // A trap, or an error that says so.
        assert!(
            status.code() == 134 || heard.first().is_some_and(|e| *e != SUCCESS),
            "{call}"
        );
    }
    let module = text(r#"(module (func (export "_start")))"#);
    assert!(run(ProcessBuilder::new(&module)).success());
}

/// As wherever WASI is: what the module exports as `memory` is what it works on.
#[test]
fn it_works_on_the_memory_that_is_exported() {
    let program = |memories: &str, memory: &str| {
        text(&format!(
            r#"(module
                 (import "wasi_snapshot_preview1" "fd_write"
                   (func $fd_write (param i32 i32 i32 i32) (result i32)))
                 {memories}
                 (func (export "_start")
                   (i32.store {memory} (i32.const 0) (i32.const 64))
                   (i32.store {memory} (i32.const 4) (i32.const 6))
                   (i64.store {memory} (i32.const 64) (i64.const 0x0a_6f_6c_6c_65_68))
                   (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
                     (then unreachable))
                   (if (i32.ne (i32.load {memory} (i32.const 8)) (i32.const 6))
                     (then unreachable))))"#
        ))
    };
    let shapes = [
        (
            "(memory $own (export \"memory\") 1) (memory $s 1 1 shared)",
            "$own",
        ),
        (
            "(memory $s 1 1 shared) (memory $own (export \"memory\") 1)",
            "$own",
        ),
        (
            "(memory $own 1) (memory $s (export \"memory\") 1 1 shared)",
            "$s",
        ),
        (
            "(memory $t 1 1 shared) (memory $s (export \"memory\") 1 1 shared)",
            "$s",
        ),
        ("(memory $t 1) (memory $own (export \"memory\") 1)", "$own"),
        // Nothing is exported under that name: the first.
        (
            "(memory $own 1) (memory $s (export \"other\") 1 1 shared)",
            "$own",
        ),
        (
            "(memory $s 1 1 shared) (memory $own (export \"other\") 1)",
            "$s",
        ),
    ];
    for (memories, memory) in shapes {
        let done = output(ProcessBuilder::new(&program(memories, memory)));
        assert!(done.status.success(), "{memories}: {}", done.status);
        assert_eq!(done.stdout, "hello\n", "{memories}");
    }
}
