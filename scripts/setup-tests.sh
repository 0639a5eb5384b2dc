#!/usr/bin/env bash
# Sets up the optional peers that some tests talk to. Nothing here is needed for the build; tests say `SKIPPED:` where
# a peer is missing. Whatever cannot be set up is named and passed over.
set -u
cd "$(dirname "$0")/.."

say() { printf 'peers: %s\n' "$*"; }

for tool in node python3 initdb pg_ctl; do
    if command -v "$tool" >/dev/null 2>&1; then
        say "$tool is here: $("$tool" --version 2>&1 | head -n 1)"
    else
        say "$tool is not here; tests that need it will be skipped"
    fi
done

for setup in scripts/peers*.sh scripts/peers*/setup.sh; do
    [ -x "$setup" ] || continue
    say "running $setup"
    "$setup" || say "$setup did not work; its tests will be skipped"
done
exit 0
