#!/usr/bin/env bash
# Runs the tests of cardea-embed for other processor architectures under an emulator: Arm (compares the NEON path with the
# scalar one) and s390x (big-endian, so the numbers of the weights are byte-swapped when read).
#
#     scripts/foreign-embed.sh [aarch64|s390x] [TESTS…]        # default: both, all tests
#
# Needs Debian's qemu-user, gcc-aarch64-linux-gnu with libc6-dev-arm64-cross, gcc-s390x-linux-gnu with
# libc6-dev-s390x-cross, and `rustup target add aarch64-unknown-linux-gnu s390x-unknown-linux-gnu`.
# A separate manifest leaves out the other crates.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
kinds=(aarch64 s390x)
if [ $# -gt 0 ]; then kinds=("$1") && shift; fi
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
mkdir -p "$here/crates/cardea-embed"
ln -s "$root/models" "$here/models"
manifest=$here/crates/cardea-embed/Cargo.toml
cat > "$manifest" <<TOML
[workspace]
[package]
name = "cardea-embed"
version = "0.0.0"
edition = "2024"
[lib]
path = "$root/crates/cardea-embed/src/lib.rs"
[features]
default = ["bundled"]
bundled = []
[dependencies]
thiserror = "2"
unicode-normalization = "0.1"
[dev-dependencies]
proptest = { version = "1", default-features = false, features = ["std"] }
serde_json = "1"
[[test]]
name = "encoder"
path = "$root/crates/cardea-embed/tests/encoder.rs"
[profile.dev]
opt-level = 2
overflow-checks = false
debug-assertions = false
TOML
export PROPTEST_CASES=${PROPTEST_CASES:-16}
for kind in "${kinds[@]}"; do
    echo "== $kind"
    name=$(tr '[:lower:]' '[:upper:]' <<< "$kind")
    export "CARGO_TARGET_${name}_UNKNOWN_LINUX_GNU_LINKER=$kind-linux-gnu-gcc"
    export "CARGO_TARGET_${name}_UNKNOWN_LINUX_GNU_RUNNER=qemu-$kind -L /usr/$kind-linux-gnu"
    CARGO_TARGET_DIR=${FOREIGN_TARGET_DIR:-$here/target} cargo test --manifest-path "$manifest" \
        --target "$kind-unknown-linux-gnu" --lib --tests -- "$@"
done
