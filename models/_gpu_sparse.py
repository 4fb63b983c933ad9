"""Sparse products on a board: the stages of ``_gpu_spgemm`` in time, and a roofline for dense sides.

The cuSPARSE form was fitted on products measured on an H100 and is carried to other boards: work on
chip by multiprocessors and clock, memory traffic by bandwidth, host and driver times unchanged.
CUSP's form has no fitted constant but the time of an allocation.

What it does not model: cuSPARSE's older csrgemm of the K40's days, a different and often slower
algorithm than the generic API that was measured; clock boost; transfers to and from the host.
"""

from __future__ import annotations

from siloom.models._gpu_design import GpuDesign
from siloom.models._gpu_spgemm import Stage, cusp_stages, cusparse_stages
from siloom.models._modelled import modelled
from siloom.models._sparse_library import count_product, dense_side, lines_beyond, makespan_factor
from siloom.sim.cost import table
from siloom.sim.ops import SDDMM, SpGEMM, SpMM
from siloom.sim.result import Phase, Result

_DENSE_LAUNCHES = 2


def stage_seconds(design: GpuDesign, stage: Stage) -> float:
    """Time of a stage: fixed time, bytes at streaming bandwidth and work on chip, one after the other."""
    on_chip = stage.sm_cycles / design.sms / design.clock_hz
    return stage.fixed_s + stage.bytes_moved / design.bytes_per_s + on_chip


def run_product(label: str, design: GpuDesign, op: SpGEMM) -> Result:
    """A sparse product by the design's library."""
    counts = count_product(op)
    (b_lines,) = lines_beyond(op, 32, design.l2_bytes)
    stages_of = cusparse_stages if design.library == "cusparse" else cusp_stages
    stages = stages_of(counts, b_lines, design.board)
    traffic: dict[str, int] = {}
    for name in ("a", "b", "partial", "c"):
        traffic[name] = round(sum(s.read.get(name, 0.0) + s.written.get(name, 0.0) for s in stages))
    traffic["dram_write"] = round(sum(sum(s.written.values()) for s in stages))
    traffic["dram_read"] = sum(traffic[name] for name in ("a", "b", "partial", "c")) - traffic["dram_write"]
    notes = [_note(design.library)]
    work_bytes = 24.0 * counts.products
    if design.library == "cusparse" and work_bytes > design.memory_bytes:
        notes.append(
            f"the work buffer of all products ({work_bytes / 1e9:.0f} GB) exceeds the board's "
            f"{design.memory_bytes / 1e9:.0f} GB: the real call would fail or use a slower algorithm"
        )
    phases = tuple(Phase(s.name, None, stage_seconds(design, s)) for s in stages)
    fixed = sum(s.fixed_s for s in stages)
    return modelled(label, design, op, "board", counts.operations, traffic, phases, tuple(notes), fixed)


def _note(library: str) -> str:
    if library == "cusp":
        return (
            "modelled: bytes of CUSP's passes, read in its source, at streaming bandwidth; "
            "checked by no measurement, likely optimistic"
        )
    fit = {name: e.value for (owner, name), e in table("spgemm_fit").items() if owner == "cusparse"}
    return (
        "modelled: fitted on cuSPARSE measured on an H100 (student data, a third of the points slowed by other load); "
        f"|ln(model/measured)| held out: median {fit['error_median_held_out']:.2f}, "
        f"90 % {fit['error_p90_held_out']:.2f} ({fit['error_p90_held_out_undisturbed']:.2f} without the slowed), "
        f"median {fit['error_median_larger']:.2f} on larger products; other boards by multiprocessors, clock and "
        "bandwidth, checked by no measurement"
    )


def run_dense_side(label: str, design: GpuDesign, op: SpMM | SDDMM) -> Result:
    """A product of a sparse and a dense matrix, or a sampled one."""
    side = dense_side(op, design.l2_bytes)
    flops = side.operations["multiplies"] + side.operations["adds"]
    ideal = max(side.bytes_moved / design.bytes_per_s, flops / design.operations_per_s)
    factor = makespan_factor(1.0, side.imbalance_share, design.sms)
    launches = _DENSE_LAUNCHES * design.launch_s
    phases = (Phase("launch", None, launches), Phase("product", None, ideal * factor))
    note = (
        "modelled: roofline of bytes and fp64 peak, longest row on one multiprocessor, two launches; "
        "the same for both libraries, not fitted on measurements"
    )
    return modelled(label, design, op, "board", dict(side.operations), side.traffic, phases, (note,), launches)
