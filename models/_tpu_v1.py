"""TPU v1's design, and how a run of operations becomes results.

What the machine adds to the engine (:mod:`siloom.sim.engine.weight_fifo`) and to the lowering
(:mod:`siloom.models._tpu_program`): the inputs of the first operation come over PCIe before it, the
results of the last leave while the next batch's inputs come (PCIe is full duplex), so the longer of the
two is waited for (``results_overlap=0``: both, as a batch alone would). Weights are in the weight memory
from the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from siloom.models import _tpu_energy as energy
from siloom.models._tpu_program import Program, buffer_bytes, copies, host_bytes, lower
from siloom.sim.cost import from_table, table_hash
from siloom.sim.design import Design, parameter
from siloom.sim.engine.weight_fifo import Block, Cause, Floats, Kind, WeightFifo, run_blocks
from siloom.sim.errors import InputError
from siloom.sim.memory import part, stream_bytes_per_s
from siloom.sim.ops import Item, extras_note
from siloom.sim.result import Phase, Result, apportion, utilization

CAUSES: Mapping[Cause, str] = {
    Cause.ACTIVE: "array_active",
    Cause.WEIGHT: "weight_stall",
    Cause.SHIFT: "weight_shift",
    Cause.RESULTS: "raw_stall",
    Cause.HOST: "input_stall",
    Cause.OTHER: "non_matrix",
}
"""The paper's names. Its non-matrix cycles are the last three of ours together."""

_MOST_WALKED = 1000
"""Repetitions until a FIFO of tiles is taken to be empty, at most: what is left then is a thousandth of them."""

_MEMORIES = ("ddr3-1866", "ddr3-2133", "ddr4-2400", "ddr4-3200", "ideal")


@dataclass(frozen=True)
class TpuV1Design(Design):
    """TPU v1 as published. Its weight memory keeps the share of its peak that its DRAM part can stream."""

    rows: int = from_table("tpu", "tpu-v1", "rows", whole=True, low=1, high=4096)
    cols: int = from_table("tpu", "tpu-v1", "cols", whole=True, low=1, high=4096)
    clock_hz: float = from_table("tpu", "tpu-v1", "clock_hz", low=1e6, high=1e10)
    unified_buffer_bytes: int = from_table("tpu", "tpu-v1", "unified_buffer_bytes", whole=True, low=65536, high=2**34)
    accumulator_rows: int = from_table("tpu", "tpu-v1", "accumulator_rows", whole=True, low=2, high=2**24)
    fifo_tiles: int = from_table("tpu", "tpu-v1", "fifo_tiles", whole=True, low=1, high=1024)
    weight_bytes_per_s: float = from_table("tpu", "tpu-v1", "weight_bytes_per_s", low=1e6, high=1e14)
    weight_memory: str = parameter(
        "ddr3-2133",
        unit="",
        source="ISCA 2017: DDR3; 34 GB/s is the peak of two channels at 2133 MT/s. ideal: all of the peak",
        status="assumed",
        choices=_MEMORIES,
    )
    weight_channels: int = from_table("tpu", "tpu-v1", "weight_channels", whole=True, low=1, high=64)
    pcie_bytes_per_s: float = from_table("tpu", "tpu-v1", "pcie_bytes_per_s", low=1e6, high=1e14)
    results_overlap: bool = parameter(
        True,
        unit="",
        source="1: results leave while the next batch's inputs come (PCIe is full duplex); 0: before them",
        status="assumed",
    )
    lanes: int = from_table("tpu", "tpu-v1", "lanes", whole=True, low=1, high=65536)
    activation_latency_cycles: int = from_table(
        "tpu", "tpu-v1", "activation_latency_cycles", whole=True, low=0, high=10**6
    )
    activation_bits: int = parameter(
        8,
        unit="bits",
        source="ISCA 2017, section 2: 16-bit activations on 8-bit weights run at half speed",
        status="recalled",
        low=8,
        high=16,
    )
    node_nm: float = from_table("tpu", "tpu-v1", "node_nm", low=7.0, high=130.0)
    idle_w: float = from_table("tpu", "tpu-v1", "idle_w", low=0.0, high=10000.0)

    def __post_init__(self) -> None:
        """Check the fields, and that activations have a width the array has a rate for."""
        super().__post_init__()
        if self.activation_bits not in (8, 16):
            raise InputError(f"{type(self).__name__}: activation_bits must be 8 or 16, got {self.activation_bits}")

    @property
    def passes(self) -> int:
        """Cycles a row of operands: a 16-bit one passes in two halves."""
        return self.activation_bits // 8

    @property
    def operations_per_s(self) -> float:
        """Peak: 2 x 65,536 x 700 MHz = 92 TOPS as published."""
        return 2.0 * self.rows * self.cols * self.clock_hz / self.passes

    @property
    def tile_bytes(self) -> int:
        """One 8-bit weight a cell: 64 KiB."""
        return self.rows * self.cols

    @cached_property
    def sustained_bytes_per_s(self) -> float:
        """Rate at which a long stream of weights comes."""
        if self.weight_memory == "ideal":
            return self.weight_bytes_per_s
        peak = self.weight_channels * part(self.weight_memory).peak_bytes_per_s
        return self.weight_bytes_per_s * stream_bytes_per_s(self.weight_memory, self.weight_channels) / peak

    @property
    def store_bytes_per_cycle(self) -> float:
        """Rate of writing into the weight memory: that of reading it."""
        return self.sustained_bytes_per_s / self.clock_hz

    @property
    def fifo(self) -> WeightFifo:
        """The engine's view. A tile shifts in one row a cycle; results leave down and across the array."""
        return WeightFifo(
            depth=self.fifo_tiles,
            fetch=self.tile_bytes / self.sustained_bytes_per_s * self.clock_hz,
            shift=self.rows,
            array_latency=self.rows + self.cols,
            activation_latency=self.activation_latency_cycles,
        )


def run_items(label: str, design: TpuV1Design, items: Sequence[Item]) -> list[Result]:
    """Run operations in order; one result for each, of one repetition.

    Raises:
        InputError: more work than can be counted.
    """
    if not items:
        return []
    programs = [lower(item.op, design) for item in items]
    incoming, outgoing = (design.passes * size for size in host_bytes(items[0].op, items[-1].op))
    waited = max(incoming, outgoing) if design.results_overlap else incoming + outgoing
    host = math.ceil(waited / design.pcie_bytes_per_s * design.clock_hz)
    twice = [min(item.repeat, 2) for item in items]  # the second time stands for those that follow
    runs = _runs(design.fifo, host, programs, twice)
    times = [
        max(count, _until_steady(design.fifo, program.tiles, item.repeat, run.cycles))
        for count, program, item, run in zip(twice, programs, items, runs[1:], strict=True)
    ]
    if times != twice:
        runs = _runs(design.fifo, host, programs, times)
    results = []
    for place, (item, program) in enumerate(zip(items, programs, strict=True)):
        stalls = runs[place + 1].mean(item.repeat, times[place], program.tiles * design.fifo.fetch)
        if place == 0:  # what the whole waits for at its start, shared out to the first operation's repetitions
            before = _stalls(runs[0].cycles, runs[0].causes)
            stalls = {name: stalls[name] + -(-before[name] // item.repeat) for name in stalls}
        arrived = -(-incoming // item.repeat) if place == 0 else 0
        left = -(-outgoing // item.repeat) if place == len(items) - 1 else 0
        results.append(_result(label, design, item, program, stalls, arrived, left))
    return results


@dataclass(frozen=True)
class _Span:
    """Cycles and causes of an operation's last repetition, and of all that were walked."""

    cycles: int
    causes: Floats
    all_cycles: int
    all_causes: Floats

    def mean(self, repeat: int, walked: int, tiles_cycles: float) -> dict[str, int]:
        """One of ``repeat``: those walked, and others that wait for their tiles to come."""
        others = repeat - walked
        causes = self.all_causes + others * self.causes
        causes[Cause.WEIGHT] += others * max(0.0, tiles_cycles - self.cycles)
        return _stalls(math.ceil((self.all_cycles + others * max(tiles_cycles, self.cycles)) / repeat), causes)


def _runs(fifo: WeightFifo, host: int, programs: Sequence[Program], times: Sequence[int]) -> list[_Span]:
    """The wait for the host, and every program so many times over, one after the other."""
    blocks = [Block(kind=Kind.HOST, delay=host)]
    bounds = [(0, 0, 1)]
    for program, count in zip(programs, times, strict=True):
        first = len(blocks)
        blocks += copies(program, count)
        bounds.append((first, len(blocks) - len(program.blocks), len(blocks)))
    run = run_blocks(fifo, blocks)
    ends = np.concatenate(([0], np.ceil(run.finish - 1e-6).astype(np.int64)))
    return [
        _Span(
            int(ends[stop] - ends[last]),
            run.causes[last:stop].sum(axis=0),
            int(ends[stop] - ends[first]),
            run.causes[first:stop].sum(axis=0),
        )
        for first, last, stop in bounds
    ]


def _until_steady(fifo: WeightFifo, tiles: int, repeat: int, cycles: int) -> int:
    """Repetitions to walk where the second was faster than its tiles can come, having lived on those ahead; else 0.

    Ahead are at most those in the FIFO and the one behind the array's.
    """
    short = tiles * fifo.fetch - cycles
    if repeat <= 2 or short <= 0:
        return 0
    return int(min(repeat, _MOST_WALKED, 3 + (fifo.depth + 1) * fifo.fetch / short))


def _stalls(cycles: int, causes: Floats) -> dict[str, int]:
    """Whole cycles by cause that add up to ``cycles``."""
    return apportion(cycles, {CAUSES[cause]: round(float(causes[cause]) * 1024) for cause in Cause})


def _result(
    label: str,
    design: TpuV1Design,
    item: Item,
    program: Program,
    stalls: Mapping[str, int],
    arrived: int,
    left: int,
) -> Result:
    op = item.op
    cycles = sum(stalls.values())
    seconds = cycles / design.clock_hz
    counted = program.row_steps * design.rows * design.cols
    operations = {
        "multiplies": counted,
        "adds": counted,
        "effective_multiplies": op.multiplies,
        "vector_operations": program.vector_values,
    }
    peak = design.operations_per_s if op.multiplies else float(design.lanes * design.clock_hz)
    peaks = {"operations_per_s": peak, "bytes_per_s": design.weight_bytes_per_s}
    parts = energy.energy_parts(design, program, seconds)
    areas = energy.area_parts(design, TpuV1Design())
    fetched = program.tiles * design.tile_bytes
    return Result(
        machine=label,
        workload=op.name or op.kind,
        precision=("int8",) if op.multiplies else (),
        cycles=cycles,
        clock_hz=design.clock_hz,
        seconds=seconds,
        overhead_s=stalls[CAUSES[Cause.HOST]] / design.clock_hz,
        energy_j=math.fsum(parts.values()),
        energy_parts=parts,
        area_mm2=math.fsum(areas.values()),
        area_parts=areas,
        operations=operations,
        traffic_bytes={
            "dram_read": fetched,
            "dram_write": program.stored,
            "sram_ifmap_read": design.passes * program.operands,
            "sram_filter_read": fetched,
            "sram_ofmap_write": design.passes * program.results,
            "host_read": arrived,
            "host_write": left,
        },
        phases=(Phase("run", cycles, seconds, stalls),),
        stalls=stalls,
        utilization=utilization(operations, op.flops, peaks, seconds),
        counters={"weight_tiles": program.tiles},
        peaks=peaks,
        notes=_notes(design, item),
        design=design.as_dict(),
        provenance={"design_hash": design.content_hash(), "tables": {name: table_hash(name) for name in energy.TABLES}},
    )


def _notes(design: TpuV1Design, item: Item) -> tuple[str, ...]:
    """What a reader must know, in the same words for every operation it holds for."""
    op = item.op
    asked = str(getattr(op, "format", "int8"))
    which = "the longer of inputs in and results out" if design.results_overlap else "inputs in and results out"
    out = [f"{which} over PCIe: part of the run; weights are loaded already"]
    if asked != "int8":
        out.append(f"computed in int8 where the workload asks for {asked}")
    if design.passes * buffer_bytes(op) > design.unified_buffer_bytes:
        out.append(
            f"activations of an operation exceed the Unified Buffer ({design.unified_buffer_bytes / 2**20:g} MiB): "
            "taken to pass in parts, at no cost"
        )
    if getattr(op, "sparse24", False):
        out.append("zeros of 2:4 weights are computed like others")
    return (*out, *extras_note(op))
