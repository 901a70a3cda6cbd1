#!/usr/bin/env bash
# Compares what each library crate offers with what scripts/api/ says that it does, so that no
# change of an interface goes unseen. `scripts/api.sh --update` writes it down anew. Needs
# cargo-public-api (cargo install --locked cargo-public-api) and a nightly toolchain. Send and Sync
# are not in it: the tests `auto_traits` are their list.
# (cargo-semver-checks compares with a release, of which there is none.)
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/api
mkdir -p "$CARGO_TARGET_DIR" scripts/api
changed=()
for crate in wasm-futex threadwork-sync threadwork-alloc threadwork threadwork-runtime; do
  cargo +nightly public-api -ss --all-features -p $crate \
    >"$CARGO_TARGET_DIR/$crate.txt" 2>"$CARGO_TARGET_DIR/messages" || { cat "$CARGO_TARGET_DIR/messages"; exit 1; }
  if [[ ${1-} == --update ]]; then
    cp "$CARGO_TARGET_DIR/$crate.txt" scripts/api/
  else
    diff -u "scripts/api/$crate.txt" "$CARGO_TARGET_DIR/$crate.txt" || changed+=($crate)
  fi
done
((${#changed[@]} == 0)) ||
  { echo "changed: ${changed[*]}; if that is meant, run scripts/api.sh --update"; exit 1; }
