"""OuterSPACE: outer-product SpGEMM on tiles of small cores (Pal et al., HPCA 2018).

Sixteen tiles of sixteen PEs multiply columns of A with rows of B into chunks of partial products;
half the PEs, each with a private share of its tile's cache, merge the chunks of each result row.
Both phases run on the real structure of the operands, so time follows what is where, not only how
much there is. SpMM runs as a product whose B has full rows; SDDMM as dot products in the multiply
phase, one per kept position. Attention runs under a mask that is given, as these two for each head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from siloom.models import _outerspace_cost as cost
from siloom.models._masked import MASK_NEEDED, run_masked, supports_masked
from siloom.models._outerspace_bound import bound as product_bound
from siloom.models._outerspace_traffic import product_payload, sampled_payload, with_bursts
from siloom.sim.cost import table_hash
from siloom.sim.design import Design, parameter
from siloom.sim.engine import dram, gustavson, row_merge
from siloom.sim.engine.cache import sets_of
from siloom.sim.engine.dram import DramTiming
from siloom.sim.engine.outer_multiply import TileArray
from siloom.sim.engine.outer_product import (
    PhaseRun,
    check_product,
    check_size,
    lay_out,
    merge_phase,
    multiply_phase,
)
from siloom.sim.engine.row_merge import MergeArray
from siloom.sim.engine.sampled_product import check_sampled_size, lay_out_sampled, sampled_product
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.machine import Bound, Columns, Machine
from siloom.sim.ops import SDDMM, Attention, Operation, SpGEMM, SpMM
from siloom.sim.result import Phase, Result, Timeline, apportion, utilization
from siloom.sim.sparse import Csr

PAPER = "Pal et al., HPCA 2018"
_MOST_DENSE = 2**27
"""Elements of a dense B that are laid out, 16 bytes each: 2 GiB."""


@dataclass(frozen=True)
class OuterSpaceDesign(Design):
    """The choices that define one OuterSPACE; defaults are the published machine.

    Raises (when made):
        InputError: a field out of its range, or not a power of two where hardware needs one.
        InfeasibleError: fields that cannot stand together.
    """

    tiles: int = parameter(16, unit="", source=f"{PAPER}, section 5", low=1, high=256)
    pes_per_tile: int = parameter(16, unit="", source=f"{PAPER}, section 5", low=1, high=64)
    merge_pes_per_tile: int = parameter(
        8, unit="", source=f"{PAPER}: half the PEs are on while merging", low=1, high=64
    )
    clock_hz: float = parameter(1.5e9, unit="Hz", source=PAPER, low=1e6, high=1e10)
    l0_bytes: int = parameter(
        16384, unit="B", source=f"{PAPER}: per tile; shared out to the merging PEs", low=1024, high=2**22
    )
    l0_ways: int = parameter(4, unit="", source=PAPER, low=1, high=16)
    l0_ports: int = parameter(
        0, unit="", source=f"{PAPER}: 16 ports for 16 PEs; lookups a cycle, 0: one for each PE", low=0, high=64
    )
    l0_mshrs: int = parameter(32, unit="", source=PAPER, status="recalled", low=1, high=1024)
    l1_caches: int = parameter(4, unit="", source=PAPER, status="recalled", low=1, high=256)
    l1_bytes: int = parameter(
        4096, unit="B", source=f"{PAPER}; 0: misses of L0 go to memory", status="recalled", low=0, high=2**24
    )
    l1_ways: int = parameter(4, unit="", source=PAPER, status="recalled", low=1, high=16)
    l1_mshrs: int = parameter(32, unit="", source=PAPER, status="recalled", low=1, high=1024)
    block_bytes: int = parameter(64, unit="B", source=PAPER, low=32, high=256)
    scratchpad_bytes: int = parameter(
        1024, unit="B", source=f"{PAPER}: per PE; a merging PE has its gated neighbour's too", low=64, high=2**20
    )
    head_bytes: int = parameter(
        16, unit="B", source="a head's column (4), value (8) and place (4)", status="assumed", low=4, high=64
    )
    outstanding_requests: int = parameter(
        64, unit="", source=f"{PAPER}: queue of a PE, one entry a block", status="recalled", low=1, high=4096
    )
    links_under_way: int = parameter(
        8, unit="", source="chunks of a PE that wait for their link", status="assumed", low=1, high=64
    )
    phase_cycles: int = parameter(
        4,
        unit="cycles",
        source="to begin a phase and to see that it has ended, as the tile in rtl/machines does, rounded",
        status="assumed",
        low=0,
        high=1_000_000,
    )
    column_piece: int = parameter(
        256,
        unit="elements",
        source="elements of one column of A that a tile is handed at a time; the paper gives no number",
        status="assumed",
        low=1,
        high=2**31,
    )
    element_cycles: int = parameter(
        1, unit="cycles", source="one multiply a cycle and PE", status="assumed", low=1, high=64
    )
    dispatch_cycles: int = parameter(
        165,
        unit="cycles",
        source="a tile's controller, for one work item (chunk or row); the three uniform matrices of the paper",
        status="calibrated",
        low=0,
        high=10000,
    )
    merge_element_cycles: int = parameter(
        18,
        unit="cycles",
        source="a merging PE, for one element popped, its refill not loaded; the three uniform matrices of the paper",
        status="calibrated",
        low=1,
        high=1000,
    )
    merge_step_cycles: int = parameter(
        1,
        unit="cycles",
        source="a merging PE, for one step along the sorted list; the three uniform matrices of the paper",
        status="calibrated",
        low=0,
        high=100,
    )
    add_cycles: int = parameter(2, unit="cycles", source="fp64 add of a collision", status="assumed", low=0, high=64)
    l0_latency_cycles: int = parameter(2, unit="cycles", source="cache hit", status="assumed", low=0, high=100)
    l1_latency_cycles: int = parameter(
        8, unit="cycles", source="two crossbars and a cache hit", status="assumed", low=0, high=1000
    )
    hbm_channels: int = parameter(16, unit="", source=f"{PAPER}: 64-bit pseudo-channels", low=1, high=256)
    channel_bytes_per_s: float = parameter(8e9, unit="B/s", source=PAPER, low=1e6, high=1e12)
    burst_bytes: int = parameter(
        32, unit="B", source="JESD235: burst of 4 on a 64-bit pseudo-channel", status="recalled", low=8, high=256
    )
    hbm_banks: int = parameter(
        16, unit="", source="JESD235: banks of a pseudo-channel", status="recalled", low=1, high=256
    )
    hbm_row_bytes: int = parameter(
        1024, unit="B", source="JESD235: page of a pseudo-channel", status="recalled", low=64, high=2**20
    )
    dram_latency_s: float = parameter(
        80e-9,
        unit="s",
        source=f"{PAPER}: 80 to 150 ns on average; the unloaded end, queues add the rest",
        status="recalled",
        low=0.0,
        high=1e-5,
    )
    activate_s: float = parameter(
        28e-9, unit="s", source="HBM2 tRP + tRCD, 14 ns each", status="recalled", low=0.0, high=1e-6
    )
    row_cycle_s: float = parameter(45e-9, unit="s", source="HBM2 tRC", status="recalled", low=0.0, high=1e-6)
    refresh_interval_s: float = parameter(
        3.9e-6, unit="s", source="JESD235 tREFI", status="recalled", low=1e-7, high=1e-3
    )
    refresh_s: float = parameter(260e-9, unit="s", source="HBM2 tRFC, 4 Gb", status="recalled", low=0.0, high=1e-5)
    write_buffer_bursts: int = parameter(
        64, unit="bursts", source="writes a channel holds back for reads", status="assumed", low=1, high=4096
    )
    conversion: str = parameter(
        "none",
        unit="",
        source=f"{PAPER}: 'a' also turns A from rows to columns, as a product with the identity",
        choices=("none", "a"),
    )

    def __post_init__(self) -> None:
        """Check what fields must hold together."""
        super().__post_init__()
        for name in ("hbm_channels", "hbm_banks", "block_bytes", "burst_bytes", "hbm_row_bytes"):
            value = getattr(self, name)
            if value & (value - 1):
                raise InputError(f"OuterSpaceDesign: {name} must be a power of two, got {value}")
        for name, limit in (("burst_bytes", "block_bytes"), ("block_bytes", "hbm_row_bytes")):
            if getattr(self, name) > getattr(self, limit):
                raise InfeasibleError(f"OuterSpaceDesign: {name} must be at most {limit}, got {getattr(self, name)}")
        if self.merge_pes_per_tile > self.pes_per_tile:
            raise InfeasibleError(
                f"OuterSpaceDesign: merge_pes_per_tile must be at most pes_per_tile ({self.pes_per_tile}), "
                f"got {self.merge_pes_per_tile}"
            )
        if self.l1_caches > self.tiles:
            raise InfeasibleError(
                f"OuterSpaceDesign: l1_caches must be at most tiles ({self.tiles}), got {self.l1_caches}"
            )
        if self.merge_heads < 2:
            raise InfeasibleError(
                f"OuterSpaceDesign: scratchpad_bytes must hold two heads of head_bytes, got {self.scratchpad_bytes}"
            )
        self.tile_array()
        self.merge_array()

    @property
    def pes(self) -> int:
        """PEs of the machine."""
        return self.tiles * self.pes_per_tile

    @property
    def merge_l0_bytes(self) -> int:
        """Private cache of a merging PE."""
        return self.l0_bytes // self.merge_pes_per_tile

    @property
    def merge_heads(self) -> int:
        """Heads that fit a merging PE's scratchpad: 2 kB / 16 B = 128 as published."""
        return self.scratchpad_bytes * self.pes_per_tile // self.merge_pes_per_tile // self.head_bytes

    @property
    def dram_bytes_per_s(self) -> float:
        """Peak bandwidth: 16 x 8 GB/s = 128 GB/s as published."""
        return self.hbm_channels * self.channel_bytes_per_s

    @property
    def peak_operations_per_s(self) -> float:
        """One multiply and one add a PE and cycle."""
        return 2 * self.pes * self.clock_hz / self.element_cycles

    def cycles(self, seconds: float) -> int:
        """Whole cycles that cover ``seconds``."""
        return math.ceil(seconds * self.clock_hz - 1e-6)

    def timing(self) -> DramTiming:
        """The memory in cycles of this clock."""
        burst = self.burst_bytes / self.channel_bytes_per_s * self.clock_hz
        return DramTiming(
            channel_bits=self.hbm_channels.bit_length() - 1,
            bank_bits=self.hbm_banks.bit_length() - 1,
            row_bits=(self.hbm_row_bytes // self.block_bytes).bit_length() - 1,
            burst=burst,
            latency=self.cycles(self.dram_latency_s),
            activate=self.cycles(self.activate_s),
            row_cycle=self.cycles(self.row_cycle_s),
            refresh_interval=self.cycles(self.refresh_interval_s),
            refresh=min(self.cycles(self.refresh_s), self.cycles(self.refresh_interval_s) - 1),
            write_buffer=self.write_buffer_bursts * burst,
        )

    def tile_array(self) -> TileArray:
        """The multiply phase's hardware."""
        owner, l1_sets = type(self).__name__, 0
        if self.l1_bytes:
            l1_sets = sets_of(f"{owner}: l1_bytes", self.l1_bytes, self.l1_ways, self.block_bytes)
        return TileArray(
            tiles=self.tiles,
            pes=self.pes_per_tile,
            tiles_per_l1=-(-self.tiles // self.l1_caches),
            l0_sets=sets_of(f"{owner}: l0_bytes", self.l0_bytes, self.l0_ways, self.block_bytes),
            l0_ways=self.l0_ways,
            l1_sets=l1_sets,
            l1_ways=self.l1_ways,
            block_bits=self.block_bytes.bit_length() - 1,
            burst_bits=self.burst_bytes.bit_length() - 1,
            l0_mshrs=self.l0_mshrs,
            l1_mshrs=self.l1_mshrs,
            outstanding=self.outstanding_requests,
            piece=self.column_piece,
            dispatch=self.dispatch_cycles,
            element=self.element_cycles,
            l0_latency=self.l0_latency_cycles,
            l1_latency=self.l1_latency_cycles,
            l0_ports=self.l0_ports or self.pes_per_tile,
            links=self.links_under_way,
            begin=self.phase_cycles,
        )

    def merge_array(self) -> MergeArray:
        """The merge phase's hardware."""
        owner = f"{type(self).__name__}: l0_bytes / merge_pes_per_tile"
        tiles = self.tile_array()
        return MergeArray(
            tiles=self.tiles,
            pes=self.merge_pes_per_tile,
            tiles_per_l1=tiles.tiles_per_l1,
            sets=sets_of(owner, self.merge_l0_bytes, self.l0_ways, self.block_bytes),
            ways=self.l0_ways,
            l1_sets=tiles.l1_sets,
            l1_ways=self.l1_ways,
            block_bits=tiles.block_bits,
            burst_bits=tiles.burst_bits,
            l1_mshrs=self.l1_mshrs,
            heads=self.merge_heads,
            dispatch=self.dispatch_cycles,
            element=self.merge_element_cycles,
            step=self.merge_step_cycles,
            add=self.add_cycles,
            l0_latency=self.l0_latency_cycles,
            l1_latency=self.l1_latency_cycles,
            begin=self.phase_cycles,
        )

    def area_parts(self) -> dict[str, float]:
        """Area by component in mm2 at 32 nm; see :func:`._outerspace_cost.area_parts`."""
        return cost.area_parts(self, OuterSpaceDesign())

    @property
    def area_mm2(self) -> float:
        """Area at 32 nm, memory not included."""
        return math.fsum(self.area_parts().values())

    def power_parts(self) -> dict[str, float]:
        """Mean power by component in W at the activity of the published runs."""
        return cost.power_parts(self, OuterSpaceDesign())

    @property
    def power_w(self) -> float:
        """Mean power at the activity of the published runs."""
        return math.fsum(self.power_parts().values())


class OuterSpace(Machine):
    """OuterSPACE on SpGEMM and SpMM, both phases, and on SDDMM, one; see the module's docstring."""

    name = "outerspace"
    kind = "accelerator"
    summary = f"outer-product SpGEMM, 256 PEs in 16 tiles, HBM ({PAPER})"
    operations = (SpGEMM, SpMM, SDDMM, Attention)
    design_type = OuterSpaceDesign
    design: OuterSpaceDesign

    def supports(self, op: Operation) -> bool:
        """Sparse products, and attention's forward pass where its mask is given."""
        return isinstance(op, (SpGEMM, SpMM, SDDMM)) or supports_masked(op)

    def needs(self, op: Operation) -> str:
        """Attention's mask."""
        return MASK_NEEDED if isinstance(op, Attention) else ""

    def bound(self, op: Operation, columns: Columns) -> Bound | None:
        """The bound of a sparse product; see :mod:`siloom.models._outerspace_bound`."""
        return product_bound(op, columns, OuterSpaceDesign()) if isinstance(op, SpGEMM) else None

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Simulate one product, one sampled product, or both for every head of an attention.

        Raises:
            InputError: one so large that cycle counters could overflow or memory not hold it; a
                dense side that is not finite; attention without a mask.
        """
        if isinstance(op, Attention):
            return run_masked(self, op, values=values)
        if isinstance(op, SDDMM):
            result = self._sample(op, values=values)
        else:
            product = _as_product(op)
            result = self._multiply_and_merge(product.a, product.b, values=values)
        return replace(result, workload=op.name or op.kind)

    def _multiply_and_merge(self, a: Csr, b: Csr, *, values: bool) -> Result:
        design = self.design
        timing, tiles, merging = design.timing(), design.tile_array(), design.merge_array()
        multiplies = int(np.bincount(a.indices, minlength=a.shape[1]) @ b.row_lengths)
        check_size(multiplies, merging, timing)
        layout = lay_out(a, b)
        # The phases do not depend on each other's timing and the kernels hold no lock, so a second
        # core, where there is one, counts and multiplies while this one merges.
        with ThreadPoolExecutor(1) as other:
            counting = other.submit(_count, a, b)
            multiplying = other.submit(multiply_phase, tiles, timing, layout.multiply)
            phases = self._convert(a)
            keep = np.concatenate([np.zeros(1, np.int64), np.cumsum(counting.result())]) if values else None
            merge, product = merge_phase(merging, timing, layout.merge, b.shape[1], keep)
            counts = counting.result()
            phases["multiply"] = multiplying.result()
        phases["merge"] = merge
        worst = check_product(a, b, product, counts)
        spilled = int(merge.counts[row_merge.SPILLED])
        results = int(counts.sum())
        return self._result(
            phases,
            operations={
                "multiplies": multiplies,
                "adds": int(merge.counts[row_merge.ADDS]),
                "effective_multiplies": multiplies,
                "effective_adds": multiplies - results,
                "results": results,
            },
            payload=product_payload(a, b, multiplies, counts, np.diff(layout.merge.row_ptr), spilled),
            checks={"row_entries_equal": True, "largest_relative_error": worst},
            notes=() if a.nnz and b.nnz else ("an operand is empty: there is nothing to multiply",),
            values=product.values,
        )

    def _sample(self, op: SDDMM, *, values: bool) -> Result:
        """Dot products in the multiply phase; the mask takes the place of A."""
        mask, timing, tiles = op.mask, self.design.timing(), self.design.tile_array()
        check_sampled_size(mask, op.k, tiles, timing)
        product, worst = sampled_product(mask, op.k, op.x, op.y)
        phases = self._convert(mask)
        phases["sample"] = multiply_phase(tiles, timing, lay_out_sampled(mask, op.k))
        adds = mask.nnz * (op.k - 1)
        return self._result(
            phases,
            operations={
                "multiplies": op.multiplies,
                "adds": adds,
                "effective_multiplies": op.multiplies,
                "effective_adds": adds,
                "results": mask.nnz,
            },
            payload=sampled_payload(mask, op.k),
            checks={"largest_relative_error": worst},
            notes=() if mask.nnz else ("the mask is empty: there is nothing to compute",),
            values=product if values else None,
        )

    def _convert(self, a: Csr) -> dict[str, PhaseRun]:
        """The phases that turn A from rows to columns, where the design wants them."""
        if self.design.conversion == "none":
            return {}
        timing, merging = self.design.timing(), self.design.merge_array()
        check_size(a.nnz, merging, timing)
        turned = lay_out(a.transposed, _identity(a.shape[0]))
        return {
            "convert-load": multiply_phase(self.design.tile_array(), timing, turned.multiply),
            "convert-merge": merge_phase(merging, timing, turned.merge, a.shape[0])[0],
        }

    def _result(
        self,
        phases: Mapping[str, PhaseRun],
        *,
        operations: dict[str, int],
        payload: dict[str, int],
        checks: dict[str, Any],
        notes: tuple[str, ...],
        values: Csr | None,
    ) -> Result:
        design = self.design
        cycles = sum(run.cycles for run in phases.values())
        stalls: dict[str, int] = {}
        rows = []
        for name, run in phases.items():
            part = apportion(run.cycles, run.by_cause())
            rows.append(Phase(name, run.cycles, run.cycles / design.clock_hz, part))
            for cause, value in part.items():
                stalls[cause] = stalls.get(cause, 0) + value
        energy = cost.energy_parts(design, OuterSpaceDesign(), phases)
        seconds = cycles / design.clock_hz
        peaks = {"operations_per_s": design.peak_operations_per_s, "bytes_per_s": design.dram_bytes_per_s}
        return Result(
            machine=self.label,
            workload="",
            precision=("fp64",),
            cycles=cycles,
            clock_hz=design.clock_hz,
            seconds=seconds,
            overhead_s=0.0,
            energy_j=math.fsum(energy.values()),
            energy_parts=energy,
            area_mm2=design.area_mm2,
            area_parts=design.area_parts(),
            operations=operations,
            traffic_bytes=_traffic(design, payload, phases),
            phases=tuple(rows),
            stalls=stalls,
            utilization=utilization(operations, 0, peaks, seconds),
            checks=checks,
            counters=_counters(phases),
            peaks=peaks,
            timeline=_timeline(design, phases),
            notes=notes,
            design=design.as_dict(),
            provenance={
                "design_hash": design.content_hash(),
                "tables": {cost.TABLE: table_hash(cost.TABLE)},
            },
            values=values,
        )


def _as_product(op: Operation) -> SpGEMM:
    if isinstance(op, SpGEMM):
        return op
    if isinstance(op, SpMM):
        rows = op.a.shape[1]
        if rows * op.n > _MOST_DENSE:
            raise InputError(f"spmm: b must hold at most 2^27 elements to be simulated, got {rows} x {op.n}")
        dense = np.ones((rows, op.n)) if op.b is None else np.asarray(op.b, np.float64)
        if not np.isfinite(dense).all():
            raise InputError("spmm: b must be finite")
        full = Csr(
            (rows, op.n),
            np.arange(rows + 1, dtype=np.int64) * op.n,
            np.tile(np.arange(op.n, dtype=np.int64), rows),
            dense.ravel(),
        )
        return SpGEMM(name=op.name, a=op.a, b=full)
    raise InputError(f"outerspace: does not run {op.kind}")


def _count(a: Csr, b: Csr) -> np.ndarray:
    """Entries of each result row, by an algorithm that shares nothing with the simulator."""
    return gustavson.count(a.shape[0], b.shape[1], a.indptr, a.indices, b.indptr, b.indices)[1]


def _identity(n: int) -> Csr:
    return Csr((n, n), np.arange(n + 1, dtype=np.int64), np.arange(n, dtype=np.int64), np.ones(n))


def _traffic(design: OuterSpaceDesign, payload: dict[str, int], phases: Mapping[str, PhaseRun]) -> dict[str, int]:
    """Payload by tensor and real bursts of the product itself; those of the conversion apart."""
    own = [run for name, run in phases.items() if name not in _CONVERSION]
    out = with_bursts(payload, design.burst_bytes, own)
    if converting := [phases[name] for name in _CONVERSION if name in phases]:
        moved = with_bursts({}, design.burst_bytes, converting)
        out["conversion"] = moved["dram_read"] + moved["dram_write"]
    return out


_CONVERSION = ("convert-load", "convert-merge")
_COUNTERS = {
    "multiply": ("l0_hits", "l0_misses", "l1_hits", "l1_misses", "chunks", "pieces"),
    "sample": ("l0_hits", "l0_misses", "l1_hits", "l1_misses", "positions", "pieces"),
    "merge": (
        "l0_accesses", "l0_misses", "l1_hits", "l1_misses", "list_steps", "pops", "adds", "spilled", "rounds", "rows",
    ),
}  # fmt: skip


def _counters(phases: Mapping[str, PhaseRun]) -> dict[str, int]:
    out: dict[str, int] = {}
    for phase, run in phases.items():
        if phase in _CONVERSION:
            continue
        for word, value in zip(_COUNTERS[phase], run.counts, strict=True):
            out[f"{phase}_{word}"] = int(value)
        for place, word in ((dram.ROW_HITS, "dram_row_hits"), (dram.ROW_MISSES, "dram_row_misses")):
            out[f"{phase}_{word}"] = int(run.dram[place])
    return out


def _timeline(design: OuterSpaceDesign, phases: Mapping[str, PhaseRun]) -> Timeline | None:
    """Busy share of each tile's PEs and of each channel's bus over the run, in equal bins."""
    bins = 160
    total = sum(run.cycles for run in phases.values())
    if total == 0:
        return None
    tiles = np.zeros((design.tiles, bins))
    channels = np.zeros((design.hbm_channels, bins))
    burst = design.timing().burst
    start = 0
    for run in phases.values():
        tiles += _rebin(run.tiles, run.bin_cycles, start, run.cycles, total, bins)
        channels += burst * _rebin(run.channels, run.channel_bin_cycles, start, run.cycles, total, bins)
        start += run.cycles
    width = total / bins
    return Timeline(
        width / design.clock_hz,
        {
            "tile": {f"tile {i}": _shares(row, width * design.pes_per_tile) for i, row in enumerate(tiles)},
            "channel": {f"channel {i}": _shares(row, width) for i, row in enumerate(channels)},
        },
    )


def _rebin(amounts: np.ndarray, width: int, start: int, length: int, total: int, bins: int) -> np.ndarray:
    """Spread counts in bins of ``width`` cycles, from ``start`` on, over ``bins`` equal bins of ``total``."""
    edges = np.minimum(np.arange(amounts.shape[1] + 1) * width, length)
    summed = np.concatenate([np.zeros((len(amounts), 1)), np.cumsum(amounts, axis=1)], axis=1)
    wanted = np.clip(np.linspace(0, total, bins + 1) - start, 0, length)
    return np.diff(np.stack([np.interp(wanted, edges, row) for row in summed]), axis=1)


def _shares(row: np.ndarray, capacity: float) -> tuple[float, ...]:
    return tuple(round(min(1.0, float(v) / capacity), 4) for v in row)
