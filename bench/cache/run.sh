#!/usr/bin/env bash
# Takes the measurements of bench/RESULTS-cache.md: the burst at one, two and four times the rate, and the memory per
# entry.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --quiet --release -p cardea --example cache_burst
program="${CARGO_TARGET_DIR:-target}/release/examples/cache_burst"
uptime
for rate in 1000 2000 4000; do "$program" "$rate" 10; done
"$program" memory 20000
