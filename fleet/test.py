"""Containers of the shim against `threadwork run`: test.py TARGET [NAME]...

Starts a containerd whose root, state and socket are in a temporary folder, ends it by its
process id, and fails if anything is left: a process, a mount, a control group, a socket.
"""

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from harness import (
    PATIENCE, RUNTIME, SOCKETS, THREADWORK, WAITERS, Containerd, guest, parent, run, run_tests, runs,
    until, waiting, wat,
)

TESTS = []


def test(function):
    """Marks a test; its name is the function's."""
    TESTS.append(function)
    return function


def native(file, *arguments, options=(), stdin=""):
    return run(THREADWORK, "run", *options, file, *arguments, check=False, stdin=stdin)


def plain(text):
    """What is said, without what differs from run to run: times and figures of speed."""
    text = re.sub(r"(test \S+ ok) .*", r"\1", text)
    text = re.sub(r"main thread waits at address \w+", "main thread waits", text)
    text = re.sub(r"\d+\.\d{6}", "TIME", text)
    return re.sub(r"result: \d+ seconds: TIME", "result", text)


def same(container, command):
    """The container has done as the command did."""
    assert container.code == command.code, f"{container.text()}\nbut: {command.text()}"
    assert plain(container.out) == plain(command.out), f"{container.out}\nbut: {command.out}"
    assert plain(container.err) == plain(command.err), f"{container.err}\nbut: {command.err}"


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
    assert "too low" in pids(4).err


@test
def the_quota_is_what_programs_are_told(containerd):
    for cpus, told in [("0.5", 1), ("1", 1), ("64", len(os.sched_getaffinity(0)))]:
        container = containerd.run(guest("hello"), options=["--cpus", cpus])
        assert f"env THREADWORK_PARALLELISM={told}\n" in container.out, container.text()


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
def a_program_may_ask_for_the_end_of_its_input_instead_of_sigterm(containerd):
    stop = ["--env", "THREADWORK_STOP=stdin"]
    name = containerd.detached(guest("stdio"), options=stop)
    until(lambda: "tick" in containerd.output(name), "the program's first word")
    containerd.ctr("task", "kill", "--signal", "SIGTERM", name)
    until(lambda: containerd.state(name) == "STOPPED", "the end of the task")
    # What is no error says nothing.
    assert containerd.ctr("task", "delete", name).err == ""
    containerd.ctr("container", "delete", name)
    # Who does not listen is ended by the second.
    name = containerd.detached(wat(containerd, "waiters", WAITERS), options=stop)
    until(lambda: "ready" in containerd.output(name), "the program's first word")
    containerd.ctr("task", "kill", "--signal", "SIGTERM", name)
    assert containerd.state(name) == "RUNNING"
    containerd.ctr("task", "kill", "--signal", "SIGTERM", name)
    ended(containerd, name, 143)
    wrong = containerd.run(guest("hello"), options=["--env", "THREADWORK_STOP=never"])
    assert wrong.code == 125, wrong.text()
    assert wrong.err == "threadwork: error: THREADWORK_STOP can be `stdin`, not `never`\n", wrong.text()


@test
def listeners(containerd):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--net-host", "--env", f"THREADWORK_TCPLISTEN=127.0.0.1:{port}"]
    name = containerd.detached(guest("http-server"), options=options)
    until(lambda: "listening" in containerd.output(name), "the program's first word")
    taken = containerd.run(guest("hello"), options=options)
    assert taken.code == 125 and "THREADWORK_TCPLISTEN: 127.0.0.1" in taken.err, taken.text()
    for path, answer in [("/", b"hello 0"), ("/end", b"hello 1")]:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            assert answer in connection.recv(1000)
    until(lambda: containerd.state(name) == "STOPPED", "the end of the task")
    containerd.remove(name)


@test
def terminals(containerd):
    def at_terminal(file, sign, text):
        """What is shown when `text` is typed after the sign, and how that ends."""
        controller, ours = pty.openpty()
        command = [
            "ctr", "--address", containerd.address, "run", "--rm", "--tty", "--runtime", RUNTIME,
            containerd.image(file), containerd.name(),
        ]
        program = subprocess.Popen(command, stdin=ours, stdout=ours, stderr=ours)
        os.close(ours)
        shown = b""
        try:
            while part := os.read(controller, 4096):
                shown += part
                if text and sign in shown:
                    os.write(controller, text)
                    text = b""
        except OSError:
            # The other side is closed.
            pass
        os.close(controller)
        return program.wait(PATIENCE), shown.decode().replace("\r", "")

    # Each of the two terminals makes two characters of the end of a line. Control-D ends the input, control-C the program.
    code, shown = at_terminal(guest("stdio"), b"tick 1", b"one\ntwo\n\4")
    assert code == 0 and "echo one\n" in shown and "ok stdio" in shown, (code, shown)
    code, shown = at_terminal(wat(containerd, "waiters", WAITERS), b"ready", b"\3")
    assert code == 130, (code, shown)


@test
def nothing_can_be_run_beside_it(containerd):
    name = waiting(containerd)
    beside = containerd.ctr("task", "exec", "--exec-id", "x", name, "/bin/sh", check=False)
    assert beside.code != 0 and len(beside.err.splitlines()) == 1, beside.text()
    assert "a container of Threadwork has one process" in beside.err, beside.text()
    containerd.ctr("task", "kill", "--signal", "SIGKILL", name)
    ended(containerd, name, 137)


@test
def code_is_compiled_once_and_mapped(containerd):
    def code_of(name):
        with open(f"/proc/{containerd.tasks()[name][0]}/maps", encoding="utf-8") as file:
            return {tuple(line.split()[3:5]) for line in file if ".twc" in line}

    first, second = waiting(containerd), waiting(containerd)
    # The same file on the same disk, in the second from its start.
    assert code_of(first) == code_of(second) != set()
    for name in [first, second]:
        containerd.ctr("task", "kill", "--signal", "SIGKILL", name)
        ended(containerd, name, 137)


@test
def the_systems_own_kill_for_want_of_memory_is_told(containerd):
    def change(spec):
        # A line without an end is kept whole.
        spec["process"]["args"] = [shutil.which("tail"), "/dev/zero"]
        spec["mounts"] += [
            {"destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"]}
            for path in ["/usr", "/lib", "/lib64", "/bin"] if os.path.exists(path)
        ]
        spec["linux"]["resources"]["memory"] = {"limit": 64 << 20}

    events = subprocess.Popen(
        ["ctr", "--address", containerd.address, "events"], stdout=subprocess.PIPE, text=True
    )
    try:
        killed = containerd.with_spec(guest("hello"), change)
        assert killed.code == 137, killed.text()
        seen = ""
        while "/tasks/exit" not in seen:
            line = events.stdout.readline()
            assert line, f"no exit was told: {seen}"
            seen += line
        assert "/tasks/oom" in seen, seen
    finally:
        events.kill()
        events.wait(PATIENCE)


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


os.makedirs(SOCKETS, exist_ok=True)
before = set(os.listdir(SOCKETS))
run_tests(TESTS, sys.argv[2:], Containerd(), before)
