#!/usr/bin/env bash
# Sets everything up, compares OuterSPACE with GPUs and CPUs on one sparse product, and writes a page.
# Usage: ./demo.sh [WORKLOAD]     e.g. ./demo.sh my-matrix.mtx
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
out=$root/build/demo
workload=${1:-rmat:scale=12,edges=40000,seed=0}
machines=(outerspace k40-cusparse k40-cusp xeon-e5-1650v4 host)
baselines=(--baseline k40-cusparse --baseline k40-cusp --baseline xeon-e5-1650v4)

"$root/scripts/setup.sh"
siloom=$root/.venv/bin/siloom
mkdir -p "$out"

"$siloom" compare "$workload" "${machines[@]}" "${baselines[@]}" --figure "$out/compare.svg" --json >"$out/compare.json"
"$siloom" report "$out/compare.json" -o "$out/page.html"

"$root/.venv/bin/python" - "$out/compare.json" <<'EOF'
import json
import sys
from pathlib import Path

rows = json.loads(Path(sys.argv[1]).read_text())["rows"]
print(f"\n{rows[0]['workload']}\n{'machine':<18}{'':<12}{'time':>12}   speed-up over")
for row in rows:
    ratios = "   ".join(f"{name} {ratio:.2f}x" for name, ratio in row["speedup"].items())
    print(f"{row['machine']:<18}{row['kind']:<12}{row['seconds'] * 1e3:>9.3f} ms   {ratios}")
EOF
printf '\n%s\n' "Figure: $out/compare.svg" "Page:   $out/page.html (one file, opens offline)"
