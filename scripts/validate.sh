#!/usr/bin/env bash
# The validation in full numbers: ten properties and five families of fuzzing, 10,000 cases
# each, natively and as WebAssembly under the engine, after each was seen to fail on its
# seeded bugs. Needs rustup. Arguments are passed on (--property NAME, --seed N, --cases N).
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

target=${CARGO_TARGET_DIR:-$PWD/target}
wasm=wasm32-wasip1-threads
rustup target add "$wasm"

step "build"
cargo build --release -p threadwork-cli
for platform in "" "--target $wasm"; do
  # shellcheck disable=SC2086 # two words, or none
  CARGO_TARGET_DIR=$target/guests cargo build --release --manifest-path guests/Cargo.toml \
    -p validation $platform
done
native() { "$target/guests/release/validation" "$@"; }
engine() { "$target/release/threadwork" run "$target/guests/$wasm/release/validation.wasm" "$@"; }

for host in native engine; do
  step "seeded bugs, $host"
  "$host" --list | while read -r kind property bug; do
    [[ $kind == bug ]] || continue
    if report=$("$host" --property "$property" --seed-bug "$bug"); then
      echo "$property does not find the bug $bug"
      exit 1
    elif ! grep -q "^property $property FAILED" <<<"$report"; then
      echo "$property with the bug $bug ends in another way: $report"
      exit 1
    fi
    echo "$property finds $bug"
  done
done

for host in native engine; do
  step "all properties, $host"
  "$host" --full "$@"
done
