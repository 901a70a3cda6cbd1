//! What containerd asks of the shim: the task service, version 2.
//!
//! One shim serves one container, or those of one pod. Requests come on several threads.
//!
//! Invariant: a container's state only goes forward, from created over running to stopped, and
//! an exit is published once, after its start. What a request cannot do is an error with one
//! line, and changes nothing.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use containerd_shim::api::{
    CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse,
    DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest,
    PidsRequest, PidsResponse, ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest,
    StartResponse, StateRequest, StateResponse, StatsRequest, StatsResponse, Status,
    UpdateTaskRequest, WaitRequest, WaitResponse,
};
use containerd_shim::cgroup::{collect_metrics, update_resources};
use containerd_shim::event::Event;
use containerd_shim::monitor::{Subject, Topic};
use containerd_shim::mount::mount_rootfs;
use containerd_shim::protos::events::task::{
    TaskCreate, TaskDelete, TaskExit, TaskIO, TaskOOM, TaskPaused, TaskResumed, TaskStart,
};
use containerd_shim::protos::protobuf::MessageField;
use containerd_shim::protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim::protos::types::task::ProcessInfo;
use containerd_shim::synchronous::ExitSignal;
use containerd_shim::synchronous::monitor::monitor_subscribe;
use containerd_shim::synchronous::publisher::RemotePublisher;
use containerd_shim::util::{convert_to_any, timestamp};
use containerd_shim::{Context, Error, Task, TtrpcContext, TtrpcResult};
use log::warn;

use crate::container::{Deed, Plan, STACK, act};
use crate::group::Group;
use crate::terminal::{self, Terminal};

type Containers = Mutex<HashMap<String, Arc<Container>>>;

/// The task service of a shim.
pub(crate) struct Service {
    containers: Arc<Containers>,
    events: Arc<Events>,
    exit: Arc<ExitSignal>,
}

impl Service {
    pub(crate) fn new(namespace: &str, publisher: RemotePublisher, exit: Arc<ExitSignal>) -> Self {
        Self {
            containers: Arc::default(),
            events: Arc::new(Events {
                namespace: namespace.to_owned(),
                publisher: Mutex::new(publisher),
            }),
            exit,
        }
    }

    /// Tells whether it has no containers.
    pub(crate) fn idle(&self) -> impl Fn() -> bool + Send + 'static {
        let containers = Arc::clone(&self.containers);
        move || lock(&containers).is_empty()
    }

    fn containers(&self) -> MutexGuard<'_, HashMap<String, Arc<Container>>> {
        lock(&self.containers)
    }

    fn get(&self, id: &str) -> Result<Arc<Container>, Error> {
        let container = self.containers().get(id).cloned();
        container.ok_or_else(|| Error::NotFoundError(format!("there is no container {id}")))
    }

    /// The container that a request is for, which must not be for another process in it.
    fn main_process(&self, id: &str, exec: &str) -> Result<Arc<Container>, Error> {
        match exec {
            "" => self.get(id),
            _ => Err(Error::Unimplemented(NO_EXEC.to_owned())),
        }
    }
}

const NO_EXEC: &str = "a container of Threadwork has one process: nothing can be run beside it";

/// A container as containerd sees it.
struct Container {
    plan: Plan,
    rootfs: PathBuf,
    pid: u32,
    /// The first process, whoever has its number by now.
    process: OwnedFd,
    state: Mutex<State>,
    stopped: Condvar,
    /// Both ends of the pipe of standard input, until the start: whoever asks for a container
    /// opens the other end meanwhile, and a program that reads sooner would see the end.
    stdin: Mutex<Option<File>>,
    terminal: Option<Terminal>,
    group: Group,
}

#[derive(Clone)]
enum State {
    Created,
    Running,
    Paused,
    Stopped { code: u32, at: Timestamp },
}

impl Container {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn wait(&self) -> (u32, Timestamp) {
        let mut state = self.state();
        loop {
            if let State::Stopped { code, at } = &*state {
                return (*code, at.clone());
            }
            let woken = self.stopped.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Its process has ended.
    fn end(&self, code: u32, events: &Events) {
        let at = timestamp().unwrap_or_default();
        *self.state() = State::Stopped {
            code,
            at: at.clone(),
        };
        self.stopped.notify_all();
        if code == KILLED && self.group.killed_for_memory() {
            events.publish(TaskOOM {
                container_id: self.plan.id.clone(),
                ..TaskOOM::default()
            });
        }
        events.publish(TaskExit {
            container_id: self.plan.id.clone(),
            id: self.plan.id.clone(),
            pid: self.pid,
            exit_status: code,
            exited_at: MessageField::some(at),
            ..TaskExit::default()
        });
    }

    fn act(&self, deed: Deed) -> Result<(), Error> {
        act(deed, &self.plan.bundle, &self.plan.id).map_err(Error::FailedPreconditionError)
    }

    fn signal(&self, signal: u32) -> Result<(), Error> {
        let none = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is of a process; null means that the signal says nothing more.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.process.as_raw_fd(),
                signal,
                none,
                0,
            )
        };
        let error = std::io::Error::last_os_error();
        match sent {
            0 => Ok(()),
            _ if error.raw_os_error() == Some(libc::ESRCH) => Err(Error::NotFoundError(
                "the container's process has ended".to_owned(),
            )),
            _ => Err(Error::InvalidArgument(format!("signal {signal}: {error}"))),
        }
    }
}

/// What is told to containerd.
struct Events {
    namespace: String,
    publisher: Mutex<RemotePublisher>,
}

impl Events {
    fn publish(&self, event: impl Event) {
        let topic = event.topic();
        let sent = lock(&self.publisher).publish(
            Context::default(),
            &topic,
            &self.namespace,
            Box::new(event),
        );
        if let Err(error) = sent {
            warn!("cannot publish {topic}: {error}");
        }
    }
}

impl Task for Service {
    fn create(
        &self,
        _: &TtrpcContext,
        request: CreateTaskRequest,
    ) -> TtrpcResult<CreateTaskResponse> {
        let refuse = |why: &str| Err(Error::InvalidArgument(why.to_owned()).into());
        if !request.checkpoint.is_empty() || !request.parent_checkpoint.is_empty() {
            return refuse("there are no checkpoints");
        }
        if self.containers().contains_key(&request.id) {
            return refuse("the container exists");
        }
        let container = create(&request, &self.events)?;
        self.containers()
            .insert(request.id.clone(), Arc::clone(&container));
        self.events.publish(TaskCreate {
            container_id: request.id,
            bundle: request.bundle,
            rootfs: request.rootfs,
            io: MessageField::some(TaskIO {
                stdin: request.stdin,
                stdout: request.stdout,
                stderr: request.stderr,
                terminal: request.terminal,
                ..TaskIO::default()
            }),
            pid: container.pid,
            ..TaskCreate::default()
        });
        Ok(CreateTaskResponse {
            pid: container.pid,
            ..CreateTaskResponse::default()
        })
    }

    fn start(&self, _: &TtrpcContext, request: StartRequest) -> TtrpcResult<StartResponse> {
        let container = self.main_process(&request.id, &request.exec_id)?;
        let pid = container.pid;
        // Held until the start is published, so that no exit is before it.
        let mut state = container.state();
        match *state {
            State::Created => container.act(Deed::Start)?,
            _ => return Err(not_now("started once, when it was created").into()),
        }
        drop(lock(&container.stdin).take());
        *state = State::Running;
        self.events.publish(TaskStart {
            container_id: request.id,
            pid,
            ..TaskStart::default()
        });
        Ok(StartResponse {
            pid,
            ..StartResponse::default()
        })
    }

    fn state(&self, _: &TtrpcContext, request: StateRequest) -> TtrpcResult<StateResponse> {
        let container = self.main_process(&request.id, &request.exec_id)?;
        let state = container.state().clone();
        let plan = &container.plan;
        let mut response = StateResponse {
            id: request.id,
            bundle: plan.bundle.to_string_lossy().into_owned(),
            pid: container.pid,
            stdin: plan.stdin.clone(),
            stdout: plan.stdout.clone(),
            stderr: plan.stderr.clone(),
            terminal: plan.terminal,
            ..StateResponse::default()
        };
        let status = match state {
            State::Created => Status::CREATED,
            State::Running => Status::RUNNING,
            State::Paused => Status::PAUSED,
            State::Stopped { code, at } => {
                response.exit_status = code;
                response.exited_at = MessageField::some(at);
                Status::STOPPED
            }
        };
        response.set_status(status);
        Ok(response)
    }

    fn kill(&self, _: &TtrpcContext, request: KillRequest) -> TtrpcResult<Empty> {
        let container = self.main_process(&request.id, &request.exec_id)?;
        let state = container.state().clone();
        if let State::Stopped { .. } = state {
            let message = "the container's process has ended".to_owned();
            return Err(Error::NotFoundError(message).into());
        }
        container.signal(request.signal)?;
        // What is frozen does not see that it was killed.
        if matches!(state, State::Paused) && i64::from(request.signal) == i64::from(libc::SIGKILL) {
            container.act(Deed::Resume)?;
        }
        Ok(Empty::new())
    }

    fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> TtrpcResult<WaitResponse> {
        let container = self.main_process(&request.id, &request.exec_id)?;
        let (exit_status, at) = container.wait();
        Ok(WaitResponse {
            exit_status,
            exited_at: MessageField::some(at),
            ..WaitResponse::default()
        })
    }

    fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> TtrpcResult<DeleteResponse> {
        let container = self.main_process(&request.id, &request.exec_id)?;
        match *container.state() {
            State::Created | State::Stopped { .. } => {}
            State::Running | State::Paused => {
                return Err(not_now("deleted when it has ended").into());
            }
        }
        container.act(Deed::Remove)?;
        let (exit_status, at) = container.wait();
        unmount(&container.rootfs);
        self.containers().remove(&request.id);
        self.events.publish(TaskDelete {
            container_id: request.id,
            pid: container.pid,
            exit_status,
            exited_at: MessageField::some(at.clone()),
            ..TaskDelete::default()
        });
        Ok(DeleteResponse {
            pid: container.pid,
            exit_status,
            exited_at: MessageField::some(at),
            ..DeleteResponse::default()
        })
    }

    fn pause(&self, _: &TtrpcContext, request: PauseRequest) -> TtrpcResult<Empty> {
        let container = self.get(&request.id)?;
        let mut state = container.state();
        match *state {
            State::Running => container.act(Deed::Pause)?,
            _ => return Err(not_now("paused while it runs").into()),
        }
        *state = State::Paused;
        drop(state);
        self.events.publish(TaskPaused {
            container_id: request.id,
            ..TaskPaused::default()
        });
        Ok(Empty::new())
    }

    fn resume(&self, _: &TtrpcContext, request: ResumeRequest) -> TtrpcResult<Empty> {
        let container = self.get(&request.id)?;
        let mut state = container.state();
        match *state {
            State::Paused => container.act(Deed::Resume)?,
            _ => return Err(not_now("resumed while it is paused").into()),
        }
        *state = State::Running;
        drop(state);
        self.events.publish(TaskResumed {
            container_id: request.id,
            ..TaskResumed::default()
        });
        Ok(Empty::new())
    }

    fn exec(&self, _: &TtrpcContext, _: ExecProcessRequest) -> TtrpcResult<Empty> {
        Err(Error::Unimplemented(NO_EXEC.to_owned()).into())
    }

    fn pids(&self, _: &TtrpcContext, request: PidsRequest) -> TtrpcResult<PidsResponse> {
        let container = self.get(&request.id)?;
        Ok(PidsResponse {
            processes: vec![ProcessInfo {
                pid: container.pid,
                ..ProcessInfo::default()
            }],
            ..PidsResponse::default()
        })
    }

    fn resize_pty(&self, _: &TtrpcContext, request: ResizePtyRequest) -> TtrpcResult<Empty> {
        let container = self.main_process(&request.id, &request.exec_id)?;
        let Some(terminal) = &container.terminal else {
            return Err(not_now("given a size when it has a terminal").into());
        };
        terminal.resize(request.width, request.height)?;
        Ok(Empty::new())
    }

    fn close_io(&self, _: &TtrpcContext, request: CloseIORequest) -> TtrpcResult<Empty> {
        // The container reads from the pipe itself, and sees that its other end is closed.
        self.main_process(&request.id, &request.exec_id)?;
        Ok(Empty::new())
    }

    fn update(&self, _: &TtrpcContext, request: UpdateTaskRequest) -> TtrpcResult<Empty> {
        let container = self.get(&request.id)?;
        let resources = serde_json::from_slice(&request.resources.value).map_err(Error::JSON)?;
        update_resources(container.pid, &resources)?;
        Ok(Empty::new())
    }

    fn stats(&self, _: &TtrpcContext, request: StatsRequest) -> TtrpcResult<StatsResponse> {
        let container = self.get(&request.id)?;
        if let State::Stopped { .. } = *container.state() {
            return Err(not_now("measured while it runs").into());
        }
        let mut metrics = collect_metrics(container.pid)?;
        if let Some(time) = container.group.processor_time() {
            let cpu = metrics.cpu.mut_or_insert_default();
            let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            cpu.usage.mut_or_insert_default().total = nanoseconds;
        }
        let metrics = convert_to_any(Box::new(metrics))?;
        Ok(StatsResponse {
            stats: MessageField::some(metrics),
            ..StatsResponse::default()
        })
    }

    fn connect(&self, _: &TtrpcContext, request: ConnectRequest) -> TtrpcResult<ConnectResponse> {
        let container = self.get(&request.id)?;
        Ok(ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: container.pid,
            ..ConnectResponse::default()
        })
    }

    fn shutdown(&self, _: &TtrpcContext, _: ShutdownRequest) -> TtrpcResult<Empty> {
        if self.containers().is_empty() {
            self.exit.signal();
        }
        Ok(Empty::new())
    }
}

/// Mounts the root and makes the container; undoes both if one of them cannot be.
fn create(request: &CreateTaskRequest, events: &Arc<Events>) -> Result<Arc<Container>, Error> {
    let plan = Plan {
        id: request.id.clone(),
        bundle: PathBuf::from(&request.bundle),
        stdin: request.stdin.clone(),
        stdout: request.stdout.clone(),
        stderr: request.stderr.clone(),
        terminal: request.terminal,
    };
    let rootfs = plan.bundle.join("rootfs");
    let made = mount(request, &rootfs).and_then(|()| make(&plan, &rootfs, events));
    if made.is_err() {
        // What can be undone of a container that is not there.
        let _ = act(Deed::Remove, &plan.bundle, &plan.id);
        unmount(&rootfs);
    }
    made
}

fn mount(request: &CreateTaskRequest, rootfs: &Path) -> Result<(), Error> {
    let cannot = |err| Error::IoError {
        context: format!("cannot make {}", rootfs.display()),
        err,
    };
    std::fs::create_dir_all(rootfs).map_err(cannot)?;
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    request.rootfs.iter().try_for_each(|mount| {
        let (kind, source) = (given(&mount.type_), given(&mount.source));
        mount_rootfs(kind.as_deref(), source.as_deref(), &mount.options, rootfs)
    })
}

fn make(plan: &Plan, rootfs: &Path, events: &Arc<Events>) -> Result<Arc<Container>, Error> {
    // Before there is a process, so that its end cannot be missed.
    let ends = monitor_subscribe(Topic::Pid)?;
    let stdin = (!plan.stdin.is_empty() && !plan.terminal)
        .then(|| OpenOptions::new().read(true).write(true).open(&plan.stdin))
        .and_then(Result::ok);
    let console = plan.terminal.then(|| terminal::listen(&plan.console()));
    let console = console.transpose().map_err(no_terminal)?;
    let pid = plan.create().map_err(Error::FailedPreconditionError)?;
    let process = rustix::process::Pid::from_raw(pid)
        .ok_or_else(|| Error::Other("the container has no process".to_owned()))
        .and_then(|pid| {
            rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
                .map_err(|error| Error::Other(format!("the container's process: {error}")))
        })?;
    let terminal = console.map(|console| Terminal::take(&console, plan));
    let container = Arc::new(Container {
        plan: plan.clone(),
        rootfs: rootfs.to_owned(),
        pid: pid.unsigned_abs(),
        process,
        state: Mutex::new(State::Created),
        stopped: Condvar::new(),
        stdin: Mutex::new(stdin),
        terminal: terminal.transpose().map_err(no_terminal)?,
        group: Group::of(pid),
    });
    let (watched, events) = (Arc::clone(&container), Arc::clone(events));
    let watch = move || {
        let mut codes = ends
            .rx
            .iter()
            .filter(|end| matches!(end.subject, Subject::Pid(ended) if ended == pid));
        let code = codes
            .next()
            .map_or(KILLED, |end| end.exit_code.unsigned_abs());
        drop(codes);
        watched.end(code, &events);
    };
    let thread = thread::Builder::new().stack_size(STACK).spawn(watch);
    thread.map_err(|err| Error::IoError {
        context: "cannot start a thread".to_owned(),
        err,
    })?;
    Ok(container)
}

fn no_terminal(err: std::io::Error) -> Error {
    Error::IoError {
        context: "cannot make the container's terminal".to_owned(),
        err,
    }
}

/// The code of a process of which nothing else is known (128 + SIGKILL).
pub(crate) const KILLED: u32 = 137;

/// A container's mounts are gone with its last process; its root is not.
fn unmount(rootfs: &Path) {
    // What is not mounted, or not any more, needs nothing.
    while rustix::mount::unmount(rootfs, rustix::mount::UnmountFlags::DETACH).is_ok() {}
}

fn not_now(when: &str) -> Error {
    Error::FailedPreconditionError(format!("a container can only be {when}"))
}

/// Nothing that a thread leaves behind in a panic is half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
