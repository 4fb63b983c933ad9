"""Measure this computer's CPU: numpy's products and streams, scipy's sparse products.

Operations are timed by the machine ``host`` itself. What is fitted: the clock at which the units that
the processor says it has would give the rates measured (an effective clock: it holds the library's
efficiency), the cost of a call, and scipy's cycles a product and a scattered result. Bandwidth is a stream's.
Attention, reductions and elementwise work are measured beside them and only judged.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from siloom.models import _blas
from siloom.models._cpu_design import CpuDesign
from siloom.models._measure_fit import Sample, fit_fields, judge, measurement
from siloom.models._measured_file import Fit, MeasuredFile
from siloom.models._measured_machine import GENERIC_CPU, bases
from siloom.models.host import Host, HostDesign, cpu_name
from siloom.sim.ops import Attention, Elementwise, MatMul, Operation, Reduce, SpGEMM
from siloom.sim.sparse import Csr

Watch = Callable[[str], None]

DENSE_FIELDS = ("clock_hz", "overhead_s")
SPARSE_FIELDS = ("cycles_per_product", "cycles_per_scattered_result")
"""Products and results grow together over these matrices, so a cost of a result is left at 0, and so are
those of cache lines, which scipy's time (dominated by its products) does not tell apart."""
_STREAM_ELEMENTS = 2**24
_REPEATS = 7


def operations(quick: bool) -> Iterator[tuple[str, Operation]]:
    """What is measured, as the command line writes it and as operations; ``quick`` leaves out the long ones."""
    largest = 256 if quick else 2048
    for size in (16, 32, 64, 128, 256, 512, 1024, 2048):
        if size <= largest:
            yield _gemm(size, size, size)
    for m, n, k in ((1, 2048, 2048), (64, 64, 4096), (4096, 64, 64), (384, 768, 768), (100, 300, 500), (37, 510, 129)):
        if not quick or m * n * k <= 2**25:
            yield _gemm(m, n, k)
    for rows, density in ((300, 0.02), (500, 0.05), (1000, 0.005), (2000, 0.005), (5000, 0.001), (20_000, 0.0002)):
        if not quick or rows <= 2000:
            yield f"uniform:n={rows},density={density},seed=0", SpGEMM(a=(a := uniform(rows, density)), b=a)
    for seq, heads in ((128, 4), (384, 12)):
        if not quick or seq <= 128:
            text = f"attention:seq={seq},heads={heads},dim=64,format=fp32"
            yield text, Attention(seq=seq, heads=heads, dim=64, format="fp32")
    yield "reduce: softmax of 4096 rows of 384", Reduce(rows=4096, length=384, function="softmax", format="fp32")
    yield "elementwise: sum of 2 x 2^22", Elementwise(elements=2**22, reads=2, format="fp32")


def measure(watch: Watch, date: str, *, threads: int = 1, quick: bool = False) -> MeasuredFile:
    """Measure this computer and fit the CPU model to it."""
    watch("measuring memory")
    with _blas.limited(threads) as limited:
        used = limited or threads
        bandwidth = stream_bytes_per_s(_STREAM_ELEMENTS // (16 if quick else 1))
    host = Host(HostDesign(library="auto", blas_threads=threads, repeats=_REPEATS, budget_s=2.0))
    scipy_only = Host(HostDesign(library="scipy", repeats=_REPEATS, budget_s=2.0))
    samples = []
    for text, op in operations(quick):
        watch(f"measuring {text}")
        samples.append(timed(scipy_only if isinstance(op, SpGEMM) else host, text, op))
    watch("fitting")
    conditions: dict[str, str | int | float] = {
        "numpy": np.__version__,
        "blas": _blas.version(),
        "threads": used,
        "sparse": "scipy, one thread",
        "bandwidth": "c = a + b in fp32, three streams",
    }
    return fitted(samples, host_design(used, bandwidth), cpu_name(), date, conditions)


def timed(host: Host, text: str, op: Operation) -> Sample:
    """Run ``op`` on the host and keep what its result says of the repetitions."""
    result = host.run(op)
    seen = result.counters
    return Sample(text, op, result.seconds, seen["fastest_ns"] / 1e9, seen["slowest_ns"] / 1e9, seen["repeats"])


def fitted(
    samples: Sequence[Sample],
    design: CpuDesign,
    device: str,
    date: str,
    conditions: dict[str, str | int | float],
) -> MeasuredFile:
    """Fit the CPU model to samples of any origin and put all of it into a file."""
    start = bases()[GENERIC_CPU](design, GENERIC_CPU)
    by_kind: dict[str, list[Sample]] = {}
    for s in samples:
        by_kind.setdefault(s.op.kind, []).append(s)
    dense, sparse = by_kind.get("matmul", []), by_kind.get("spgemm", [])
    found = fit_fields(start, DENSE_FIELDS, dense) if len(dense) >= len(DENSE_FIELDS) else start
    if len(sparse) >= len(SPARSE_FIELDS):
        found = fit_fields(found, SPARSE_FIELDS, sparse)
    fits: dict[str, Fit] = {}
    fitted_on = {"matmul": DENSE_FIELDS, "spgemm": SPARSE_FIELDS}
    for kind, own in by_kind.items():
        fields = fitted_on.get(kind, ())
        fits[kind] = judge(found, fields if len(own) >= len(fields) else (), own)
    chosen = found.design.as_dict()
    default = CpuDesign().as_dict()
    keep = {name: v for name, v in chosen.items() if v != default[name] or name in (*DENSE_FIELDS, *SPARSE_FIELDS)}
    return MeasuredFile(
        siloom_measured=1,
        base=GENERIC_CPU,
        device=device or "unknown CPU",
        date=date,
        settings=keep,
        conditions=conditions,
        fit=fits,
        measurement=[measurement(found, s) for s in samples],
    )


def host_design(threads: int, bandwidth_bytes_per_s: float) -> CpuDesign:
    """The units and caches that the system tells of; the clock is left to the fit."""
    wide = 32 if "avx512f" in _flags() else 16 if "fma" in _flags() else 8
    caches = {f"l{level}_bytes": size for level, size in cache_bytes().items()}
    settings: dict[str, Any] = {
        "cores": threads,
        "fp32_per_core": wide,
        "fp64_per_core": wide // 2,
        "int8_per_core": 0,
        "bf16_per_core": 0,
        "bandwidth_bytes_per_s": bandwidth_bytes_per_s,
        "stream_efficiency": 1.0,
        "gemm_efficiency": 1.0,
        "library": "measured",
        "cycles_per_result": 0.0,
        "cycles_per_near_line": 0.0,
        "cycles_per_far_line": 0.0,
        **caches,
    }
    return CpuDesign().with_settings("host", settings)


def stream_bytes_per_s(elements: int) -> float:
    """Bytes a second of c = a + b on fp32 arrays, two read and one written, median of repeated runs."""
    a, b, c = (np.ones(elements, dtype=np.float32) for _ in range(3))
    times = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        np.add(a, b, out=c)
        times.append(time.perf_counter() - start)
    return 3 * 4 * elements / statistics.median(times[1:])


def cache_bytes() -> dict[int, int]:
    """Level -> bytes of the first core's data and unified caches, where Linux tells them."""
    found: dict[int, int] = {}
    units = {"K": 1024, "M": 1024**2, "G": 1024**3}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((folder / f).read_text(encoding="ascii").strip() for f in ("level", "type", "size"))
            if kind in ("Data", "Unified") and 1 <= int(level) <= 3:
                found[int(level)] = int(size[:-1]) * units[size[-1]]
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return found


def _flags() -> frozenset[str]:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("flags", "Features")):
                return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()


def _gemm(m: int, n: int, k: int) -> tuple[str, Operation]:
    return f"gemm:m={m},n={n},k={k},format=fp32", MatMul(m=m, n=n, k=k, format="fp32")


def uniform(rows: int, density: float) -> Csr:
    """Exactly round(density * rows^2) distinct positions, as the workload ``uniform`` has."""
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    flat = rng.choice(rows * rows, size=round(density * rows * rows), replace=False)
    values = rng.random(len(flat)) + 0.5
    return Csr.from_scipy(sp.csr_array(sp.coo_array((values, np.divmod(flat, rows)), shape=(rows, rows))))


__all__ = ["cache_bytes", "fitted", "host_design", "measure", "operations", "stream_bytes_per_s", "timed", "uniform"]
