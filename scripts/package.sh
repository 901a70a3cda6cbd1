#!/usr/bin/env bash
# Packages the crates that are published, unpacks them, and uses the library in an empty project
# that knows nothing of this repository. A step of the long run.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

list=$(cargo metadata --no-deps --format-version 1 | python3 -c '
import json, sys
without = []
for package in json.load(sys.stdin)["packages"]:
    if package["publish"] is None:
        for key in ["description", "license", "readme", "keywords", "categories"]:
            if not package[key]:
                sys.exit("%s has no %s" % (package["name"], key))
        if not package["repository"]:
            without.append(package["name"])
        print(package["name"], package["version"])
if without:
    print("warning: %d crates have no repository (CONTRIBUTING.md, \"Before a release\")" % len(without), file=sys.stderr)')
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

# The command line takes minutes to build; its build script finds what lies outside of the crate
# in the repository.
cli=$(echo "$work"/threadwork-cli-*)
rustc --edition 2024 -o "$work/build" "$cli/build.rs"
CARGO_MANIFEST_DIR=$cli CARGO_PKG_VERSION=1.2.3 OUT_DIR=$work "$work/build" |
  grep -E 'THREADWORK_VERSION=1.2.3 \(.*Wasmtime [0-9]+\)'
grep -q '"runtime/src/worker.js"' "$work/assets.rs"
grep -q '"index.html"' "$work/assets.rs"
echo "${#crates[@]} packages; the library works in an empty project"
