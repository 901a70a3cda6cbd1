#!/bin/sh
# Builds the C guests into OUT (default: ../target/c): build.sh [OUT]
#
# Installs nothing. The parts come from two ordinary packages:
#   - clang, and the headers of wasi-libc with <pthread.h>: from PyPI's `ziglang`;
#   - wasm-ld, and wasi-libc built with threads: from rustup. Rust's target
#     wasm32-wasip1-threads ships the C library that its std is linked with.
# (Zig's own wasi-libc has stubs for threads, so Zig compiles but does not link.)
# ZIG can name another way to run Zig; the default is `python3 -m ziglang`.
set -eu

here=$(dirname "$0")
out=${1:-${CARGO_TARGET_DIR:-$here/../target}/c}
zig=${ZIG:-python3 -m ziglang}

missing() {
    echo "build.sh: missing: $1" >&2
    exit 1
}

$zig version >/dev/null 2>&1 || missing "Zig (python3 -m pip install ziglang)"
command -v rustc >/dev/null || missing "rustc (https://rustup.rs)"
libraries=$(rustc --print target-libdir --target wasm32-wasip1-threads)
[ -f "$libraries/self-contained/libc.a" ] ||
    missing "the threaded wasi-libc (rustup target add wasm32-wasip1-threads)"
linker=$(rustc --print target-libdir)/../bin/rust-lld
[ -x "$linker" ] || missing "rust-lld (it comes with rustup's toolchains)"

mkdir -p "$out"
for program in hello pthreads; do
    # shellcheck disable=SC2086 # $zig may be several words.
    $zig cc --target=wasm32-wasi -mcpu=generic+atomics+bulk_memory+mutable_globals \
        -pthread -std=gnu11 -O2 -g -Wall -Wextra -Werror \
        -c "$here/$program.c" -o "$out/$program.o"
    "$linker" -flavor wasm \
        --import-memory --export-memory --shared-memory --max-memory=1073741824 \
        -z stack-size=1048576 --stack-first \
        "$libraries/self-contained/crt1-command.o" "$out/$program.o" \
        "$libraries/self-contained/libc.a" "$libraries"/libcompiler_builtins-*.rlib \
        -o "$out/$program.wasm"
    rm "$out/$program.o"
    echo "$out/$program.wasm"
done
