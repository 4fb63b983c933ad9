"""ELSA (Ham et al., ISCA 2021): keys are filtered by hashes before their products are computed.

A head's keys are hashed, by a Kronecker sign random projection, and their lengths taken. For each query the
distance of its hash to every key's gives an estimate of the score; keys whose estimate passes a learnt threshold are
candidates, and only their scores are computed, exactly. See ``sim/units`` for the arithmetic of each stage and
``sim/engine/candidate_queues.py`` for their cycles.

One pipeline has ``attention_units`` banks of keys with ``selectors`` each; ``copies`` pipelines share a memory, as the
paper sets 12 of them against one V100. Heads are dealt out to pipelines as these become free.

Where the paper is silent: keys are dealt to banks one by one; a head's operands come when the one before is done, all
through one port; where no key of a query passes, the one with the best estimate is taken. Exponentials are of scores
as they are, without a maximum taken off: beyond e^67 they stay where they are (``saturated_powers``). Gaps of the
sources and what is recalled stand with each field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from siloom.models._attention import (
    FORWARD_ONLY,
    Codes32,
    Head,
    HeadRun,
    Port,
    Whole,
    attention_result,
    dram_energy_j,
    exact_products,
    keep_best_where_none,
    on_copies,
    pins_bytes_per_s,
    require_attention,
    run_heads,
    supports_attention,
    to_codes,
    weighted_output,
    with_dram,
)
from siloom.sim.approximation import Mask
from siloom.sim.cost import arithmetic, sram
from siloom.sim.design import Design, parameter
from siloom.sim.drawn_attention import Reals32
from siloom.sim.engine.candidate_queues import CAUSES, causes, scan_and_work
from siloom.sim.errors import InputError
from siloom.sim.hash_angle import PROJECTIONS, angle_bias_rad, projection_matrix
from siloom.sim.machine import Machine
from siloom.sim.memory import PARTS
from siloom.sim.ops import Attention, Operation
from siloom.sim.result import Result
from siloom.sim.units.candidate_select import bound_code, candidates
from siloom.sim.units.exp_float import exp_float_codes, for_scores
from siloom.sim.units.hamming import cosine_table, distances
from siloom.sim.units.norm import norms
from siloom.sim.units.srp_hash import WORD, Hashes, SrpHash, sides_for, srp_hash_vectors

_PAPER = "Ham et al., ELSA, ISCA 2021"
_SILENT = "the paper gives none"
_EXACT_NORM_BITS = 24
"""No length of a key is cut off at so many."""


@dataclass(frozen=True)
class ElsaDesign(Design):
    """The choices that define one ELSA.

    Raises (when made):
        InputError: a field out of its range, a threshold that is no number from -1 to 1, or queues shorter than what
            one cycle may put into them.
    """

    copies: int = parameter(12, unit="pipelines", source=_PAPER, status="recalled", low=1, high=4096)
    clock_hz: float = parameter(1.0e9, unit="Hz", source=_PAPER, status="recalled", low=1e6, high=1e10)
    attention_units: int = parameter(4, unit="banks", source=_PAPER, status="recalled", low=1, high=256)
    selectors: int = parameter(8, unit="keys/cycle and bank", source=_PAPER, status="recalled", low=1, high=1024)
    queue_entries: int = parameter(16, unit="candidates/bank", source=_SILENT, status="assumed", low=1, high=65536)
    hash_multipliers: int = parameter(256, unit="", source=_PAPER, status="recalled", low=1, high=2**20)
    output_multipliers: int = parameter(16, unit="", source=_PAPER, status="recalled", low=1, high=4096)
    heads_held: int = parameter(
        1,
        unit="heads/pipeline",
        source="the memories recalled hold one: the next is loaded when it is done; 2 loads it meanwhile",
        status="assumed",
        low=1,
        high=16,
    )
    depth_cycles: int = parameter(
        20,
        unit="cycles",
        source="from a candidate to its sum; the paper gives none",
        status="assumed",
        low=0,
        high=1000,
    )
    operand_bits: int = parameter(9, unit="bit", source=_PAPER, status="recalled", low=3, high=13)
    fraction_bits: int = parameter(3, unit="bit", source=_PAPER, status="recalled", low=0, high=12)
    norm_bits: int = parameter(8, unit="bit", source=_PAPER, status="recalled", low=2, high=24)
    factor_bits: int = parameter(6, unit="bit", source=_PAPER, status="recalled", low=2, high=12)
    mantissa_bits: int = parameter(
        10, unit="bit", source="of an exponential; the paper gives none", status="assumed", low=1, high=11
    )
    projection: str = parameter(
        "kronecker", unit="", source="others are ablations", status="recalled", choices=tuple(PROJECTIONS)
    )
    p: float = parameter(
        1.0,
        unit="",
        source="degree of approximation: keys above p/n of the softmax are to be kept; 0 keeps all",
        status="recalled",
        low=0.0,
        high=1000.0,
    )
    threshold: str = parameter(
        "auto", unit="", source="auto: learnt for p on each head's own operands; or a number, -1 to 1", status="assumed"
    )
    seed: int = parameter(0, unit="", source="of the projection", status="assumed", low=0, high=2**63 - 1)
    memory: str = parameter("hbm2-2.0", unit="", source=_SILENT, status="assumed", choices=("ideal", *PARTS))
    memory_channels: int = parameter(1, unit="stacks", source=_SILENT, status="assumed", low=1, high=1024)
    node_nm: float = parameter(40.0, unit="nm", source=_PAPER, low=7.0, high=130.0)

    def __post_init__(self) -> None:
        """Check what fields must hold together."""
        super().__post_init__()
        if self.queue_entries < self.selectors:
            raise InputError(
                f"elsa: queue_entries must be at least selectors, {self.selectors}, got {self.queue_entries}"
            )
        if self.fraction_bits >= self.operand_bits:
            raise InputError(f"elsa: fraction_bits must be below operand_bits, got {self.fraction_bits}")
        self.given_threshold()

    def given_threshold(self) -> float | None:
        """The threshold set by hand, None where it is learnt."""
        if self.threshold == "auto":
            return None
        try:
            number = float(self.threshold)
        except ValueError:
            number = math.nan
        if not -1.0 <= number <= 1.0:
            raise InputError(f"elsa: threshold must be auto or a number from -1 to 1, got {self.threshold[:40]!r}")
        return number

    def hash_unit(self, dim: int) -> SrpHash:
        """The hash unit for vectors of this length.

        Raises:
            InputError: a length that no Kronecker product fits.
        """
        a, b, c = sides_for(dim)
        return SrpHash(
            side_a=a, side_b=b, side_c=c, x_bits=self.operand_bits, factor_bits=self.factor_bits,
            multipliers=self.hash_multipliers, seed=self.seed,
        )  # fmt: skip

    def hash_cycles(self, dim: int) -> int:
        """Cycles for one hash; a projection that is no Kronecker product takes dim^2 multiplies."""
        if self.projection == "kronecker":
            return self.hash_unit(dim).cycles
        return 1 if self.projection == "none" else -(-dim * dim // self.hash_multipliers)

    def hash_multiplies(self, dim: int) -> int:
        """Multiplies for one hash."""
        if self.projection == "kronecker":
            return self.hash_unit(dim).multiplies
        return 0 if self.projection == "none" else dim * dim


def learn_threshold(head: Head, p: float) -> float:
    """The threshold of one head for keys above ``p / n`` of the softmax.

    For every query, of the keys above p/n, n being the keys it may look at, the least score over the product of the
    query's and the largest key's length; their mean (ELSA, section on learning the threshold, recalled). A query
    without such a key says nothing; without any such query, or with p = 0, all keys are kept: -1.
    """
    above = head.above_share(p)
    having = above.any(axis=1)
    if p == 0 or not having.any():
        return -1.0
    scores = head.q.astype(np.float64) @ head.k.T.astype(np.float64)
    least = np.where(above, scores, np.inf).min(axis=1)[having]
    scale = np.linalg.norm(head.q, axis=1)[having] * np.linalg.norm(head.k, axis=1).max()
    return float(np.clip(np.mean(least / np.maximum(scale, 1e-30)), -1.0, 1.0))


class Elsa(Machine):
    """Hash-filtered attention."""

    name = "elsa"
    kind = "accelerator"
    summary = "attention over keys chosen by their hashes (Ham et al., ELSA, ISCA 2021)"
    operations = (Attention,)
    design_type = ElsaDesign
    design: ElsaDesign

    def supports(self, op: Operation) -> bool:
        """Attention's forward pass."""
        return supports_attention(op)

    def needs(self, op: Operation) -> str:
        """The forward pass."""
        return FORWARD_ONLY

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run attention on its operands; ``values``: the output that the hardware would give.

        Raises:
            InputError: another operation, a key of length zero, or a head's length that no Kronecker product fits.
        """
        op, design = require_attention(self.label, op), self.design
        design.hash_unit(op.dim)
        moved = head_bytes(design, op)
        port = Port.of(design.memory, design.memory_channels, sum(moved.values()), design.clock_hz)
        whole = run_heads(op, op.operands(), self._head, on_copies(design.copies, port, design.heads_held))
        traffic = {name: each * whole.heads for name, each in moved.items()}
        traffic = with_dram(traffic, traffic["o"])
        return attention_result(
            self.label,
            op,
            design,
            whole,
            clock_hz=design.clock_hz,
            precision=(f"int{design.operand_bits}",),
            peak_multiplies_per_cycle=design.copies * design.attention_units * 2 * op.dim,
            bytes_per_s=pins_bytes_per_s(design.memory, design.memory_channels),
            energy=energy_parts(design, op, whole, traffic["dram_read"] + traffic["dram_write"]),
            area=area_parts(design, op),
            traffic=traffic,
            notes=_notes(design),
            values=values,
        )

    def _head(self, head: Head) -> HeadRun:
        design = self.design
        seq, dim = head.q.shape
        if not np.linalg.norm(head.k, axis=1).all():
            at = int(np.argmin(np.linalg.norm(head.k, axis=1)))
            raise InputError(f"{self.label}: keys must have a length above 0, key {at} has none")
        (q, q_cut), (k, k_cut), (v, v_cut) = (
            to_codes(x, design.operand_bits, design.fraction_bits) for x in (head.q, head.k, head.v)
        )
        threshold = design.given_threshold()
        if threshold is None:
            threshold = learn_threshold(head, design.p)
        kept, rescued, norms_cut = self._select(q, k, threshold, head.allowed)
        ends, counts = np.empty(seq, np.int64), np.empty((seq, design.attention_units), np.int64)
        hashing, finish = design.hash_cycles(dim), -(-dim // design.output_multipliers)
        banks, width = design.attention_units, design.selectors
        scan_and_work(kept, banks, width, design.queue_entries, hashing, finish, ends, counts)
        spent = np.zeros(len(CAUSES), np.int64)
        causes(ends, counts, seq, width, hashing, finish, spent)
        attention = dict(zip(CAUSES, spent.tolist(), strict=True))
        attention["fill"] += design.depth_cycles
        chosen = int(np.count_nonzero(kept))
        pairs = seq * seq
        output, powers_cut = self._attend(q, k, v, kept)
        return HeadRun(
            phases={"preprocessing": {"hash": (seq + 1) * hashing}, "attention": attention},
            output=output,
            kept=kept,
            matters=head.above_share(design.p),
            events={
                "kept": chosen,
                "pairs": pairs,
                "hashes": 2 * seq,
                "multiplies": 2 * dim * chosen,
                "adds": 2 * dim * chosen,
                # Hashes, norms of the keys, and a norm times a cosine for every pair.
                "predictor_multiplies": 2 * seq * design.hash_multiplies(dim) + seq * dim + pairs,
            },
            counters={
                "saturations": q_cut + k_cut + v_cut,
                "saturated_norms": norms_cut,
                "saturated_powers": powers_cut,
                "queries_without_candidate": rescued,
            },
        )

    def _select(self, q: Codes32, k: Codes32, threshold: float, allowed: Mask) -> tuple[Mask, int, int]:
        """Candidates [seq, seq]; how many queries had none and were given their best key; and norms cut off."""
        design, dim = self.design, q.shape[1]
        lengths = norms(k, design.norm_bits)
        beyond = int(np.count_nonzero(norms(k, _EXACT_NORM_BITS) > lengths))
        if threshold <= -1.0:  # keeps all, those of length zero in their codes too
            return allowed.copy(), 0, beyond
        fraction = 7
        table = cosine_table(dim, angle_bias_rad(design.projection, dim), fraction)
        distance = distances(self._hash(q), self._hash(k))
        kept = candidates(distance, lengths, table, bound_code(threshold, int(lengths.max()), fraction)) & allowed
        without = keep_best_where_none(kept, allowed, lambda rows: lengths * table[distance[rows]])
        return kept, without, beyond

    def _hash(self, x: Codes32) -> Hashes:
        design, dim = self.design, x.shape[1]
        if design.projection == "kronecker":
            return srp_hash_vectors(x, *design.hash_unit(dim).factors)
        signs = x.astype(np.float64) @ projection_matrix(design.projection, dim, design.seed).T >= 0
        padded = np.zeros((len(x), -(-dim // WORD) * WORD), np.bool_)
        padded[:, :dim] = signs
        packed: Hashes = np.packbits(padded, axis=1, bitorder="little").view(np.uint64)
        return packed

    def _attend(self, q: Codes32, k: Codes32, v: Codes32, kept: Mask) -> tuple[Reals32, int]:
        """The output, back from its codes; and how many powers were the largest there is, or none."""
        design, dim = self.design, q.shape[1]
        score_bits = 2 * design.operand_bits + (dim - 1).bit_length()
        unit = for_scores(2.0 ** (-2 * design.fraction_bits) / math.sqrt(dim), score_bits, design.mantissa_bits)
        codes = exp_float_codes(exact_products(q, k, design.operand_bits), unit)
        cut = int(np.count_nonzero(((codes == unit.largest) | (codes == 0)) & kept))
        weights = (codes << (23 - unit.mantissa_bits)).astype(np.uint32).view(np.float32)
        return weighted_output(weights, v, kept, design.attention_units, design.fraction_bits), cut


def head_bytes(design: ElsaDesign, op: Attention) -> dict[str, int]:
    """Bytes of a head's operands and result, rows padded to whole bytes."""
    each = op.seq * -(-op.dim * design.operand_bits // 8)
    return {"q": each, "k": each, "v": each, "o": each}


def _notes(design: ElsaDesign) -> tuple[str, ...]:
    notes = ["the paper was not at hand: most of the design is recalled, see siloom machines --json"]
    if design.given_threshold() is None and design.p:
        notes.append("thresholds were learnt on the same operands that they are used on")
    return tuple(notes)


def energy_parts(design: ElsaDesign, op: Attention, whole: Whole, dram_bytes: int) -> dict[str, float]:
    """Joules by component; clock, wires, registers and leakage are in no table and left out."""
    node, bits, dim = design.node_nm, design.operand_bits, op.dim
    events = whole.events
    operand = f"int{bits}"
    multiply = arithmetic.operation_energy_j("mul", operand, node)
    add = arithmetic.operation_energy_j("add", f"int{2 * bits}", node)
    single = arithmetic.operation_energy_j("add", "fp32", node)
    vector = -(-dim * bits // 8)
    keys = design.attention_units
    memories = _memories(design, op)

    def read(name: str, width: int) -> float:
        size = max(256, memories[name] // keys)
        return sram.read_energy_j(size, min(width, size), node)

    def write(name: str, width: int) -> float:
        size = max(256, memories[name] // keys)
        return sram.write_energy_j(size, min(width, size), node)

    hash_bytes = -(-dim // 8)
    rows = whole.heads * op.seq
    return {
        "hash": events["hashes"] * design.hash_multiplies(dim) * (multiply + add),
        # A popcount of dim bits is about as many one-bit additions; then a product with the norm and a comparison.
        "selection": events["pairs"] * (dim / 8 * arithmetic.operation_energy_j("add", "int8", node) + multiply + add),
        "products": events["kept"] * dim * (multiply + add),
        "exponentials": events["kept"] * (multiply + sram.read_energy_j(256, 2, node)),
        "weighted sums": events["kept"] * dim * (multiply + single),
        "division": rows * dim * arithmetic.operation_energy_j("mul", "fp32", node),
        "hash memory": events["pairs"] * (read("hash", hash_bytes) + read("norm", 1))
        + rows * (write("hash", hash_bytes) + write("norm", 1)),
        "key memory": (events["kept"] + rows) * read("k", vector) + rows * write("k", vector),
        "value memory": events["kept"] * read("v", vector) + rows * write("v", vector),
        "query and output memories": 2 * rows * (read("q", vector) + write("q", vector)),
        **dram_energy_j(design.memory, dram_bytes),
    }


def _memories(design: ElsaDesign, op: Attention) -> dict[str, int]:
    """Bytes of one pipeline's memories, for this operation's sizes."""
    each = design.heads_held * op.seq * -(-op.dim * design.operand_bits // 8)
    return {
        "hash": op.seq * -(-op.dim // 8),
        "norm": -(-op.seq * design.norm_bits // 8),
        "k": each,
        "v": each,
        "q": each,
        "o": each,
    }


def area_parts(design: ElsaDesign, op: Attention) -> dict[str, float]:
    """Square millimetres by component of all pipelines, their memories sized for this operation."""
    node, dim, banks = design.node_nm, op.dim, design.attention_units
    operand = f"int{design.operand_bits}"
    multiply = arithmetic.operation_area_mm2("mul", operand, node)
    add = arithmetic.operation_area_mm2("add", f"int{2 * design.operand_bits}", node)
    single = arithmetic.operation_area_mm2("add", "fp32", node)
    selector = dim / 8 * arithmetic.operation_area_mm2("add", "int8", node) + multiply + add
    parts: Mapping[str, float] = {
        "hash": design.hash_multipliers * (multiply + add),
        "selection": banks * design.selectors * selector,
        "products": banks * dim * (multiply + add),
        "weighted sums": banks * dim * (multiply + single),
        "division": design.output_multipliers * arithmetic.operation_area_mm2("mul", "fp32", node),
        "memories": sum(sram.area_mm2(max(256, size), node) for size in _memories(design, op).values()),
    }
    return {name: design.copies * area for name, area in parts.items()}
