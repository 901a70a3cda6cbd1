//! `containerd-shim-threadwork-v1`: threaded WebAssembly modules as containers.
//!
//! containerd starts this program for each container, or for each pod, and asks it for what is to
//! be done, over a socket. From the top down:
//!
//! | module | holds |
//! |---|---|
//! | `main` | what containerd calls: start a shim, serve, clean up after one |
//! | `service` | the requests, and the states of containers |
//! | `guard` | when a shim is of no use any more |
//! | `terminal` | a container's terminal, and whoever is at it |
//! | `group` | what the system has counted of a container |
//! | `container` | one container, made in a small process of its own |
//! | `code` | machine code, once for all containers of a module |
//! | `guest` | the first process of a container |
//! | `library` | the engine, loaded where it is needed (`crates/threadwork-container`) |
//! | `program` | what a container runs, found in its image |
//! | `share` | the container's limits as the engine's |
//!
//! `docs/fleet.md` says how to install and use it.

mod code;
mod container;
mod group;
mod guard;
mod guest;
mod library;
mod program;
#[path = "../../../crates/threadwork-container/src/request.rs"]
mod request;
mod service;
mod share;
mod terminal;

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use containerd_shim::api::DeleteResponse;
use containerd_shim::protos::protobuf::{Message, MessageField};
use containerd_shim::protos::types::introspection::{RuntimeInfo, RuntimeVersion};
use containerd_shim::synchronous::publisher::RemotePublisher;
use containerd_shim::synchronous::util::write_address;
use containerd_shim::synchronous::{ExitSignal, spawn};
use containerd_shim::util::timestamp;
use containerd_shim::{Config, Error, Flags, StartOpts, socket_address};
use libcontainer::oci_spec::runtime::Spec;
use zygote::Zygote;

use container::Deed;
use service::Service;

/// What containerd calls this runtime.
const NAME: &str = "io.containerd.threadwork.v1";

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> anyhow::Result<()> {
    let args: Vec<_> = env::args_os().skip(1).collect();
    let flags = containerd_shim::parse(&args).context("bad arguments")?;
    if flags.version {
        println!("{NAME} {VERSION}");
        return Ok(());
    }
    if flags.info {
        return Ok(std::io::stdout().write_all(&info().write_to_bytes()?)?);
    }
    // First of all, while there is one thread: containers are made from a copy of this.
    Zygote::init();
    if flags.action.is_empty() {
        // It serves, at a socket that no other process may keep open. If there is no zygote any
        // more, the guard sees it.
        let _ = Zygote::global().try_run(close_socket, ());
        if let Some(path) = guard::path(SOCKET) {
            guard::leave_no_socket(&path, guard::A_DEATH);
        }
    }
    containerd_shim::run::<Shim>(NAME, Some(Config::default()));
    Ok(())
}

/// Where containerd's library has the socket of a shim that serves.
const SOCKET: i32 = 3;

fn close_socket((): ()) {
    // SAFETY: the number is the socket's, and nothing in this process knows it.
    unsafe { libc::close(SOCKET) };
}

/// What containerd may ask a runtime without starting it.
fn info() -> RuntimeInfo {
    RuntimeInfo {
        name: NAME.to_owned(),
        version: MessageField::some(RuntimeVersion {
            version: VERSION.to_owned(),
            ..RuntimeVersion::default()
        }),
        ..RuntimeInfo::default()
    }
}

/// One start of this program by containerd.
struct Shim {
    id: String,
    namespace: String,
    bundle: PathBuf,
    exit: Arc<ExitSignal>,
}

impl containerd_shim::Shim for Shim {
    type T = Service;

    fn new(_: &str, flags: &Flags, _: &mut Config) -> Self {
        let here = || env::current_dir().unwrap_or_default();
        Self {
            id: flags.id.clone(),
            namespace: flags.namespace.clone(),
            bundle: match flags.bundle.as_str() {
                "" => here(),
                bundle => bundle.into(),
            },
            exit: Arc::default(),
        }
    }

    fn start_shim(&mut self, opts: StartOpts) -> containerd_shim::Result<String> {
        let config = self.bundle.join("config.json");
        let spec = Spec::load(&config)
            .map_err(|error| Error::InvalidArgument(format!("{}: {error}", config.display())))?;
        // The containers of a pod share a shim.
        let annotations = spec.annotations().as_ref();
        let pod = annotations.and_then(|all| all.get("io.kubernetes.cri.sandbox-id"));
        let group = pod.unwrap_or(&opts.id).clone();
        // Nobody is asked to clean up after a start that has failed.
        let address = socket_address(&opts.address, &opts.namespace, &group);
        // Not waiting: containerd does, for all who have this process's output.
        guard::leave_no_socket(socket_path(&address), Duration::ZERO);
        let (pid, address) = spawn(opts, &group, Vec::new())?;
        write_address(&address).inspect_err(|_| {
            end(pid);
            guard::remove_socket(socket_path(&address), guard::A_DEATH);
        })?;
        Ok(address)
    }

    /// The shim has died, or never came up: ends what it left, and removes it.
    fn delete_shim(&mut self) -> containerd_shim::Result<DeleteResponse> {
        if let Ok(address) = fs::read_to_string(self.bundle.join("address")) {
            guard::remove_socket(socket_path(&address), guard::A_DEATH);
        }
        container::act(Deed::Remove, &self.bundle, &self.id).map_err(Error::Other)?;
        Ok(DeleteResponse {
            exit_status: service::KILLED,
            exited_at: MessageField::some(timestamp()?),
            ..DeleteResponse::default()
        })
    }

    fn wait(&mut self) {
        self.exit.wait();
    }

    fn create_task_service(&self, publisher: RemotePublisher) -> Service {
        let service = Service::new(&self.namespace, publisher, Arc::clone(&self.exit));
        guard::begin(SOCKET, service.idle());
        service
    }
}

/// Ends a shim that was just started, unless it is another container's, too.
fn end(pid: u32) {
    if let Ok(pid @ 1..) = i32::try_from(pid) {
        // SAFETY: it is a child of this process, which waits for none, so the number is still its.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        // SAFETY: a child that nobody else waits for; its status is not asked for.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
}

/// The file of a socket's address.
fn socket_path(address: &str) -> &Path {
    Path::new(address.strip_prefix("unix://").unwrap_or(address))
}
