"""OuterSPACE's area, power and energy: the published machine's, scaled by a design's fields.

Every number is in the cost table ``outerspace``; the published design says what it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from siloom.sim.cost import table
from siloom.sim.engine import dram, outer_multiply, row_merge
from siloom.sim.engine.outer_product import PhaseRun

if TYPE_CHECKING:
    from siloom.models.outerspace import OuterSpaceDesign

TABLE = "outerspace"


def area_parts(design: OuterSpaceDesign, published: OuterSpaceDesign) -> dict[str, float]:
    """Area by component in mm2 at 32 nm.

    Of many designs at once where the fields are arrays. Cores by number, caches by bytes and ports, crossbars by the
    square of their ports, one for each PE.
    """
    cost = table(TABLE)
    pes = design.pes_per_tile / published.pes_per_tile
    ports = _ports(design) / _ports(published)
    l1 = design.l1_caches * design.l1_bytes / (published.l1_caches * published.l1_bytes)
    return {
        "cores": cost["cores", "area_mm2"].value * _cores(design) / _cores(published),
        "l0": cost["l0", "area_mm2"].value * _l0_bytes(design) / _l0_bytes(published) * ports,
        "l1": cost["l1", "area_mm2"].value * l1,
        "crossbar": cost["crossbar", "area_mm2"].value * design.tiles / published.tiles * pes**2,
    }


def power_parts(design: OuterSpaceDesign, published: OuterSpaceDesign) -> dict[str, float]:
    """Mean power by component in W at the activity of the published runs."""
    cost = table(TABLE)
    size = _relative_size(design, published)
    clock = design.clock_hz / published.clock_hz
    out = {name: cost[name, "power_w"].value * size[name] * clock for name in size}
    out["dram"] = cost["dram", "power_w"].value * design.dram_bytes_per_s / published.dram_bytes_per_s
    return out


def energy_parts(
    design: OuterSpaceDesign, published: OuterSpaceDesign, phases: Mapping[str, PhaseRun]
) -> dict[str, float]:
    """Energy by component in J: a standing part over time, and a part for each event.

    The paper gives mean powers only. The events' energies are from the sources in the table; what
    they leave of the mean power, at the table's mean rates, is the standing part. Cores count while
    they are on: half the PEs are gated while merging.
    """
    cost = table(TABLE)
    clock = design.clock_hz / published.clock_hz
    size = _relative_size(design, published)
    per_core = cost["cores", "power_w"].value / cost["cores", "on"].value * clock
    gated = cost["cores", "gated_share"].value
    out = dict.fromkeys(("cores", "l0", "l1", "crossbar", "dram"), 0.0)
    bits = 8 * cost["dram", "energy_per_bit_j"].value
    standing = {
        name: (cost[name, "power_w"].value - cost[name, "energy_j"].value * cost[name, "accesses_per_s"].value)
        * size[name]
        * clock
        for name in ("l0", "l1")
    }
    memory = (cost["dram", "power_w"].value - bits * cost["dram", "bytes_per_s"].value) * (
        design.dram_bytes_per_s / published.dram_bytes_per_s
    )
    for name, run in phases.items():
        seconds = run.cycles / design.clock_hz
        off = design.tiles * (design.pes_per_tile - design.merge_pes_per_tile) if _merges(name) else 0
        out["cores"] += per_core * seconds * (_cores(design) - off * (1 - gated))
        requests, misses = cache_accesses(name, run)
        if not design.l1_bytes:
            misses = 0
        out["l0"] += standing["l0"] * seconds + cost["l0", "energy_j"].value * requests
        out["l1"] += standing["l1"] * seconds + cost["l1", "energy_j"].value * misses
        out["crossbar"] += cost["crossbar", "power_w"].value * size["crossbar"] * clock * seconds
        moved = design.burst_bytes * int(run.dram[dram.READ_BURSTS] + run.dram[dram.WRITE_BURSTS])
        out["dram"] += memory * seconds + bits * moved
    return out


def cache_accesses(name: str, run: PhaseRun) -> tuple[int, int]:
    """Requests to the L0 caches and to the L1 caches of the phase ``name``."""
    if _merges(name):
        return int(run.counts[row_merge.LOADS]), int(run.counts[row_merge.MISSES])
    hits, misses = run.counts[outer_multiply.L0_HITS], run.counts[outer_multiply.L0_MISSES]
    return int(hits + misses), int(misses)


def _merges(name: str) -> bool:
    return name.endswith("merge")


def _relative_size(design: OuterSpaceDesign, published: OuterSpaceDesign) -> dict[str, float]:
    """Area by component over the published machine's."""
    own = area_parts(published, published)
    return {name: part / own[name] for name, part in area_parts(design, published).items()}


def _cores(design: OuterSpaceDesign) -> int:
    """PEs, one controller a tile, and the central controller: 256 + 16 + 1 as published."""
    return design.tiles * design.pes_per_tile + design.tiles + 1


def _ports(design: OuterSpaceDesign) -> int:
    """Lookups a cycle of a tile's cache; 0 stands for one for each PE."""
    return design.l0_ports + (design.l0_ports == 0) * design.pes_per_tile


def _l0_bytes(design: OuterSpaceDesign) -> int:
    """Caches of all tiles and scratchpads of all PEs."""
    return design.tiles * (design.l0_bytes + design.pes_per_tile * design.scratchpad_bytes)
