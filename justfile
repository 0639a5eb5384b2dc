# What is done often. `.ci/run` does not need just; this only saves typing.

# format, lints, documentation, bans
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    cargo deny check || echo "cargo deny is not installed: the tests check bans and licences"

# everything that can be tested here
test:
    cargo test --workspace

# the story, played to its end
demo:
    cargo run -- demo

# figures for bench/RESULTS.md
bench:
    cargo build --release -p cardea -p cardea-bench-server
    target/release/cardea-bench-server

# N rounds of killing the server in the middle of its work, on `sqlite`, `postgres` or `both`
kill N="200" ENGINE="both":
    CARDEA_KILLS={{N}} CARDEA_KILLS_ON={{ENGINE}} cargo test -p cardea --test it kills -- --nocapture

# write the texts that are made from the source and reviewed by people
bless:
    CARDEA_TEST_BLESS=1 cargo test -p cardea --lib --test it -- reference_pages tools_of_the_policy_tests reviewed
