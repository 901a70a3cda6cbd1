//! `threadwork run --host node`: the program under Node, by the runtime of web pages.
//!
//! The runtime's scripts are in this binary, and Node wants them as files: they are put
//! into the cache, once for each version. Then this process becomes Node's, so that
//! nobody stands between it and the terminal, the signals and the exit code.
//!
//! What the program is given, values of variables among it, is nobody else's to see, and
//! a command line is everybody's: so it goes through a file without a name, which Node
//! inherits open.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Serialize, Serializer};
use threadwork_engine::{Limit, Module};

use super::RunArgs;
use crate::options::DirMapping;
use crate::{engine, program, report, site};

/// What Node starts: says so where Node is too old for the rest.
const ENTRY: (&str, &str) = ("run.cjs", include_str!("node/run.cjs"));
/// Runs the program and tells how it ended: what the entry loads.
const DRIVER: (&str, &str) = ("run.mjs", include_str!("node/run.mjs"));

/// What the driver is told: `run.mjs` reads it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Order<'a> {
    /// The file that the user named, for messages.
    file: String,
    name: String,
    /// The program as it is run.
    program: PathBuf,
    /// A folder to remove at the end.
    temporary: Option<&'a Path>,
    args: &'a [String],
    env: BTreeMap<&'a str, String>,
    /// The guest's names of directories, and where they are, in the order in which the
    /// program gets them.
    #[serde(serialize_with = "in_order")]
    directories: Vec<(&'a str, PathBuf)>,
    /// The names of those where the program may only read.
    read_only: Vec<&'a str>,
    /// The sockets that listen for it, as Node inherits them.
    listeners: Vec<RawFd>,
    limits: BTreeMap<&'static str, LimitOrder>,
    stats: bool,
}

/// A limit, and what is said when it was reached.
#[derive(Serialize)]
struct LimitOrder {
    /// Milliseconds, bytes, or how many.
    value: f64,
    text: String,
    option: &'static str,
}

/// Runs the program. Returns only if that cannot be.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<i32> {
    if args.max_file_bytes.is_some() {
        bail!("--host node has no --max-file-bytes: run the program on the engine");
    }
    if args.max_output.is_some() {
        bail!("--host node has no --max-output: run the program on the engine");
    }
    let (file, guest_args) = args.command.split_first().context("no file given")?;
    let file = Path::new(file);
    let wasm = program::read(file)?;
    if Module::is_precompiled(&wasm) {
        bail!(
            "{} is machine code for the engine: give the .wasm file",
            file.display()
        );
    }
    let wasm = Module::rewrite(&wasm)
        .map_err(|error| report::explain(format_args!("cannot run {}", file.display()), error))?;
    let place = Place::choose(args.no_cache)
        .map_err(|error| report::explain("cannot write the scripts for Node", error))?;
    let program = place
        .program(&wasm)
        .map_err(|error| report::explain("cannot write the program for Node", error))?;
    let listeners = args.listeners()?;
    let order = Order {
        file: file.display().to_string(),
        name: program::name(file),
        program,
        temporary: place.temporary.then_some(&place.folder),
        args: guest_args,
        env: variables(args)?,
        directories: directories(args)?,
        read_only: read_only(args),
        listeners: inherited(&listeners)
            .map_err(|error| report::explain("cannot pass on a socket", error))?,
        limits: limits(args),
        stats: args.stats,
    };
    let order = order
        .to_file()
        .map_err(|error| report::explain("cannot write what Node is to do", error))?;
    let mut node = Command::new("node");
    node.arg(entry(&place.scripts()?))
        .arg(DRIVER.0)
        .arg(order.as_raw_fd().to_string());
    Err(cannot_start(node.exec()))
}

impl Order<'_> {
    /// An open file with this in it, which the next program of this process inherits.
    fn to_file(&self) -> io::Result<File> {
        let mut file = tempfile::tempfile()?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.rewind()?;
        fcntl_setfd(&file, FdFlags::empty())?;
        Ok(file)
    }
}

/// Where the files for Node are.
struct Place {
    folder: PathBuf,
    /// Whether they are for this run only.
    temporary: bool,
}

impl Place {
    fn choose(no_cache: bool) -> io::Result<Self> {
        match engine::cache_folder().filter(|_| !no_cache) {
            Some(folder) => Ok(Self {
                folder,
                temporary: false,
            }),
            None => Ok(Self {
                folder: tempfile::Builder::new()
                    .prefix("threadwork-")
                    .tempdir()?
                    .keep(),
                temporary: true,
            }),
        }
    }

    /// The folder of the scripts, which are written if they are not there.
    fn scripts(&self) -> anyhow::Result<PathBuf> {
        let mut hash = blake3::Hasher::new();
        for (path, bytes) in scripts() {
            hash.update(path.as_bytes())
                .update(blake3::hash(bytes).as_bytes());
        }
        let folder = self
            .folder
            .join(format!("node-{}", &hash.finalize().to_hex()[..32]));
        put(&folder, write_scripts)
            .map_err(|error| report::explain("cannot write the scripts for Node", error))?;
        Ok(folder)
    }

    fn program(&self, wasm: &[u8]) -> io::Result<PathBuf> {
        let file = self
            .folder
            .join(format!("{}.wasm", blake3::hash(wasm).to_hex()));
        put(&file, |path| fs::write(path, wasm))?;
        Ok(file)
    }
}

/// Everything that Node loads: the runtime, and what stands on it.
fn scripts() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    let own = [ENTRY, DRIVER];
    site::runtime().chain(own.map(|(path, text)| (path, text.as_bytes())))
}

/// Writes them into a folder.
pub(crate) fn write_scripts(folder: &Path) -> io::Result<()> {
    scripts().try_for_each(|(name, bytes)| {
        let file = folder.join(name);
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(file, bytes)
    })
}

/// What Node is to start in such a folder; its first argument is the name of the script
/// to go on with, the others are for that.
pub(crate) fn entry(folder: &Path) -> PathBuf {
    folder.join(ENTRY.0)
}

/// Makes what is at `path`, if nothing is: under another name first, so that nobody sees
/// half of it. Names say what they hold, so who comes second has nothing to do.
fn put(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let unfinished = path.with_extension(format!("new-{}", std::process::id()));
    write(&unfinished)?;
    match fs::rename(&unfinished, path) {
        Err(_) if path.exists() => {
            // Another run was faster.
            let _ = fs::remove_dir_all(&unfinished);
            Ok(())
        }
        outcome => outcome,
    }
}

fn variables(args: &RunArgs) -> anyhow::Result<BTreeMap<&str, String>> {
    let mut values = BTreeMap::new();
    for variable in &args.variables {
        if let Some(value) = variable.resolve()? {
            values.insert(variable.name.as_str(), value);
        }
    }
    Ok(values)
}

fn directories(args: &RunArgs) -> anyhow::Result<Vec<(&str, PathBuf)>> {
    let place = |dir: &DirMapping| {
        let name = dir.host.display();
        if !dir.host.is_dir() {
            bail!("--dir {name}: there is no such directory");
        }
        let host = dir.host.canonicalize();
        host.map_err(|error| report::explain(format_args!("--dir {name}"), error))
    };
    let dirs = args.directories().into_iter();
    dirs.map(|dir| Ok((dir.guest.as_str(), place(dir)?)))
        .collect()
}

fn read_only(args: &RunArgs) -> Vec<&str> {
    let dirs = args.directories().into_iter();
    dirs.filter(|dir| dir.read_only)
        .map(|dir| dir.guest.as_str())
        .collect()
}

/// Lets the next program of this process have the sockets.
fn inherited(listeners: &[TcpListener]) -> io::Result<Vec<RawFd>> {
    let inherit = |listener: &TcpListener| {
        fcntl_setfd(listener, FdFlags::empty())?;
        Ok(listener.as_raw_fd())
    };
    listeners.iter().map(inherit).collect()
}

/// A map whose entries come in this order.
fn in_order<S: Serializer>(
    entries: &Vec<(&str, PathBuf)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|(name, value)| (name, value)))
}

fn limits(args: &RunArgs) -> BTreeMap<&'static str, LimitOrder> {
    let milliseconds = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    let given = [
        (
            "threads",
            args.threads
                .map(|count| (count.into(), Limit::Threads(count))),
        ),
        // No memory of a program has more bytes than a double counts.
        (
            "memory",
            args.max_memory
                .map(|bytes| (bytes as f64, Limit::Memory(bytes))),
        ),
        (
            "wallTime",
            args.timeout
                .map(|time| (milliseconds(time), Limit::WallTime(time))),
        ),
        (
            "cpuTime",
            args.max_cpu
                .map(|time| (milliseconds(time), Limit::CpuTime(time))),
        ),
        (
            "openFiles",
            args.max_open_files
                .map(|count| (count.into(), Limit::OpenFiles(count))),
        ),
    ];
    let orders = given.into_iter().filter_map(|(name, limit)| {
        let (value, limit) = limit?;
        let (text, option) = (limit.to_string(), report::option_of(limit));
        Some((
            name,
            LimitOrder {
                value,
                text,
                option,
            },
        ))
    });
    orders.collect()
}

fn cannot_start(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!(
            "there is no `node` in PATH: install Node 20.16 or newer, or leave --host out"
        ),
        _ => report::explain("cannot start node", error),
    }
}
