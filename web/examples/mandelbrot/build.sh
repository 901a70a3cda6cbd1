#!/bin/sh
# Builds the page into dist/, for any static server. Needs only
# `rustup target add wasm32-wasip1-threads`.
set -eu
cd "$(dirname "$0")"
cargo build --release --quiet --lib --target wasm32-wasip1-threads
rm -rf dist
mkdir -p dist/threadwork
cp page/* ../../sw/sw.js ../../sw/isolate.js dist
cp -R ../../*.js ../../src dist/threadwork
cp "${CARGO_TARGET_DIR:-target}/wasm32-wasip1-threads/release/mandelbrot_page.wasm" dist/mandelbrot.wasm
