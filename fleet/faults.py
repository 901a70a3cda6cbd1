"""Random faults of containers: faults.py TARGET [--count N] [--seed N] [--only FAULT]

After each, containerd must know what is true: what it has as running runs, and nothing else does.
When the containers have been removed nothing may be left of them: no process, mount, control group,
socket, file or snapshot. A fault that fails says its seed, with which it alone can be repeated.
"""

import argparse
import collections
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

from harness import (
    PATIENCE, RUNTIME, SOCKETS, TARGET, WAITERS, Containerd, groups, guest, leftovers, processes,
    runs, until, waiting, wat,
)

# Of the disk that is full now and then.
DISK = 48 << 20

# Where `ctr` has the pipes of the containers that it waits for.
PIPES = "/run/containerd/fifo"

# Seconds within which a container is made, runs its course and is removed.
COURSE = 0.6

FAULTS = []


def fault(function):
    FAULTS.append(function)
    return function


def begin(containerd, file=None, options=(), program=()):
    """Begins to run a container, and does not wait; returns its name and the command."""
    name = containerd.name()
    file = file or wat(containerd, "waiters", WAITERS)
    log = f"file://{containerd.folder}/{name}.log"
    command = subprocess.Popen(
        ["ctr", "--address", containerd.address, "run", "--detach", "--log-uri", log, "--runtime",
         RUNTIME, *options, containerd.image(file), name, *program],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    return name, command


def over(command):
    """What a command has said when it has ended by itself, which it must."""
    _, said = command.communicate(timeout=PATIENCE)
    return command.returncode, said


def refused(outcome, *expected):
    """One line says why, if it was refused."""
    if outcome.code == 0:
        return
    said = (outcome.out + outcome.err).strip().splitlines()
    assert said, "a container failed without a word"
    assert not expected or any(text in said[-1] for text in expected), outcome.text()


def kill(pid, how=signal.SIGKILL):
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass


def of_shim(name):
    """The processes of a shim and its container, but for that which cleans up after them."""
    found = processes(f" -id {name} ").items()
    return sorted(pid for pid, command in found if not command.endswith(" delete "))


@fault
def a_process_of_a_shim_while_it_comes_up(containerd, chance):
    name, command = begin(containerd)
    end = time.monotonic() + chance.uniform(0, COURSE)
    while time.monotonic() < end and command.poll() is None:
        time.sleep(0.005)
    found = of_shim(name)
    if found:
        kill(chance.choice(found))
    over(command)


@fault
def a_process_of_a_shim_that_runs(containerd, chance):
    name = waiting(containerd)
    if chance.random() < 0.3:
        containerd.ctr("task", "pause", name)
    for pid in chance.sample(of_shim(name), k=chance.choice([1, 1, 2])):
        kill(pid)


@fault
def a_task(containerd, chance):
    name = waiting(containerd)
    kill(containerd.tasks()[name][0], chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT]))
    if chance.random() < 0.5:
        until(lambda: containerd.state(name) == "STOPPED", "the end of the task")


@fault
def containerd_while_a_container_comes_up(containerd, chance):
    _, command = begin(containerd)
    time.sleep(chance.uniform(0, COURSE))
    containerd.end(signal.SIGKILL)
    over(command)
    containerd.start()


@fault
def containerd_while_a_container_ends(containerd, chance):
    name = waiting(containerd)
    how = chance.choice([("kill", "--signal", "SIGKILL"), ("delete", "--force"), ("pause",)])
    command = subprocess.Popen(
        ["ctr", "--address", containerd.address, "task", *how, name],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    time.sleep(chance.uniform(0, 0.15))
    containerd.end(signal.SIGKILL)
    command.wait(PATIENCE)
    if chance.random() < 0.5:
        for pid in of_shim(name)[:chance.choice([1, 9])]:
            kill(pid)
    containerd.start()


@fault
def a_full_disk(containerd, chance):
    if chance.random() < 0.5:
        shutil.rmtree(f"{containerd.volatile}/cache", ignore_errors=True)
    filler = f"{containerd.disk}/filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 20))
        except OSError:
            size = file.tell()
        left = chance.choice([0, 4 << 10, 16 << 10, 64 << 10, 512 << 10])
        file.truncate(max(size - chance.randint(0, left), 0))
    try:
        outcome = containerd.run(guest("hello"))
        refused(outcome)
    finally:
        os.remove(filler)


@fault
def a_broken_image(containerd, chance):
    with open(guest("hello"), "rb") as file:
        code = bytearray(file.read())
    how = chance.choice(["cut", "changed", "rubbish", "text"])
    if how == "cut":
        del code[chance.randrange(len(code)):]
    elif how == "rubbish":
        code = bytearray(b"\0asm\1\0\0\0" + chance.randbytes(chance.randint(0, 4000)))
    elif how == "text":
        code = bytearray(chance.choice([b"", b"hello", b"\0", b"\0as", b"(module"]))
    else:
        for _ in range(chance.randint(1, 8)):
            code[chance.randrange(len(code))] = chance.randrange(256)
    path = f"{containerd.folder}/broken.wasm"
    with open(path, "wb") as file:
        file.write(code)

    # A changed loop may have no end.
    def change(spec):
        spec["linux"]["resources"]["pids"] = {"limit": 50}

    name = containerd.name()
    config = containerd.specification(path, change)
    log = f"file://{containerd.folder}/{name}.log"
    outcome = containerd.ctr(
        "run", "--detach", "--log-uri", log, "--runtime", RUNTIME, "--config", config, name,
        check=False,
    )
    refused(outcome, "cannot run", "is empty", "neither WebAssembly")


@fault
def a_program_of_another_architecture(containerd, chance):
    machine = chance.choice([183, 243, 40, 8, 62])
    header = b"\x7fELF\2\1\1" + bytes(9) + (2).to_bytes(2, "little") + machine.to_bytes(2, "little")
    path = f"{containerd.folder}/app"
    with open(path, "wb") as file:
        file.write(header + chance.randbytes(chance.randint(0, 200)))
    os.chmod(path, 0o755)
    outcome = containerd.with_spec(path, lambda spec: None)
    assert outcome.code != 0
    refused(outcome, "threadwork: error:", "failed to create")


@fault
def a_module_without_memory(containerd, chance):
    body = chance.choice(["", "unreachable"])
    file = wat(containerd, f"without-{body}", f'(module (func (export "_start") {body}))')
    outcome = containerd.run(file)
    assert outcome.code == (134 if body else 0), outcome.text()


@fault
def a_limit_that_is_met_at_the_start(containerd, chance):
    which = chance.choice(["memory", "pids", "cpu"])

    def change(spec):
        spec["linux"]["resources"][which] = {
            "memory": {"limit": chance.randint(1 << 18, 40 << 20)},
            "pids": {"limit": chance.randint(1, 7)},
            "cpu": {"quota": chance.randint(1000, 20000), "period": 100000},
        }[which]

    outcome = containerd.with_spec(guest("hello"), change)
    refused(outcome, *{
        "memory": ["leaves no linear memory", "memory limit sets this limit"],
        "pids": ["too low", "no more threads", "pids limit"],
        "cpu": ["nothing"],
    }[which])


def agrees(containerd):
    """Whether containerd has as running what runs, and nothing else."""
    tasks = containerd.tasks()
    alive = {int(pid) for group in groups() for pid in members(group)}
    for pid, state in tasks.values():
        if (state in ("CREATED", "RUNNING", "PAUSED")) != runs(pid):
            return False
    return alive <= {pid for pid, _ in tasks.values()}


def members(group):
    try:
        with open(f"{group}/cgroup.procs", encoding="utf-8") as file:
            return file.read().split()
    except OSError:
        return []


def files(containerd):
    """What is there besides the processes, which removed containers must not add to."""
    found = []
    for folder in [
        f"{containerd.volatile}/state/io.containerd.runtime.v2.task/default",
        f"{containerd.folder}/root/io.containerd.runtime.v2.task/default",
        PIPES,
    ]:
        if os.path.isdir(folder):
            found += [f"{folder}/{name}" for name in os.listdir(folder)]
    # Of machine code: whole entries only.
    for folder, _, names in os.walk(f"{containerd.volatile}/cache"):
        found += [f"{folder}/{name}" for name in names if not name.endswith(".twc")]
    lines = containerd.ctr("snapshot", "ls").out.splitlines()[1:]
    return found + [line for line in lines if re.match(r"test-\d+\s", line)]


def settle(containerd, before, sockets):
    """After a fault: containerd agrees with the truth, and what it removes is gone."""
    until(lambda: agrees(containerd), "what containerd says is true")

    def removed():
        containerd.remove_all()
        return not any(containerd.ctr(kind, "ls", "-q").out for kind in ["task", "container"])

    until(removed, "the end of all that can be removed")
    # What a `ctr` that was cut off holds, which containerd would keep for a day.
    for lease in containerd.ctr("leases", "ls", "-q").out.split():
        containerd.ctr("leases", "delete", "--sync", lease)
    own = str(containerd.process.pid)

    def left():
        found = [
            line for line in leftovers(containerd.folder, sockets)
            if not line.startswith(f"process {own}:")
        ]
        return sorted(set(found + files(containerd)) - before)

    end = time.monotonic() + PATIENCE / 10
    while left():
        assert time.monotonic() < end, "left behind:\n  " + "\n  ".join(left())
        time.sleep(0.02)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    chosen = parser.parse_args()
    kinds = [kind for kind in FAULTS if chosen.only in (None, kind.__name__)]
    os.makedirs(SOCKETS, exist_ok=True)
    sockets = set(os.listdir(SOCKETS))
    containerd = Containerd(DISK)
    containerd.image(guest("hello"))
    # Its mount and all that is there from the beginning.
    own = str(containerd.process.pid)
    before = {
        line for line in leftovers(containerd.folder, sockets)
        if not line.startswith(f"process {own}:")
    } | set(files(containerd))
    done, failed = collections.Counter(), 0
    try:
        for seed in range(chosen.seed, chosen.seed + chosen.count):
            chance = random.Random(seed)
            kind = kinds[seed % len(kinds)]
            try:
                kind(containerd, chance)
                if containerd.process.poll() is not None:
                    print(f"containerd itself has ended in {kind.__name__}, seed {seed}", flush=True)
                    containerd.start()
                settle(containerd, before, sockets)
                done[kind.__name__] += 1
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(f"fault {kind.__name__}, seed {seed} FAILED: {error}", flush=True)
                before |= set(leftovers(containerd.folder, sockets)) | set(files(containerd))
    finally:
        containerd.remove_all()
        containerd.end()
        containerd.remove_disk()
    for name, count in done.items():
        print(f"{count:4d}  {name}")
    print(f"{sum(done.values())} of {chosen.count} faults left nothing behind")
    if not failed:
        shutil.rmtree(containerd.folder)
    sys.exit(1 if failed else 0)


main()
