"""Attention on one systolic array with an online softmax: nothing of n x n is stored, no product leaves the array.

Each row of the array holds a query, an element a cell. Keys pass from above, block by block; a query's score with each
leaves its row on the right, where a softmax column keeps the largest score so far. When a block is complete the column
sends back, to the left of the same row, first the factor that brings what is summed to the new maximum, then the
weight of each key; the same multipliers bring the sums along and add the weighted values, which pass from above as the
keys did. In the end sums leave on the right and are divided by the sum of weights. Scores of the next block fill
the time until weights of this one have come.

Times are those of ``siloom.sim.engine.flash_blocks``; heads follow one another without a gap, the next one's operands
being fetched while one is worked on. Results have the bits of ``siloom.sim.units.online_softmax``, on
codes of Q, K and V in fixed point: the root of the dimension is a shift of scores, and what is left of it is taken off
the queries before they become codes. Under a causal mask a tile of queries meets no key behind its last
query, and what is masked within a tile is computed and left out.

The memory holds K and V of two heads. Where these do not fit, they come again for each tile of queries.

Relatives: Dao et al., FlashAttention, 2022, for the algorithm; Nayak et al., FuseMax, MICRO 2024, and SystolicAttention
(FSA), 2025, for both products and the softmax on one array - recalled; this is no model of either, and no number of
theirs is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from siloom.models._attention import (
    FORWARD_ONLY,
    Head,
    HeadRun,
    Phases,
    Port,
    Whole,
    attention_result,
    dram_energy_j,
    pins_bytes_per_s,
    pipelined,
    require_attention,
    run_heads,
    supports_attention,
    with_dram,
)
from siloom.models._flash_design import FlashDesign
from siloom.sim.approximation import Mask
from siloom.sim.contract import Codes
from siloom.sim.cost import arithmetic, sram
from siloom.sim.engine.flash_blocks import fill_cycles, head_causes, scored_pairs
from siloom.sim.errors import InputError
from siloom.sim.fixed_point import Codes32, exact_products, to_codes
from siloom.sim.machine import Machine
from siloom.sim.ops import Attention, Operation
from siloom.sim.result import Result
from siloom.sim.units.exp_split import split_tables
from siloom.sim.units.online_softmax import online_softmax_rows


class FlashArray(Machine):
    """Exact attention, both products on one array, with a softmax that goes along."""

    name = "flash_array"
    kind = "accelerator"
    summary = "attention on one systolic array with an online softmax, block by block (FlashAttention in hardware)"
    operations = (Attention,)
    design_type = FlashDesign
    design: FlashDesign

    def supports(self, op: Operation) -> bool:
        """Attention's forward pass."""
        return supports_attention(op)

    def needs(self, op: Operation) -> str:
        """The forward pass."""
        return FORWARD_ONLY

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run attention on its operands; ``values``: the output that the hardware would give.

        Raises:
            InputError: another operation, or vectors or sequences too long.
        """
        op, design = require_attention(self.label, op), self.design
        for name, size, most in (("dim", op.dim, design.cols), ("seq", op.seq, design.max_seq)):
            if size > most:
                field = "cols" if name == "dim" else "max_seq"
                raise InputError(f"{self.label}: {name} must be at most {field}, {most}, got {size}")
        given = op.operands()
        moved = head_bytes(design, op)
        port = Port.of(design.memory, design.memory_channels, sum(moved.values()), design.clock_hz)
        whole = run_heads(op, given, lambda head: run_head(design, head), schedule(design, op, port))
        traffic = {name: each * whole.heads for name, each in moved.items()}
        traffic = with_dram(traffic, traffic["o"])
        return attention_result(
            self.label,
            op,
            design,
            whole,
            clock_hz=design.clock_hz,
            precision=(f"int{design.operand_bits}",),
            peak_multiplies_per_cycle=design.rows * design.cols,
            bytes_per_s=pins_bytes_per_s(design.memory, design.memory_channels),
            energy=energy_parts(design, op, whole, traffic["dram_read"] + traffic["dram_write"]),
            area=area_parts(design),
            traffic=traffic,
            notes=(),
            values=values,
        )


def head_codes(design: FlashDesign, head: Head) -> tuple[Codes32, Codes32, Codes32, int]:
    """Codes of Q, K and V [seq, dim], and how many elements were cut off."""
    dim = head.q.shape[1]
    rest = 2.0 ** design.root_shift(dim) / math.sqrt(dim)
    coded = [
        to_codes(x, design.operand_bits, design.fraction_bits) for x in ((head.q * np.float32(rest)), head.k, head.v)
    ]
    (q, _), (k, _), (v, _) = coded
    return q, k, v, sum(cut for _, cut in coded)


def attend(design: FlashDesign, q: Codes32, k: Codes32, v: Codes32, kept: Mask) -> Codes:
    """Codes of the means [seq, dim] that the array gives for these codes."""
    dim = q.shape[1]
    unit = design.unit(dim)
    dropped = design.dropped_bits(dim)
    scores = exact_products(q, k, design.operand_bits)
    if dropped:  # to nearest, ties to even
        whole, left, half = scores >> dropped, scores & ((1 << dropped) - 1), 1 << (dropped - 1)
        scores = whole + ((left > half) | ((left == half) & (whole & 1 == 1)))
    high, low = split_tables(unit.exponential)
    return online_softmax_rows(scores, v.astype(np.int64), kept, design.block, high, low, unit.numbers)


def run_head(design: FlashDesign, head: Head) -> HeadRun:
    """One head: what it gives and what its beats are."""
    seq, dim = head.q.shape
    q, k, v, cut = head_codes(design, head)
    allowed = head.allowed
    means = attend(design, q, k, v, allowed)
    causes = head_causes(design.steps, seq, head.causal)
    pairs = scored_pairs(design.rows, seq, head.causal)
    chosen = int(np.count_nonzero(allowed))
    return HeadRun(
        phases={"array": causes},
        output=(means / (1 << design.fraction_bits)).astype(np.float32),
        kept=allowed,
        matters=allowed,
        events={
            "kept": chosen,
            "pairs": pairs,
            "multiplies": 2 * dim * pairs,
            "adds": 2 * dim * pairs,
            "rescales": causes["rescale"] * design.rows,
            "keys": causes["score"],
        },
        counters={"scores_kept": chosen, "scores_masked": pairs - chosen, "saturations": cut},
    )


def schedule(design: FlashDesign, op: Attention, port: Port) -> Callable[[Sequence[HeadRun]], Phases]:
    """Heads through the array, one behind the other; the last one's way out shows."""

    def all_heads(runs: Sequence[HeadRun]) -> Phases:
        return {**pipelined(port)(runs), "end": {"fill": fill_cycles(design.steps, op.seq)}}

    return all_heads


def head_bytes(design: FlashDesign, op: Attention) -> dict[str, int]:
    """Bytes of a head's operands and result over the memory port."""
    each = -(-op.seq * op.dim * design.operand_bits // 8)
    tiles = -(-op.seq // design.rows)
    trips = 1 if 4 * each <= design.kv_sram_bytes else tiles
    return {"q": each, "k": each * trips, "v": each * trips, "o": each}


def energy_parts(design: FlashDesign, op: Attention, whole: Whole, dram_bytes: int) -> dict[str, float]:
    """Joules by component; clock, wires, registers and leakage are in no table and left out."""
    node, dim, events = design.node_nm, op.dim, whole.events

    def product(bits: int, sums: str) -> float:
        times = arithmetic.operation_energy_j("mul", f"int{bits}", node)
        return times + arithmetic.operation_energy_j("add", sums, node)

    power_bits = design.power_fraction + 1
    queries = whole.heads * op.seq
    vector = -(-dim * design.operand_bits // 8)
    entry = sram.read_energy_j(512, 2, node)
    reads = (2 * events["keys"] + queries) * sram.read_energy_j(design.kv_sram_bytes, vector, node)
    writes = 4 * queries * sram.write_energy_j(design.kv_sram_bytes, vector, node)
    return {
        "scores": events["pairs"] * dim * product(design.operand_bits, "int32"),
        "weighted sums": events["pairs"] * dim * product(power_bits, "int64"),
        "rescaling": events["rescales"] * dim * product(32, "int64"),
        "exponentials": (events["pairs"] + events["rescales"]) * (2 * entry + product(power_bits, "int32")),
        "division": queries * dim * design.operand_bits * arithmetic.operation_energy_j("add", "int32", node),
        "memories": reads + writes,
        **dram_energy_j(design.memory, dram_bytes),
    }


def area_parts(design: FlashDesign) -> dict[str, float]:
    """Square millimetres by component; a cell's multiplier is as wide as its sum is, taken as one of 32 bits."""
    node = design.node_nm
    adder = arithmetic.operation_area_mm2("add", "int32", node)
    cell = arithmetic.operation_area_mm2("mul", "int32", node) + arithmetic.operation_area_mm2("add", "int64", node)
    power = arithmetic.operation_area_mm2("mul", f"int{design.power_fraction + 1}", node)
    return {
        "array": design.rows * design.cols * cell,
        "softmax": design.rows * (power + 4 * adder + 2 * sram.area_mm2(512, node)),
        "division": design.rows * design.operand_bits * adder,
        "key and value memory": sram.area_mm2(design.kv_sram_bytes, node),
    }
