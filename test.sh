#!/usr/bin/env bash
# Sets everything up, then runs lint, types and the whole test suite.
# Usage: ./test.sh [PYTEST ARGUMENTS]     e.g. ./test.sh tests/sim -k cache
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
[[ $# -gt 0 ]] || set -- -n 2

scripts/setup.sh rtl,synth,formal,mkl,onnx,minilm,train,explore,cluster,dev
scripts/optional.sh
# Two test processes share the cores: more threads in each would only fight for them.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

status=0
check() {
  echo "== $*"
  ".venv/bin/$1" "${@:2}" || status=1
}
check ruff check .
check ruff format --check .
check mypy
[[ $status == 0 ]] || echo "== lint or types failed above: this run will end with exit code 1"
check pytest "$@"
exit "$status"
