"""OuterSPACE: outer-product SpGEMM on tiles of small cores (Pal et al., HPCA 2018).

Sixteen tiles of sixteen PEs multiply columns of A with rows of B into chunks of partial products;
half the PEs, each with a private share of its tile's cache, merge the chunks of each result row.
Both phases run on the real structure of the operands, so time follows what is where, not only how
much there is. SpMM runs as a product whose B has full rows; SDDMM as dot products in the multiply
phase, one per kept position.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from siloom.sim.cost import table, table_hash
from siloom.sim.design import Design, parameter
from siloom.sim.engine import dram, gustavson, outer_multiply, row_merge
from siloom.sim.engine.cache import sets_of
from siloom.sim.engine.dram import DramTiming
from siloom.sim.engine.outer_multiply import TileArray
from siloom.sim.engine.outer_product import (
    PhaseRun,
    Product,
    check_product,
    check_size,
    lay_out,
    merge_phase,
    multiply_phase,
)
from siloom.sim.engine.row_merge import MergeArray
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.ops import Operation, SpGEMM, SpMM
from siloom.sim.result import Phase, Result, Timeline, apportion
from siloom.sim.sparse import Csr

PAPER = "Pal et al., HPCA 2018"
_TABLE = "outerspace"


@dataclass(frozen=True)
class OuterSpaceDesign(Design):
    """The choices that define one OuterSPACE; defaults are the published machine."""

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
    l0_mshrs: int = parameter(32, unit="", source=PAPER, status="recalled", low=1, high=1024)
    l1_caches: int = parameter(4, unit="", source=PAPER, status="recalled", low=1, high=256)
    l1_bytes: int = parameter(4096, unit="B", source=PAPER, status="recalled", low=256, high=2**24)
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
        20,
        unit="cycles",
        source="a merging PE, for one element popped and refilled; the three uniform matrices of the paper",
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
                raise InputError(f"OuterSpaceDesign: {name} must be at most {limit}, got {getattr(self, name)}")
        if self.merge_pes_per_tile > self.pes_per_tile:
            raise InputError(
                f"OuterSpaceDesign: merge_pes_per_tile must be at most pes_per_tile ({self.pes_per_tile}), "
                f"got {self.merge_pes_per_tile}"
            )
        if self.l1_caches > self.tiles:
            raise InputError(f"OuterSpaceDesign: l1_caches must be at most tiles ({self.tiles}), got {self.l1_caches}")
        if self.merge_heads < 2:
            raise InputError(
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
        owner = type(self).__name__
        return TileArray(
            tiles=self.tiles,
            pes=self.pes_per_tile,
            tiles_per_l1=-(-self.tiles // self.l1_caches),
            l0_sets=sets_of(f"{owner}: l0_bytes", self.l0_bytes, self.l0_ways, self.block_bytes),
            l0_ways=self.l0_ways,
            l1_sets=sets_of(f"{owner}: l1_bytes", self.l1_bytes, self.l1_ways, self.block_bytes),
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
            l1_latency=self.l1_latency_cycles,
        )

    def area_parts(self) -> dict[str, float]:
        """Area by component in mm2 at 32 nm: the published machine's, scaled by this design's fields.

        Cores by number, caches by bytes and ports, crossbars by the square of their ports.
        """
        cost, own = table(_TABLE), _published()
        ports = self.pes_per_tile / own.pes_per_tile
        return {
            "cores": cost["cores", "area_mm2"].value * _cores(self) / _cores(own),
            "l0": cost["l0", "area_mm2"].value * _l0_bytes(self) / _l0_bytes(own) * ports,
            "l1": cost["l1", "area_mm2"].value * self.l1_caches * self.l1_bytes / (own.l1_caches * own.l1_bytes),
            "crossbar": cost["crossbar", "area_mm2"].value * self.tiles / own.tiles * ports**2,
        }

    @property
    def area_mm2(self) -> float:
        """Area at 32 nm, memory not included."""
        return math.fsum(self.area_parts().values())

    def power_parts(self) -> dict[str, float]:
        """Mean power by component in W at the activity of the published runs."""
        cost, own = table(_TABLE), _published()
        clock = self.clock_hz / own.clock_hz
        area = {name: part / own.area_parts()[name] for name, part in self.area_parts().items()}
        out = {name: cost[name, "power_w"].value * area[name] * clock for name in area}
        out["dram"] = cost["dram", "power_w"].value * self.dram_bytes_per_s / own.dram_bytes_per_s
        return out

    @property
    def power_w(self) -> float:
        """Mean power at the activity of the published runs."""
        return math.fsum(self.power_parts().values())


def _published() -> OuterSpaceDesign:
    return OuterSpaceDesign()


def _cores(design: OuterSpaceDesign) -> int:
    """PEs, one controller a tile, and the central controller: 256 + 16 + 1 as published."""
    return design.pes + design.tiles + 1


def _l0_bytes(design: OuterSpaceDesign) -> int:
    """Caches of all tiles and scratchpads of all PEs."""
    return design.tiles * design.l0_bytes + design.pes * design.scratchpad_bytes


class OuterSpace(Machine):
    """OuterSPACE on SpGEMM and SpMM, both phases; see the module's docstring."""

    name = "outerspace"
    kind = "accelerator"
    summary = f"outer-product SpGEMM, 256 PEs in 16 tiles, HBM ({PAPER})"
    operations = (SpGEMM, SpMM)
    design_type = OuterSpaceDesign
    design: OuterSpaceDesign

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Simulate one product.

        Raises:
            InputError: a product so large that cycle counters could overflow.
        """
        product = _as_product(op)
        return self._multiply_and_merge(product.a, product.b, values=values)

    def _multiply_and_merge(self, a: Csr, b: Csr, *, values: bool) -> Result:
        design = self.design
        timing, tiles, merging = design.timing(), design.tile_array(), design.merge_array()
        multiplies = int(np.bincount(a.indices, minlength=a.shape[1]) @ b.row_lengths)
        check_size(multiplies, merging, timing)
        layout = lay_out(a, b)
        phases: dict[str, PhaseRun] = {}
        # The phases do not depend on each other's timing and the kernels hold no lock, so a second
        # core, where there is one, counts and multiplies while this one merges.
        with ThreadPoolExecutor(1) as other:
            counting = other.submit(_count, a, b)
            multiplying = other.submit(multiply_phase, tiles, timing, layout.multiply)
            if design.conversion == "a":
                turned = lay_out(a.transposed, _identity(a.shape[0]))
                phases["convert-load"] = multiply_phase(tiles, timing, turned.multiply)
                phases["convert-merge"], _ = merge_phase(merging, timing, turned.merge, a.shape[0])
            keep = np.concatenate([np.zeros(1, np.int64), np.cumsum(counting.result())]) if values else None
            merge, product = merge_phase(merging, timing, layout.merge, b.shape[1], keep)
            counts = counting.result()
            phases["multiply"] = multiplying.result()
        phases["merge"] = merge
        worst = check_product(a, b, product, counts)
        return self._result(a, b, multiplies, counts, phases, product, worst)

    def _result(
        self,
        a: Csr,
        b: Csr,
        multiplies: int,
        counts: np.ndarray,
        phases: Mapping[str, PhaseRun],
        product: Product,
        worst: float,
    ) -> Result:
        design = self.design
        merge = phases["merge"]
        cycles = sum(run.cycles for run in phases.values())
        stalls: dict[str, int] = {}
        rows = []
        for name, run in phases.items():
            part = apportion(run.cycles, run.by_cause())
            rows.append(Phase(name, run.cycles, run.cycles / design.clock_hz, part))
            for cause, value in part.items():
                stalls[cause] = stalls.get(cause, 0) + value
        energy = _energy(design, phases)
        adds = int(merge.counts[row_merge.ADDS])
        busy = sum(int(run.where[outer_multiply.COMPUTE].sum()) for run in phases.values())
        results = int(counts.sum())
        notes = []
        if a.nnz == 0 or b.nnz == 0:
            notes.append("an operand is empty: there is nothing to multiply")
        return Result(
            machine=self.label,
            workload="",
            cycles=cycles,
            clock_hz=design.clock_hz,
            seconds=cycles / design.clock_hz,
            energy_j=math.fsum(energy.values()),
            energy_parts=energy,
            area_mm2=design.area_mm2,
            area_parts=design.area_parts(),
            operations={
                "multiplies": multiplies,
                "adds": adds,
                "effective_multiplies": multiplies,
                "effective_adds": multiplies - results,
                "results": results,
            },
            traffic_bytes=_traffic(design, a, b, multiplies, counts, phases),
            phases=tuple(rows),
            stalls=stalls,
            utilization=busy / (design.pes * cycles) if cycles else 0.0,
            checks={"row_entries_equal": True, "largest_relative_error": worst},
            counters=_counters(phases),
            peaks={"operations_per_s": design.peak_operations_per_s, "bytes_per_s": design.dram_bytes_per_s},
            timeline=_timeline(design, phases),
            notes=notes,
            design=design.as_dict(),
            provenance={
                "design_hash": design.content_hash(),
                "tables": {_TABLE: table_hash(_TABLE)},
            },
            values=product.values,
        )


def _as_product(op: Operation) -> SpGEMM:
    if isinstance(op, SpGEMM):
        return op
    if isinstance(op, SpMM):
        rows = op.a.shape[1]
        dense = np.ones((rows, op.n)) if op.b is None else np.asarray(op.b, np.float64)
        full = Csr(
            (rows, op.n),
            np.arange(rows + 1, dtype=np.int64) * op.n,
            np.tile(np.arange(op.n, dtype=np.int64), rows),
            dense.ravel(),
        )
        return SpGEMM(name=op.name, a=op.a, b=full)
    raise TypeError(f"outerspace does not run {op.kind}")


def _count(a: Csr, b: Csr) -> np.ndarray:
    """Entries of each result row, by an algorithm that shares nothing with the simulator."""
    return gustavson.count(a.shape[0], b.shape[1], a.indptr, a.indices, b.indptr, b.indices)[1]


def _identity(n: int) -> Csr:
    return Csr((n, n), np.arange(n + 1, dtype=np.int64), np.arange(n, dtype=np.int64), np.ones(n))


def _pad(size: int) -> int:
    return (size + 7) // 8 * 8


def _traffic(
    design: OuterSpaceDesign,
    a: Csr,
    b: Csr,
    multiplies: int,
    counts: np.ndarray,
    phases: Mapping[str, PhaseRun],
) -> dict[str, int]:
    """Payload by tensor, and what really crosses the memory's pins.

    Indices have 4 bytes and values 8; the indices of a column or row, and each list of pointers, are
    padded to 8 bytes. Partial products and their pointers are written once and read once.
    """
    columns = np.bincount(a.indices, minlength=a.shape[1])
    met = b.row_lengths[columns > 0]
    chunks = np.bincount(
        np.repeat(np.arange(a.shape[0]), a.row_lengths)[b.row_lengths[a.indices] > 0], minlength=a.shape[0]
    )
    lists = chunks[chunks > 0]
    payload = {
        "a": 12 * a.nnz + _pad(4 * a.shape[1]) + 4 * int((columns % 2).sum()),
        "b": 12 * int(met.sum()) + _pad(4 * b.shape[0]) + 4 * int((met % 2).sum()),
        "partial": 2 * (12 * multiplies + int((((lists + 2) // 2) * 8).sum())),
        "c": 12 * int(counts.sum()) + _pad(4 * int((counts > 0).sum())) + 4 * int((counts % 2).sum()),
        "spill": 24 * int(phases["merge"].counts[row_merge.SPILLED]),
    }
    product = [phases["multiply"], phases["merge"]]
    read = design.burst_bytes * sum(int(run.dram[dram.READ_BURSTS]) for run in product)
    write = design.burst_bytes * sum(int(run.dram[dram.WRITE_BURSTS]) for run in product)
    out = {**payload, "dram_read": read, "dram_write": write, "padding": read + write - sum(payload.values())}
    extra = [run for name, run in phases.items() if name.startswith("convert")]
    if extra:
        bursts = sum(int(run.dram[dram.READ_BURSTS] + run.dram[dram.WRITE_BURSTS]) for run in extra)
        out["conversion"] = bursts * design.burst_bytes
    return out


def _counters(phases: Mapping[str, PhaseRun]) -> dict[str, int]:
    out: dict[str, int] = {}
    names = {
        "multiply": ("l0_hits", "l0_misses", "l1_hits", "l1_misses", "chunks", "pieces"),
        "merge": (
            "l0_accesses", "l0_misses", "l1_hits", "l1_misses", "list_steps", "pops", "adds", "spilled", "rounds",
            "rows",
        ),
    }  # fmt: skip
    for phase, words in names.items():
        for word, value in zip(words, phases[phase].counts, strict=True):
            out[f"{phase}_{word}"] = int(value)
        for place, word in ((dram.ROW_HITS, "dram_row_hits"), (dram.ROW_MISSES, "dram_row_misses")):
            out[f"{phase}_{word}"] = int(phases[phase].dram[place])
    return out


def _energy(design: OuterSpaceDesign, phases: Mapping[str, PhaseRun]) -> dict[str, float]:
    """Energy by component in J: a standing part over time, and a part for each event.

    The paper gives mean powers only. The events' energies are from the sources in the table; what
    they leave of the mean power, at the table's mean rates, is the standing part. Cores count while
    they are on: half the PEs are gated while merging.
    """
    cost, own = table(_TABLE), _published()
    clock = design.clock_hz / own.clock_hz
    area = {name: part / own.area_parts()[name] for name, part in design.area_parts().items()}
    per_core = cost["cores", "power_w"].value / cost["cores", "on"].value * clock
    gated = cost["cores", "gated_share"].value
    out = dict.fromkeys(("cores", "l0", "l1", "crossbar", "dram"), 0.0)
    bits = 8 * cost["dram", "energy_per_bit_j"].value
    standing = {
        name: (cost[name, "power_w"].value - cost[name, "energy_j"].value * cost[name, "accesses_per_s"].value)
        * area[name]
        * clock
        for name in ("l0", "l1")
    }
    memory = (cost["dram", "power_w"].value - bits * cost["dram", "bytes_per_s"].value) * (
        design.dram_bytes_per_s / own.dram_bytes_per_s
    )
    for name, run in phases.items():
        seconds = run.cycles / design.clock_hz
        off = design.tiles * (design.pes_per_tile - design.merge_pes_per_tile) if name.endswith("merge") else 0
        out["cores"] += per_core * seconds * (_cores(design) - off * (1 - gated))
        requests, misses = _accesses(name, run)
        out["l0"] += standing["l0"] * seconds + cost["l0", "energy_j"].value * requests
        out["l1"] += standing["l1"] * seconds + cost["l1", "energy_j"].value * misses
        out["crossbar"] += cost["crossbar", "power_w"].value * area["crossbar"] * clock * seconds
        moved = design.burst_bytes * int(run.dram[dram.READ_BURSTS] + run.dram[dram.WRITE_BURSTS])
        out["dram"] += memory * seconds + bits * moved
    return out


def _accesses(name: str, run: PhaseRun) -> tuple[int, int]:
    """Requests to the L0 caches and to the L1 caches of a phase."""
    if name.endswith("merge"):
        return int(run.counts[row_merge.LOADS]), int(run.counts[row_merge.MISSES])
    hits, misses = run.counts[outer_multiply.L0_HITS], run.counts[outer_multiply.L0_MISSES]
    return int(hits + misses), int(misses)


def _timeline(design: OuterSpaceDesign, phases: Mapping[str, PhaseRun]) -> Timeline:
    """Busy share of each tile's PEs and of each channel's bus over the run, in equal bins."""
    bins = 160
    total = sum(run.cycles for run in phases.values())
    if total == 0:
        return Timeline(0.0, {})
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
