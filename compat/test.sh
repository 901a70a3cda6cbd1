#!/usr/bin/env bash
# Runs the tests of the packages that stand in for others, and under each of them the tests of
# the libraries above: fetched from the registry as they are, natively and as WebAssembly on the
# engine, parking_lot's side also in Node. Needs cargo, rustup, the registry, and a built
# `threadwork` (cargo build --release, or its path in THREADWORK), python3; Node if it is there.
#   compat/test.sh [own] [rayon] [parking_lot] [dashmap] [moka]     all of them if nothing is said
set -euo pipefail
cd "$(dirname "$0")"
compat=$PWD
root=$(dirname "$compat")
target=${CARGO_TARGET_DIR:-$root/target}
threadwork=${THREADWORK:-$target/release/threadwork}
export CARGO_TARGET_DIR=$target/compat
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
  (cd "$1" && CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER="$threadwork run --host node" \
    cargo test --quiet --target $wasm "${@:2}")
}

# Where a panic ends the program, tests that catch one cannot pass.
without_unwinding=(--skip in_unwind --skip poison --skip two_mutexes --skip wait_for_force)

# The patch is in use, and not only there.
assert_patched() { # folder, package
  (cd "$1" && cargo tree --quiet --target all --edges normal --prefix none 2>/dev/null |
    grep -q "^$2 v.*($compat/$2)") || { echo "$1: not patched: $2"; exit 1; }
}

for name in "${wanted[@]}"; do
  case $name in
    own)
      step "the packages' own tests"
      for package in rayon-core parking_lot_core num_cpus; do
        natively "$compat/$package" --release
        on_the_engine "$compat/$package" --release --tests
      done
      ;;
    rayon)
      step "rayon's tests"
      fetch rayon 1.12.0
      assert_patched "$work/rayon" rayon-core
      natively "$work/rayon" --lib --tests
      on_the_engine "$work/rayon" --lib --tests
      ;;
    parking_lot)
      step "parking_lot's tests"
      fetch parking_lot 0.12.5
      assert_patched "$work/parking_lot" parking_lot_core
      natively "$work/parking_lot" --lib --tests
      on_the_engine "$work/parking_lot" --lib --tests -- "${without_unwinding[@]}"
      in_node "$work/parking_lot" --lib --tests -- "${without_unwinding[@]}"
      ;;
    dashmap)
      step "dashmap's tests"
      fetch dashmap 6.2.1
      assert_patched "$work/dashmap" parking_lot_core
      natively "$work/dashmap" --lib
      on_the_engine "$work/dashmap" --lib
      in_node "$work/dashmap" --lib
      ;;
    moka)
      step "moka's tests of caches without futures"
      fetch moka 0.12.16
      assert_patched "$work/moka" parking_lot_core
      # What only its other tests need, and what WebAssembly has not.
      python3 - "$work/moka/Cargo.toml" <<'EOF'
import re, sys
path = sys.argv[1]
text = open(path).read()
for name in ["actix-rt", "env_logger", "reqwest", "tokio"]:
    text = re.sub(r"(?ms)^\[dev-dependencies\.%s\]$.*?(?=^\[)" % name, "", text)
open(path, "w").write(text)
EOF
      natively "$work/moka" --no-default-features --features sync --lib
      on_the_engine "$work/moka" --no-default-features --features sync --lib -- --skip panic
      in_node "$work/moka" --no-default-features --features sync --lib -- --skip panic
      ;;
    *)
      echo "unknown: $name"
      exit 1
      ;;
  esac
done

step "all passed"
