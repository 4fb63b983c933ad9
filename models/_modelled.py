"""The result of a baseline that is modelled: the same fields for every CPU and GPU."""

from __future__ import annotations

from typing import Any, Protocol

from siloom.sim.cost import table_hash
from siloom.sim.design import Value
from siloom.sim.ops import Operation
from siloom.sim.result import Phase, Result, utilization


class Baseline(Protocol):
    """What the design of a modelled baseline tells: peaks in SI units, and the library it runs."""

    @property
    def library(self) -> str:
        """The library it runs."""

    @property
    def tdp_w(self) -> float:
        """Rated power."""

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Peak memory bandwidth."""

    @property
    def operations_per_s(self) -> float:
        """Peak fp64 operations a second."""

    def as_dict(self) -> dict[str, Value]:
        """Field name -> value."""

    def content_hash(self) -> str:
        """Hash of all values."""


def modelled(
    label: str,
    design: Baseline,
    op: Operation,
    part: str,
    operations: dict[str, int],
    traffic: dict[str, int],
    phases: tuple[Phase, ...],
    notes: tuple[str, ...],
    overhead_s: float,
) -> Result:
    """Put a model's phases and counts into a Result.

    Energy is the rated power of the ``part`` times the time: an upper estimate, and named so.
    """
    seconds = sum(p.seconds for p in phases)
    energy = design.tdp_w * seconds
    peaks = {"operations_per_s": design.operations_per_s, "bytes_per_s": design.bandwidth_bytes_per_s}
    provenance: dict[str, Any] = {
        "kind": "modelled",
        "library": design.library,
        "design_hash": design.content_hash(),
        "tables": {name: table_hash(name) for name in ("devices", "spgemm_fit")},
    }
    return Result(
        machine=label,
        workload=op.name or op.kind,
        precision=("fp64",),
        seconds=seconds,
        overhead_s=overhead_s,
        energy_j=energy,
        energy_parts={f"{part} at TDP (assumed, an upper estimate)": energy},
        operations=operations,
        traffic_bytes=traffic,
        phases=phases,
        utilization=utilization(operations, op.flops, peaks, seconds),
        peaks=peaks,
        notes=notes,
        design=design.as_dict(),
        provenance=provenance,
    )
