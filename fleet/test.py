"""Containers of the shim against `threadwork run`: test.py TARGET [NAME]...

Starts a containerd whose root, state and socket are in a temporary folder, ends it by its
process id, and fails if anything is left: a process, a mount, a control group, a socket.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# Ten times what the slowest step takes on a busy machine.
PATIENCE = 300

RUNTIME = "io.containerd.threadwork.v1"
TARGET = os.path.abspath(sys.argv[1])
GUESTS = f"{TARGET}/guests/wasm32-wasip1-threads/release"
THREADWORK = f"{TARGET}/release/threadwork"
SOCKETS = "/run/containerd/s"

TESTS = []


def test(function):
    """Marks a test; its name is the function's."""
    TESTS.append(function)
    return function


def until(condition, what):
    """Waits for a sign, and fails if it never comes."""
    end = time.monotonic() + PATIENCE
    while not (sign := condition()):
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.02)
    return sign


class Outcome:
    """What a command or a container has said, and its code."""

    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    def text(self):
        return f"code {self.code}\n{self.out}{self.err}"


def run(*command, check=True, stdin=""):
    """Runs a command to its end."""
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    outcome = Outcome(done)
    assert not check or outcome.code == 0, f"{' '.join(command)}: {outcome.text()}"
    return outcome


class Containerd:
    """A containerd of our own."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="threadwork-fleet-")
        self.address = f"{self.folder}/containerd.sock"
        config = f"{self.folder}/config.toml"
        with open(config, "w", encoding="utf-8") as file:
            file.write(
                f'version = 2\nroot = "{self.folder}/root"\nstate = "{self.folder}/state"\n'
                'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                f'[grpc]\naddress = "{self.address}"\n'
            )
        self.log = open(f"{self.folder}/log", "w", encoding="utf-8")
        self.config = config
        self.process = None
        self.images = {}
        self.count = 0
        self.start()

    def start(self):
        environment = dict(
            os.environ,
            PATH=f"{TARGET}/release:{os.environ['PATH']}",
            THREADWORK_CACHE_DIR=f"{self.folder}/cache",
        )
        self.process = subprocess.Popen(
            ["containerd", "-c", self.config],
            stdout=self.log,
            stderr=self.log,
            env=environment,
        )
        until(lambda: self.ctr("version", check=False).code == 0, "containerd's first answer")

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(PATIENCE)

    def ctr(self, *arguments, check=True, stdin=""):
        return run("ctr", "--address", self.address, *arguments, check=check, stdin=stdin)

    def image(self, file):
        """The name of an image of a program, which is imported once."""
        if file not in self.images:
            archive = f"{self.folder}/image.tar"
            name = run(THREADWORK, "image", file, "-o", archive).out.strip()
            self.ctr("image", "import", archive)
            os.remove(archive)
            self.images[file] = name
        return self.images[file]

    def name(self):
        self.count += 1
        return f"test-{self.count}"

    def run(self, file, *arguments, options=(), stdin="", ctr=()):
        """Runs a program as a container to its end."""
        program = [f"/{os.path.basename(file)}", *arguments] if arguments else []
        return self.ctr(
            *ctr, "run", "--rm", "--runtime", RUNTIME, *options, self.image(file), self.name(),
            *program, check=False, stdin=stdin,
        )

    def detached(self, file, *arguments, options=()):
        """Starts a container that is not waited for; returns its name."""
        name = self.name()
        program = [f"/{os.path.basename(file)}", *arguments] if arguments else []
        log = f"file://{self.folder}/{name}.log"
        self.ctr(
            "run", "--detach", "--log-uri", log, "--runtime", RUNTIME, *options,
            self.image(file), name, *program,
        )
        return name

    def output(self, name):
        with open(f"{self.folder}/{name}.log", encoding="utf-8") as file:
            return file.read()

    def tasks(self):
        """Names, process ids and states of what runs."""
        lines = self.ctr("task", "ls").out.splitlines()[1:]
        return {name: (int(pid), state) for name, pid, state in map(str.split, lines)}

    def state(self, name):
        return self.tasks().get(name, (0, "gone"))[1]

    def remove(self, name):
        self.ctr("task", "delete", name, check=False)
        self.ctr("container", "delete", name)

    def with_spec(self, file, change, arguments=()):
        """Runs a program whose specification is changed first, in a folder as its root."""
        spec = json.loads(self.ctr("oci", "spec").out)
        root = tempfile.mkdtemp(dir=self.folder)
        os.chmod(root, 0o755)
        name = os.path.basename(file)
        shutil.copy(file, f"{root}/{name}")
        spec["root"] = {"path": root}
        spec["process"]["args"] = [f"/{name}", *arguments]
        spec["process"]["terminal"] = False
        change(spec)
        config = f"{root}.json"
        with open(config, "w", encoding="utf-8") as written:
            json.dump(spec, written)
        return self.ctr(
            "run", "--rm", "--runtime", RUNTIME, "--config", config, self.name(), check=False
        )


def guest(name):
    return f"{GUESTS}/{name}.wasm"


def plain(text):
    """What is said, without what differs from run to run: times and figures of speed."""
    text = re.sub(r"(test \S+ ok) .*", r"\1", text)
    text = re.sub(r"main thread waits at address \w+", "main thread waits", text)
    text = re.sub(r"\d+\.\d{6}", "TIME", text)
    return re.sub(r"result: \d+ seconds: TIME", "result", text)


def native(file, *arguments, options=(), stdin=""):
    return run(THREADWORK, "run", *options, file, *arguments, check=False, stdin=stdin)


def same(container, command):
    """The container has done as the command did."""
    assert container.code == command.code, f"{container.text()}\nbut: {command.text()}"
    assert plain(container.out) == plain(command.out), f"{container.out}\nbut: {command.out}"
    assert plain(container.err) == plain(command.err), f"{container.err}\nbut: {command.err}"


def wat(containerd, name, text):
    """A program in the text format."""
    path = f"{containerd.folder}/{name}.wat"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@test
def the_acceptance_tests(containerd):
    container = containerd.run(guest("acceptance"))
    same(container, native(guest("acceptance")))
    assert len(re.findall(r"^test \S+ ok ", container.out, re.M)) == 35, container.text()


@test
def programs_that_compute(containerd):
    for program in ["pi", "merge-sort"]:
        arguments = ["--size", "1000000", "--threads", "2"]
        same(containerd.run(guest(program), *arguments), native(guest(program), *arguments))


@test
def arguments_and_environment(containerd):
    container = containerd.run(guest("hello"), "x y", "", options=["--env", "A=b=c"])
    lines = container.out.splitlines()
    for line in ["arg 0: hello.wasm", "arg 1: x y", "arg 2: ", "env A=b=c", "ok hello"]:
        assert line in lines, container.text()
    assert container.code == 0 and container.err == "", container.text()


@test
def streams(containerd):
    def ticks(outcome):
        outcome.out = re.sub(r"tick \d+\n", "", outcome.out)
        return outcome

    text = "one\ntwo\n" * 1000
    container = containerd.run(guest("stdio"), stdin=text)
    same(ticks(container), ticks(native(guest("stdio"), stdin=text)))


@test
def mounts(containerd):
    folder = tempfile.mkdtemp(dir=containerd.folder)
    mount = f"type=bind,src={folder},dst=/data/here,options=rbind"
    command = native(guest("files"), "/data/here", options=["--dir", f"{folder}::/data/here"])
    assert command.code == 0, command.text()
    same(containerd.run(guest("files"), "/data/here", options=["--mount", f"{mount}:rw"]), command)
    # Its first act fails. Further than that it would not get by relative paths, which threads that
    # use them at the same time mix up (wasi-libc's buffer).
    for options, place in [
        (["--mount", f"{mount}:ro"], "/data/here"),
        (["--mount", f"{mount}:ro", "--cwd", "/data/here"], "."),
        (["--read-only"], "/"),
    ]:
        refused = containerd.run(guest("files"), place, options=options)
        assert refused.code == 134 and "Read-only file system" in refused.err, refused.text()
    assert os.listdir(folder) == []


OPEN = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "PATH")
  (func (export "_start")
    (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 8) (i32.const LENGTH)
      (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0)))))"""


@test
def the_hosts_own_memory_is_not_there(containerd):
    # Its own file shows that it would be found; 44 is ENOENT.
    for name, path, code in [
        ("own", "own.wat", 0),
        ("proc", "proc/self/mem", 44),
        ("sys", "sys/kernel", 44),
    ]:
        text = OPEN.replace("PATH", path).replace("LENGTH", str(len(path)))
        opened = containerd.run(wat(containerd, name, text))
        assert opened.code == code, opened.text()


@test
def endings(containerd):
    for arguments in [
        ["main", "exit:7", "compute"],
        ["thread", "exit:3", "wait"],
        ["main", "trap", "compute"],
        ["thread", "panic", "sleep"],
    ]:
        same(containerd.run(guest("endings"), *arguments), native(guest("endings"), *arguments))


@test
def a_deadlock(containerd):
    container = containerd.run(guest("deadlock"))
    same(container, native(guest("deadlock")))
    assert container.code == 120


@test
def what_cannot_run(containerd):
    for name, text, says in [
        ("text.wasm", "hello", "neither WebAssembly nor"),
        ("empty.wasm", "", "is empty"),
        ("bad.wasm", "\0asm\1\0\0\0\7", "cannot run /bad.wasm"),
        ("arm", "\x7fELF", "threadwork: error:"),
    ]:
        path = f"{containerd.folder}/{name}"
        with open(path, "w", encoding="latin-1") as file:
            file.write(text)
        refused = containerd.with_spec(path, lambda spec: None)
        assert refused.code != 0 and says in refused.err + refused.out, refused.text()
    gone = containerd.ctr(
        "run", "--rm", "--runtime", RUNTIME, containerd.image(guest("hello")), containerd.name(),
        "/none.wasm", check=False,
    )
    assert gone.code != 0 and "there is no file /none.wasm" in gone.err, gone.text()


@test
def the_limit_of_memory(containerd):
    container = containerd.run(guest("heap"), options=["--memory-limit", str(32 << 20)])
    assert "the limit of 20971520 bytes of memory was reached" in container.err, container.text()
    assert "the container's memory limit sets this limit" in container.err, container.text()
    assert container.code == 137
    tiny = containerd.run(guest("hello"), options=["--memory-limit", str(8 << 20)])
    assert tiny.code != 0 and "leaves no linear memory" in tiny.err, tiny.text()


@test
def the_limit_of_processes(containerd):
    def pids(most):
        def change(spec):
            spec["linux"]["resources"]["pids"] = {"limit": most}

        return containerd.with_spec(guest("spawn-until-fail"), change)

    same(pids(8), native(guest("spawn-until-fail"), options=["--threads", "4"]))
    assert "too low" in pids(3).err


@test
def the_quota_is_what_programs_are_told(containerd):
    for cpus, told in [("0.5", 1), ("1", 1), ("64", len(os.sched_getaffinity(0)))]:
        container = containerd.run(guest("hello"), options=["--cpus", cpus])
        assert f"env THREADWORK_PARALLELISM={told}\n" in container.out, container.text()


WAITERS = """(module
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "env" "memory" (memory 1 1 shared))
  (data (i32.const 64) "ready\\n")
  (data (i32.const 80) "\\40\\00\\00\\00\\06\\00\\00\\00")
  (func (export "wasi_thread_start") (param i32 i32)
    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
  (func (export "_start")
    (local $left i32)
    (local.set $left (i32.const 10))
    (loop $more
      (drop (call $spawn (i32.const 0)))
      (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (drop (call $write (i32.const 1) (i32.const 80) (i32.const 1) (i32.const 96)))
    (loop $ever
      (drop (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const 1000000000)))
      (br $ever))))"""


def waiting(containerd):
    """A container of ten threads that wait for ever, all of which have begun to."""
    name = containerd.detached(wat(containerd, "waiters", WAITERS))
    until(lambda: "ready" in containerd.output(name), "the program's first word")
    return name


def ended(containerd, name, code):
    until(lambda: containerd.state(name) == "STOPPED", "the end of the task")
    deleted = containerd.ctr("task", "delete", name, check=False)
    assert f"exit with non-zero exit code {code}" in deleted.err, deleted.text()
    containerd.ctr("container", "delete", name)


@test
def threads_that_wait_for_ever_are_killed(containerd):
    for how, code in [("SIGTERM", 143), ("SIGINT", 130), ("SIGKILL", 137)]:
        name = waiting(containerd)
        containerd.ctr("task", "kill", "--signal", how, name)
        ended(containerd, name, code)


@test
def pause_resume_and_metrics(containerd):
    name = waiting(containerd)
    metrics = containerd.ctr("task", "metrics", name).out
    assert re.search(r"memory.usage_in_bytes\s+\d{6,}|memory.usage\s+\d{6,}", metrics), metrics
    for _ in range(2):
        containerd.ctr("task", "pause", name)
        assert containerd.state(name) == "PAUSED"
        assert containerd.ctr("task", "pause", name, check=False).code != 0
        containerd.ctr("task", "resume", name)
        assert containerd.state(name) == "RUNNING"
    containerd.ctr("task", "pause", name)
    containerd.ctr("task", "kill", "--signal", "SIGKILL", name)
    ended(containerd, name, 137)


def parent(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"PPid:\s+(\d+)", file.read()).group(1))


def runs(pid):
    return os.path.exists(f"/proc/{pid}")


@test
def a_shim_that_is_killed_leaves_nothing(containerd):
    name = waiting(containerd)
    pid = containerd.tasks()[name][0]
    os.kill(parent(pid), signal.SIGKILL)
    until(lambda: not runs(pid), "the end of the container's process")
    until(lambda: containerd.state(name) in ("STOPPED", "gone"), "containerd's notice")
    containerd.remove(name)


@test
def containerd_may_be_killed_and_come_back(containerd):
    name = waiting(containerd)
    containerd.end(signal.SIGKILL)
    containerd.start()
    assert containerd.state(name) == "RUNNING"
    containerd.ctr("task", "kill", "--signal", "SIGKILL", name)
    ended(containerd, name, 137)


@test
def the_native_snapshotter(containerd):
    archive = f"{containerd.folder}/native.tar"
    run(THREADWORK, "image", guest("hello"), "-o", archive)
    containerd.ctr("image", "import", "--snapshotter", "native", archive)
    container = containerd.run(guest("hello"), options=["--snapshotter", "native"])
    assert container.code == 0 and "ok hello" in container.out, container.text()


def leftovers(folder, sockets):
    """What should not be there: processes, mounts, control groups, sockets."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
                command = file.read().replace("\0", " ")
        except OSError:
            continue
        if folder in command:
            found.append(f"process {pid}: {command}")
    with open("/proc/self/mounts", encoding="utf-8") as file:
        found += [line for line in file if folder in line]
    for group, _, _ in os.walk("/sys/fs/cgroup"):
        if re.search(r"/default/test-\d+$", group):
            found.append(group)
    return found + sorted(set(os.listdir(SOCKETS)) - sockets)


def main():
    chosen = [t for t in TESTS if len(sys.argv) < 3 or t.__name__ in sys.argv[2:]]
    os.makedirs(SOCKETS, exist_ok=True)
    sockets = set(os.listdir(SOCKETS))
    containerd = Containerd()
    failed = 0
    try:
        for one in chosen:
            begun = time.monotonic()
            try:
                one(containerd)
                print(f"test {one.__name__} ok {time.monotonic() - begun:.1f} s", flush=True)
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(f"test {one.__name__} FAILED: {error!r}", flush=True)
    finally:
        for name in containerd.tasks():
            containerd.ctr("task", "delete", "--force", name, check=False)
        shims = [line for line in leftovers(containerd.folder, sockets) if "containerd -c" not in line]
        containerd.end()
    if shims:
        print("left behind:", *shims, sep="\n  ")
    if not failed:
        shutil.rmtree(containerd.folder)
    print(f"{len(chosen) - failed} of {len(chosen)} tests passed")
    sys.exit(1 if failed or shims else 0)


main()
