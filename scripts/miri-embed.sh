#!/usr/bin/env bash
# Runs the tests of cardea-embed in Miri (nightly, component miri), on the scalar path. A separate manifest leaves out the
# other crates, which the tests do not need. For other processor architectures, see scripts/foreign-embed.sh.
#
#     scripts/miri-embed.sh [TARGET…]          # default: the host
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cat > "$here/Cargo.toml" <<TOML
[workspace]
[package]
name = "embed-miri"
version = "0.0.0"
edition = "2024"
[lib]
path = "$root/crates/cardea-embed/src/lib.rs"
[features]
bundled = []
[dependencies]
thiserror = "2"
unicode-normalization = "0.1"
[dev-dependencies]
proptest = { version = "1", default-features = false, features = ["std"] }
TOML
export PROPTEST_CASES=${PROPTEST_CASES:-4} MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}"
if [ $# -eq 0 ]; then set -- "$(rustc -vV | sed -n 's/^host: //p')"; fi
for target in "$@"; do
    echo "== $target"
    CARGO_TARGET_DIR=${MIRI_TARGET_DIR:-$here/target} cargo +nightly miri test --manifest-path "$here/Cargo.toml" --target "$target" --lib -- ${MIRI_TESTS:-}
done
