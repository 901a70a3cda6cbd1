//! One container, from its specification to its removal, by youki's library.
//!
//! All of it happens in small processes that were forked before the shim had threads: to make a
//! container is to fork again, which must not happen beside other threads, and the library
//! changes the working directory.
//!
//! Invariant: what a container leaves on disk lies in its bundle, which containerd removes.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use libcgroups::common::{CgroupConfig, CgroupManager, FreezerState, create_cgroup_manager};
use libcontainer::config::YoukiConfig;
use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::oci_spec::runtime::{Mount, MountBuilder, Spec};
use libcontainer::signal::Signal;
use libcontainer::syscall::syscall::SyscallType;
use serde::{Deserialize, Serialize};
use zygote::Zygote;

use crate::code;
use crate::guest::Guest;
use crate::library::Library;
use crate::program::Program;
use crate::share::Share;

/// What a container is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) id: String,
    /// The folder with its specification.
    pub(crate) bundle: PathBuf,
    /// Pipes or files of its streams; empty where there is none.
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Its streams are a terminal, which is handed out at [`Plan::console`].
    pub(crate) terminal: bool,
}

impl Plan {
    /// The socket that the container's terminal comes over.
    pub(crate) fn console(&self) -> PathBuf {
        self.bundle.join(FOLDER).join("console")
    }

    /// Makes the container and returns the number of its first process, which waits to be
    /// started.
    ///
    /// # Errors
    ///
    /// One line for whoever asked for the container.
    pub(crate) fn create(&self) -> Result<i32, String> {
        // Compiling starts threads, so that process makes no containers.
        let (guest, mount) = apart(|plan: Plan| plan.guest(), self)?;
        apart(
            |(plan, guest, mount): (Plan, Option<PathBuf>, Option<PathBuf>)| {
                plan.build(guest, mount)
            },
            &(self.clone(), guest, mount),
        )
    }

    /// The module that it runs, if it does, and where its machine code is.
    fn guest(self) -> Result<(Option<PathBuf>, Option<PathBuf>), String> {
        let spec = self.spec()?;
        let root = spec
            .root()
            .as_ref()
            .ok_or("the specification has no root")?;
        let Program::Wasm { path, code } = Program::of(&spec, &self.bundle.join(root.path()))?
        else {
            return Ok((None, None));
        };
        Share::of(&spec)?;
        let folder =
            code::prepare(&code).map_err(|why| format!("cannot run {}: {why}", path.display()))?;
        Ok((Some(path), folder))
    }

    fn build(self, guest: Option<PathBuf>, code: Option<PathBuf>) -> Result<i32, String> {
        let mut spec = self.spec()?;
        spec.canonicalize_rootfs(&self.bundle)
            .map_err(|error| chain(&error))?;
        let guest = match guest {
            None => Guest::Native,
            Some(program) => {
                for_guest(&mut spec, code.as_deref())?;
                Guest::Wasm(program, Library::load()?)
            }
        };
        let folder = self.bundle.join(FOLDER);
        let own = folder.join("bundle");
        fs::create_dir_all(&own).map_err(|error| chain(&error))?;
        spec.save(own.join("config.json"))
            .map_err(|error| chain(&error))?;
        let systemd = spec
            .linux()
            .as_ref()
            .and_then(|linux| linux.cgroups_path().as_ref());
        let systemd = systemd.is_some_and(|path| is_of_systemd(path));
        let build = || {
            let mut builder = ContainerBuilder::new(self.id.clone(), SyscallType::Linux)
                .with_executor(guest)
                .with_root_path(folder.join(STATE))?;
            if self.terminal {
                builder = builder.with_console_socket(Some(self.console()));
                let container = builder.as_init(&own).as_sibling(true).with_systemd(systemd);
                return Ok::<_, Box<dyn Error>>(container.build()?);
            }
            // Without a reader there is nobody to wait for, and nobody to be told.
            if let Some(file) = stream(&self.stdin, OpenOptions::new().read(true))? {
                builder = builder.with_stdin(file);
            }
            if let Some(file) = pipe(&self.stdout)? {
                builder = builder.with_stdout(file);
            }
            if let Some(file) = pipe(&self.stderr)? {
                builder = builder.with_stderr(file);
            }
            let container = builder.as_init(&own).as_sibling(true).with_systemd(systemd);
            Ok(container.build()?)
        };
        let container = build().map_err(|error| chain(&*error))?;
        let pid = container.pid().ok_or("the container has no process")?;
        Ok(pid.as_raw())
    }

    fn spec(&self) -> Result<Spec, String> {
        let path = self.bundle.join("config.json");
        Spec::load(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    }
}

/// What can be done to a container that was made.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// Lets its first process go on.
    Start,
    Pause,
    Resume,
    /// Ends what is left of it, and removes its control groups and its state.
    Remove,
}

/// Does it to the container of this bundle.
///
/// # Errors
///
/// One line for whoever asked for it.
pub(crate) fn act(deed: Deed, bundle: &Path, id: &str) -> Result<(), String> {
    let root = bundle.join(FOLDER).join(STATE).join(id);
    apart(
        |(deed, root): (Deed, PathBuf)| {
            let on = |deed: fn(&mut Container) -> Result<(), LibcontainerError>| {
                let container = Container::load(root.clone());
                let mut container = container.map_err(|error| chain(&error))?;
                deed(&mut container).map_err(|error| chain(&error))
            };
            match deed {
                Deed::Start => on(Container::start),
                Deed::Pause => on(Container::pause),
                Deed::Resume => on(Container::resume),
                Deed::Remove if !root.exists() => Ok(()),
                Deed::Remove => remove(&root),
            }
        },
        &(deed, root),
    )
}

/// How often a removal is tried: on a busy machine what is killed takes a while to be gone, and
/// until then holds its control group. The library waits for half a second each time.
const TRIES: u32 = 20;

/// Ends what is left of a container, and removes its control groups and its state.
fn remove(root: &Path) -> Result<(), String> {
    let mut left = TRIES;
    loop {
        left -= 1;
        let Err(error) = try_to_remove(root) else {
            return Ok(());
        };
        if left == 0 {
            return Err(error);
        }
    }
}

fn try_to_remove(root: &Path) -> Result<(), String> {
    if let Ok(mut container) = Container::load(root.to_owned()) {
        // Whatever runs is killed first, by its number: a container that was made, but whose
        // control group is gone, must not stay.
        if let Ok(signal) = Signal::try_from(libc::SIGKILL) {
            let _ = container.kill(signal, false);
        }
        return container.delete(true).map_err(|error| chain(&error));
    }
    // Whoever wrote the state, or removed it, was killed meanwhile. The groups come first in a
    // removal, and what runs is in them.
    if let Ok(config) = YoukiConfig::load(root) {
        let groups = create_cgroup_manager(CgroupConfig {
            systemd_cgroup: is_of_systemd(&config.cgroup_path),
            cgroup_path: config.cgroup_path,
            container_name: root
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into(),
        });
        let groups = groups.map_err(|error| chain(&error))?;
        // What is frozen does not see that it was killed.
        let _ = groups.freeze(FreezerState::Thawed);
        groups.remove().map_err(|error| chain(&error))?;
    }
    match fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(chain(&error)),
        _ => Ok(()),
    }
}

/// Bytes of stack of a thread that mostly waits.
pub(crate) const STACK: usize = 256 << 10;

/// Runs a function in a process of its own.
fn apart<A, R>(function: fn(A) -> Result<R, String>, argument: &A) -> Result<R, String>
where
    A: Serialize + for<'a> Deserialize<'a> + 'static,
    R: Serialize + for<'a> Deserialize<'a> + 'static,
{
    let process = Zygote::global().spawn();
    let result = process.try_run(function, argument);
    result.map_err(|error| chain(&error))?
}

/// What the library needs for a container lies there in its bundle.
const FOLDER: &str = "threadwork";

/// The library's own state in it.
const STATE: &str = "state";

/// Hides from the guest what is not for it: the system's views of its processes and devices. A
/// guest has no processes, and one that could write to its host's memory through `/proc`
/// would be as free as the host. They are hidden when the library has done with them. Puts in the
/// guest's machine code.
fn for_guest(spec: &mut Spec, code: Option<&Path>) -> Result<(), String> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    let hidden = mounts.iter().filter(|mount| is_system(mount));
    let hidden = hidden
        .map(|mount| mount.destination().to_string_lossy().into_owned())
        .collect::<Vec<_>>();
    if let Some(code) = code {
        let options = ["bind", "ro", "nosuid", "nodev"]
            .map(str::to_owned)
            .to_vec();
        let mount = MountBuilder::default()
            .destination(code::IN_CONTAINER)
            .typ("bind")
            .source(code)
            .options(options)
            .build();
        mounts.push(mount.map_err(|error| chain(&error))?);
    }
    spec.set_mounts(Some(mounts));
    if let Some(mut linux) = spec.linux().clone() {
        linux.set_masked_paths(Some(hidden));
        linux.set_readonly_paths(None);
        spec.set_linux(Some(linux));
    }
    // The library would look into `/proc` for them, at a time when that is hidden.
    if let Some(mut process) = spec.process().clone() {
        let mut user = process.user().clone();
        let groups = user.additional_gids().clone().unwrap_or_default();
        user.set_additional_gids(None);
        process.set_user(user);
        spec.set_process(Some(process));
        set_groups(&groups)?;
    }
    Ok(())
}

/// Gives this process, and those that it will make, these groups beside its own.
fn set_groups(groups: &[u32]) -> Result<(), String> {
    // SAFETY: pointer and length are of these numbers.
    match unsafe { libc::setgroups(groups.len(), groups.as_ptr()) } {
        0 => Ok(()),
        _ => {
            let error = std::io::Error::last_os_error();
            Err(format!("cannot set the groups of the user: {error}"))
        }
    }
}

fn is_system(mount: &Mount) -> bool {
    let kind = mount.typ().as_deref().unwrap_or_default();
    ["proc", "sysfs"].contains(&kind)
}

/// Whether systemd is to make the control group: as `slice:prefix:name`, which Kubernetes
/// writes then.
fn is_of_systemd(path: &Path) -> bool {
    let path = path.to_string_lossy();
    path.split(':').count() == 3 && path.contains(".slice:")
}

/// Opens a stream; `None` if there is none.
fn stream(name: &str, how: &OpenOptions) -> std::io::Result<Option<File>> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Some(path) = name.strip_prefix("file://") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        return file.map(Some);
    }
    if name.contains("://") {
        let message = format!("{name}: streams are pipes or files");
        return Err(std::io::Error::other(message));
    }
    // The other end may come later.
    let file = how.clone().custom_flags(libc::O_NONBLOCK).open(name)?;
    rustix::io::ioctl_fionbio(&file, false)?;
    Ok(Some(file))
}

/// Opens a stream with both its ends, so that it neither waits for the other side nor ends with
/// it; `None` if there is none.
///
/// # Errors
///
/// The system's, or that it is neither a pipe nor a file.
pub(crate) fn pipe(name: &str) -> std::io::Result<Option<File>> {
    stream(name, OpenOptions::new().read(true).write(true))
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
