"""NVIDIA GPUs as baselines, as models: cuSPARSE or CUSP for products, a roofline for dense sides.

The cuSPARSE form was fitted on products measured on an H100 and is carried to other boards: work on
chip by multiprocessors and clock, memory traffic by bandwidth, host and driver times unchanged.
CUSP's form has no fitted constant but the time of an allocation.

What it does not model: cuSPARSE's older csrgemm of the K40's days, a different and often slower
algorithm than the generic API that was measured; clock boost; transfers to and from the host.
"""

from __future__ import annotations

from dataclasses import dataclass

from siloom.models._gpu_spgemm import Board, Stage, cusp_stages, cusparse_stages
from siloom.models._modelled import modelled
from siloom.models._sparse_library import count_product, dense_side, lines_beyond, makespan_factor
from siloom.sim.cost import from_table, table
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.ops import SDDMM, Operation, SpGEMM, SpMM
from siloom.sim.result import Phase, Result

_DENSE_LAUNCHES = 2


@dataclass(frozen=True)
class GpuDesign(Design):
    """A board and the library on it; the defaults are the Tesla K40."""

    clock_hz: float = from_table("devices", "k40", "clock_hz", low=1e8, high=1e10)
    sms: int = from_table("devices", "k40", "sms", whole=True, low=1, high=4096)
    fp64_per_sm: int = from_table("devices", "k40", "fp64_per_sm", whole=True, low=1, high=4096)
    bandwidth_bytes_per_s: float = from_table("devices", "k40", "bandwidth_bytes_per_s", low=1e9, high=1e14)
    stream_efficiency: float = from_table("devices", "k40", "stream_efficiency", low=0.01, high=1.0)
    l2_bytes: float = from_table("devices", "k40", "l2_bytes", low=1024.0, high=2.0**34)
    memory_bytes: float = from_table("devices", "k40", "memory_bytes", low=1e6, high=1e13)
    launch_s: float = from_table("devices", "k40", "launch_s", low=0.0, high=1.0)
    tdp_w: float = from_table("devices", "k40", "tdp_w", low=1.0, high=5000.0)
    library: str = parameter(
        "cusparse",
        unit="",
        source="OuterSPACE's GPU baselines were cuSPARSE and CUSP",
        status="published",
        choices=("cusparse", "cusp"),
    )
    overhead_s: float = from_table("spgemm_fit", "cusparse", "overhead_s", low=0.0, high=1.0)
    allocation_s: float = from_table("spgemm_fit", "cusparse", "allocation_s", low=0.0, high=1.0)
    allocation_products: float = from_table("spgemm_fit", "cusparse", "allocation_products", low=0.0, high=1e12)
    cycles_per_product: float = from_table("spgemm_fit", "cusparse", "cycles_per_product", low=0.0, high=1e5)
    cycles_per_result: float = from_table("spgemm_fit", "cusparse", "cycles_per_result", low=0.0, high=1e5)

    @property
    def bytes_per_s(self) -> float:
        """Bandwidth that streams reach."""
        return self.bandwidth_bytes_per_s * self.stream_efficiency

    @property
    def operations_per_s(self) -> float:
        """Peak fp64 additions and multiplications a second: two per fused unit and cycle."""
        return 2.0 * self.fp64_per_sm * self.sms * self.clock_hz

    @property
    def board(self) -> Board:
        """What the stages of a product read."""
        return Board(
            sms=self.sms,
            l2_bytes=self.l2_bytes,
            memory_bytes=self.memory_bytes,
            launch_s=self.launch_s,
            overhead_s=self.overhead_s,
            allocation_s=self.allocation_s,
            allocation_products=self.allocation_products,
            cycles_per_product=self.cycles_per_product,
            cycles_per_result=self.cycles_per_result,
        )


@dataclass(frozen=True)
class H100Design(GpuDesign):
    """The H100 SXM5."""

    clock_hz: float = from_table("devices", "h100", "clock_hz", low=1e8, high=1e10)
    sms: int = from_table("devices", "h100", "sms", whole=True, low=1, high=4096)
    fp64_per_sm: int = from_table("devices", "h100", "fp64_per_sm", whole=True, low=1, high=4096)
    bandwidth_bytes_per_s: float = from_table("devices", "h100", "bandwidth_bytes_per_s", low=1e9, high=1e14)
    stream_efficiency: float = from_table("devices", "h100", "stream_efficiency", low=0.01, high=1.0)
    l2_bytes: float = from_table("devices", "h100", "l2_bytes", low=1024.0, high=2.0**34)
    memory_bytes: float = from_table("devices", "h100", "memory_bytes", low=1e6, high=1e13)
    launch_s: float = from_table("devices", "h100", "launch_s", low=0.0, high=1.0)
    tdp_w: float = from_table("devices", "h100", "tdp_w", low=1.0, high=5000.0)


class K40(Machine):
    """NVIDIA Tesla K40 with cuSPARSE or CUSP: OuterSPACE's GPU baseline."""

    name = "k40"
    kind = "gpu"
    summary = "NVIDIA Tesla K40 running cuSPARSE or CUSP; cuSPARSE fitted on H100 measurements and carried"
    operations = (SpGEMM, SpMM, SDDMM)
    design_type = GpuDesign
    variants = {"k40-cusparse": {"library": "cusparse"}, "k40-cusp": {"library": "cusp"}}  # noqa: RUF012

    design: GpuDesign

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Estimate ``op``; values are not computed."""
        return _run(self.label, self.design, op)


class H100(Machine):
    """NVIDIA H100 SXM5 with cuSPARSE or CUSP: the board that the fit was made on."""

    name = "h100"
    kind = "gpu"
    summary = "NVIDIA H100 SXM5 running cuSPARSE or CUSP; cuSPARSE fitted on measurements on this board"
    operations = (SpGEMM, SpMM, SDDMM)
    design_type = H100Design
    variants = {"h100-cusparse": {"library": "cusparse"}, "h100-cusp": {"library": "cusp"}}  # noqa: RUF012

    design: H100Design

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Estimate ``op``; values are not computed."""
        return _run(self.label, self.design, op)


def _run(label: str, design: GpuDesign, op: Operation) -> Result:
    if isinstance(op, SpGEMM):
        return _product(label, design, op)
    if isinstance(op, SpMM | SDDMM):
        return _dense_side(label, design, op)
    raise InputError(f"{label}: does not run {op.kind}")


def stage_seconds(design: GpuDesign, stage: Stage) -> float:
    """Time of a stage: fixed time, bytes at streaming bandwidth and work on chip, one after the other."""
    on_chip = stage.sm_cycles / design.sms / design.clock_hz
    return stage.fixed_s + stage.bytes_moved / design.bytes_per_s + on_chip


def _product(label: str, design: GpuDesign, op: SpGEMM) -> Result:
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
    return modelled(label, design, op, "board", counts.operations, traffic, phases, tuple(notes))


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


def _dense_side(label: str, design: GpuDesign, op: SpMM | SDDMM) -> Result:
    side = dense_side(op, design.l2_bytes)
    flops = side.operations["multiplies"] + side.operations["adds"]
    ideal = max(side.bytes_moved / design.bytes_per_s, flops / design.operations_per_s)
    factor = makespan_factor(1.0, side.imbalance_share, design.sms)
    phases = (
        Phase("launch", None, _DENSE_LAUNCHES * design.launch_s),
        Phase("product", None, ideal * factor),
    )
    note = (
        "modelled: roofline of bytes and fp64 peak, longest row on one multiprocessor, two launches; "
        "the same for both libraries, not fitted on measurements"
    )
    return modelled(label, design, op, "board", dict(side.operations), side.traffic, phases, (note,))
