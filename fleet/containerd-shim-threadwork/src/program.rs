//! What a container runs: found in its image before there is a container.
//!
//! Invariant: no path of an image leads out of it, whatever symbolic links it has. Only files
//! are read, and none that is longer than a module may be.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::{Mount, Spec};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// Bytes of the largest module, as engines have it.
const MAX_MODULE_SIZE: usize = 1 << 30;

/// What a container runs.
pub(crate) enum Program {
    /// A module: where it lies in the container, and what is in it.
    Wasm { path: PathBuf, code: Vec<u8> },
    /// A program for the system, such as a pod's `pause`.
    Native,
}

impl Program {
    /// The first argument of the container's process, looked for as a shell would, and at last
    /// in the working directory.
    ///
    /// # Errors
    ///
    /// If it is not there, or nothing that runs here.
    pub(crate) fn of(spec: &Spec, rootfs: &Path) -> Result<Self, String> {
        let process = spec
            .process()
            .as_ref()
            .ok_or("the container has no process")?;
        let args = process.args().as_deref().unwrap_or_default();
        let name = args
            .first()
            .ok_or("the container's process has no arguments")?;
        let env = process.env().as_deref().unwrap_or_default();
        for path in candidates(name, process.cwd(), env) {
            match open(spec, rootfs, &path) {
                Ok(file) => return Self::read(path, file),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR) => {}
                Err(error) => return Err(format!("cannot open {}: {error}", path.display())),
            }
        }
        Err(format!("there is no file {name} in the image"))
    }

    fn read(path: PathBuf, file: File) -> Result<Self, String> {
        let name = path.display().to_string();
        let cannot_read = |error| format!("cannot read {name}: {error}");
        let mut code = Vec::new();
        let mut start = (&file).take(4);
        start.read_to_end(&mut code).map_err(cannot_read)?;
        let is_text = path.extension().is_some_and(|extension| extension == "wat");
        match code.as_slice() {
            b"\0asm" => {}
            b"\x7fELF" | [b'#', b'!', ..] => return Ok(Self::Native),
            _ if is_text => {}
            [] => {
                return Err(format!(
                    "{name} is empty: did the build that writes it fail?"
                ));
            }
            _ => {
                return Err(format!(
                    "{name} is neither WebAssembly nor a program of the system"
                ));
            }
        }
        let most = MAX_MODULE_SIZE as u64;
        (&file)
            .take(most)
            .read_to_end(&mut code)
            .map_err(cannot_read)?;
        match code.len() > MAX_MODULE_SIZE {
            true => Err(format!(
                "{name} has more than {most} bytes, as no module may have"
            )),
            false => Ok(Self::Wasm { path, code }),
        }
    }
}

/// Where a program of this name may lie, as absolute paths.
fn candidates(name: &str, cwd: &Path, env: &[String]) -> Vec<PathBuf> {
    let here = Path::new("/").join(cwd).join(name);
    if name.contains('/') {
        return vec![here];
    }
    let path = env
        .iter()
        .find_map(|variable| variable.strip_prefix("PATH="));
    let dirs = path
        .unwrap_or_default()
        .split(':')
        .filter(|dir| dir.starts_with('/'));
    dirs.map(|dir| Path::new(dir).join(name))
        .chain([here])
        .collect()
}

/// Opens a file of the container, which may lie on something that will be mounted there.
fn open(spec: &Spec, rootfs: &Path, path: &Path) -> Result<File, Errno> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let binds = mounts.iter().filter(|mount| is_bind(mount));
    let below =
        binds.filter_map(|mount| Some((mount, path.strip_prefix(mount.destination()).ok()?)));
    let nearest = below.max_by_key(|(mount, _)| mount.destination().components().count());
    let file = match nearest.and_then(|(mount, rest)| Some((mount.source().as_ref()?, rest))) {
        Some((source, rest)) if rest.as_os_str().is_empty() => {
            openat(CWD, source, FLAGS, Mode::empty())?
        }
        Some((source, rest)) => open_below(source, rest)?,
        None => open_below(rootfs, path)?,
    };
    let file = File::from(file);
    match file.metadata().is_ok_and(|data| data.is_file()) {
        true => Ok(file),
        false => Err(Errno::ISDIR),
    }
}

/// Not waiting for the other end of a pipe that an image might have there.
const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

fn open_below(root: &Path, path: &Path) -> Result<rustix::fd::OwnedFd, Errno> {
    let root = openat(CWD, root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root.as_fd(), path, FLAGS, Mode::empty(), resolve)
}

fn is_bind(mount: &Mount) -> bool {
    let options = mount.options().as_deref().unwrap_or_default();
    options
        .iter()
        .any(|option| option == "bind" || option == "rbind")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn spec(args: &str, mounts: &str) -> Spec {
        let spec = format!(
            r#"{{"ociVersion":"1.0.2","mounts":[{mounts}],"process":{{"cwd":"/home","args":[{args}],
            "env":["PATH=/bin:/usr/bin"],"user":{{"uid":0,"gid":0}}}}}}"#
        );
        serde_json::from_str(&spec).expect("a specification")
    }

    fn found(args: &str, mounts: &str, rootfs: &Path) -> Result<String, String> {
        Ok(match Program::of(&spec(args, mounts), rootfs)? {
            Program::Wasm { path, code } => format!("{} {}", path.display(), code.len()),
            Program::Native => "native".to_owned(),
        })
    }

    #[test]
    fn programs_are_found_in_the_image_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("rootfs");
        for folder in ["bin", "home", "mnt"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let outside = dir.path().join("outside.wasm");
        std::fs::write(&outside, b"\0asm and more").unwrap();
        std::fs::write(root.join("bin/app"), b"\0asm1234").unwrap();
        std::fs::write(root.join("home/here.wasm"), b"\0asm").unwrap();
        std::fs::write(root.join("pause"), b"\x7fELF...").unwrap();
        std::fs::write(root.join("text"), b"hello").unwrap();
        std::fs::write(root.join("empty"), b"").unwrap();
        symlink("/bin/app", root.join("absolute")).unwrap();
        symlink(&outside, root.join("escape")).unwrap();
        symlink("../../outside.wasm", root.join("climb")).unwrap();

        let found = |name: &str| found(&format!("\"{name}\""), "", &root);
        assert_eq!(found("app").unwrap(), "/bin/app 8");
        assert_eq!(found("here.wasm").unwrap(), "/home/here.wasm 4");
        assert_eq!(found("/pause").unwrap(), "native");
        assert_eq!(found("/absolute").unwrap(), "/absolute 8");
        for name in ["/escape", "/climb", "/bin", "/none"] {
            assert!(
                found(name).unwrap_err().starts_with("there is no file"),
                "{name}"
            );
        }
        assert!(found("/text").unwrap_err().contains("neither"));
        assert!(found("/empty").unwrap_err().contains("is empty"));
    }

    #[test]
    fn mounts_are_looked_through() {
        let dir = tempfile::tempdir().unwrap();
        let code = dir.path().join("code.wasm");
        std::fs::write(&code, b"\0asm").unwrap();
        let mount = |source: &Path, to: &str| {
            format!(
                r#"{{"destination":"{to}","source":"{}","options":["rbind","ro"]}}"#,
                source.display()
            )
        };
        let file = mount(&code, "/app.wasm");
        let folder = mount(dir.path(), "/apps");
        let root = dir.path().join("rootfs");
        std::fs::create_dir(&root).unwrap();
        assert_eq!(
            found(r#""/app.wasm""#, &file, &root).unwrap(),
            "/app.wasm 4"
        );
        assert_eq!(
            found(r#""/apps/code.wasm""#, &folder, &root).unwrap(),
            "/apps/code.wasm 4"
        );
    }
}
