#!/usr/bin/env bash
# Runs the tests of the packages that stand in for others, and under each of them the tests of
# the libraries above: fetched from the registry as they are, natively and as WebAssembly on the
# engine, parking_lot's side also in Node. Needs cargo, rustup, the registry, and a built
# `threadwork` (cargo build --release, or its path in THREADWORK).
#   compat/test.sh [rayon] [parking_lot] [dashmap] [moka]   all of them if nothing is said
set -euo pipefail
cd "$(dirname "$0")"
compat=$PWD
root=$(dirname "$compat")
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/compat
threadwork=${THREADWORK:-$root/target/release/threadwork}
wasm=wasm32-wasip1-threads
wanted=("$@")
((${#wanted[@]})) || wanted=(own rayon parking_lot dashmap moka)

step() { printf '\n\033[1m== %s (%s min)\033[0m\n' "$*" "$((SECONDS / 60))"; }

[[ -x $threadwork ]] || { echo "missing: $threadwork (cargo build --release)"; exit 1; }
rustup target add $wasm >/dev/null 2>&1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The sources of a library, in a folder of their own, with the patch.
fetch() { # name version
  local name=$1 version=$2
  mkdir -p "$work/fetch-$name/src"
  touch "$work/fetch-$name/src/lib.rs"
  cat >"$work/fetch-$name/Cargo.toml" <<EOF
[package]
name = "fetch"
version = "0.0.0"
edition = "2024"
[dependencies]
$name = "=$version"
[workspace]
EOF
  (cd "$work/fetch-$name" && cargo vendor --quiet --versioned-dirs >/dev/null)
  cp -r "$work/fetch-$name/vendor/$name-$version" "$work/$name"
  rm -f "$work/$name/Cargo.lock" "$work/$name/.cargo-checksum.json" "$work/$name/rust-toolchain.toml"
  cat >>"$work/$name/Cargo.toml" <<EOF

[workspace]

[patch.crates-io]
rayon-core = { path = "$compat/rayon-core" }
parking_lot_core = { path = "$compat/parking_lot_core" }

[profile.test]
opt-level = 1
debug = false
EOF
}

natively() { # folder, arguments of cargo test
  (cd "$1" && cargo test --quiet "${@:2}")
}

on_the_engine() { # folder, arguments of cargo test
  (cd "$1" && CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER="$threadwork run" \
    cargo test --quiet --target $wasm "${@:2}")
}

in_node() { # folder, arguments of cargo test
  command -v node >/dev/null || { echo "missing: node; skipped"; return; }
  (cd "$1" && CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER="node $root/web/node/threadwork.js" \
    cargo test --quiet --target $wasm "${@:2}")
}
