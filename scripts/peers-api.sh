#!/usr/bin/env bash
# Installs the foreign programs that the served API is tried with into `.peers/api*`: OpenAI's own clients for Python and
# JavaScript, Schemathesis (which plays requests made from the OpenAPI document), the reader of Prometheus' client, and
# aimock (a server of OpenAI's, Anthropic's and Gemini's formats). Tests skip loudly while they are not there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$root/.peers/api"
[ -d "$root/.peers/api-python" ] || python3 -m venv "$root/.peers/api-python"
"$root/.peers/api-python/bin/pip" install --quiet 'openai==3.52.*' 'schemathesis==4.*' 'prometheus-client==0.26.*'
cd "$root/.peers/api"
[ -f package.json ] || echo '{ "private": true }' > package.json
npm install --no-audit --no-fund --ignore-scripts @copilotkit/aimock@1.43 openai@6
echo "the API's peers are in $root/.peers/api and $root/.peers/api-python"
