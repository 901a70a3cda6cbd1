#!/bin/sh
# Builds rewriter.wasm, which `deadlockDetection` loads.
set -eu
cd "$(dirname "$0")"
cargo build --release --quiet --target wasm32-unknown-unknown
cp "${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/threadwork_rewriter.wasm" rewriter.wasm
