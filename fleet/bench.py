"""Containers on Threadwork against native ones under runc: bench.py TARGET [--count N] [--at-once N]

Tasks per second: containers that end at once, so many at the same time, each kind in turn for a
twentieth of them. Memory: what an idle container holds, its shim and its own process, as the
system divides shared pages among those that have them.
"""

import argparse
import concurrent.futures
import re
import shutil
import time

from harness import PAUSE, RUNTIME, WAITERS, Containerd, elf, processes, until, wat

RUNC = "io.containerd.runc.v2"

# mov eax, 60 (exit); xor edi, edi; syscall.
EXIT = bytes.fromhex("b83c00000031ff0f05")

TURNS = 20

ENDS = '(module (memory (export "memory") 1) (func (export "_start")))'

IDLES = """(module
  (import "env" "memory" (memory 1 1 shared))
  (func (export "_start")
    (loop $ever
      (drop (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const 1000000000)))
      (br $ever))))"""


def runs_to_its_end(containerd, runtime, image, name):
    containerd.ctr("run", "--rm", "--runtime", runtime, image, name)


def tasks_per_second(containerd, kinds, count, at_once):
    """The median of all turns, for each kind."""
    rates = {kind: [] for kind in kinds}
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for _ in range(TURNS):
            for kind, (runtime, image) in kinds.items():
                begun = time.monotonic()
                each = max(count // TURNS, at_once)
                done = [
                    pool.submit(runs_to_its_end, containerd, runtime, image, containerd.name())
                    for _ in range(each)
                ]
                for one in done:
                    one.result()
                rates[kind].append(each / (time.monotonic() - begun))
    return {kind: sorted(all_of)[len(all_of) // 2] for kind, all_of in rates.items()}


def held(pids):
    """KiB that processes hold."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
            total += int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M).group(1))
    return total


def idle(containerd, runtime, image, count):
    """KiB of an idle container's shim and of its process, with so many of them."""
    names = [containerd.name() for _ in range(count)]
    for name in names:
        containerd.ctr(
            "run", "--detach", "--log-uri", f"file://{containerd.folder}/{name}.log",
            "--runtime", runtime, image, name,
        )
    tasks = until(
        lambda: (found := containerd.tasks()).keys() >= set(names) and found, "all of them"
    )
    # The helpers that have started them are gone.
    time.sleep(1)
    own = [tasks[name][0] for name in names]
    shims = [pid for name in names for pid in processes(f" -id {name} ") if pid not in own]
    result = held(shims) // count, held(own) // count
    containerd.remove_all()
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=20)
    chosen = parser.parse_args()
    containerd = Containerd()
    try:
        native = containerd.add("docker.io/library/ends:1", elf(EXIT))
        kinds = {
            "threadwork": (RUNTIME, containerd.image(wat(containerd, "ends", ENDS))),
            "native under runc": (RUNC, native),
        }
        for kind, rate in tasks_per_second(
            containerd, kinds, chosen.count, chosen.at_once
        ).items():
            print(f"{kind}: {rate:.1f} tasks/s, {chosen.at_once} at a time", flush=True)
        native = containerd.add("docker.io/library/pause:1", elf(PAUSE))
        for kind, runtime, image in [
            ("threadwork, one thread", RUNTIME, containerd.image(wat(containerd, "idles", IDLES))),
            ("threadwork, 11 threads", RUNTIME, containerd.image(wat(containerd, "waits", WAITERS))),
            ("native under runc", RUNC, native),
        ]:
            shim, own = idle(containerd, runtime, image, chosen.at_once)
            print(f"{kind}: shim {shim} KiB, container {own} KiB", flush=True)
    finally:
        containerd.remove_all()
        containerd.end()
    shutil.rmtree(containerd.folder)


main()
