# Shortcuts for frequent commands. `.ci/run` does not need just.

# format, lints, documentation, bans
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    cargo deny check || echo "cargo deny is not installed: the tests check bans and licences"

# all tests that can run on this machine
test:
    cargo test --workspace

# the demo
demo:
    cargo run -- demo

# the measurements of bench/RESULTS.md
bench:
    cargo build --release -p cardea -p cardea-bench-server
    target/release/cardea-bench-server

# the kill test with N kills, on `sqlite`, `postgres` or `both`
kill N="200" ENGINE="both":
    CARDEA_KILLS={{N}} CARDEA_KILLS_ON={{ENGINE}} cargo test -p cardea --test it kills -- --nocapture

# rewrite the reviewed texts that are generated from the source
bless:
    CARDEA_TEST_BLESS=1 cargo test -p cardea --lib --test it -- reference_pages tools_of_the_policy_tests reviewed
