//! The site that runs one program: page, runtime, service worker, the program, its files.
//!
//! `serve` answers requests from it, `bundle` writes it down. What the page has to
//! know of the program stands in `program.json`. Programs and files are read anew
//! each time, so that what is on disk is what runs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use threadwork_engine::Module;

use crate::options::{self, DirMapping, EnvVar};
use crate::{program, report};

/// The page, the runtime and the service worker: paths on a site and contents.
static ASSETS: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Where the program is on a site.
const PROGRAM: &str = "program.wasm";
/// Where the page finds a [`Description`].
const DESCRIPTION: &str = "program.json";
/// Where the runtime's scripts are.
const RUNTIME: &str = "runtime/";
/// Where files of `--dir` are: `files/<number of the option>/<path>`.
const FILES: &str = "files";

/// A page loads all files before the program starts; more than this is a mistake,
/// such as somebody's home.
const MOST_FILES: usize = 10_000;
/// The same for their bytes together: more does not fit beside a program in a page.
const MOST_BYTES: u64 = 1 << 30;

/// What `serve` and `bundle` need to know of a program.
#[derive(Args)]
pub(crate) struct SiteArgs {
    /// Give the program a copy of a directory, under its own name or as GUEST
    #[arg(long = "dir", value_name = "HOST[::GUEST]", value_parser = options::parse_dir)]
    dirs: Vec<DirMapping>,

    /// Set an environment variable; without a value, pass on the one set here
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = options::parse_env)]
    variables: Vec<EnvVar>,

    /// Most threads at one time, besides the main one
    #[arg(long, value_name = "N", value_parser = options::parse_count)]
    threads: Option<u32>,

    /// The program, .wasm or .wat
    #[arg(value_name = "FILE")]
    program: PathBuf,

    /// Its arguments; the word {threads} becomes the number of threads chosen in the page
    #[arg(value_name = "ARGS", last = true)]
    args: Vec<String>,
}

/// A site of one program. Paths have no leading slash and no escapes.
pub(crate) struct Site {
    program: PathBuf,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    threads: Option<u32>,
    dirs: Vec<Dir>,
}

/// A directory of `--dir`.
struct Dir {
    /// Without links, so that what lies inside can be told from what does not.
    host: PathBuf,
    guest: String,
}

/// What the page reads: `web/page/program.js` has the other end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description<'a> {
    name: Cow<'a, str>,
    program: &'static str,
    args: &'a [String],
    env: &'a BTreeMap<String, String>,
    max_threads: Option<u32>,
    directories: Vec<&'a str>,
    files: Vec<FileEntry>,
}

/// One file of `--dir`: what the program calls it, and where the page gets it.
#[derive(Serialize)]
struct FileEntry {
    path: String,
    url: String,
    size: u64,
}

/// A path's contents.
pub(crate) struct Page {
    pub(crate) kind: &'static str,
    pub(crate) bytes: Cow<'static, [u8]>,
}

/// Why a path has no contents.
#[derive(Debug)]
pub(crate) enum Missing {
    /// There is no such file.
    Unknown,
    /// It lies outside of the directories that were given.
    Forbidden,
    /// It should be there and cannot be given now; the text says why.
    Broken(String),
}

impl Site {
    /// Checks everything that can be wrong with the options.
    pub(crate) fn new(args: &SiteArgs) -> anyhow::Result<Self> {
        let site = Self {
            program: args.program.clone(),
            args: args.args.clone(),
            env: variables(&args.variables)?,
            threads: args.threads,
            dirs: args.dirs.iter().map(dir).collect::<anyhow::Result<_>>()?,
        };
        site.program()?;
        site.files()?;
        Ok(site)
    }

    /// The program's file name.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        let name = self.program.file_name();
        name.unwrap_or(self.program.as_os_str()).to_string_lossy()
    }

    /// What is at this path.
    pub(crate) fn get(&self, path: &str) -> Result<Page, Missing> {
        let path = if path.is_empty() { "index.html" } else { path };
        let broken = |error: anyhow::Error| Missing::Broken(error.to_string());
        let bytes = match path.split_once('/') {
            None if path == PROGRAM => Cow::Owned(self.program().map_err(broken)?),
            None if path == DESCRIPTION => Cow::Owned(self.description().map_err(broken)?),
            Some((FILES, rest)) => Cow::Owned(self.file(rest)?),
            _ => Cow::Borrowed(asset(path).ok_or(Missing::Unknown)?),
        };
        let kind = kind(path);
        Ok(Page { kind, bytes })
    }

    /// Every path that [`get`](Self::get) has something at.
    pub(crate) fn paths(&self) -> anyhow::Result<Vec<String>> {
        let assets = ASSETS.iter().map(|(path, _)| (*path).to_owned());
        let own = [PROGRAM, DESCRIPTION].map(str::to_owned);
        let files = self.files()?.into_iter().map(|file| file.site);
        Ok(assets.chain(own).chain(files).collect())
    }

    /// The program as the page runs it.
    fn program(&self) -> anyhow::Result<Vec<u8>> {
        let code = program::read(&self.program)?;
        if Module::is_precompiled(&code) {
            let name = self.program.display();
            bail!("{name} is machine code for the engine: give the .wasm file");
        }
        Module::rewrite(&code).map_err(|error| {
            report::explain(format_args!("cannot run {}", self.program.display()), error)
        })
    }

    fn description(&self) -> anyhow::Result<Vec<u8>> {
        let entry = |file: HostFile| FileEntry {
            path: file.guest,
            url: escape(&file.site),
            size: file.size,
        };
        let description = Description {
            name: self.name(),
            program: PROGRAM,
            args: &self.args,
            env: &self.env,
            max_threads: self.threads,
            directories: self.dirs.iter().map(|dir| dir.guest.as_str()).collect(),
            files: self.files()?.into_iter().map(entry).collect(),
        };
        Ok(serde_json::to_vec_pretty(&description)?)
    }

    /// The file at `<number>/<path>` below [`FILES`].
    fn file(&self, path: &str) -> Result<Vec<u8>, Missing> {
        let (number, path) = path.split_once('/').ok_or(Missing::Unknown)?;
        let number: usize = number.parse().map_err(|_| Missing::Unknown)?;
        let dir = self.dirs.get(number).ok_or(Missing::Unknown)?;
        let missing = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Missing::Unknown,
            _ => Missing::Broken(format!("cannot read {path}: {error}")),
        };
        let file = dir.host.join(path).canonicalize().map_err(missing)?;
        if !file.starts_with(&dir.host) {
            return Err(Missing::Forbidden);
        }
        // Opening a FIFO would wait for its other end.
        if !file.is_file() {
            return Err(Missing::Unknown);
        }
        fs::read(&file).map_err(missing)
    }

    fn files(&self) -> anyhow::Result<Vec<HostFile>> {
        let mut files = Vec::new();
        for (number, dir) in self.dirs.iter().enumerate() {
            let site = format!("{FILES}/{number}");
            dir.list(
                &dir.host,
                &site,
                dir.guest.trim_end_matches('/'),
                &mut files,
            )?;
        }
        files.sort_by(|a, b| a.site.cmp(&b.site));
        Ok(files)
    }
}

/// A file below a [`Dir`].
struct HostFile {
    site: String,
    guest: String,
    size: u64,
}

impl Dir {
    /// Adds the files below `folder`, which is `self.host` or below it.
    fn list(
        &self,
        folder: &Path,
        site: &str,
        guest: &str,
        files: &mut Vec<HostFile>,
    ) -> anyhow::Result<()> {
        let cannot_read =
            |error| report::explain(format_args!("cannot read {}", folder.display()), error);
        for entry in fs::read_dir(folder).map_err(cannot_read)? {
            let entry = entry.map_err(cannot_read)?;
            // WASI's names are UTF-8: no program could name the others.
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            let (site, guest) = (format!("{site}/{name}"), format!("{guest}/{name}"));
            let kind = entry.file_type().map_err(cannot_read)?;
            if kind.is_dir() {
                self.list(&entry.path(), &site, &guest, files)?;
            } else if let Some(size) = self.size_of(&entry.path()) {
                files.push(HostFile { site, guest, size });
                self.check_amount(files)?;
            }
        }
        Ok(())
    }

    /// The size of a regular file that is inside, even if by a link; links to
    /// directories are not followed, since they can lead round in circles.
    fn size_of(&self, path: &Path) -> Option<u64> {
        let path = path.canonicalize().ok()?;
        let about = fs::metadata(&path).ok()?;
        (about.is_file() && path.starts_with(&self.host)).then_some(about.len())
    }

    fn check_amount(&self, files: &[HostFile]) -> anyhow::Result<()> {
        let bytes: u64 = files.iter().map(|file| file.size).sum();
        if files.len() > MOST_FILES || bytes > MOST_BYTES {
            bail!(
                "--dir {}: a page holds all files in memory, at most {MOST_FILES} and 1 GiB \
                 together; give a smaller directory",
                self.host.display()
            );
        }
        Ok(())
    }
}

fn dir(mapping: &DirMapping) -> anyhow::Result<Dir> {
    let name = mapping.host.display();
    if !mapping.host.is_dir() {
        bail!("--dir {name}: there is no such directory");
    }
    let host = mapping.host.canonicalize();
    let host = host.map_err(|error| report::explain(format_args!("--dir {name}"), error))?;
    let guest = mapping.guest.clone();
    Ok(Dir { host, guest })
}

fn variables(variables: &[EnvVar]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for variable in variables {
        if let Some(value) = variable.resolve()? {
            values.insert(variable.name.clone(), value);
        }
    }
    Ok(values)
}

fn asset(path: &str) -> Option<&'static [u8]> {
    let found = ASSETS.iter().find(|(name, _)| *name == path)?;
    Some(found.1)
}

/// The runtime's scripts, for Node, which has no need of the page.
pub(crate) fn runtime() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    let all = ASSETS.iter().copied();
    all.filter(|(path, _)| path.starts_with(RUNTIME))
}

/// A script of the runtime, by its path on a site.
pub(crate) fn runtime_page(path: &str) -> Option<Page> {
    let bytes = path.starts_with(RUNTIME).then(|| asset(path))??;
    Some(Page {
        kind: kind(path),
        bytes: bytes.into(),
    })
}

/// The media type of a path. What a user gives is never a page or a script of ours.
fn kind(path: &str) -> &'static str {
    let extension = Path::new(path).extension().and_then(OsStr::to_str);
    match extension {
        _ if path.starts_with(FILES) => "application/octet-stream",
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

/// A path as it stands in an address.
fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
