#!/usr/bin/env bash
# Packages the crates that are published, unpacks them, and uses the library in an empty project
# that knows nothing of this repository. --full, or THREADWORK_FULL=1, also installs the command
# line from its package and runs a program with it.
set -euo pipefail
cd "$(dirname "$0")/.."

case "$*" in
  "") ;;
  --full) THREADWORK_FULL=1 ;;
  *) echo "usage: scripts/package.sh [--full]"; exit 2 ;;
esac

target=${CARGO_TARGET_DIR:-$PWD/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

list=$(cargo metadata --no-deps --format-version 1 | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    if package["publish"] is None:
        for key in ["description", "license", "readme", "keywords", "categories"]:
            if not package[key]:
                sys.exit("%s has no %s" % (package["name"], key))
        print(package["name"], package["version"])')
mapfile -t crates <<<"$list"
selection=()
for crate in "${crates[@]}"; do selection+=(-p "${crate% *}"); done

# They are built below, of what was packed.
rm -f "$target"/package/*.crate
cargo package --allow-dirty --no-verify "${selection[@]}" 2>"$work/said" ||
  { cat "$work/said"; exit 1; }
mkdir -p "$work/.cargo" "$work/user/src"
echo "[patch.crates-io]" >"$work/.cargo/config.toml"
for crate in "${crates[@]}"; do
  name=${crate% *} folder=${crate/ /-}
  tar -xzf "$target/package/$folder.crate" -C "$work"
  for file in LICENSE-MIT LICENSE-APACHE README.md; do
    [[ -s $work/$folder/$file ]] || { echo "the package of $name has no $file"; exit 1; }
  done
  echo "$name = { path = \"$work/$folder\" }" >>"$work/.cargo/config.toml"
done

cat >"$work/user/Cargo.toml" <<'EOF'
[package]
name = "user"
edition = "2024"

[dependencies]
threadwork = "0.1"
threadwork-alloc = "0.1"
threadwork-page = "0.1"
threadwork-parking = "0.1"
threadwork-rewrite = "0.1"
threadwork-runtime = "0.1"
threadwork-sync = "0.1"
wasm-futex = "0.1"
EOF
cat >"$work/user/src/main.rs" <<'EOF'
#[global_allocator]
static ALLOCATOR: threadwork_alloc::Allocator = threadwork_alloc::Allocator::new();

fn main() {
    let total = threadwork_sync::Mutex::new(0);
    threadwork::join(|| *total.lock() += 1, || *total.lock() += 2);
    assert_eq!(*total.lock(), 3);
    println!("used");
}
EOF
(cd "$work/user" && CARGO_TARGET_DIR=$target/package-user cargo run --quiet) | grep -x used
echo "${#crates[@]} packages; the library works in an empty project"
[[ -n ${THREADWORK_FULL-} ]] || exit 0

# Of the same profile as here, so that Wasmtime need not be compiled again.
(cd "$work" && CARGO_TARGET_DIR=$target CARGO_PROFILE_RELEASE_STRIP=none \
  cargo install --quiet --path "$work/$(printf '%s\n' "${crates[@]/ /-}" | grep '^threadwork-cli')" \
  --root "$work/root")
cat >"$work/hello.wat" <<'EOF'
(module
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "env" "memory" (memory 1 1 shared))
  (func (export "wasi_thread_start") (param i32 i32)
    (i32.atomic.store (i32.const 64) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 64) (i32.const 1))))
  (func (export "_start")
    (drop (call $spawn (i32.const 0)))
    (drop (memory.atomic.wait32 (i32.const 64) (i32.const 0) (i64.const -1)))))
EOF
cd "$work"
root/bin/threadwork --version
root/bin/threadwork run hello.wat
# It has no sources of guests: one line says so.
code=0
lines=$(root/bin/threadwork demo 2>&1) || code=$?
[[ $code == 125 && $(wc -l <<<"$lines") == 1 && $lines == *repository* ]] ||
  { echo "demo of an installed program, code $code: $lines"; exit 1; }
echo "the command line works where it is installed"
