//! Profiles: what they say of programs of which it is known where their time goes, however
//! those end, and that what other tools read is what those tools expect.

use crate::support::{Watch, on_stage, plot, text, until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use threadwork_engine::{
    Engine, ExitStatus, Module, Process, ProcessBuilder, Profile, ProfileOptions,
};

fn profiled(module: &Module) -> (Process, Profile) {
    // On a stage, for plots; others do not look at it.
    let (builder, _stage) = on_stage(module);
    let process = builder.profile(ProfileOptions::default()).spawn().unwrap();
    let profile = process.profile().unwrap();
    (process, profile)
}

/// Two functions that compute for ever, the one three times as long as the other, and hardly
/// any other. For how long changes all the time: else the clock's ticks, which are regular,
/// might always meet the same one.
fn forever() -> Module {
    text(
        r#"(module
          (func $work (param $n i32)
            (loop (local.set $n (i32.sub (local.get $n) (i32.const 1)))
              (br_if 0 (i32.gt_s (local.get $n) (i32.const 0)))))
          (func $long (param $n i32) (call $work (i32.mul (local.get $n) (i32.const 3))))
          (func $short (param $n i32) (call $work (local.get $n)))
          (func (export "_start") (local $random i32) (local $n i32)
            (loop
              (local.set $random (i32.add (i32.const 1013904223)
                (i32.mul (local.get $random) (i32.const 1664525))))
              (local.set $n (i32.shr_u (local.get $random) (i32.const 11)))
              (call $long (local.get $n)) (call $short (local.get $n)) (br 0))))"#,
    )
}

/// Folded stacks with their microseconds.
fn folded(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (stack, time) = line.rsplit_once(' ').unwrap();
        (stack.to_owned(), time.parse().unwrap())
    };
    text.lines().map(line).collect()
}

#[test]
fn samples_tell_functions_apart_and_lead_to_the_entry() {
    let _watch = Watch::start();
    let (process, profile) = profiled(&forever());
    // Half a second of processor time.
    until(|| folded(&profile.cpu_folded()).values().sum::<u64>() >= 500_000);
    process.kill();
    assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
    let stacks = folded(&profile.cpu_folded());
    let all: u64 = stacks.values().sum();
    let of = |function: &str| -> u64 {
        let has = |stack: &str| stack.split(';').any(|name| name == function);
        stacks
            .iter()
            .filter(|(stack, _)| has(stack))
            .map(|(_, time)| time)
            .sum()
    };
    // Whatever of the host the clock has met at the beginning.
    assert!(of("work") * 100 >= all * 95, "{stacks:#?}");
    let share = of("long") as f64 / of("work") as f64;
    assert!((0.5..0.95).contains(&share), "{share}: {stacks:#?}");
    let work = |(stack, _): &(&String, &u64)| stack.ends_with(";work");
    for (stack, _) in stacks.iter().filter(work) {
        let names: Vec<_> = stack.split(';').collect();
        let callers = &names[names.len() - 3..names.len() - 1];
        assert!(matches!(callers[1], "long" | "short"), "{stack}");
    }
    let lost = stacks
        .iter()
        .filter(|(stack, _)| stack.contains("not found"));
    let lost: u64 = lost.map(|(_, time)| time).sum();
    assert!(lost * 100 <= all, "{stacks:#?}");
    let summary = profile.summary();
    assert!(
        summary.contains("work") && summary.contains("100.0 %") || lost > 0,
        "{summary}"
    );
}

/// The program of the next tests: the main thread sleeps until another wakes it.
fn waiting() -> Module {
    plot(
        r#"(func $sleeper (drop
             (memory.atomic.wait32 (i32.const 4096) (i32.const 0) (i64.const -1))))
           (func $waker
             (i32.atomic.store (i32.const 4096) (i32.const 1))
             (drop (memory.atomic.notify (i32.const 4096) (i32.const 1))))
           (func (export "wasi_thread_start") (param $id i32) (param $argument i32)
             ;; For so long nobody hovers.
             (drop (memory.atomic.wait32 (i32.const 4104) (i32.const 0) (i64.const 200000000)))
             (call $waker))
           (func (export "_start")
             (drop (call $spawn (i32.const 0)))
             (call $sleeper))"#,
    )
}

#[test]
fn waits_say_who_slept_where_and_who_woke_it() {
    let _watch = Watch::start();
    let (process, profile) = profiled(&waiting());
    assert!(process.wait().success());
    let stacks = folded(&profile.waits_folded());
    let slept = |part: &str| {
        let mut stacks = stacks.iter();
        let found = stacks.find(|(stack, _)| stack.contains(part));
        *found.unwrap_or_else(|| panic!("{part}: {stacks:#?}")).1
    };
    // The other thread slept for its 200 ms, and the main thread for most of them.
    assert!(slept("sleeper;[asleep]") >= 100_000, "{stacks:#?}");
    let summary = profile.summary();
    assert!(
        summary.contains("woken 1 time by thread 1: waker"),
        "{summary}"
    );
    assert!(
        summary.contains(" by no thread of the program"),
        "{summary}"
    );
}

#[test]
fn deadlocks_and_traps_have_profiles() {
    let _watch = Watch::start();
    let deadlock = text(
        r#"(module (memory 1 1 shared)
          (func $stuck (drop
            (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
          (func (export "_start") (call $stuck)))"#,
    );
    let (process, profile) = profiled(&deadlock);
    assert!(matches!(process.wait(), ExitStatus::Deadlock(_)));
    assert!(
        profile.waits_folded().contains("stuck;[asleep]"),
        "{}",
        profile.waits_folded()
    );
    let (process, profile) = profiled(&text(r#"(module (func (export "_start") unreachable))"#));
    assert!(matches!(process.wait(), ExitStatus::Trapped(_)));
    let summary = profile.summary();
    assert!(summary.contains("1 thread"), "{summary}");
    assert!(names_in(&profile.timeline()).contains("running"));
}

#[test]
fn a_process_that_is_not_profiled_has_no_profile() {
    let module = text(r#"(module (func (export "_start")))"#);
    let process = ProcessBuilder::new(&module).spawn().unwrap();
    assert!(process.wait().success());
    assert!(process.profile().is_none());
}

/// Samples, the signal that stops threads, and traps, all at once: nothing is lost, and nobody
/// hangs.
#[test]
fn samples_and_the_stop_signal_leave_each_other_alone() {
    let _watch = Watch::start();
    let module = plot(
        r#"(func $deep (param $n i32)
             (if (local.get $n)
               (then (call $deep (i32.sub (local.get $n) (i32.const 1)))))
             (drop (memory.atomic.notify (i32.const 4096) (i32.const 1)))
             (memory.fill (i32.const 8192) (i32.const 1) (i32.const 4096)))
           (func $forever (loop (call $deep (i32.const 300)) (br 0)))
           (func (export "wasi_thread_start") (param i32 i32) (call $forever))
           (func (export "_start")
             (drop (call $spawn (i32.const 0)))
             (call $forever))"#,
    );
    let options = ProfileOptions::default().samples_per_second(10_000);
    for round in 0..20 {
        let (builder, _stage) = on_stage(&module);
        let process = builder.profile(options).spawn().unwrap();
        let profile = process.profile().unwrap();
        if round % 4 == 0 {
            until(|| !profile.cpu_folded().is_empty());
        }
        process.kill();
        assert!(matches!(process.wait(), ExitStatus::Killed { .. }));
        // Stacks of more than 300 frames are cut, not lost.
        let stacks = folded(&profile.cpu_folded());
        let all: u64 = stacks.values().sum();
        let lost = stacks
            .iter()
            .filter(|(stack, _)| stack.contains("not found"));
        let lost: u64 = lost.map(|(_, time)| time).sum();
        assert!(lost * 10 <= all, "{stacks:#?}");
    }
}

#[test]
fn firefox_finds_what_the_rows_name() {
    let _watch = Watch::start();
    let (process, profile) = profiled(&forever());
    until(|| folded(&profile.cpu_folded()).values().sum::<u64>() >= 50_000);
    process.kill();
    let _ = process.wait();
    let json: Value = serde_json::from_str(&profile.cpu_firefox()).unwrap();
    let thread = &json["threads"][0];
    assert_eq!(thread["name"], "main");
    let rows = |table: &str| {
        let table = thread[table].as_object().unwrap();
        let length = table["length"].as_u64().unwrap() as usize;
        for (name, column) in table {
            if let Some(column) = column.as_array() {
                assert_eq!(column.len(), length, "{name}");
            }
        }
        length
    };
    let (samples, stacks) = (rows("samples"), rows("stackTable"));
    let (frames, functions) = (rows("frameTable"), rows("funcTable"));
    let texts = thread["stringArray"].as_array().unwrap();
    let below = |table: &str, column: &str, end: usize| {
        for row in thread[table][column].as_array().unwrap() {
            assert!(
                row.is_null() || (row.as_u64().unwrap() as usize) < end,
                "{table} {column}"
            );
        }
    };
    assert!(samples > 0);
    below("samples", "stack", stacks);
    below("stackTable", "frame", frames);
    below("stackTable", "prefix", stacks);
    below("frameTable", "func", functions);
    below("funcTable", "name", texts.len());
    assert!(texts.iter().any(|text| text == "work"), "{texts:?}");
    let weights = thread["samples"]["weight"].as_array().unwrap().iter();
    let milliseconds: f64 = weights.map(|weight| weight.as_f64().unwrap()).sum();
    let folded: u64 = folded(&profile.cpu_folded()).values().sum();
    assert!(
        (milliseconds * 1e3 - folded as f64).abs() < 1.0,
        "{milliseconds} {folded}"
    );
}

// ---- Perfetto's format, read as it is described ----

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(_) => panic!("it is no number"),
        }
    }

    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(_) => panic!("it has no bytes"),
        }
    }
}

fn groups(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7F) << shift;
        if first & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number has no end");
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = groups(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(groups(&mut bytes)),
            1 => {
                let (word, rest) = bytes.split_first_chunk().unwrap();
                bytes = rest;
                Field::Number(u64::from_le_bytes(*word))
            }
            2 => {
                let length = groups(&mut bytes) as usize;
                let (inner, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(inner)
            }
            wire => panic!("there is no kind {wire}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

/// An event of a trace.
#[derive(Debug)]
struct Event {
    at: u64,
    track: u64,
    /// 1 begins, 2 ends, 3 is a moment.
    what: u64,
    name: String,
    flow: Option<u64>,
    ends_flow: Option<u64>,
}

fn events_in(trace: &[u8]) -> Vec<Event> {
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    let mut events = Vec::new();
    for (field, packet) in fields(trace) {
        assert_eq!(field, 1);
        let packet = fields(packet.bytes());
        let one = |number: u64| packet.iter().find(|(field, _)| *field == number);
        let interned = one(12)
            .map(|(_, data)| fields(data.bytes()))
            .unwrap_or_default();
        for (_, entry) in interned.iter().filter(|(list, _)| *list == 2) {
            let entry = fields(entry.bytes());
            let text = String::from_utf8(entry[1].1.bytes().to_vec()).unwrap();
            names.insert(entry[0].1.number(), text);
        }
        let Some((_, event)) = one(11) else { continue };
        let event = fields(event.bytes());
        let value = |number: u64| {
            let found = event.iter().find(|(field, _)| *field == number);
            found.map(|(_, value)| value.number())
        };
        events.push(Event {
            at: one(8).unwrap().1.number(),
            track: value(11).unwrap(),
            what: value(9).unwrap(),
            name: value(10)
                .map(|name| names[&name].clone())
                .unwrap_or_default(),
            flow: value(47),
            ends_flow: value(48),
        });
    }
    events
}

fn names_in(trace: &[u8]) -> BTreeSet<String> {
    events_in(trace)
        .into_iter()
        .map(|event| event.name)
        .collect()
}

#[test]
fn the_timeline_shows_who_started_and_woke_whom() {
    let _watch = Watch::start();
    let (process, profile) = profiled(&waiting());
    assert!(process.wait().success());
    let events = events_in(&profile.timeline());
    let find = |name: &str, flows: fn(&Event) -> Option<u64>| {
        let is_it = |event: &&Event| event.name == name && flows(event).is_some();
        let found = events.iter().find(is_it);
        found.unwrap_or_else(|| panic!("{name}: {events:#?}"))
    };
    let (notify, woken) = (find("notify", |e| e.flow), find("woken", |e| e.ends_flow));
    assert_eq!(notify.flow, woken.ends_flow);
    assert_ne!(notify.track, woken.track);
    assert!(notify.at <= woken.at, "{events:#?}");
    let (spawn, running) = (find("spawn", |e| e.flow), find("running", |e| e.ends_flow));
    assert_eq!(spawn.flow, running.ends_flow);
    assert_eq!((spawn.track, running.track), (woken.track, notify.track));
    // What begins ends, on each track.
    let mut open: BTreeMap<u64, i32> = BTreeMap::new();
    for event in &events {
        *open.entry(event.track).or_default() += match event.what {
            1 => 1,
            2 => -1,
            _ => 0,
        };
    }
    assert!(open.values().all(|open| *open == 0), "{open:?}");
}

#[test]
fn a_directory_gets_all_files_or_a_clear_error() {
    let (process, profile) = profiled(&text(r#"(module (func (export "_start")))"#));
    assert!(process.wait().success());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/out");
    profile.write_to(&out).unwrap();
    let there: BTreeSet<_> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, Profile::FILES.map(str::to_owned).into());
    // A disk that is full.
    fs::remove_file(out.join("summary.txt")).unwrap();
    std::os::unix::fs::symlink("/dev/full", out.join("summary.txt")).unwrap();
    let error = profile.write_to(&out).unwrap_err().to_string();
    assert!(
        error.contains("summary.txt") && error.contains("No space left"),
        "{error}"
    );
    // A file where the directory should be.
    let error = profile
        .write_to(out.join("cpu.folded"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("cpu.folded"), "{error}");
}

/// `perf` looks for names in the map only where code is in no file.
#[test]
fn the_map_for_perf_names_code_that_is_in_no_file() {
    let cache = tempfile::tempdir().unwrap();
    let load = || {
        let builder = Engine::builder().cache_dir(Some(cache.path().to_owned()));
        let engine = builder.perf_map(true).build().unwrap();
        let wasm = br#"(module (func $seen_by_perf (export "_start")))"#;
        Module::new(&engine, wasm).unwrap()
    };
    // The second is from the cache.
    let modules = [load(), load()];
    let path = format!("/tmp/perf-{}.map", std::process::id());
    let map = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = map
        .lines()
        .filter(|line| line.ends_with(" seen_by_perf"))
        .collect();
    assert_eq!(lines.len(), 2, "{map}");
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    for line in lines {
        let address = u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap();
        let holds = |line: &&str| {
            let range = line.split(' ').next().unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let number = |text| u64::from_str_radix(text, 16).unwrap();
            (number(start)..number(end)).contains(&address)
        };
        let mapping = maps.lines().find(holds).unwrap();
        assert!(!mapping.contains('/'), "{mapping}");
    }
    drop(modules);
    fs::remove_file(path).unwrap();
}
