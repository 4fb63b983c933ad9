"""TPU v1's energy and area by component.

Energy: the power measured at idle over the run's time, and on top of it every event at the energy of
the cost tables at the machine's node. The power measured when busy (40 W) is used nowhere: it is what the
sum is held against.

Area: the published upper bound of the die by the floor plan's shares; parts scale with what they hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from siloom.models._tpu_program import ELEMENT_BYTES, SUM_BYTES, Program
from siloom.sim.cost import table
from siloom.sim.cost.arithmetic import mac_energy_j, operation_energy_j
from siloom.sim.cost.dram_energy import energy_per_bit_j
from siloom.sim.cost.sram import read_energy_j, write_energy_j

if TYPE_CHECKING:
    from siloom.models._tpu_v1 import TpuV1Design

OWNER = "tpu-v1"
TABLES = ("tpu", "horowitz", "cacti_sram", "node_scaling", "dram_energy", "dram_parts")
"""The cost tables that the numbers come from."""


def energy_parts(design: TpuV1Design, program: Program, seconds: float) -> dict[str, float]:
    """Energy by component in J of one program that takes ``seconds``.

    The Unified Buffer is one bank a row of the array, the accumulators one a column. Cells that hold
    no weight are clocked like the others. 16-bit activations are two bytes, and a product of each.
    """
    node, passes = design.node_nm, design.passes
    bank = max(1024, design.unified_buffer_bytes // design.rows)
    column = max(1024, design.accumulator_rows * SUM_BYTES)
    steps = passes * program.row_steps
    macs = steps * design.rows * design.cols
    sums = steps * design.cols
    moved = 8 * (program.tiles * design.tile_bytes + program.stored)
    return {
        "idle (measured)": design.idle_w * seconds,
        "array": macs * mac_energy_j("int8", "int32", node),
        "accumulators": sums * (read_energy_j(column, SUM_BYTES, node) + write_energy_j(column, SUM_BYTES, node)),
        "unified buffer": steps * design.rows * read_energy_j(bank, ELEMENT_BYTES, node)
        + passes * program.results * write_energy_j(bank, ELEMENT_BYTES, node),
        "activation": program.vector_values * operation_energy_j("mul", "int8", node),
        "weight memory": moved * energy_per_bit_j(design.weight_memory.partition("-")[0].replace("ideal", "ddr3")),
    }


def area_parts(design: TpuV1Design, published: TpuV1Design) -> dict[str, float]:
    """Area by component in mm2 at the published node, an upper bound."""
    cost = table("tpu")
    die = cost[OWNER, "area_mm2"].value
    array = design.tile_bytes / published.tile_bytes
    sizes = {
        "buffer": design.unified_buffer_bytes / published.unified_buffer_bytes,
        "array": array,
        "accumulator": design.accumulator_rows * design.cols / (published.accumulator_rows * published.cols),
        "activation": design.lanes / published.lanes,
    }
    shares = {name: cost[OWNER, f"{name}_area_share"].value for name in sizes}
    out = {name: die * shares[name] * sizes[name] for name in sizes}
    out["interfaces, control and the rest"] = die * (1.0 - sum(shares.values()))
    return out
