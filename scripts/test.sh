#!/usr/bin/env bash
# Runs every check and test of the repository. Installs the WebAssembly targets, Zig's C
# compiler for the C guests, Debian's browsers where it may, and Miri where there is a
# nightly toolchain; needs rustup and python3 with pip.
#   scripts/test.sh [--full]
# --full, or THREADWORK_FULL=1, runs the long versions of the sampled tests as well. At the end
# stands what each step took.
set -euo pipefail
cd "$(dirname "$0")/.."

case "$*" in
  "") ;;
  --full) export THREADWORK_FULL=1 ;;
  *) echo "usage: scripts/test.sh [--full]"; exit 2 ;;
esac

target=${CARGO_TARGET_DIR:-$PWD/target}
mkdir -p "$target"

# Of each step the seconds, and those of the processors.
took=() name='' since=0 worked=0
step() {
  local cpu
  times >"$target/times"
  cpu=$(awk -F'[ms ]+' 'NR == 2 { print int(60 * ($1 + $3) + $2 + $4) }' "$target/times")
  [[ -z $name ]] || took+=("$(printf '%5d s %6d s  %s' "$((SECONDS - since))" "$((cpu - worked))" "$name")")
  name=$* since=$SECONDS worked=$cpu
  printf '\n\033[1m== %s (%s min)\033[0m\n' "$*" "$((SECONDS / 60))"
}

step "tools"
for tool in cargo rustup python3; do
  command -v "$tool" >/dev/null || { echo "missing: $tool"; exit 1; }
done
rustup target add wasm32-wasip1-threads wasm32-wasip1 wasm32-unknown-unknown
python3 -m ziglang version >/dev/null 2>&1 ||
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore ziglang ||
  { echo "missing: ziglang, for the C guests (python3 -m pip install ziglang)"; exit 1; }
hosts=()
if command -v node >/dev/null; then hosts+=(node); else echo "missing: node; its tests are skipped"; fi
for browser in chromium firefox-esr; do
  command -v $browser >/dev/null ||
    { [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null &&
      { apt-get install -qq -y $browser >/dev/null 2>&1 ||
        { apt-get update -qq >/dev/null && apt-get install -qq -y $browser >/dev/null 2>&1; }; }; } ||
    { echo "missing: $browser; its tests are skipped"; continue; }
  hosts+=("${browser%-esr}")
done

workloads=crates/threadwork-bench/workloads
modelled=(-p threadwork-sync -p threadwork-alloc -p threadwork)
library=(-p wasm-futex "${modelled[@]}" -p threadwork-runtime)

step "formatting"
cargo fmt --all --check
for manifest in compat/Cargo.toml fleet/Cargo.toml guests/Cargo.toml "$workloads/Cargo.toml" web/{rewriter,examples/mandelbrot,bench/guest}/Cargo.toml programs/drivers/Cargo.toml; do
  cargo fmt --all --check --manifest-path "$manifest"
done

step "guests: lints and builds"
for manifest in guests/Cargo.toml "$workloads/Cargo.toml"; do
  CARGO_TARGET_DIR=$target/guests cargo clippy --release --workspace --all-targets \
    --manifest-path "$manifest" -- -D warnings
done

step "tests"
cargo test --release --workspace
"$target/release/examples/service"
if [[ -n ${THREADWORK_FULL-} ]]; then
  cargo test --release -p threadwork-engine --features tracing --test events
fi

step "the commands of the documentation"
CARGO_TARGET_DIR=$target docs/check.py

step "the library under loom"
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$target/loom \
  cargo test --release "${modelled[@]}" -p threadwork-parking --test loom

# Under the binary that the tests above have built.
step "the library as WebAssembly"
CARGO_TARGET_DIR=$target/guests \
CARGO_TARGET_WASM32_WASIP1_THREADS_RUNNER="$target/release/threadwork run" \
  cargo test --release "${library[@]}" --tests --target wasm32-wasip1-threads

# The tests of rayon, parking_lot, dashmap and moka above them take minutes to build.
step "the packages that stand in for others"
CARGO_TARGET_DIR=$target/compat \
  cargo clippy --release --workspace --all-targets --manifest-path compat/Cargo.toml -- -D warnings
if [[ -n ${THREADWORK_FULL-} ]]; then samples=(); else samples=(own); fi
CARGO_TARGET_DIR=$target compat/test.sh "${samples[@]}"

# Everything else runs in release, where no `debug_assert!` fires and locks are not checked.
step "the library in the debug profile"
CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=false \
  cargo test "${library[@]:2}" --tests -- --skip each_is_caught --skip last_words

# In release: what ships, without lock checking, which takes most of the time there. One
# thread does it all, so the web host's tests, which mostly wait, run beside it.
miri=
if rustup run nightly rustc --version >/dev/null 2>&1; then
  rustup component add --toolchain nightly miri rust-src
  seeds=$([[ -n ${THREADWORK_FULL-} ]] && echo 0..16 || echo 0..1)
  # A process group of its own, to be ended whole if the script ends before it.
  set -m
  CARGO_TARGET_DIR=$target/miri MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-many-seeds=$seeds" \
    cargo +nightly miri test --release -p wasm-futex -p threadwork-sync \
    --test futex --test primitives >"$target/miri.txt" 2>&1 &
  miri=$!
  set +m
  trap 'kill -- -$miri 2>/dev/null || true' EXIT
fi

# Lines and branches; and the ordinary numbers of tests with each access checked.
if [[ -n $miri && -n ${THREADWORK_FULL-} ]]; then
  step "coverage of the library"
  env -u THREADWORK_FULL CARGO_TARGET_DIR="$target" scripts/coverage.sh

  # Not the allocator: it cuts blocks out of segments, of which AddressSanitizer sees nothing.
  step "pool and fork-join under AddressSanitizer"
  env -u THREADWORK_FULL ASAN_OPTIONS=detect_leaks=0 RUSTFLAGS="-Zsanitizer=address" \
    CARGO_TARGET_DIR="$target/address" cargo +nightly test --release \
    --target "$(rustc --print host-tuple)" -p threadwork --test fork_join --test pool -- \
    --skip last_words --skip where_no_thread_can_be_started

  # With a standard library that is checked, too: else its locks are edges that nobody sees. Pools
  # in statics are never joined; and a thread of the sanitizer's own never sleeps.
  step "pool, fork-join and primitives under ThreadSanitizer"
  env -u THREADWORK_FULL TSAN_OPTIONS=report_thread_leaks=0 RUSTFLAGS="-Zsanitizer=thread" \
    CARGO_TARGET_DIR="$target/thread" \
    cargo +nightly test --release -Zbuild-std --target "$(rustc --print host-tuple)" \
    -p threadwork -p threadwork-sync --test fork_join --test pool --test primitives -- \
    --skip last_words --skip where_no_thread_can_be_started --skip sleeps_for_good
fi

step "the web host"
if ((${#hosts[@]})) && ! npm ci --prefix web --silent --no-audit --no-fund; then
  echo "skipped: npm cannot install the tests' own packages (npm ci in web/)"
elif ((${#hosts[@]})); then
  CARGO_TARGET_DIR=$target node web/test/run.js "${hosts[@]/#/--host=}"
  # 200 MB from npm, and Debian's WebKit where it may be installed.
  if [[ -n ${THREADWORK_FULL-} ]]; then
    more=(deno bun)
    command -v WebKitWebDriver xvfb-run >/dev/null ||
      { [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null &&
        apt-get install -qq -y webkit2gtk-driver xvfb >/dev/null 2>&1; } ||
      echo "missing: webkit2gtk-driver and xvfb; WebKit's tests are skipped"
    ! command -v WebKitWebDriver >/dev/null || more+=(webkit)
    THREADWORK_FULL='' CARGO_TARGET_DIR=$target \
      node web/test/run.js --skip-build "${more[@]/#/--host=}"
  fi
fi

step "the library under Miri"
if [[ -n $miri ]]; then
  wait "$miri" || { cat "$target/miri.txt"; exit 1; }
  trap - EXIT
  grep "^test result" "$target/miri.txt"
  if [[ -n ${THREADWORK_FULL-} ]]; then
    under_miri() {
      CARGO_TARGET_DIR=$target/miri MIRIFLAGS="-Zmiri-disable-isolation $1" \
        cargo +nightly miri test --release "${@:2}"
    }
    under_miri "" -p threadwork-runtime --test memory --test runtime --test threads
    under_miri "" -p threadwork --lib --test pool --test threads
    # The global pool never ends.
    under_miri -Zmiri-ignore-leaks -p threadwork --test fork_join --test global_pool
    # A segment is found by the address of what is in it, where Miri does not look for it.
    under_miri "-Zmiri-ignore-leaks -Zmiri-permissive-provenance" \
      -p threadwork-alloc --test alloc --test global
  fi
else
  echo "skipped: there is no nightly toolchain (rustup toolchain install nightly)"
fi

# The shim's two hundred packages take minutes to build, so an ordinary run does not begin that.
step "programs as containers"
if [[ $(id -u) != 0 ]]; then
  echo "skipped: only root makes containers"
elif ! command -v containerd >/dev/null; then
  echo "skipped: there is no containerd (apt-get install containerd protobuf-compiler libseccomp-dev)"
elif [[ -z ${THREADWORK_FULL-} && ! -e $target/release/containerd-shim-threadwork-v1 ]]; then
  echo "skipped: the shim is not built (fleet/test.sh builds it)"
else
  CARGO_TARGET_DIR=$target fleet/test.sh
fi

step "tests of the benchmarks' workloads"
CARGO_TARGET_DIR=$target/guests \
  cargo test --release --workspace --manifest-path "$workloads/Cargo.toml"

step "benchmarks, as a smoke run"
cargo run --release -p threadwork-bench -- --quick

if [[ -n ${THREADWORK_FULL-} ]]; then
  step "real programs"
  if cargo info b3sum >/dev/null 2>&1; then
    CARGO_TARGET_DIR=$target programs/run.py --threads 2 --rounds 1
  else
    echo "skipped: the registry is not reached"
  fi

  step "packages"
  CARGO_TARGET_DIR=$target scripts/package.sh
  cargo test --release -p threadwork-cli --features manual --test cli command_line
fi

step "lints and documentation"
cargo clippy --release --workspace --all-targets --features threadwork-cli/manual -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps
if [[ -n ${THREADWORK_FULL-} ]]; then
  cargo clippy --release "${library[@]}" --lib -- -D clippy::cognitive_complexity
fi

if [[ -n ${THREADWORK_FULL-} ]]; then
  step "the oldest Rust"
  oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml).0
  if rustup run "$oldest" rustc --version 2>/dev/null; then
    CARGO_TARGET_DIR=$target/oldest cargo "+$oldest" check --release "${library[@]}"
  else
    echo "skipped: rustup toolchain install $oldest"
  fi

  step "interfaces and dependencies"
  if [[ -n $miri ]] && cargo public-api --version >/dev/null 2>&1; then
    CARGO_TARGET_DIR="$target" scripts/api.sh
  else
    echo "skipped: interfaces (cargo install --locked cargo-public-api, and a nightly toolchain)"
  fi
  if cargo deny --version >/dev/null 2>&1; then
    cargo deny --workspace check bans licenses sources
    if cargo deny fetch db >/dev/null 2>&1; then
      cargo deny --workspace --offline check advisories
    else
      echo "skipped: advisories, whose list cannot be fetched"
    fi
  else
    echo "skipped: dependencies (cargo install --locked cargo-deny)"
  fi
fi

step "all passed"
echo "  taken    computed"
printf '%s\n' "${took[@]}"
