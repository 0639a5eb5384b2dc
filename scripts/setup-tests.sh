#!/usr/bin/env bash
# Sets up the optional peers that some tests use. The build does not need them. A test whose peer is missing prints
# `SKIPPED:`. The script reports each peer that it cannot set up, and continues.
set -u
cd "$(dirname "$0")/.."

say() { printf 'peers: %s\n' "$*"; }

for tool in node python3 initdb pg_ctl; do
    if command -v "$tool" >/dev/null 2>&1; then
        say "found $tool: $("$tool" --version 2>&1 | head -n 1)"
    else
        say "$tool is missing; tests that need it will be skipped"
    fi
done

for setup in scripts/peers*.sh scripts/peers*/setup.sh; do
    [ -x "$setup" ] || continue
    say "running $setup"
    "$setup" || say "$setup failed; its tests will be skipped"
done
exit 0
