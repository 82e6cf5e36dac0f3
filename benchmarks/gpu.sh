#!/bin/sh
# Cost of explaining and of training on the GPU at hand, in under eight minutes. Options go to benchmarks/gpu.py.
# Without a GPU, try it on small numbers:  benchmarks/gpu.sh --model minilm-l6 --batch 1 --repeats 3 --step 2
set -e
cd "$(dirname "$0")/.."
exec "${PYTHON:-python}" benchmarks/gpu.py --json results/speed/gpu.json "$@"
