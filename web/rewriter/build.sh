#!/bin/sh
# Builds rewriter.wasm, which `deadlockDetection` loads.
set -eu
cd "$(dirname "$0")"
# Panic messages name files; where those were is nobody's business.
root=$(cd ../.. && pwd)
export RUSTFLAGS="--remap-path-prefix=$root=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
cargo build --release --quiet --target wasm32-unknown-unknown
cp "${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/threadwork_rewriter.wasm" rewriter.wasm
