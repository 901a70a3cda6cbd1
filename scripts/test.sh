#!/usr/bin/env bash
# Runs every check and test of the repository. Installs the WebAssembly targets,
# and Zig's C compiler for the C guests; needs rustup and python3 with pip.
# THREADWORK_FULL=1 runs the long versions of the sampled tests as well.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

step "tools"
for tool in cargo rustup python3; do
  command -v "$tool" >/dev/null || { echo "missing: $tool"; exit 1; }
done
rustup target add wasm32-wasip1-threads wasm32-wasip1
python3 -m ziglang version >/dev/null 2>&1 ||
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore ziglang ||
  { echo "missing: ziglang, for the C guests (python3 -m pip install ziglang)"; exit 1; }

target=${CARGO_TARGET_DIR:-$PWD/target}
workloads=crates/threadwork-bench/workloads

step "formatting"
cargo fmt --all --check
cargo fmt --all --check --manifest-path guests/Cargo.toml
cargo fmt --all --check --manifest-path "$workloads/Cargo.toml"

step "guests: lints and builds"
for manifest in guests/Cargo.toml "$workloads/Cargo.toml"; do
  CARGO_TARGET_DIR=$target/guests cargo clippy --release --workspace --all-targets \
    --manifest-path "$manifest" -- -D warnings
done

step "tests"
cargo test --release --workspace

step "the parking lot under loom"
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$target/loom \
  cargo test --release -p threadwork-parking --test loom

step "tests of the benchmarks' workloads"
CARGO_TARGET_DIR=$target/guests cargo test --release --manifest-path "$workloads/Cargo.toml"

step "benchmarks, as a smoke run"
cargo run --release -p threadwork-bench -- engine --quick

step "lints and documentation"
cargo clippy --release --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps

step "all passed"
