//! What the rewriter makes of a module, in the text format, for a person to read.
//!
//! `tests/snapshots/<name>.wat` is rewritten and must print as
//! `tests/snapshots/<name>.out.wat`; those whose name begins with `poll` are to be
//! stopped by polls, those with `signal` by a signal, those with `word` by a byte; those with `stack` have their stack
//! checked, those with `barriers` their barriers replaced. After a change that is meant, run
//! with `UPDATE_SNAPSHOTS=1` and read the difference.

use std::{fs, path::Path};

use threadwork_rewrite::{FEATURES, Options, Rewritten, Stopping, rewrite_with};
use wasmparser::Validator;

#[test]
fn modules_are_rewritten_as_shown() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut different = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(name) = name.strip_suffix(".wat").filter(|n| !n.ends_with(".out")) else {
            continue;
        };
        seen += 1;
        let wasm = wat::parse_file(&path).unwrap();
        let stopping = match name.split('_').next() {
            Some("poll") => Stopping::ByPoll,
            Some("signal") => Stopping::BySignal,
            Some("word") => Stopping::ByWord,
            _ => Stopping::None,
        };
        let options = Options {
            stopping,
            stack_check: name.starts_with("stack") || name.starts_with("barriers_stack"),
            locked_barriers: name.starts_with("barriers"),
        };
        let new = rewrite_with(&wasm, options).unwrap_or_else(|error| panic!("{name}: {error}"));
        Validator::new_with_features(FEATURES)
            .validate_all(&new.wasm)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let shown = show(&new);
        let expected = folder.join(format!("{name}.out.wat"));
        if update {
            fs::write(expected, shown).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != shown {
            different.push(format!("{name}:\n{shown}"));
        }
    }
    assert!(seen >= 20, "snapshots are missing: only {seen} found");
    assert!(
        different.is_empty(),
        "{} differ from their snapshot; if that is meant, UPDATE_SNAPSHOTS=1\n{}",
        different.len(),
        different.join("\n"),
    );
}

/// The module as text, under a comment with what is said about it.
fn show(new: &Rewritten) -> String {
    let mut text = String::new();
    for memory in &new.memories {
        text += &format!(
            ";; memory {}: {}.{}, {} to {:?} pages{}\n",
            memory.index,
            memory.module,
            memory.name,
            memory.minimum,
            memory.maximum,
            if memory.memory64 { ", 64 bits" } else { "" },
        );
    }
    for sync in &new.sync {
        let width = if sync.memory64 { ", 64 bits" } else { "" };
        text += &format!(
            ";; sync {}: {:?} of memory {}{width}\n",
            sync.name, sync.op, sync.memory
        );
    }
    text += &format!(";; enter: {}, reset: {}\n", new.has_enter, new.has_reset);
    if new.has_poll {
        text += ";; poll: true\n";
    }
    if let Some(overflow) = new.stack_overflow {
        text += &format!(";; stack overflow: function {overflow}\n");
    }
    if let Some(address) = new.stop_byte {
        text += &format!(";; stop byte: {address}\n");
    }
    if let Some(stop) = new.stop_function {
        text += &format!(";; stop: function {stop}\n");
    }
    text + &wasmprinter::print_bytes(&new.wasm).unwrap() + "\n"
}
