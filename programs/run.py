#!/usr/bin/env python3
"""Builds open programs, unmodified, natively and as WebAssembly, runs both on the same input, and
compares what they put out, byte for byte:

    programs/run.py [--threads 1,2,4] [--rounds 3] [--hosts engine,node] [--book] [NAME...]

`programs.toml` beside this file is the list. Builds are kept in target/programs; the first take minutes each. It
needs cargo, the registries, a built `threadwork` (cargo build --release, or its path in THREADWORK), Node for that
host; for programs in C a C compiler, make, PyPI's `ziglang`, and apt-get with Debian's keys.

The hosts take turns within a round. A row has the median of the native times, and of each host the
median of the rounds' ratios to that. An output that differs, or a program that fails, is a failure of the
whole; a program that cannot be built is one, too. What was measured is kept beside the builds; `--book` writes
the table of all of it into docs/programs.md and the plot beside it.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
BUILDS = TARGET / "programs"
THREADWORK = pathlib.Path(os.environ.get("THREADWORK", TARGET / "release" / "threadwork")).resolve()
WASM = "wasm32-wasip1-threads"
LISTS = tomllib.loads((HERE / "programs.toml").read_text())
# A run that takes longer hangs.
SECONDS = 900
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Failure(Exception):
    pass


def call(command, **options):
    """Runs a tool; what it says is the failure if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise Failure(f"{shlex.join(map(str, command))} failed:\n{done.stdout[-4000:]}")


def environment_for(program, wasm):
    environment = os.environ | program.get("environment", {})
    environment.pop("RUSTFLAGS", None)
    if wasm:
        environment["CC_wasm32_wasip1_threads"] = f"{THREADWORK} cc"
    return environment


def build(program, wasm):
    """The program's file, natively or as WebAssembly; built unless it is there."""
    how = "crate" if "crate" in program else "driver" if "driver" in program else "sources"
    build = {"crate": build_crate, "driver": build_driver, "sources": build_sources}[how]
    return build(program, wasm, "wasm" if wasm else "native")


def build_crate(program, wasm, kind):
    root = BUILDS / f"{program['name']}-{program['version']}-{kind}"
    binary = root / "bin" / (program.get("binary", program["name"]) + (".wasm" if wasm else ""))
    if not binary.exists():
        print(f"building {program['name']} {program['version']}, {kind}", file=sys.stderr, flush=True)
        command = ["cargo", "install", "--quiet", "--locked", "--force", "--no-track"]
        command += [program["name"], "--version", program["version"]]
        command += ["--root", root, "--target-dir", BUILDS / kind]
        if wasm:
            command += ["--target", WASM]
        call(command, env=environment_for(program, wasm))
    return binary


def build_driver(program, wasm, kind):
    target = BUILDS / "drivers"
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--bin", program["name"]]
    command += ["--features", program["name"]]
    command += ["--manifest-path", HERE / "drivers" / "Cargo.toml", "--target-dir", target]
    if wasm:
        command += ["--target", WASM]
    call(command, env=environment_for(program, wasm))
    folder = target / WASM / "release" if wasm else target / "release"
    return folder / (program["name"] + (".wasm" if wasm else ""))


def build_sources(program, wasm, kind):
    folder = BUILDS / f"{program['name']}-{program['version']}-{kind}"
    binary = folder / program["binary"]
    if binary.exists():
        return binary
    print(f"building {program['name']} {program['version']}, {kind}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in program["sources"]:
        call(["tar", "-xf", fetch(name)], cwd=folder)
    environment = os.environ.copy()
    zig = f"{sys.executable} -m ziglang"
    environment |= {
        "CC": f"{THREADWORK} cc" if wasm else "cc",
        "CXX": f"{THREADWORK} c++" if wasm else "c++",
        "AR": f"{zig} ar" if wasm else "ar",
        "RANLIB": f"{zig} ranlib" if wasm else "ranlib",
        "HOST": f"--host={program.get('host', 'wasm32-wasi')}" if wasm else "",
        "RECIPES": str(HERE / "recipes"),
    }
    for command in program["build"]:
        call(["sh", "-ec", command], cwd=folder, env=environment)
    return binary


def fetch(name):
    """The tarball of a source package, checked."""
    source = LISTS["source"][name]
    folder = BUILDS / "sources"
    file = folder / source["file"]
    if not file.exists():
        state = folder / source["suite"]
        for part in ["lists/partial", "cache/archives/partial"]:
            (state / part).mkdir(parents=True, exist_ok=True)
        sources = state / "sources.list"
        sources.write_text(f"deb-src [signed-by={KEYS}] {mirror()} {source['suite']} main\n")
        options = {
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": state / "lists",
            "Dir::Cache": state / "cache",
        }
        apt = ["apt-get", *(f"-o{name}={value}" for name, value in options.items())]
        if not any((state / "lists").glob("*Sources*")):
            call([*apt, "update"])
        # It fails if Debian's own changes are not to be had, which nobody needs here.
        subprocess.run([*apt, "-qq", "source", "--download-only", name], cwd=folder, capture_output=True)
    if not file.exists():
        raise Failure(f"{source['file']} cannot be fetched: does {source['suite']} have another version by now?")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != source["sha256"]:
        raise Failure(f"{file} is another one: {digest}")
    return file


def mirror():
    """Where this machine gets Debian's packages from."""
    for file in [*pathlib.Path("/etc/apt").glob("sources.list.d/*.sources"), pathlib.Path("/etc/apt/sources.list")]:
        text = file.read_text() if file.exists() else ""
        if found := re.search(r"^(?:URIs:|deb\b(?: \[.*?\])?)\s+(\S+/debian/?)(?:\s|$)", text, re.M):
            return found[1]
    raise Failure("the sources of C programs come from Debian, and this is no Debian")


def make_inputs(folder):
    """What programs work on: a picture, and sources, of this repository."""
    shutil.copy(ROOT / "web" / "page" / "screenshot.png", folder / "picture.png")
    text = bytearray()
    for pattern in ["crates/**/*.rs", "docs/*.md", "web/src/**/*.js", "guests/*/src/*.rs"]:
        for file in sorted(ROOT.glob(pattern)):
            text += file.read_bytes()
    (folder / "text.txt").write_bytes((text * (12_000_000 // len(text) + 1))[:12_000_000])


def arguments_of(program, threads):
    text = re.sub(r"\{(\d+)\*(\S+?)\}", lambda many: " ".join([many[2]] * int(many[1])), program["run"])
    return shlex.split(text.format(threads=threads))


def run(program, host, binaries, threads, inputs):
    """Seconds that the program takes on one host, and the digest of what it puts out."""
    arguments = arguments_of(program, threads)
    with tempfile.TemporaryDirectory(prefix="programs-") as folder:
        for name in program.get("input", []):
            shutil.copy(inputs / name, folder)
        if host == "native":
            command = [binaries[False], *arguments]
        else:
            command = [THREADWORK, "run", "--host", host, "--dir", ".", "--env", "RAYON_NUM_THREADS"]
            command += [binaries[True], *arguments]
        start = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"RAYON_NUM_THREADS": str(threads)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
        )
        seconds = time.perf_counter() - start
        if done.returncode != 0:
            raise Failure(f"{program['name']} fails on {host}: {done.stderr.decode(errors='replace')[-2000:]}")
        put_out = pathlib.Path(folder, program["output"]).read_bytes() if "output" in program else done.stdout
        if not put_out:
            raise Failure(f"{program['name']} puts out nothing on {host}")
    return seconds, hashlib.sha256(put_out).hexdigest()


def measure(program, binaries, hosts, threads, rounds, inputs):
    """The median time natively, and of each host the median of the ratios to that."""
    native, ratios = [], {host: [] for host in hosts}
    for _ in range(rounds):
        base, expected = run(program, "native", binaries, threads, inputs)
        native.append(base)
        for host in hosts:
            seconds, digest = run(program, host, binaries, threads, inputs)
            if digest != expected:
                raise Failure(f"{program['name']} puts out something else on {host}, {threads} threads")
            ratios[host].append(seconds / base)
    return statistics.median(native), {host: statistics.median(ratios[host]) for host in hosts}


def table(results, hosts):
    """Markdown: a row for each program and number of threads."""
    titles = {"engine": "Threadwork", "node": "Node"}
    head = ["program", "", "threads", "native", *(titles.get(host, host) for host in hosts)]
    lines = [head, ["---"] * 3 + ["---:"] * (1 + len(hosts))]
    for program, rows in results:
        for n, (threads, seconds, ratios) in enumerate(rows):
            name = f"{program['name']} {program['version']}" if n == 0 else ""
            what = f"{program['what']} ({program.get('language', 'Rust')})" if n == 0 else ""
            cells = [f"{ratios[host]:.2f}" for host in hosts]
            lines.append([name, what, str(threads), f"{seconds:.2f} s", *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def recipes(results):
    """Markdown: what programs need that are not built and run as anywhere."""
    return "".join(f"| {p['name']} | {p['recipe']} |\n" for p, _ in results if "recipe" in p)


def plot(results, hosts):
    """SVG: for each program a bar for each host, the time at the most threads over the native one."""
    colours = ["#3f87d9", "#37a169"]
    titles = {"engine": "Threadwork", "node": "Node"}
    left, unit, bar = 90, 180, 11
    parts, y = [], 34
    for n, host in enumerate(hosts):
        x = left + n * 110
        parts.append(f'<rect x="{x}" y="6" width="12" height="12" fill="{colours[n]}"/>')
        parts.append(f'<text x="{x + 18}" y="16">{titles.get(host, host)}</text>')
    for program, rows in results:
        threads, _, ratios = max(row for row in rows if row[0] <= 2)
        parts.append(f'<text x="{left - 8}" y="{y + bar + 4}" text-anchor="end">{program["name"]}</text>')
        for n, host in enumerate(hosts):
            width = min(ratios[host], 3.2) * unit
            parts.append(f'<rect x="{left}" y="{y}" width="{width:.0f}" height="{bar - 1}" fill="{colours[n]}"/>')
            parts.append(f'<text x="{left + width + 6:.0f}" y="{y + 9}">{ratios[host]:.2f}</text>')
            y += bar
        y += 8
    parts.append(f'<path d="M{left + unit} 26V{y}" stroke="#7d7d7d" stroke-dasharray="3 3"/>')
    parts.append(f'<text x="{left + unit}" y="{y + 14}" text-anchor="middle">native = 1</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {y + 22}" width="760" height="{y + 22}" '
        f'font-family="system-ui, sans-serif" font-size="11" fill="#7d7d7d">\n{body}\n</svg>\n'
    )


def kept_rows(program):
    """What this run or one before it has measured."""
    kept = BUILDS / f"{program['name']}-{program['version']}.json"
    return json.loads(kept.read_text()) if kept.exists() else None


def put_between(text, name, new):
    """The text with what is between two marks replaced."""
    marks = [f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"]
    before, _, rest = text.partition(marks[0])
    _, _, after = rest.partition(marks[1])
    return before + marks[0] + new + marks[1] + after


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--threads", default="1,2,4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hosts", default="engine,node")
    parser.add_argument("--book", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if not THREADWORK.exists():
        sys.exit(f"missing: {THREADWORK} (cargo build --release)")
    programs = LISTS["program"]
    unknown = set(options.names) - {program["name"] for program in programs}
    if unknown:
        sys.exit(f"no such program: {', '.join(sorted(unknown))}")
    hosts = options.hosts.split(",")
    asked = [int(count) for count in options.threads.split(",")]
    results, failures = [], []
    with tempfile.TemporaryDirectory(prefix="inputs-") as inputs:
        make_inputs(pathlib.Path(inputs))
        for program in programs:
            if options.names and program["name"] not in options.names:
                continue
            try:
                binaries = {wasm: build(program, wasm) for wasm in [False, True]}
                rows = []
                counts = [1] if program.get("threads") == 1 else asked
                # This fills caches: of files, and of compiled modules.
                measure(program, binaries, hosts, counts[0], 1, pathlib.Path(inputs))
                for threads in counts:
                    row = measure(program, binaries, hosts, threads, options.rounds, pathlib.Path(inputs))
                    rows.append((threads, *row))
                    ratios = "  ".join(f"{host} {ratio:.2f}" for host, ratio in row[1].items())
                    print(f"{program['name']}, {threads} threads: {row[0]:.2f} s  {ratios}", flush=True)
                results.append(program["name"])
                kept = BUILDS / f"{program['name']}-{program['version']}.json"
                kept.write_text(json.dumps(rows))
            except (Failure, subprocess.TimeoutExpired) as failure:
                failures.append(program["name"])
                print(f"FAILED: {failure}", flush=True)
    if options.book:
        measured = [(program, rows) for program in programs if (rows := kept_rows(program))]
        page = ROOT / "docs" / "programs.md"
        text = put_between(page.read_text(), "programs", table(measured, hosts))
        text = put_between(text, "recipes", "| program | what it needs here |\n|---|---|\n" + recipes(measured))
        page.write_text(text)
        (ROOT / "docs" / "programs.svg").write_text(plot(measured, hosts))
    print(f"{len(results)} programs put out the same on all hosts; failed: {', '.join(failures) or 'none'}")
    sys.exit(bool(failures))


main()
