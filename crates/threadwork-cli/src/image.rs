//! `threadwork image`: a program as a container image, for containerd and for registries.
//!
//! An archive in the OCI image layout: one layer with the program as its only file, and one
//! configuration for each architecture, since containerd looks for its own, and a program
//! runs on any. The same program makes the same bytes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use threadwork_engine::Module;

use crate::{compile, program, report};

/// Nodes that run containers, as OCI names them.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The command line of `threadwork image`.
#[derive(Args)]
#[command(after_help = "\
For containerd: ctr image import FILE, then
  ctr run --rm --runtime io.containerd.threadwork.v1 IMAGE ID
which needs the shim (docs/fleet.md in the repository).")]
pub(crate) struct ImageArgs {
    /// Where to put the archive
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// What the image is called, with registry and tag: docker.io/library/PROGRAM:latest
    /// unless set
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The program, .wasm or .wat
    #[arg(value_name = "FILE")]
    program: PathBuf,
}

/// Writes the image, and returns the code to exit with.
pub(crate) fn image(args: &ImageArgs) -> anyhow::Result<i32> {
    let file = &args.program;
    let code = program::read(file)?;
    if Module::is_precompiled(&code) {
        bail!(
            "{} is machine code: give the .wasm file that it was made of",
            file.display()
        );
    }
    Module::rewrite(&code).map_err(|error| {
        report::explain(
            format_args!("cannot make an image of {}", file.display()),
            error,
        )
    })?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => default_name(file),
    };
    let program = program_file(file);
    let Some(archive) = archive(&program, &code, &name) else {
        bail!("the name {program} is too long for an image");
    };
    compile::write(&args.output, &archive).map_err(|error| {
        report::explain(
            format_args!("cannot write {}", args.output.display()),
            error,
        )
    })?;
    println!("{name}");
    Ok(0)
}

/// What the program's file is called in the image.
fn program_file(file: &Path) -> String {
    let name = file.file_name().unwrap_or(OsStr::new("program.wasm"));
    name.to_string_lossy().into_owned()
}

/// `docker.io/library/PROGRAM:latest`, with what such names may have.
fn default_name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or(OsStr::new("program"));
    let lower = stem.to_string_lossy().to_lowercase();
    let words = lower.split(|character: char| !character.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let name = match words.as_slice() {
        [] => "program".to_owned(),
        words => words.join("-"),
    };
    format!("docker.io/library/{name}:latest")
}

/// The archive; `None` if the program's name does not fit into it.
fn archive(program: &str, code: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut blobs = Blobs::default();
    let layer = tar(&[(program, 0o755, code)])?;
    let diff = digest(&layer);
    let layer = blobs.add(LAYER, layer);
    let manifests: Vec<Value> = ARCHITECTURES
        .iter()
        .map(|architecture| {
            let config = blobs.add_json(
                CONFIG,
                &json!({
                    "architecture": architecture,
                    "os": "linux",
                    "config": { "Entrypoint": [format!("/{program}")], "WorkingDir": "/" },
                    "rootfs": { "type": "layers", "diff_ids": [diff] },
                }),
            );
            let mut manifest = blobs.add_json(
                MANIFEST,
                &json!({
                    "schemaVersion": 2,
                    "mediaType": MANIFEST,
                    "config": config,
                    "layers": [layer],
                }),
            );
            manifest["platform"] = json!({ "architecture": architecture, "os": "linux" });
            manifest
        })
        .collect();
    let mut image = blobs.add_json(
        INDEX,
        &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }),
    );
    // `containerd` takes the whole name, others what is behind the last colon.
    let tag = match name.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag,
        _ => "latest",
    };
    image["annotations"] = json!({
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": tag,
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [image] });
    blobs.archive(&index)
}

/// What an image is made of, by digest.
#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// Adds one, and returns how others refer to it.
    fn add(&mut self, kind: &str, bytes: Vec<u8>) -> Value {
        let digest = digest(&bytes);
        let size = bytes.len();
        if let Some(hash) = digest.strip_prefix("sha256:") {
            self.0.insert(format!("blobs/sha256/{hash}"), bytes);
        }
        json!({ "mediaType": kind, "digest": digest, "size": size })
    }

    fn add_json(&mut self, kind: &str, value: &Value) -> Value {
        self.add(kind, value.to_string().into_bytes())
    }

    fn archive(&self, index: &Value) -> Option<Vec<u8>> {
        let index = index.to_string();
        let mut files = vec![
            (
                "oci-layout",
                0o644,
                &br#"{"imageLayoutVersion":"1.0.0"}"#[..],
            ),
            ("index.json", 0o644, index.as_bytes()),
        ];
        let blobs = self.0.iter();
        files.extend(blobs.map(|(name, bytes)| (name.as_str(), 0o644, bytes.as_slice())));
        tar(&files)
    }
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hash}")
}

/// What a tar archive consists of: headers, and files rounded up to this.
const BLOCK: usize = 512;

/// Bytes of a name in a header.
const NAME: usize = 100;

/// A tar archive (ustar) of files with names, modes and contents, at the beginning of time and of
/// nobody in particular; `None` if a name or a file is too long for it.
fn tar(files: &[(&str, u32, &[u8])]) -> Option<Vec<u8>> {
    let mut archive = Vec::new();
    for (name, mode, bytes) in files {
        // Eleven octal digits.
        if name.len() > NAME || bytes.len() as u64 >= 1 << 33 {
            return None;
        }
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, text: &str| {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        };
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{:011o}", bytes.len()));
        put(136, "00000000000");
        // The sum is made with blanks in its place.
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\0");
        put(263, "00");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend(header);
        archive.extend(*bytes);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    Some(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_registries_take() {
        let name = |file: &str| default_name(Path::new(file));
        assert_eq!(
            name("some/Merge_Sort.wasm"),
            "docker.io/library/merge-sort:latest"
        );
        assert_eq!(name("a.b.wasm"), "docker.io/library/a-b:latest");
        assert_eq!(name("\u{df}.wasm"), "docker.io/library/program:latest");
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(
            digest(b"abc"),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let fits = |length: usize| tar(&[("n".repeat(length).as_str(), 0o644, b"")]).is_some();
        assert_eq!([fits(NAME), fits(NAME + 1)], [true, false]);
    }
}
