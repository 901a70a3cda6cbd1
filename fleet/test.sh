#!/usr/bin/env bash
# Runs programs as containers under a containerd of its own, and compares them with `threadwork
# run`. Builds the shim and the command first; arguments choose tests by name. With THREADWORK_FULL=1
# come fifty random faults (all of fleet/faults.py's 500 take a quarter of an hour), and pods, as
# Kubernetes makes them. Needs root, and Debian's containerd, protobuf-compiler and
# libseccomp-dev.
set -euo pipefail
cd "$(dirname "$0")/.."

missing() { echo "missing: $1 (apt-get install $2)"; exit 1; }
[[ $(id -u) == 0 ]] || { echo "missing: root, who alone makes containers"; exit 1; }
command -v containerd >/dev/null && command -v ctr >/dev/null || missing containerd containerd
command -v protoc >/dev/null || missing protoc protobuf-compiler
[[ -e /usr/include/seccomp.h ]] || missing libseccomp libseccomp-dev

target=${CARGO_TARGET_DIR:-$PWD/target}
CARGO_TARGET_DIR=$target cargo build --release --manifest-path fleet/Cargo.toml
CARGO_TARGET_DIR=$target cargo test --release --manifest-path fleet/Cargo.toml
if [[ -n ${THREADWORK_FULL-} ]]; then
  CARGO_TARGET_DIR=$target cargo clippy --release --manifest-path fleet/Cargo.toml --all-targets -- -D warnings
fi
CARGO_TARGET_DIR=$target cargo build --release -p threadwork-cli -p threadwork-container
CARGO_TARGET_DIR=$target/guests cargo build --release --manifest-path guests/Cargo.toml \
  --target wasm32-wasip1-threads -p acceptance -p conformance -p http-server -p merge-sort -p pi
python3 fleet/test.py "$target" "$@"
if [[ -n ${THREADWORK_FULL-} ]]; then
  python3 fleet/faults.py "$target" --count 50
  if python3 -c 'import grpc, google.protobuf' 2>/dev/null ||
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore grpcio protobuf; then
    python3 fleet/cri.py "$target"
  else
    echo "skipped: pods (python3 -m pip install grpcio protobuf)"
  fi
fi
