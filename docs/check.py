#!/usr/bin/env python3
"""Runs the commands of the documentation: docs/check.py [PAGE...], all pages if none is named.

Each page is run from its top to its end in an empty folder, with the `threadwork` of this
checkout (or of THREADWORK) first in PATH:

- a block of code whose info string has `file=NAME` is written to that file;
- in a `console` block, each line after `$ ` is run by bash, with the folder and the variables that the
  ones before have left, and what it prints must be what the block has below it. A line `...`
  stands for any lines, `...` within a line for any text.

A command that takes longer than five minutes, or prints something else, is a failure that says
which page, and where; so is a link to a file that is not there, and a page that the summary lacks.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

DOCS = pathlib.Path(__file__).resolve().parent
SECONDS = 300
# What a page's commands need beside Rust.
NEEDS = {"web.md": "node"}
BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\(([^):#]+)(?:#[^)]*)?\)")


def steps(console):
    """The commands of a console block, each with what it prints."""
    for step in re.split(r"^\$ ", console, flags=re.M)[1:]:
        lines = step.splitlines()
        command = [lines.pop(0)]
        while command[-1].endswith("\\"):
            command.append(lines.pop(0).removeprefix("> "))
        yield "\n".join(command), "".join(line + "\n" for line in lines)


def pattern(expected):
    """The regular expression of what a command prints."""
    lines = []
    for line in expected.splitlines():
        if line.strip() == "...":
            lines.append(r"(?:.*\n)*")
        else:
            lines.append(".*".join(map(re.escape, line.split("..."))) + r"\n")
    return re.compile("".join(lines))


def output(command, folder, state, environment):
    """What a command prints; `state` is the script that brings back what the last one left."""
    keep = f'{{ echo set -a; export -p; printf "cd %q\\n" "$PWD"; }} >{state}'
    return subprocess.run(
        ["bash", "-c", f". {state}\n{command}\nresult=$?\n{keep}\nexit $result"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    ).stdout


def wrong_commands(page, text, environment):
    """The first command that does something else, if there is one."""
    with tempfile.TemporaryDirectory(prefix="docs-") as folder:
        state = pathlib.Path(folder, ".state")
        state.write_text("set -a\n")
        for block in BLOCK.finditer(text):
            info, body = block.groups()
            at = f"{page.name}:{text.count(chr(10), 0, block.start()) + 1}"
            if name := re.search(r"\bfile=([\w./-]+)", info):
                file = pathlib.Path(folder, name[1])
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(body)
            elif info == "console":
                for command, expected in steps(body):
                    try:
                        printed = output(command, folder, state, environment)
                    except subprocess.TimeoutExpired:
                        return [f"{at}: `{command}` takes more than {SECONDS} s"]
                    if not pattern(expected).fullmatch(printed):
                        return [f"{at}: `{command}` prints\n{printed}\nand not\n{expected}"]
    return []


def wrong_links(page, text):
    links = LINK.findall(BLOCK.sub("", text))
    return [f"{page.name}: no such file: {link}" for link in links if not (page.parent / link).exists()]


def main():
    program = os.environ.get("THREADWORK")
    target = os.environ.get("CARGO_TARGET_DIR", DOCS.parent / "target")
    program = pathlib.Path(program or pathlib.Path(target, "release", "threadwork")).resolve()
    if not program.exists():
        sys.exit(f"missing: {program} (cargo build --release)")
    # What the caller has set for Cargo is not the reader's.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CARGO_", "RUSTFLAGS", "RUSTDOCFLAGS"))
    }
    environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    environment |= {"NO_COLOR": "1", "CARGO_TERM_QUIET": "true"}
    summary = (DOCS / "SUMMARY.md").read_text()
    failed = False
    for page in [pathlib.Path(page) for page in sys.argv[1:]] or sorted(DOCS.glob("*.md")):
        text = page.read_text()
        wrong = wrong_links(page, text)
        need = NEEDS.get(page.name)
        if need and not shutil.which(need):
            print(f"missing: {need}; the commands of {page.name} are skipped")
        else:
            wrong += wrong_commands(page, text, environment)
        if page.parent == DOCS and f"({page.name})" not in summary and page.name != "SUMMARY.md":
            wrong.append(f"{page.name}: not in SUMMARY.md")
        print(f"{page.name}: {'FAILED' if wrong else 'ok'}", *wrong, sep="\n", flush=True)
        failed |= bool(wrong)
    sys.exit(failed)


main()
