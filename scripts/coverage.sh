#!/usr/bin/env bash
# Measures which lines and branches of the library crates their tests reach: for each crate, and
# for each file below 90 % of lines, with the lines that nothing reaches. Models under loom,
# WebAssembly and examples in documentation are not counted. Needs a nightly toolchain, for
# branches.
# Fails if a crate has less than 90 % of its lines.
set -euo pipefail
cd "$(dirname "$0")/.."

toolchain=nightly
rustup component add --toolchain $toolchain llvm-tools >/dev/null 2>&1
host=$(rustc +$toolchain --print host-tuple)
tools=$(rustc +$toolchain --print sysroot)/lib/rustlib/$host/bin
target=${CARGO_TARGET_DIR:-$PWD/target}/coverage
crates=(wasm-futex threadwork-sync threadwork-alloc threadwork threadwork-runtime)

export RUSTFLAGS="-C instrument-coverage -Z coverage-options=branch"
export LLVM_PROFILE_FILE="$target/profiles/%p-%8m.profraw"
export CARGO_TARGET_DIR=$target CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=false
test=(cargo +$toolchain test --lib --tests "${crates[@]/#/--package=}")

rm -rf "$target/profiles"
"${test[@]}" --no-run --message-format=json >"$target.json"
# What builds programs of its own would build them with these flags.
"${test[@]}" -- --skip each_is_caught --skip last_words --skip each_call_is_its_instruction \
  --skip threads_of_javascript --skip without_threads_there
"$tools/llvm-profdata" merge --sparse --failure-mode=warn -o "$target/all.profdata" "$target"/profiles/*.profraw

python3 - "$target.json" "$tools/llvm-cov" "$target/all.profdata" "${crates[@]}" <<'PYTHON'
import json, subprocess, sys

messages, tool, profile, *crates = sys.argv[1:]
binaries = [path for line in open(messages) if (path := json.loads(line).get("executable"))]
command = [tool, "export", "--format=text", f"--instr-profile={profile}", binaries[0]]
command += [f"--object={path}" for path in binaries[1:]]
files = json.loads(subprocess.check_output(command))["data"][0]["files"]


def percent(counts):
    return 100 * counts["covered"] / counts["count"] if counts["count"] else 100


def unreached(segments):
    """The lines that a region begins on that was counted, and never entered."""
    return sorted({line for line, _, count, counted, entry, _ in segments if counted and entry and not count})


low = []
print(f"{'crate':<22}{'lines':>7}{'reached':>9}{'branches':>10}{'reached':>9}")
for crate in crates:
    own = [file for file in files if f"/crates/{crate}/src/" in file["filename"]]
    total = {
        kind: {key: sum(file["summary"][kind][key] for file in own) for key in ("count", "covered")}
        for kind in ("lines", "branches")
    }
    lines, branches = total["lines"], total["branches"]
    print(
        f"{crate:<22}{lines['count']:>7}{percent(lines):>8.1f}%"
        f"{branches['count']:>10}{percent(branches):>8.1f}%"
    )
    if percent(lines) < 90:
        low.append(crate)
print("\nFiles below 90 % of lines, and where what is not reached begins:")
for file in files:
    crate, _, name = file["filename"].partition("/crates/")[2].partition("/src/")
    if crate in crates and percent(file["summary"]["lines"]) < 90:
        where = ", ".join(map(str, unreached(file["segments"])))
        print(f"{crate}/{name} {percent(file['summary']['lines']):.0f} %: {where}")
if low:
    sys.exit("below 90 % of lines: " + ", ".join(low))
PYTHON
