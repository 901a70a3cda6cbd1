"""Pods, as Kubernetes makes them: cri.py TARGET [NAME]...

Asks a containerd of the tests' own by the CRI for what a kubelet would: a pod's sandbox, containers
in it, their logs, states and ends. Needs Python's grpcio and protobuf.
"""

import importlib
import os
import re
import shutil
import sys
import tempfile

import grpc
from harness import (
    PAUSE, RUNTIME, SOCKETS, WAITERS, Containerd, elf, guest, run, run_tests, until, wat,
)

# A container's states.
RUNNING, EXITED = 1, 2

# A namespace that is the node's, and one of each container.
NODE, CONTAINER = 2, 1

TESTS = []


def test(function):
    """Marks a test; its name is the function's."""
    TESTS.append(function)
    return function


def compiled():
    """The messages, compiled for Python."""
    folder = tempfile.mkdtemp()
    here = os.path.dirname(os.path.abspath(__file__))
    run("protoc", f"--python_out={folder}", f"-I{here}", "cri.proto")
    sys.path.insert(0, folder)
    messages = importlib.import_module("cri_pb2")
    shutil.rmtree(folder)
    return messages


m = compiled()

class Node(Containerd):
    """A containerd that a kubelet could use."""

    DISABLED = []
    SANDBOX = "docker.io/library/pause:test"

    def plugins(self):
        cri = 'plugins."io.containerd.grpc.v1.cri"'
        return (
            f'[{cri}]\nsandbox_image = "{self.SANDBOX}"\ndisable_apparmor = true\n'
            # The tests may run where even root may not make itself less likely to be killed.
            "restrict_oom_score_adj = true\n"
            "netns_mounts_under_state_dir = true\n"
            f'[{cri}.containerd]\ndefault_runtime_name = "threadwork"\n'
            f'[{cri}.containerd.runtimes.threadwork]\nruntime_type = "{RUNTIME}"\n'
            f'[{cri}.cni]\nbin_dir = "{self.folder}/cni"\nconf_dir = "{self.folder}/cni"\n'
        )

    def __init__(self):
        super().__init__()
        self.channel = grpc.insecure_channel(f"unix://{self.address}")
        self.add(self.SANDBOX, elf(PAUSE))

    def ctr(self, *arguments, check=True, stdin=""):
        return super().ctr("--namespace", "k8s.io", *arguments, check=check, stdin=stdin)

    def ask(self, method, request, answer=None):
        call = self.channel.unary_unary(
            f"/runtime.v1.RuntimeService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=(answer or m.Empty).FromString,
        )
        return call(request, timeout=300)


class Pod:
    """A pod in the node's network, on our runtime."""

    def __init__(self, node):
        self.node = node
        self.logs = tempfile.mkdtemp(dir=node.folder)
        self.config = m.SandboxConfig(
            metadata=m.Metadata(name=node.name(), uid=node.name(), namespace="default"),
            log_directory=self.logs,
            linux=m.LinuxSandbox(
                cgroup_parent="/default",
                security_context=m.SandboxSecurity(
                    namespace_options=m.Namespaces(network=NODE, pid=CONTAINER)
                ),
            ),
        )
        request = m.RunPodSandboxRequest(config=self.config, runtime_handler="threadwork")
        answer = node.ask("RunPodSandbox", request, m.RunPodSandboxResponse)
        self.id = answer.pod_sandbox_id

    def create(self, file, *arguments, env=(), **config):
        """Creates a container of the pod, and returns its name."""
        name = self.node.name()
        image = self.node.image(file)
        request = m.CreateContainerRequest(
            pod_sandbox_id=self.id,
            sandbox_config=self.config,
            config=m.ContainerConfig(
                metadata=m.Named(name=name), image=m.Image(image=image), args=arguments,
                envs=[m.Variable(key=key, value=value) for key, value in env],
                log_path=f"{name}.log", **config,
            ),
        )
        # The image was imported beside the CRI, which hears of it a little later.
        def created():
            try:
                return self.node.ask("CreateContainer", request, m.CreateContainerResponse)
            except grpc.RpcError as error:
                if "not found" not in error.details() or image not in error.details():
                    raise
                return None

        container = until(created, "the image").container_id
        return container, f"{self.logs}/{name}.log"

    def start(self, *arguments, **config):
        container, log = self.create(*arguments, **config)
        self.node.ask("StartContainer", m.ContainerRequest(container_id=container))
        return container, log

    def status(self, container):
        request = m.ContainerRequest(container_id=container)
        return self.node.ask("ContainerStatus", request, m.ContainerStatusResponse).status

    def ended(self, container):
        until(lambda: self.status(container).state == EXITED, "the end of the container")
        return self.status(container)

    def remove(self):
        request = m.SandboxRequest(pod_sandbox_id=self.id)
        self.node.ask("StopPodSandbox", request)
        self.node.ask("RemovePodSandbox", request)


def logged(log, stream="stdout"):
    """What a container has said, from the log that its kubelet reads."""
    with open(log, encoding="utf-8") as file:
        lines = re.findall(rf"^\S+ {stream} [FP] (.*)$", file.read(), re.M)
    return "\n".join(lines)


def refused(method, *arguments):
    try:
        method(*arguments)
    except grpc.RpcError as error:
        return error.details()
    raise AssertionError("it was not refused")


@test
def a_job_runs_to_its_end(node):
    pod = Pod(node)
    container, log = pod.start(guest("hello"), env=[("A", "b=c")])
    status = pod.ended(container)
    assert (status.exit_code, status.reason) == (0, "Completed"), status
    assert "env A=b=c" in logged(log) and "ok hello" in logged(log)
    bad, log = pod.start(guest("endings"), command=["/endings.wasm", "thread", "exit:3", "wait"])
    status = pod.ended(bad)
    assert (status.exit_code, status.reason) == (3, "Error"), status
    trap, log = pod.start(guest("endings"), command=["/endings.wasm", "main", "trap", "compute"])
    assert pod.ended(trap).exit_code == 134
    assert "threadwork: " in logged(log, "stderr")
    for one in [container, bad, trap]:
        node.ask("RemoveContainer", m.ContainerRequest(container_id=one))
    pod.remove()


@test
def services_are_stopped(node):
    pod = Pod(node)
    waiters = wat(node, "waiters", WAITERS)
    both = [pod.start(waiters) for _ in range(2)]
    for container, log in both:
        until(lambda: "ready" in logged(log), "the program's first word")
        assert pod.status(container).state == RUNNING
    first, second = both[0][0], both[1][0]
    stats = node.ask(
        "ContainerStats", m.ContainerRequest(container_id=first), m.ContainerStatsResponse
    ).stats
    assert stats.memory.working_set_bytes.value > 0, stats
    assert stats.cpu.usage_core_nano_seconds.value > 0, stats
    said = refused(
        node.ask, "ExecSync", m.ExecSyncRequest(container_id=first, cmd=["/bin/sh"], timeout=10)
    )
    assert "a container of Threadwork has one process" in said, said
    node.ask("StopContainer", m.ContainerRequest(container_id=first, timeout=60))
    assert pod.ended(first).exit_code == 143
    assert pod.status(second).state == RUNNING
    # Whoever removes a pod with what runs in it, as when a node is drained.
    pod.remove()


@test
def a_program_is_told_that_its_pod_ends(node):
    pod = Pod(node)
    container, log = pod.start(guest("stdio"), env=[("THREADWORK_STOP", "stdin")])
    until(lambda: "tick" in logged(log), "the program's first word")
    node.ask("StopContainer", m.ContainerRequest(container_id=container, timeout=60))
    assert pod.ended(container).exit_code == 0
    pod.remove()


@test
def limits_terminals_and_seccomp(node):
    pod = Pod(node)

    def within(memory):
        return m.LinuxContainer(
            resources=m.Resources(
                cpu_period=100000, cpu_quota=100000, memory_limit_in_bytes=memory
            ),
            # Kubernetes' own list of calls that a container may make.
            security_context=m.Security(
                namespace_options=m.Namespaces(network=NODE, pid=CONTAINER),
                seccomp_profile_path="runtime/default",
            ),
        )

    container, log = pod.start(guest("acceptance"), linux=within(256 << 20))
    assert pod.ended(container).exit_code == 0, logged(log) + logged(log, "stderr")
    assert len(re.findall(r"^test \S+ ok ", logged(log), re.M)) == 35, logged(log)
    container, log = pod.start(guest("heap"), linux=within(32 << 20))
    assert pod.ended(container).exit_code == 137, logged(log) + logged(log, "stderr")
    assert "the container's memory limit sets this limit" in logged(log, "stderr")
    container, log = pod.start(guest("hello"), tty=True)
    assert pod.ended(container).exit_code == 0
    assert "ok hello" in logged(log)
    pod.remove()


@test
def what_cannot_run_says_so(node):
    pod = Pod(node)
    for name, program, says in [
        ("bad", b"\0asm\1\0\0\0\7", "cannot run /program: "),
        ("text", b"hello", "/program is neither WebAssembly nor a program of the system"),
    ]:
        node.images[name] = node.add(f"docker.io/library/{name}:test", program)
        container, _ = pod.create(name)
        said = refused(node.ask, "StartContainer", m.ContainerRequest(container_id=container))
        assert says in said and "\n" not in said, said
    pod.remove()


os.makedirs(SOCKETS, exist_ok=True)
before = set(os.listdir(SOCKETS))
run_tests(TESTS, sys.argv[2:], Node(), before)
