"""What simulating a product costs, beside scipy's own product of the same operands in the same run.

``python benchmarks/spgemm.py`` prints a table: medians over the rounds, the ratio of each pair of
neighbouring runs, and peak memory. ``--cold`` adds the command line with an empty kernel cache.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASES = {
    "uniform:n=131072,density=5.8e-05": ("5 x scipy, 1.5 GB in all", 5),
    "rmat:scale=17,edges=1000000": ("5 x scipy, 1.5 GB beyond the operands", 1),
}


def measure(workload: str, rounds: int) -> dict[str, float]:
    """Time scipy and the simulator in turn, in this process."""
    import siloom
    from siloom.sim.ops import SpGEMM

    op = siloom.load(workload).items[0].op
    assert isinstance(op, SpGEMM)
    machine = siloom.machine("outerspace")
    small = siloom.load("uniform:n=300,density=0.02").items[0].op
    machine.run(small)
    a, b = op.a.to_scipy(), op.b.to_scipy()
    for matrix in {id(m): m for m in (a, b)}.values():
        # scipy's own choice of index type for a matrix of this size.
        matrix.indices, matrix.indptr = matrix.indices.astype("int32"), matrix.indptr.astype("int32")
    operands = _resident()
    # The simulator goes first, so that its peak is not hidden under scipy's product.
    machine.run(op)
    simulated_peak = _peak()
    theirs, ours, cpu, ratios = [], [], [], []
    for _ in range(rounds):
        start = time.perf_counter()
        product = a @ b
        theirs.append(time.perf_counter() - start)
        del product
        start, begun = time.perf_counter(), time.process_time()
        result = machine.run(op)
        ours.append(time.perf_counter() - start)
        cpu.append(time.process_time() - begun)
        ratios.append(ours[-1] / theirs[-1])
    return {
        "multiplies": result.operations["multiplies"],
        "scipy_s": statistics.median(theirs),
        "siloom_s": statistics.median(ours),
        "siloom_cpu_s": statistics.median(cpu),
        "ratio": statistics.median(ratios),
        "peak_gb": simulated_peak / 1e9,
        "beyond_operands_gb": (simulated_peak - operands) / 1e9,
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _resident() -> float:
    """Bytes in memory now; Linux only, as is the bound."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * float(resource.getpagesize())


def command(arguments: list[str], cache: str | None) -> float:
    """Wall seconds of a command line, interpreter and imports included."""
    environment = dict(os.environ)
    if cache is not None:
        environment["SILOOM_CACHE_DIR"] = cache
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "siloom", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=0, help="timed rounds of each case (default: its own)")
    parser.add_argument("--cold", action="store_true", help="also time the command line with an empty kernel cache")
    parser.add_argument("--file", type=Path, default=Path("../shared/data/matrices/wiki-Vote.mtx"))
    chosen = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if chosen.case:
        print(json.dumps(measure(chosen.case, chosen.rounds)))
        return
    columns = ("scipy", "siloom", "cpu", "ratio", "peak", "beyond")
    print(f"{'case':36} {'multiplies':>12} " + " ".join(f"{c:>9}" for c in columns) + "  bound")
    for case, (bound, rounds) in CASES.items():
        line = [sys.executable, __file__, "--case", case, "--rounds", str(chosen.rounds or rounds)]
        row = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
        cells = [f"{row[key]:.3f} s" for key in ("scipy_s", "siloom_s", "siloom_cpu_s")]
        cells += [f"{row['ratio']:.2f} x", f"{row['peak_gb']:.2f} GB", f"{row['beyond_operands_gb']:.2f} GB"]
        print(f"{case:36} {row['multiplies']:12,} " + " ".join(f"{c:>9}" for c in cells) + f"  {bound}", flush=True)
    workload = str(chosen.file) if chosen.file.is_file() else "rmat:scale=13,edges=100000"
    run = ["run", "outerspace", workload, "--json"]
    command(run, None)
    warm = statistics.median(command(run, None) for _ in range(5))
    print(f"siloom run outerspace {workload}, warm: {warm:.2f} s (bound 3 s)")
    if chosen.cold:
        with tempfile.TemporaryDirectory() as empty:
            print(f"the same with a cold kernel cache: {command(run, empty):.1f} s (bound 40 s)")


if __name__ == "__main__":
    main()
