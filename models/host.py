"""This computer, measured: the sparse libraries that are installed on it, timed on the real operands.

The median of repeated runs after a warm-up; nothing is modelled. Energy is not known: there is no
counter that an ordinary user may read everywhere.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siloom.models import _host_kernels
from siloom.models._sparse_library import ELEMENT_BYTES, INDEX_BYTES, count_product, dense_side
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.ops import SDDMM, Operation, SpGEMM, SpMM
from siloom.sim.result import Phase, Result
from siloom.sim.sparse import Csr

Supported = SpGEMM | SpMM | SDDMM


@dataclass(frozen=True)
class HostDesign(Design):
    """How to measure."""

    library: str = parameter(
        "auto",
        unit="",
        source="the fastest installed one, unless named; sampled products have numpy and numba only",
        status="measured",
        choices=("auto", "scipy", "numpy", "numba", "mkl"),
    )
    threads: int = parameter(
        0, unit="", source="for MKL; 0: all cores this process may use", status="measured", low=0, high=4096
    )
    repeats: int = parameter(
        5, unit="", source="timed runs after the warm-up; the median counts", status="measured", low=1, high=10_000
    )
    budget_s: float = parameter(
        20.0, unit="s", source="no further repeat is begun after this time", status="measured", low=0.0, high=86_400.0
    )


class Host(Machine):
    """The computer this runs on."""

    name = "host"
    kind = "cpu"
    summary = "this computer, measured: scipy, numba or MKL on the real operands"
    operations = (SpGEMM, SpMM, SDDMM)
    design_type = HostDesign

    design: HostDesign

    def supports(self, op: Operation) -> bool:
        """Whether the chosen library computes this operation; a missing MKL is told by ``run``."""
        if isinstance(op, SDDMM):
            return self.design.library in ("auto", "numpy", "numba")
        return isinstance(op, SpGEMM | SpMM) and self.design.library != "numpy"

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Measure ``op``; ``seconds`` is the median.

        Raises:
            MissingPartError: ``library=mkl`` and MKL is not installed.
            InputError: an operation it cannot compute, or a product that does not fit in memory.
        """
        if not isinstance(op, SpGEMM | SpMM | SDDMM) or not self.supports(op):
            raise InputError(f"{self.label}: library={self.design.library} does not compute {op.kind}")
        operations, traffic, result_bytes = _counts(op)
        _check_memory(self.label, result_bytes)
        threads = self.design.threads or _cores()
        library, notes = self.design.library, []
        if library == "auto":
            library, trials = _fastest(op, threads)
            listed = ", ".join(f"{name} {seconds * 1e3:.3g} ms" for name, seconds in trials.items())
            notes.append(f"library=auto chose {library} ({listed}; one run each after a warm-up)")
        with _host_kernels.prepare(library, op, threads) as ready:
            product = ready.call()
            times = _repeat(ready.call, self.design.repeats, self.design.budget_s)
        seconds = statistics.median(times)
        notes.append(
            f"measured with {ready.version}, at most {ready.threads} thread(s): median of {len(times)}, "
            f"{min(times) * 1e3:.4g} to {max(times) * 1e3:.4g} ms; traffic is the least possible, not measured"
        )
        return Result(
            machine=self.label,
            workload=op.name or op.kind,
            kind="measured",
            seconds=seconds,
            operations=operations,
            traffic_bytes=traffic,
            phases=(Phase("product", None, seconds),),
            counters={
                "repeats": len(times),
                "fastest_ns": round(min(times) * 1e9),
                "slowest_ns": round(max(times) * 1e9),
            },
            notes=tuple(notes),
            design=self.design.as_dict(),
            provenance={
                "kind": "measured",
                "library": ready.version,
                "threads": ready.threads,
                "cores": _cores(),
                "cpu": cpu_name(),
                "design_hash": self.design.content_hash(),
            },
            values=_as_csr(product) if values and isinstance(op, SpGEMM) else None,
        )


def _counts(op: Supported) -> tuple[dict[str, int], dict[str, int], int]:
    """Exact operations, least traffic, and the bytes that the result takes."""
    if isinstance(op, SpGEMM):
        counts = count_product(op)
        a = ELEMENT_BYTES * counts.nnz_a + INDEX_BYTES * (counts.rows + 1)
        b = ELEMENT_BYTES * counts.nnz_b + INDEX_BYTES * (counts.inner + 1)
        c = ELEMENT_BYTES * counts.results + INDEX_BYTES * (counts.rows + 1)
        traffic = {"a": a, "b": b, "partial": 0, "c": c, "dram_read": a + b, "dram_write": c}
        return counts.operations, traffic, 16 * counts.results
    side = dense_side(op, cache_bytes=float("inf"))
    width = op.n * (op.a.shape[0] + op.a.shape[1]) if isinstance(op, SpMM) else op.k * sum(op.mask.shape)
    return dict(side.operations), side.traffic, 8 * width


def _check_memory(label: str, result_bytes: int) -> None:
    """Refuse what would end the process: library buffers take about as much again as the result."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return
    if 3 * result_bytes > max(free, _reclaimable()):
        need, have = 3 * result_bytes / 2**30, max(free, _reclaimable()) / 2**30
        raise InputError(f"{label}: the product needs about {need:.1f} GiB of memory, {have:.1f} GiB are free")


def _reclaimable() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return 0
    return 0


def _fastest(op: Supported, threads: int) -> tuple[str, dict[str, float]]:
    """The library with the shortest single run after a warm-up, and all those times."""
    trials: dict[str, float] = {}
    for library in _host_kernels.libraries(op):
        with _host_kernels.prepare(library, op, threads) as ready:
            ready.call()
            trials[library] = _repeat(ready.call, 1, 0.0)[0]
    return min(trials, key=lambda name: trials[name]), trials


def _repeat(call: Callable[[], Any], repeats: int, budget_s: float) -> list[float]:
    times: list[float] = []
    while not times or (len(times) < repeats and sum(times) < budget_s):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def _as_csr(product: Any) -> Csr:
    product.sort_indices()
    return Csr.from_scipy(product)


def _cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
