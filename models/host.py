"""This computer, measured: the libraries that are installed on it, timed on the real operands.

Sparse products run in scipy, numba or MKL, dense work in numpy and its BLAS. The median of repeated
runs after a warm-up; nothing is modelled. Energy is not known: there is no counter that an ordinary
user may read everywhere.
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

import numpy as np

from siloom.models import _blas, _host_dense, _host_kernels
from siloom.models._sparse_library import ELEMENT_BYTES, INDEX_BYTES, count_product, dense_side
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.ops import SDDMM, Attention, Conv, Elementwise, MatMul, Operation, Reduce, SpGEMM, SpMM, extras_note
from siloom.sim.result import Phase, Result
from siloom.sim.sparse import Csr

Supported = SpGEMM | SpMM | SDDMM


@dataclass(frozen=True)
class HostDesign(Design):
    """How to measure."""

    library: str = parameter(
        "auto",
        unit="",
        source="the fastest installed one, unless named; sampled products have numpy and numba, dense work numpy only",
        status="measured",
        choices=("auto", "scipy", "numpy", "numba", "mkl"),
    )
    threads: int = parameter(
        0, unit="", source="for MKL; 0: all cores this process may use", status="measured", low=0, high=4096
    )
    blas_threads: int = parameter(
        1, unit="", source="for numpy's BLAS; one, unless more are asked for", status="measured", low=1, high=4096
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
    summary = "this computer, measured: scipy, numba, MKL or numpy's BLAS on the real operands"
    operations = (SpGEMM, SpMM, SDDMM, MatMul, Conv, Attention, Elementwise, Reduce)
    design_type = HostDesign

    design: HostDesign

    def supports(self, op: Operation) -> bool:
        """Whether the chosen library computes this operation; a missing MKL is told by ``run``."""
        if isinstance(op, MatMul | Conv | Attention | Elementwise | Reduce):
            return self.design.library in ("auto", "numpy")
        if isinstance(op, SDDMM):
            return self.design.library in ("auto", "numpy", "numba")
        return isinstance(op, SpGEMM | SpMM) and self.design.library != "numpy"

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Measure ``op``; ``seconds`` is the median.

        Raises:
            MissingPartError: ``library=mkl`` and MKL is not installed.
            InputError: an operation it cannot compute, or a product that does not fit in memory.
        """
        if not self.supports(op):
            raise InputError(f"{self.label}: library={self.design.library} does not compute {op.kind}")
        if isinstance(op, SpGEMM | SpMM | SDDMM):
            return self._sparse(op, values)
        assert isinstance(op, MatMul | Conv | Attention | Elementwise | Reduce)
        return self._dense(op)

    def _sparse(self, op: Supported, values: bool) -> Result:
        operations, traffic, result_bytes = _counts(op)
        _check_memory(self.label, 3 * result_bytes)  # library buffers take about as much again as the result
        threads = self.design.threads or _cores()
        library, notes = self.design.library, []
        if library == "auto":
            library, trials = _fastest(op, threads)
            listed = ", ".join(f"{name} {seconds * 1e3:.3g} ms" for name, seconds in trials.items())
            notes.append(f"library=auto chose {library} ({listed}; one run each after a warm-up)")
        with _host_kernels.prepare(library, op, threads) as ready:
            product = ready.call()
            times = _repeat(ready.call, self.design.repeats, self.design.budget_s)
        notes.append(_measured_note(ready.version, f"at most {ready.threads} thread(s)", times))
        return self._result(
            op,
            times,
            precision=("fp64",),
            operations=operations,
            traffic_bytes=traffic,
            notes=tuple(notes),
            provenance={"library": ready.version, "threads": ready.threads},
            values=_as_csr(product) if values and isinstance(op, SpGEMM) else None,
        )

    def _dense(self, op: _host_dense.Dense) -> Result:
        _check_memory(self.label, _host_dense.needed_bytes(op))
        ready = _host_dense.prepare(op)
        with _blas.limited(self.design.blas_threads) as threads:
            ready.call()
            times = _repeat(ready.call, self.design.repeats, self.design.budget_s)
        said = f"{threads} BLAS thread(s)" if threads else "BLAS threads as the environment sets them"
        notes = [_measured_note(f"numpy {np.__version__} with {_blas.version()}", said, times)]
        if op.format != ready.computed:
            notes.append(f"computed in {ready.computed}, the workload asks for {op.format}")
        notes += extras_note(op)
        return self._result(
            op,
            times,
            precision=(ready.computed,),
            operations=ready.operations,
            traffic_bytes=ready.traffic,
            notes=tuple(notes),
            provenance={"library": f"numpy {np.__version__}, {_blas.version()}", "threads": threads},
        )

    def _result(self, op: Operation, times: list[float], **more: Any) -> Result:
        """What every measurement says, beside what its kind adds."""
        seconds = statistics.median(times)
        about = {"kind": "measured", "cores": _cores(), "cpu": cpu_name(), "design_hash": self.design.content_hash()}
        return Result(
            machine=self.label,
            workload=op.name or op.kind,
            kind="measured",
            seconds=seconds,
            phases=(Phase("product" if isinstance(op, SpGEMM | SpMM | SDDMM) else op.kind, None, seconds),),
            counters={
                "repeats": len(times),
                "fastest_ns": round(min(times) * 1e9),
                "slowest_ns": round(max(times) * 1e9),
            },
            design=self.design.as_dict(),
            **{**more, "provenance": {**about, **more["provenance"]}},
        )


def _measured_note(library: str, threads: str, times: list[float]) -> str:
    return (
        f"measured with {library}, {threads}: median of {len(times)}, {min(times) * 1e3:.4g} to "
        f"{max(times) * 1e3:.4g} ms; traffic is the least possible, not measured"
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


def _check_memory(label: str, needed_bytes: int) -> None:
    """Refuse what would end the process."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return
    if needed_bytes > max(free, _reclaimable()):
        need, have = needed_bytes / 2**30, max(free, _reclaimable()) / 2**30
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
