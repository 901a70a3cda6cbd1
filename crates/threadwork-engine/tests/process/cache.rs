//! The cache of compiled modules: it helps, and never makes a load fail.

use crate::support::{Watch, plot_text, run};
use std::fs;
use std::path::{Path, PathBuf};
use threadwork_engine::{Engine, Module, ProcessBuilder};

const TEXT: &[u8] = br#"(module (func (export "_start")))"#;

fn engine(folder: &Path) -> Engine {
    Engine::builder()
        .cache_dir(Some(folder.to_owned()))
        .build()
        .unwrap()
}

/// Loads with a new engine, and runs.
#[track_caller]
fn works(folder: &Path) {
    let module = Module::new(&engine(folder), TEXT).unwrap();
    assert!(run(ProcessBuilder::new(&module)).success());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[track_caller]
fn the_entry(folder: &Path) -> PathBuf {
    let files = files(folder);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].extension().unwrap(), "twc");
    files[0].clone()
}

#[test]
fn a_second_load_comes_from_the_cache() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("made/when/needed");
    works(&folder);
    let entry = the_entry(&folder);
    let mode = fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "for its owner only");
    // An entry that were written again would be a new file.
    let inode = fs::metadata(&entry).unwrap().ino();
    works(&folder);
    assert_eq!(fs::metadata(the_entry(&folder)).unwrap().ino(), inode);
}

/// Its code is not copied, and what many programs run is in memory once.
#[test]
#[cfg(target_os = "linux")]
fn code_is_run_where_its_entry_is_mapped() {
    let folder = tempfile::tempdir().unwrap();
    works(folder.path());
    let entry = the_entry(folder.path());
    let runs = |maps: &str| {
        let mut lines = maps
            .lines()
            .filter(|line| line.ends_with(entry.to_str().unwrap()));
        lines.any(|line| line.contains(" r-xp "))
    };
    let module = Module::new(&engine(folder.path()), TEXT).unwrap();
    assert!(runs(&fs::read_to_string("/proc/self/maps").unwrap()));
    // As somebody does who empties the cache.
    fs::remove_file(&entry).unwrap();
    assert!(run(ProcessBuilder::new(&module)).success());
}

/// Whatever becomes of an entry, the module is compiled and the entry made good.
#[test]
fn a_damaged_entry_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    works(folder);
    let entry = the_entry(folder);
    let good = fs::read(&entry).unwrap();
    let mut damages = vec![
        Vec::new(),
        b"x".to_vec(),
        good[1..].to_vec(),
        vec![0; good.len()],
    ];
    damages.extend([1, 31, 32, 33, good.len() / 2, good.len() - 1].map(|n| good[..n].to_vec()));
    for at in [0, 10, good.len() / 2, good.len() - 1] {
        let mut damaged = good.clone();
        damaged[at] ^= 1;
        damages.push(damaged);
    }
    for damaged in damages {
        fs::write(&entry, &damaged).unwrap();
        works(folder);
        assert_eq!(the_entry(folder), entry);
        let again = fs::read(&entry).unwrap();
        assert!(
            again.len() == good.len() && again != damaged,
            "it was not made good"
        );
    }
}

/// A checksum that fits does not make nonsense a module.
#[test]
fn an_entry_of_nonsense_with_a_checksum_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    works(folder.path());
    let entry = the_entry(folder.path());
    for nonsense in [&b""[..], b"nonsense", &[0xff; 100]] {
        let mut bytes = nonsense.to_vec();
        bytes.extend_from_slice(blake3::hash(nonsense).as_bytes());
        fs::write(&entry, bytes).unwrap();
        works(folder.path());
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    // Works for root, too, whom permissions do not stop.
    for unusable in [file.clone(), file.join("below"), "/proc/no/such".into()] {
        works(&unusable);
    }
    works(folder.path());
    let entry = files(folder.path())
        .into_iter()
        .find(|path| *path != file)
        .unwrap();
    fs::remove_file(&entry).unwrap();
    fs::create_dir(&entry).unwrap();
    works(folder.path());
}

#[test]
fn settings_and_contents_have_entries_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    works(folder.path());
    let other = Engine::builder()
        .cache_dir(Some(folder.path().to_owned()))
        .stopping(threadwork_engine::Stopping::Never)
        .build()
        .unwrap();
    Module::new(&other, TEXT).unwrap();
    Module::new(&other, br#"(module (func (export "_start") nop))"#).unwrap();
    assert_eq!(files(folder.path()).len(), 3);
}

#[test]
fn a_module_from_the_cache_is_the_same_module() {
    let folder = tempfile::tempdir().unwrap();
    let text = plot_text(
        r#"(memory $other 1 9 shared) (data $text "abc") (table $t 1 funcref)
           (func $boom (data.drop $text) unreachable)
           (func (export "wasi_thread_start") (param i32 i32)
             (drop (memory.atomic.notify $other (i32.const 0) (i32.const 1)))
             (memory.init $text (i32.const 512) (i32.const 0) (i32.const 3))
             (call $boom))
           (func (export "_start")
             (drop (memory.grow $other (i32.const 1)))
             (drop (call $spawn (i32.const 0))) (call $sleep))"#,
    );
    let told = || {
        let module = Module::new(&engine(folder.path()), text.as_bytes()).unwrap();
        assert!(module.spawns() && module.is_command());
        let (builder, _stage) = crate::support::on_stage(&module);
        let trap = crate::support::trap(run(builder));
        (trap.thread, trap.to_string())
    };
    let compiled = told();
    assert_eq!(told(), compiled);
    assert!(compiled.1.contains("boom"), "{}", compiled.1);
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn many_at_once_share_a_folder() {
    let _watch = Watch::start();
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<_> = (0..5)
        .map(|n| format!("(module (func (export \"_start\") (drop (i32.const {n}))))"))
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let engine = engine(folder.path());
                for text in texts.iter().chain(&texts) {
                    let module = Module::new(&engine, text.as_bytes()).unwrap();
                    assert!(ProcessBuilder::new(&module).run().unwrap().success());
                }
            });
        }
    });
    let files = files(folder.path());
    assert!(files.len() == 5 && files.iter().all(|file| file.extension().unwrap() == "twc"));
}
