//! `threadwork bundle`: a folder that any static host can serve.
//!
//! Everything is first written into a folder of its own; only then the target's files
//! are touched, by renaming. A run that fails before leaves the target as it was. What
//! is in the target and no bundle has written is never removed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::report;
use crate::site::{Missing, Site, SiteArgs};

/// The list of a bundle's files, and the mark of a folder that holds one.
const MANIFEST: &str = "threadwork-bundle.json";
/// The manifest of a folder that is being written: of the older bundle and the new one.
const UNFINISHED: &str = "unfinished.json";
/// What the names of folders begin with in which a bundle is written first. A run that was
/// ended by a signal leaves its own behind.
const STAGING: &str = ".threadwork-";
/// Keeps GitHub Pages from leaving out files whose names begin with `_`.
const NO_JEKYLL: &str = ".nojekyll";

/// The command line of `threadwork bundle`.
#[derive(Args)]
#[command(override_usage = "threadwork bundle [OPTIONS] --output <FOLDER> <FILE> [-- <ARGS>...]")]
pub(crate) struct BundleArgs {
    /// Where to put the bundle; an older one is replaced
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,

    /// Put it beside files that are not of a bundle, over those of the same names
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    site: SiteArgs,
}

/// What stands in the manifest.
#[derive(Serialize, Deserialize)]
struct Manifest {
    /// The version of `threadwork` that wrote it.
    threadwork: String,
    files: Vec<ManifestEntry>,
}

#[derive(Clone, Serialize, Deserialize)]
struct ManifestEntry {
    path: String,
    bytes: u64,
    blake3: String,
}

/// Writes the bundle and says what to do with it.
pub(crate) fn bundle(args: &BundleArgs) -> anyhow::Result<i32> {
    let site = Site::new(&args.site)?;
    let output = &args.output;
    let old = Existing::look(output)?;
    if !args.force {
        old.refuse_foreign(output)?;
    }
    let staged = Staged::write(&site, output)?;
    let (count, bytes) = (staged.manifest.files.len(), staged.manifest.bytes());
    staged.put(output, &old)?;
    let message = format!(
        "Bundled {} into {}: {count} files, {} KiB\n\
         Upload the folder as it is to any static host; pages need https (or localhost).\n\
         To look at it here: python3 -m http.server --bind 127.0.0.1 --directory {}",
        site.name(),
        output.display(),
        bytes.div_ceil(1024),
        quoted(output),
    );
    // The bundle is there, whoever reads this.
    let _ = writeln!(io::stdout(), "{message}");
    Ok(0)
}

impl Manifest {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// With other files, of which only the names are known.
    fn with(&self, paths: &BTreeSet<String>) -> Self {
        let others = paths.iter().map(|path| ManifestEntry {
            path: path.clone(),
            bytes: 0,
            blake3: String::new(),
        });
        Self {
            threadwork: self.threadwork.clone(),
            files: self.files.iter().cloned().chain(others).collect(),
        }
    }
}

/// What is in the target folder now.
#[derive(Default)]
struct Existing {
    exists: bool,
    /// Files that its manifest names and that are there.
    of_bundle: BTreeSet<String>,
    /// One that it does not name.
    foreign: Option<String>,
}

impl Existing {
    fn look(folder: &Path) -> anyhow::Result<Self> {
        let name = folder.display();
        match fs::metadata(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(report::explain(format_args!("cannot use {name}"), error)),
            Ok(about) if !about.is_dir() => bail!("{name} is a file: name a folder"),
            Ok(_) => {}
        }
        let mut named: BTreeSet<String> = match fs::read(folder.join(MANIFEST)) {
            Ok(text) => match serde_json::from_slice::<Manifest>(&text) {
                Ok(manifest) => manifest.files.into_iter().map(|file| file.path).collect(),
                Err(_) => BTreeSet::new(),
            },
            Err(_) => BTreeSet::new(),
        };
        if !named.is_empty() {
            named.insert(MANIFEST.to_owned());
        }
        let mut found = Vec::new();
        list(folder, "", &mut found)
            .map_err(|error| report::explain(format_args!("cannot read {name}"), error))?;
        let is_foreign = |path: &&String| !named.contains(*path) && !path.starts_with(STAGING);
        let foreign = found.iter().filter(is_foreign).min();
        Ok(Self {
            exists: true,
            foreign: foreign.cloned(),
            of_bundle: found
                .into_iter()
                .filter(|path| named.contains(path))
                .collect(),
        })
    }

    fn refuse_foreign(&self, folder: &Path) -> anyhow::Result<()> {
        if let Some(file) = &self.foreign {
            bail!(
                "{0} holds files that are not of a bundle, such as {file}: name another folder, \
                 or give --force to put the bundle beside them",
                folder.display()
            );
        }
        Ok(())
    }
}

/// The paths of all files below `folder`, links among them.
fn list(folder: &Path, prefix: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type()?.is_dir() {
            true => list(&entry.path(), &format!("{path}/"), paths)?,
            false => paths.push(path),
        }
    }
    Ok(())
}

/// A whole bundle near its place, which goes away with this unless it is put there.
struct Staged {
    folder: PathBuf,
    manifest: Manifest,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Moved away, or as much of it gone as can be.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Staged {
    fn write(site: &Site, output: &Path) -> anyhow::Result<Self> {
        let failed =
            |error| report::explain(format_args!("cannot write {}", output.display()), error);
        let folder = staging(output).map_err(failed)?;
        fs::create_dir_all(&folder).map_err(failed)?;
        let files = Vec::new();
        let threadwork = env!("CARGO_PKG_VERSION").to_owned();
        let mut staged = Self {
            folder,
            manifest: Manifest { threadwork, files },
        };
        for path in site.paths()? {
            let page = site.get(&path).map_err(|missing| gone(&path, &missing))?;
            staged.add(&path, &page.bytes).map_err(failed)?;
        }
        staged.add(NO_JEKYLL, b"").map_err(failed)?;
        let manifest = serde_json::to_vec_pretty(&staged.manifest)?;
        fs::write(staged.folder.join(MANIFEST), manifest).map_err(failed)?;
        Ok(staged)
    }

    fn add(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.folder.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, bytes)?;
        self.manifest.files.push(ManifestEntry {
            path: path.to_owned(),
            bytes: bytes.len() as u64,
            blake3: blake3::hash(bytes).to_hex().to_string(),
        });
        Ok(())
    }

    /// Moves everything to its place: at once if nothing is there, else file by file,
    /// and then removes what only the older bundle had.
    fn put(self, output: &Path, old: &Existing) -> anyhow::Result<()> {
        let failed =
            |error| report::explain(format_args!("cannot write {}", output.display()), error);
        if !old.exists {
            return fs::rename(&self.folder, output).map_err(failed);
        }
        // Whoever ends this midway leaves a folder whose files are known all the same.
        let manifest = self.manifest.with(&old.of_bundle);
        let unfinished = self.folder.join(UNFINISHED);
        fs::write(&unfinished, serde_json::to_vec_pretty(&manifest)?).map_err(failed)?;
        fs::rename(unfinished, output.join(MANIFEST)).map_err(failed)?;
        let mut paths: Vec<&str> = self.manifest.files.iter().map(|file| &*file.path).collect();
        paths.push(MANIFEST);
        for path in &paths {
            let target = output.join(path);
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder).map_err(failed)?;
            }
            fs::rename(self.folder.join(path), target).map_err(failed)?;
        }
        for stale in old
            .of_bundle
            .iter()
            .filter(|path| !paths.contains(&path.as_str()))
        {
            fs::remove_file(output.join(stale)).map_err(failed)?;
            remove_empty_folders(output, stale);
        }
        Ok(())
    }
}

/// Removes the folders of `path` that are empty now.
fn remove_empty_folders(output: &Path, path: &str) {
    let folders = Path::new(path).ancestors().skip(1);
    for folder in folders.filter(|folder| !folder.as_os_str().is_empty()) {
        if fs::remove_dir(output.join(folder)).is_err() {
            return; // It holds something, and so do those around it.
        }
    }
}

/// A name for a folder that nobody else uses, from where files can be renamed into
/// `output`: inside, since it may be a file system of its own; beside, if it is not there.
fn staging(output: &Path) -> io::Result<PathBuf> {
    let name = format!("{STAGING}{}", std::process::id());
    if output.exists() {
        return Ok(output.join(name));
    }
    let parent = std::path::absolute(output)?;
    let parent = parent.parent().unwrap_or(&parent);
    Ok(parent.join(name))
}

fn gone(path: &str, missing: &Missing) -> anyhow::Error {
    match missing {
        Missing::Broken(why) => anyhow::anyhow!("{why}"),
        Missing::Unknown | Missing::Forbidden => {
            anyhow::anyhow!("{path} went away while it was being bundled: try again")
        }
    }
}

/// A path as a shell understands it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match !path.is_empty() && path.chars().all(plain) {
        true => path,
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}
