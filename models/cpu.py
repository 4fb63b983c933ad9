"""CPUs that run Intel MKL, as models: fitted on MKL measured here, carried to the named part.

The form is the two passes of a row-wise product (symbolic, numeric). A core's cycles are counted
per product, per result, per result that lands outside the first-level cache, and per line of B that
comes from the second- or last-level cache; those cycle counts were fitted on MKL measured on one
host and are carried by clock and cores. Lines beyond the last level come from memory at its
bandwidth. More cores are bounded by a serial share, fitted on one against two threads, and by the
longest row, which cannot be split.

What it does not model: hyper-threads, frequency changes, and differences between core generations
other than clock and cache sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from siloom.models._cpu_spgemm import FITTED, LINE_BYTES, core_share, core_terms, memory_bytes
from siloom.models._modelled import modelled
from siloom.models._sparse_library import count_product, dense_side, lines_beyond, makespan_factor
from siloom.sim.cost import from_table, table
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.ops import SDDMM, Operation, SpGEMM, SpMM
from siloom.sim.result import Phase, Result
from siloom.sim.sparse import Reals

_XEON = "xeon-e5-1650v4"


@dataclass(frozen=True)
class CpuDesign(Design):
    """One CPU and the library on it; the defaults are the Xeon E5-1650 v4 with MKL."""

    clock_hz: float = from_table("devices", _XEON, "clock_hz", low=1e8, high=1e10)
    cores: int = from_table("devices", _XEON, "cores", whole=True, low=1, high=1024)
    fp64_per_core: int = from_table("devices", _XEON, "fp64_per_core", whole=True, low=1, high=256)
    bandwidth_bytes_per_s: float = from_table("devices", _XEON, "bandwidth_bytes_per_s", low=1e8, high=1e13)
    stream_efficiency: float = from_table("devices", _XEON, "stream_efficiency", low=0.01, high=1.0)
    l1_bytes: int = from_table("devices", _XEON, "l1_bytes", whole=True, low=1024, high=2**24)
    l2_bytes: int = from_table("devices", _XEON, "l2_bytes", whole=True, low=1024, high=2**28)
    l3_bytes: int = from_table("devices", _XEON, "l3_bytes", whole=True, low=1024, high=2**34)
    tdp_w: float = from_table("devices", _XEON, "tdp_w", low=1.0, high=2000.0)
    library: str = parameter(
        "mkl", unit="", source="OuterSPACE's CPU baseline was MKL", status="published", choices=("mkl",)
    )
    overhead_s: float = from_table("spgemm_fit", "mkl", "overhead_s", low=0.0, high=1.0)
    cycles_per_product: float = from_table("spgemm_fit", "mkl", "cycles_per_product", low=0.0, high=1e4)
    cycles_per_result: float = from_table("spgemm_fit", "mkl", "cycles_per_result", low=0.0, high=1e4)
    cycles_per_scattered_result: float = from_table(
        "spgemm_fit", "mkl", "cycles_per_scattered_result", low=0.0, high=1e4
    )
    cycles_per_near_line: float = from_table("spgemm_fit", "mkl", "cycles_per_near_line", low=0.0, high=1e4)
    cycles_per_far_line: float = from_table("spgemm_fit", "mkl", "cycles_per_far_line", low=0.0, high=1e4)

    serial_share: float = from_table("spgemm_fit", "mkl", "serial_share", low=0.0, high=1.0)

    @property
    def bytes_per_s(self) -> float:
        """Bandwidth that streams reach."""
        return self.bandwidth_bytes_per_s * self.stream_efficiency

    @property
    def operations_per_s(self) -> float:
        """Peak fp64 additions and multiplications a second: two per fused unit and cycle."""
        return 2.0 * self.fp64_per_core * self.cores * self.clock_hz

    @property
    def fitted(self) -> Reals:
        """The fitted constants in the order of :data:`FITTED`."""
        return np.array([getattr(self, name) for name in FITTED])


class XeonE51650v4(Machine):
    """Intel Xeon E5-1650 v4 with MKL: OuterSPACE's CPU baseline."""

    name = _XEON
    kind = "cpu"
    summary = "Intel Xeon E5-1650 v4 (6 cores, 3.6 GHz, 76.8 GB/s) running MKL; fitted on MKL measured on a host"
    operations = (SpGEMM, SpMM, SDDMM)
    design_type = CpuDesign

    design: CpuDesign

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Estimate ``op``; values are not computed."""
        if isinstance(op, SpGEMM):
            return _product(self.label, self.design, op)
        if isinstance(op, SpMM | SDDMM):
            return _dense_side(self.label, self.design, op)
        raise InputError(f"{self.label}: does not run {op.kind}")


def _product(label: str, design: CpuDesign, op: SpGEMM) -> Result:
    counts = count_product(op)
    near, far, deep = lines_beyond(op, LINE_BYTES, design.l1_bytes, design.l2_bytes, design.l3_bytes)
    terms = core_terms(counts, design.l1_bytes, near, far) * design.fitted
    spread = core_share(counts, design.cores, design.serial_share) / design.clock_hz
    traffic = memory_bytes(counts, deep)
    moved = sum(traffic.values())
    phases = (
        Phase("overhead", None, float(terms[0])),
        Phase("products", None, float(terms[1]) * spread),
        Phase("results", None, float(terms[2] + terms[3]) * spread),
        Phase("cache lines", None, float(terms[4] + terms[5]) * spread),
        Phase("memory", None, moved / design.bytes_per_s),
    )
    traffic |= {"dram_read": traffic["a"] + traffic["b"], "dram_write": traffic["c"]}
    fit = {name: table("spgemm_fit")["mkl", name].value for name in ("error_median", "error_median_held_out")}
    note = (
        "modelled: fitted on MKL measured on one host, carried by clock, cores and bandwidth; "
        f"median |ln(model/measured)| {fit['error_median']:.2f} in sample, "
        f"{fit['error_median_held_out']:.2f} leave-one-out on that host; "
        "the carry itself is not checked by any measurement"
    )
    return modelled(label, design, op, "package", dict(counts.operations), traffic, phases, (note,))


def _dense_side(label: str, design: CpuDesign, op: SpMM | SDDMM) -> Result:
    side = dense_side(op, design.l3_bytes)
    flops = side.operations["multiplies"] + side.operations["adds"]
    ideal = max(side.bytes_moved / design.bytes_per_s, flops / design.operations_per_s)
    factor = makespan_factor(1.0, side.imbalance_share, design.cores)
    phases = (Phase("overhead", None, design.overhead_s), Phase("product", None, ideal * factor))
    note = "modelled: roofline of bytes and fp64 peak, longest row and the call overhead; fitted on no such product"
    return modelled(label, design, op, "package", dict(side.operations), side.traffic, phases, (note,))
