"""Energy of dense work on a GPU, by component.

A board's power is stated as: its idle draw; the arithmetic, from the tables of operations; operands
brought from the L2 cache into shared memory, from the SRAM tables; DRAM by the bit; and the rest.
The rest - instructions, clocks, register files, wires - is what these leave of the rated power when
the units of that number format run at their peak, and is spent per operation. So a board that
computes at full rate draws its rated power, and never more: beyond it the rest is cut.

A node beyond the scaling table is taken as the table's last: boards of the 5 nm family count as 7 nm
ones. The rest is an assumption, and kernels that wait for memory draw more on real boards than they
are given here: their loads cost instructions and wires too.
"""

from __future__ import annotations

from dataclasses import dataclass

from siloom.models._gpu_board import DenseBoard
from siloom.models._gpu_design import GpuDesign
from siloom.sim.cost.arithmetic import mac_energy_j, operation_energy_j
from siloom.sim.cost.dram_energy import energy_per_bit_j
from siloom.sim.cost.scaling import NODES_NM
from siloom.sim.cost.sram import read_energy_j, write_energy_j

_SECTOR_BYTES = 32
_L2_SLICE_BYTES = 512 * 1024
_SMEM_ROW_BYTES = 16
REST = "instructions, clocks and wires (assumed: the rest of the rated power at peak rate)"


@dataclass(frozen=True)
class Activity:
    """What a kernel does: multiply-adds in ``computed`` format, other fp32 operations, and bytes."""

    seconds: float
    computed: str
    multiply_adds: int
    other_operations: int
    dram_bytes: float
    staged_bytes: float


def energy_parts(design: GpuDesign, board: DenseBoard, activity: Activity) -> dict[str, float]:
    """Joules by component; at most the rated power for the time."""
    node = min(max(design.node_nm, NODES_NM[-1]), NODES_NM[0])
    mac_j = mac_energy_j(activity.computed, _accumulator(activity.computed), node)
    add_j = operation_energy_j("add", "fp32", node)
    l2_j = read_energy_j(_L2_SLICE_BYTES, _SECTOR_BYTES, node) / _SECTOR_BYTES
    smem = int(design.smem_bytes)
    smem_j = (
        write_energy_j(smem, _SMEM_ROW_BYTES, node) + read_energy_j(smem, _SMEM_ROW_BYTES, node)
    ) / _SMEM_ROW_BYTES
    idle = design.idle_w * activity.seconds
    arithmetic = activity.multiply_adds * mac_j + activity.other_operations * add_j
    on_chip = activity.dram_bytes * l2_j + activity.staged_bytes * (l2_j + smem_j)
    dram = 8 * activity.dram_bytes * energy_per_bit_j(design.memory)
    macs_per_s = board.matmul_flops(activity.computed) / 2
    others_per_s = board.fp32_flops / 2
    rest = activity.multiply_adds * _rest_j(design, macs_per_s, mac_j) + activity.other_operations * _rest_j(
        design, others_per_s, add_j
    )
    room = max(0.0, design.tdp_w * activity.seconds - idle)
    parts = {"arithmetic": arithmetic, "on-chip memory": on_chip, "dram": dram, REST: rest}
    known = arithmetic + on_chip + dram
    if known > room:
        parts = {name: value * room / known for name, value in parts.items()}
        parts[REST] = 0.0
    else:
        parts[REST] = min(rest, room - known)
    return {"idle": min(idle, design.tdp_w * activity.seconds), **parts}


def _rest_j(design: GpuDesign, operations_per_s: float, operation_j: float) -> float:
    """What one operation costs beyond its arithmetic, where the board is at its rated power at peak."""
    return max(0.0, (design.tdp_w - design.idle_w) / operations_per_s - operation_j)


def _accumulator(number_format: str) -> str:
    return {"fp64": "fp64", "int8": "int32", "int4": "int32"}.get(number_format, "fp32")
