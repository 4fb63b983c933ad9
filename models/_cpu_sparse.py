"""Sparse operations on a CPU that runs MKL: fitted on MKL measured here, carried to the named part.

The form is the two passes of a row-wise product (symbolic, numeric). A core's cycles are counted
per product, per result, per result that lands outside the first-level cache, and per line of B that
comes from the second- or last-level cache; those cycle counts were fitted on MKL measured on one
host and are carried by clock and cores. Lines beyond the last level come from memory at its
bandwidth. More cores are bounded by a serial share, fitted on one against two threads, and by the
longest row, which cannot be split.
"""

from __future__ import annotations

from siloom.models._cpu_design import CpuDesign
from siloom.models._cpu_spgemm import LINE_BYTES, core_share, core_terms, memory_bytes
from siloom.models._modelled import modelled
from siloom.models._sparse_library import count_product, dense_side, lines_beyond, makespan_factor
from siloom.sim.cost import table
from siloom.sim.ops import SDDMM, SpGEMM, SpMM
from siloom.sim.result import Phase, Result


def run_product(label: str, design: CpuDesign, op: SpGEMM) -> Result:
    """A sparse product in two passes; energy is TDP for the time it takes."""
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
        "modelled: constants fitted by siloom measure"
        if design.library == "measured"
        else (
            "modelled: fitted on MKL measured on one host, carried by clock, cores and bandwidth; "
            f"median |ln(model/measured)| {fit['error_median']:.2f} in sample, "
            f"{fit['error_median_held_out']:.2f} leave-one-out on that host; "
            "the carry itself is not checked by any measurement"
        )
    )
    called = phases[0].seconds
    return modelled(label, design, op, "package", dict(counts.operations), traffic, phases, (note,), called)


def run_dense_side(label: str, design: CpuDesign, op: SpMM | SDDMM) -> Result:
    """A product with a dense operand, as a roofline."""
    side = dense_side(op, design.l3_bytes)
    flops = side.operations["multiplies"] + side.operations["adds"]
    ideal = max(side.bytes_moved / design.bytes_per_s, flops / design.operations_per_s)
    factor = makespan_factor(1.0, side.imbalance_share, design.cores)
    phases = (Phase("overhead", None, design.overhead_s), Phase("product", None, ideal * factor))
    note = "modelled: roofline of bytes and fp64 peak, longest row and the call overhead; fitted on no such product"
    called = design.overhead_s
    return modelled(label, design, op, "package", dict(side.operations), side.traffic, phases, (note,), called)
