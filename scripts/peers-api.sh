#!/usr/bin/env bash
# Installs the third-party programs that test the API into `.peers/api*`: OpenAI's clients for Python and JavaScript,
# Schemathesis (which generates requests from the OpenAPI document), the parser of Prometheus' client, and aimock (a mock
# server of OpenAI's, Anthropic's and Gemini's formats). Without them, tests report that they are skipped.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$root/.peers/api"
[ -d "$root/.peers/api-python" ] || python3 -m venv "$root/.peers/api-python"
"$root/.peers/api-python/bin/pip" install --quiet 'openai==3.52.*' 'schemathesis==4.*' 'prometheus-client==0.26.*'
cd "$root/.peers/api"
[ -f package.json ] || echo '{ "private": true }' > package.json
npm install --no-audit --no-fund --ignore-scripts @copilotkit/aimock@1.43 openai@6
echo "installed the API's peers in $root/.peers/api and $root/.peers/api-python"
