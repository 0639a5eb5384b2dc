#!/usr/bin/env bash
# Runs the tests of cardea-embed as an Arm program under an emulator: the NEON path against the scalar one.
# Needs Debian's qemu-user, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross, and `rustup target add aarch64-unknown-linux-gnu`.
# A manifest of its own leaves out the other crates and the large weights.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cat > "$here/Cargo.toml" <<TOML
[workspace]
[package]
name = "embed-neon"
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
[profile.dev]
opt-level = 2
overflow-checks = false
debug-assertions = false
TOML
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
export PROPTEST_CASES=${PROPTEST_CASES:-16}
CARGO_TARGET_DIR=${NEON_TARGET_DIR:-$here/target} cargo test --manifest-path "$here/Cargo.toml" \
    --target aarch64-unknown-linux-gnu --lib -- "$@"
