"""A containerd of the tests' own, and what must not be left behind.

Its root, state and socket are in a temporary folder; it is ended by its process id. The
scripts beside this one import it; their first argument is Cargo's target folder.
"""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

# Ten times what the slowest step takes on a busy machine.
PATIENCE = 300

RUNTIME = "io.containerd.threadwork.v1"
TARGET = os.path.abspath(sys.argv[1])
GUESTS = f"{TARGET}/guests/wasm32-wasip1-threads/release"
THREADWORK = f"{TARGET}/release/threadwork"
SOCKETS = "/run/containerd/s"

# The end of a control group's path: of a container of `ctr`, and of a pod.
NAME = re.compile(r"/default/(test-\d+|[0-9a-f]{64})$")

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

    DISABLED = ["io.containerd.grpc.v1.cri"]

    def __init__(self, disk=None):
        """With `disk`, what containers need at run time is on a disk of so many bytes."""
        self.folder = tempfile.mkdtemp(prefix="threadwork-fleet-")
        self.disk = f"{self.folder}/disk" if disk else None
        self.volatile = self.disk or self.folder
        if disk:
            os.mkdir(self.disk)
            run("mount", "-t", "tmpfs", "-o", f"size={disk}", "disk", self.disk)
        self.address = f"{self.folder}/containerd.sock"
        config = f"{self.folder}/config.toml"
        with open(config, "w", encoding="utf-8") as file:
            file.write(
                f'version = 2\nroot = "{self.folder}/root"\nstate = "{self.volatile}/state"\n'
                f"disabled_plugins = {json.dumps(self.DISABLED)}\n"
                f'[grpc]\naddress = "{self.address}"\n{self.plugins()}'
            )
        self.log = open(f"{self.folder}/log", "w", encoding="utf-8")
        self.config = config
        self.process = None
        self.images = {}
        self.count = 0
        self.start()

    def plugins(self):
        """What its configuration says of its plugins."""
        return ""

    def start(self):
        environment = dict(
            os.environ,
            PATH=f"{TARGET}/release:{os.environ['PATH']}",
            THREADWORK_CACHE_DIR=f"{self.volatile}/cache",
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

    def remove_disk(self):
        if self.disk:
            run("umount", "--lazy", self.disk)

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

    def add(self, name, program):
        """Adds an image of one program."""
        path = f"{self.folder}/image.tar"
        archive(path, name, program)
        self.ctr("image", "import", path)
        os.remove(path)
        return name

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

    def remove_all(self):
        for name in self.tasks():
            self.ctr("task", "delete", "--force", name, check=False)
        for name in self.ctr("container", "ls", "-q").out.split():
            self.ctr("container", "delete", name, check=False)

    def specification(self, file, change, arguments=()):
        """The specification of a container with a program in a folder as its root, changed."""
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
        return config

    def with_spec(self, file, change, arguments=()):
        """Runs a program whose specification is changed first to its end."""
        config = self.specification(file, change, arguments)
        return self.ctr(
            "run", "--rm", "--runtime", RUNTIME, "--config", config, self.name(), check=False
        )


def guest(name):
    return f"{GUESTS}/{name}.wasm"


def wat(containerd, name, text):
    """A program in the text format."""
    path = f"{containerd.folder}/{name}.wat"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


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


# mov eax, 34 (pause); syscall; jmp: what a pod's sandbox does, as code for x86-64.
PAUSE = bytes.fromhex("b8220000000f05ebf7")


def elf(code):
    """A program of the system's that is nothing but this code."""
    base, header = 0x400000, 64 + 56
    size = header + len(code)

    def number(value, length):
        return value.to_bytes(length, "little")

    return (
        b"\x7fELF\2\1\1" + bytes(9) + number(2, 2) + number(62, 2) + number(1, 4)
        + number(base + header, 8) + number(64, 8) + number(0, 8) + number(0, 4)
        + b"".join(number(value, 2) for value in [64, 56, 1, 0, 0, 0])
        + number(1, 4) + number(5, 4) + number(0, 8) + number(base, 8) * 2 + number(size, 8) * 2
        + number(0x1000, 8) + code
    )


def archive(path, name, program):
    """Writes an image of one program, as an OCI archive."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo("program")
        entry.mode, entry.size = 0o755, len(program)
        tar.addfile(entry, io.BytesIO(program))
    blobs = {}

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    layers = [blob(layer.getvalue(), "layer.v1.tar")]
    config = blob(json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/program"]},
        "rootfs": {"type": "layers", "diff_ids": [layers[0]["digest"]]},
    }).encode(), "config.v1+json")
    manifest = blob(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": layers,
    }).encode(), "manifest.v1+json")
    manifest["annotations"] = {"io.containerd.image.name": name}
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
    blobs["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    with tarfile.open(path, "w") as tar:
        for file, data in blobs.items():
            entry = tarfile.TarInfo(file)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def parent(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"PPid:\s+(\d+)", file.read()).group(1))


def runs(pid):
    return os.path.exists(f"/proc/{pid}")


def processes(text):
    """Numbers and command lines of the processes that were started with this in it."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
                command = file.read().replace("\0", " ")
        except OSError:
            continue
        if text in command:
            found[int(pid)] = command
    return found


def groups():
    """The control groups of the tests' containers."""
    return [group for group, _, _ in os.walk("/sys/fs/cgroup") if NAME.search(group)]


def leftovers(folder, sockets):
    """What should not be there: processes, mounts, control groups, sockets."""
    found = [f"process {pid}: {command}" for pid, command in processes(folder).items()]
    with open("/proc/self/mounts", encoding="utf-8") as file:
        found += [line for line in file if folder in line]
    return found + groups() + sorted(set(os.listdir(SOCKETS)) - sockets)


def run_tests(tests, chosen, containerd, sockets):
    """Runs the chosen of these tests, all if none is named, ends containerd, and exits."""
    chosen = [one for one in tests if not chosen or one.__name__ in chosen]
    failed = 0
    try:
        for one in chosen:
            begun = time.monotonic()
            try:
                one(containerd)
                print(f"test {one.__name__} ok {time.monotonic() - begun:.1f} s", flush=True)
            except Exception as error:
                failed += 1
                print(f"test {one.__name__} FAILED: {error!r}", flush=True)
    finally:
        containerd.remove_all()
        own = f"process {containerd.process.pid}:"
        left = [
            line for line in leftovers(containerd.folder, sockets) if not line.startswith(own)
        ]
        containerd.end()
    if left:
        print("left behind:", *left, sep="\n  ")
    if not failed:
        shutil.rmtree(containerd.folder)
    print(f"{len(chosen) - failed} of {len(chosen)} tests passed")
    sys.exit(1 if failed or left else 0)
