"""ViTCoD (You et al., HPCA 2023): fixed masks, split into dense and sparse columns for an engine each.

Masks are made offline (``sim/split_conquer.py``): averaged attention is pruned, and tokens whose column has many
non-zeros, the global ones, are moved to the front. Lines of the array, ``pe_height`` multiply-accumulators each, are
split head by head between a denser engine for those columns and a sparser one for the rest, in proportion to their
work. Scores are made column by column with the key held still, partial sums passing between multipliers; the products
with V hold the output still, row by row. Q and K come encoded: an auto-encoder makes fewer heads of many
(``sim/units/head_mix.py``), a decoder on the chip gives all of them back.

Times: :mod:`siloom.sim.engine.column_engines`, its items the tokens and columns of every head's own mask. A column of
the denser engine is worked on by all its lines, a query each, whether kept or not. In the sparser engine a line holds
``pe_height`` elements of a key, or of an output, and takes what is kept in that column or row one after another.
Loading and decoding go on meanwhile. Attention that comes without a mask gets
one: split and conquer on other operands drawn by the same law, or, where operands are given, on these.

``convention=authors`` is the authors' simulator, on a whole kept workload (:mod:`siloom.models._vitcod_authors`).

Where the paper is silent: lines take tiles of columns as they become free; the decoder has lines of its own, as many as
its share of the whole operation's work; each engine adds up its own part of a row, in rising order of keys, and the two
are added; the largest scores of rows are looked up one in a cycle before the denser engine turns to these rows; rows
of the output leave one in a cycle as they are done; the exponential (``exp_float``) is applied to a head's scores as
they are read for the product with V, when each row's largest is known, and the division to the output; results are
written after the next product's operands are read; a head is charged its share of the encoded heads, a token being
decoded for all of them at once. Encoding belongs to the projections that make Q and K, and is not timed. A row of which
nothing is kept gives zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siloom.models._attention import (
    ENERGY_TABLES,
    Head,
    HeadRun,
    Port,
    attention_result,
    divided_sums,
    pins_bytes_per_s,
    require_attention,
    run_heads,
    supports_attention,
)
from siloom.models._masked import head_masks
from siloom.models._vitcod_authors import authors_result
from siloom.models._vitcod_cost import Events, area_parts, energy_parts
from siloom.models._vitcod_design import ViTCoDDesign
from siloom.models._vitcod_units import mix_unit, power_unit
from siloom.models._vitcod_work import Part, Work, attention_parts, works_of
from siloom.sim.approximation import Mask, exact_probabilities
from siloom.sim.cost import table_hash
from siloom.sim.drawn_attention import Clustered, Operands, Reals32
from siloom.sim.engine.column_engines import CAUSES, DENSER, SPARSER, Product, run_columns
from siloom.sim.fixed_point import exact_products, to_codes
from siloom.sim.machine import Machine
from siloom.sim.ops import SDDMM, Attention, Item, Operation, SpMM, Workload
from siloom.sim.result import Phase, Result, utilization
from siloom.sim.split_conquer import prune
from siloom.sim.units.exp_float import exp_float_codes
from siloom.sim.units.head_mix import HeadMix, fit_codec, mixed_heads, weight_codes
from siloom.sim.units.weighted_sum import weighted_sums

__all__ = ["ViTCoD", "ViTCoDDesign"]

_LARGEST_SEED = 2**63 - 1


class ViTCoD(Machine):
    """Attention under fixed masks, and the sparse products that it is made of."""

    name = "vitcod"
    kind = "accelerator"
    summary = "attention under fixed masks, dense and sparse columns on an engine each (ViTCoD, HPCA 2023)"
    operations = (Attention, SDDMM, SpMM)
    design_type = ViTCoDDesign
    design: ViTCoDDesign

    def supports(self, op: Operation) -> bool:
        """Attention's forward pass, sampled products and products with a dense side."""
        return isinstance(op, (SDDMM, SpMM)) or supports_attention(op)

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """Run one operation; ``values``: attention's output that the hardware would give.

        Raises:
            InputError: another operation, or one that the authors' convention is not defined on.
        """
        return self.run_in_order([Item(op)], values=values)[0]

    def run_in_order(self, items: Sequence[Item], *, values: bool = False) -> Sequence[Result]:
        """Products one after another on the engines: the next one's operands come meanwhile.

        Scores stay on the chip where the product with V at the same mask comes next.

        Raises:
            InputError: as :meth:`run`.
        """
        if self.design.convention == "authors":
            return [self._by_authors(Workload.of(item.op.name or item.op.kind, item.op)) for item in items]
        ops = [item.op for item in items]
        fitted_on: dict[int, list[Operands]] = {}
        masks: dict[int, Mask] = {}
        parts: list[list[Part]] = []
        for at, op in enumerate(ops):
            if isinstance(op, (SDDMM, SpMM)):
                mask, depth = (op.mask, op.k) if isinstance(op, SDDMM) else (op.a, op.n)
                scored = isinstance(op, SDDMM)
                off_chip = not _pair(ops, at if scored else at - 1)
                parts.append([Part(mask, depth, self.design.codec_heads, scored, off_chip)])
            else:
                attention = require_attention(self.label, op)
                fitted_on[at] = self._calibration(attention)
                masks[at] = self._masks(attention, fitted_on[at])
                parts.append(attention_parts(attention, masks[at]))
        works = works_of(self.design, parts)
        products = _with_latency(self.design, [work.product for own in works for work in own])
        causes = run_columns(products, products_held(works)).causes
        results, first = [], 0
        for at, (op, own) in enumerate(zip(ops, works, strict=True)):
            spent = causes[first : first + len(own)]
            first += len(own)
            if isinstance(op, Attention):
                results.append(self._attention_result(op, fitted_on[at], masks[at], own, spent, values))
            elif isinstance(op, (SDDMM, SpMM)):
                results.append(self._product_result(op, own[0], spent[0]))
        return results

    def run_whole(self, workload: Workload) -> Result | None:
        """The authors' convention, which reads one head of each layer."""
        return self._by_authors(workload) if self.design.convention == "authors" else None

    def masks(self, op: Attention) -> Mask:
        """Masks of an operation, [batch, heads, seq, seq]."""
        return self._masks(op, self._calibration(op))

    def encoded(self, op: Attention) -> list[Encoded]:
        """Q and K of an operation as they come from memory."""
        given = op.operands()
        q, k = (to_codes(x, self.design.operand_bits, self.design.fraction_bits)[0] for x in (given.q, given.k))
        return encoded(self.design, op, self._calibration(op), q, k)

    def _by_authors(self, workload: Workload) -> Result:
        return authors_result(self.label, self.design, workload)

    def _masks(self, op: Attention, fitted_on: Sequence[Operands]) -> Mask:
        """Masks of an operation, [batch, heads, seq, seq]: those it is given, else one a head for the whole batch."""
        if op.kept is not None:
            return head_masks(op)
        maps = np.zeros((op.heads, op.seq, op.seq), np.float32)
        for given in fitted_on:
            for at in np.ndindex(given.q.shape[:2]):
                maps[at[1]] += exact_probabilities(given.q[at], given.k[at], op.causal)
        kept = np.stack([prune(own, self.design.theta_p, self.design.kept_tokens) for own in maps])
        if op.causal:
            kept = np.tril(kept)
        return np.broadcast_to(kept, (op.batch, *kept.shape))

    def _matters(self, op: Attention, head: Head) -> Mask:
        """The keys that matter: by the rule that made the mask, or, where one is given, those above a uniform share."""
        if op.kept is not None:
            return head.above_share(1.0)
        own: Mask = prune(head.probabilities, self.design.theta_p) & head.allowed
        return own

    def _calibration(self, op: Attention) -> list[Operands]:
        """Operands to fit masks and codec on: the operation's where they are given, else drawn with other seeds."""
        if op.kept is not None and self.design.encoded_heads(op.heads) == op.heads:
            return []
        if op.q is not None:
            return [op.operands()]
        law = op.law if op.law is not None else Clustered()
        seeds = ((law.seed + 1 + at) % _LARGEST_SEED for at in range(self.design.calibration_maps))
        return [replace(op, batch=1, kept=None, law=replace(law, seed=seed)).operands() for seed in seeds]

    def _attention_result(
        self,
        op: Attention,
        fitted_on: Sequence[Operands],
        masks: Mask,
        works: list[Work],
        causes: npt.NDArray[np.int64],
        values: bool,
    ) -> Result:
        design = self.design
        given = op.operands()
        codes = [to_codes(x, design.operand_bits, design.fraction_bits) for x in (given.q, given.k, given.v)]
        decoded, saturated = self._through_codec(op, fitted_on, codes[0][0], codes[1][0])
        kept_of, places = masks.reshape(-1, op.seq, op.seq), iter(range(op.batch * op.heads))
        flat = [x.reshape(-1, op.seq, op.dim) for x in (*decoded, codes[2][0])]
        lost = {"difference": 0.0, "output": 0.0}
        plain = [x[0].reshape(-1, op.seq, op.dim) for x in codes]

        def head(given_head: Head) -> HeadRun:
            at = next(places)
            kept = kept_of[at]
            output = attend(design, flat[0][at], flat[1][at], flat[2][at], kept)
            if design.encoded_heads(op.heads) != op.heads:
                without = attend(design, plain[0][at], plain[1][at], plain[2][at], kept)
                lost["difference"] += float(np.square(output - without).sum())
                lost["output"] += float(np.square(without).sum())
            return HeadRun(
                phases={},
                output=output,
                kept=kept,
                matters=self._matters(op, given_head),
                events={"kept": int(np.count_nonzero(kept))},
                counters={"rows_without_key": int(np.count_nonzero(~kept.any(axis=1)))},
            )

        phases = {
            name: _by_cause(causes[part::2].sum(axis=0)) for part, name in enumerate(("scores", "products with v"))
        }
        whole = run_heads(op, given, head, lambda _: phases)
        spent = _spent(design, works, whole.heads * op.seq * op.dim)
        cut = saturated + sum(beyond for _, beyond in codes)
        whole = replace(
            whole,
            events={**whole.events, **spent.operations},
            counters={**whole.counters, "saturations": cut, **spent.counters},
        )
        result = attention_result(
            self.label,
            op,
            design,
            whole,
            clock_hz=design.clock_hz,
            precision=(f"int{design.operand_bits}",),
            peak_multiplies_per_cycle=design.macs,
            bytes_per_s=pins_bytes_per_s(design.memory, design.memory_channels),
            energy=spent.energy,
            area=area_parts(design),
            traffic=spent.traffic,
            notes=self._notes(op),
            values=values,
        )
        checks = {"reconstruction_error": _relative(codes[0][0], decoded[0], codes[1][0], decoded[1])}
        checks["codec_output_error"] = math.sqrt(lost["difference"] / lost["output"]) if lost["output"] else 0.0
        return replace(result, checks=checks, operations={**result.operations, **spent.operations})

    def _through_codec(
        self, op: Attention, samples: Sequence[Operands], q: npt.NDArray[np.int32], k: npt.NDArray[np.int32]
    ) -> tuple[list[npt.NDArray[np.int32]], int]:
        """Q and K as the decoder gives them back, and how many codes were held at the ends of their format."""
        design = self.design
        if design.encoded_heads(op.heads) == op.heads:
            return [q, k], 0
        back, held = [], 0
        for coded in encoded(design, op, samples, q, k):
            heads, beyond = _mixed(design, coded.heads, coded.decoder)
            held += coded.held + beyond
            back.append(np.ascontiguousarray(np.moveaxis(heads, 0, 1)).astype(np.int32))
        return back, held

    def _notes(self, op: Attention) -> tuple[str, ...]:
        design = self.design
        notes = ["encoding Q and K belongs to the projections that make them and is not timed"]
        if op.kept is None:
            drawn = f"{design.calibration_maps} other sequence(s) drawn by the same law"
            where = "these operands" if op.q is not None else drawn
            notes.append(f"one mask a head, by split and conquer on {where}")
        else:
            of_these = "; it may come from these very operands" if op.q is not None else ""
            notes.append(f"the mask was given{of_these}: keys matter whose probability is above a uniform share")
        if design.encoded_heads(op.heads) != op.heads:
            notes.append("the auto-encoder is a least-squares fit, not trained with a network as the paper's is")
        return tuple(notes)

    def _product_result(self, op: SDDMM | SpMM, work: Work, causes: npt.NDArray[np.int64]) -> Result:
        design = self.design
        stalls = _by_cause(causes)
        cycles = sum(stalls.values())
        seconds = cycles / design.clock_hz
        notes: tuple[str, ...] = ()
        if isinstance(op, SDDMM):
            phase, results, divided = "scores", op.mask.nnz, 0
            notes = (f"Q and K encoded with {design.codec_heads} heads",)
        else:
            phase, results = "products with v", op.a.shape[0] * op.n
            divided = results
        spent = _spent(design, [work], divided)
        area = area_parts(design)
        operations = {**spent.operations, "effective_multiplies": op.multiplies, "results": results}
        peaks = {"operations_per_s": 2.0 * design.macs * design.clock_hz}
        pins = pins_bytes_per_s(design.memory, design.memory_channels)
        if math.isfinite(pins):
            peaks["bytes_per_s"] = pins
        return Result(
            machine=self.label,
            workload=op.name or op.kind,
            seconds=seconds,
            overhead_s=0.0,
            cycles=cycles,
            clock_hz=design.clock_hz,
            energy_j=math.fsum(spent.energy.values()),
            energy_parts=spent.energy,
            area_mm2=math.fsum(area.values()),
            area_parts=area,
            operations=operations,
            traffic_bytes=spent.traffic,
            phases=(Phase(phase, cycles, seconds, stalls),),
            stalls=stalls,
            counters=spent.counters,
            precision=(f"int{design.operand_bits}",),
            utilization=utilization(operations, op.flops, peaks, seconds),
            peaks=peaks,
            notes=notes,
            design=design.as_dict(),
            provenance={
                "design_hash": design.content_hash(),
                "tables": {name: table_hash(name) for name in ENERGY_TABLES},
            },
        )


class Encoded(NamedTuple):
    """Codes of encoded heads [encoded, batch, seq, dim], the decoder's weights [heads, encoded], and codes held."""

    heads: npt.NDArray[np.int64]
    decoder: npt.NDArray[np.int64]
    held: int


def encoded(
    design: ViTCoDDesign,
    op: Attention,
    samples: Sequence[Operands],
    q: npt.NDArray[np.int32],
    k: npt.NDArray[np.int32],
) -> list[Encoded]:
    """Q and K [batch, heads, seq, dim] as they come from memory, by a codec that is fitted on ``samples``."""
    kept = design.encoded_heads(op.heads)
    unit = mix_unit(design, kept)
    out = []
    for name, codes in (("q", q), ("k", k)):
        fitted = fit_codec(
            np.concatenate([np.moveaxis(getattr(s, name), 1, 0).reshape(op.heads, -1) for s in samples], axis=1),
            kept,
        )
        encoder, decoder = (
            weight_codes(weights, unit.weight_bits, unit.weight_fraction)
            for weights in (fitted.encoder, fitted.decoder)
        )
        heads, held = _mixed(design, np.moveaxis(codes, 1, 0).astype(np.int64), encoder)
        out.append(Encoded(heads, decoder, held))
    return out


def _mixed(
    design: ViTCoDDesign, heads: npt.NDArray[np.int64], weights: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], int]:
    return mixed_heads(heads, weights, mix_unit(design, len(heads)).weight_fraction, design.operand_bits)


def attend(
    design: ViTCoDDesign,
    q: npt.NDArray[np.int32],
    k: npt.NDArray[np.int32],
    v: npt.NDArray[np.int32],
    kept: Mask,
) -> Reals32:
    """The output of one head, back from its codes: exact scores, powers below each row's largest, sums in singles.

    Each engine sums its own columns, in rising order; the sparser one's sums are added to the denser one's.
    """
    unit = power_unit(design, q.shape[1])
    scores = exact_products(q, k, design.operand_bits)
    scores -= np.max(scores, axis=1, keepdims=True, where=kept, initial=-(1 << (unit.score_bits - 2)))
    np.minimum(scores, 0, out=scores)  # those that are not kept, and are not read
    weights = (exp_float_codes(scores, unit) << (23 - unit.mantissa_bits)).astype(np.uint32).view(np.float32)
    globals_ = np.count_nonzero(kept, axis=0) > design.theta_d
    denser, sparser = (weighted_sums(weights, v.astype(np.float32), kept & own, 1) for own in (globals_, ~globals_))
    return divided_sums(denser + sparser, design.operand_bits, design.fraction_bits)


def _pair(ops: Sequence[Operation], at: int) -> bool:
    """Whether scores at place ``at`` are followed by their product with V."""
    if not 0 <= at < len(ops) - 1:
        return False
    scores, sums = ops[at], ops[at + 1]
    return (
        isinstance(scores, SDDMM)
        and isinstance(sums, SpMM)
        and scores.mask.structure_hash == sums.a.structure_hash
        and scores.k == sums.n
    )


def products_held(works: Sequence[Sequence[Work]]) -> int:
    """Products whose operands are on the chip at a time.

    Where two heads have room, a third one's queries and keys come when the first is done altogether, not when its
    scores are: the rows of its mask are kept until then.
    """
    return 3 if all(work.heads_held == 2 for own in works for work in own) else 2


def _with_latency(design: ViTCoDDesign, products: list[Product]) -> list[Product]:
    """The first operand waits until its head is announced, and for the memory's answer and the decoder's lanes.

    Nothing is there to hide it.
    """
    if not products or not len(products[0].load):
        return products
    first = products[0].load.copy()
    filling = HeadMix().stages - 1 if products[0].decode.any() else 0
    first[0] += 1 + filling + Port.of(design.memory, design.memory_channels, 0, design.clock_hz).latency
    return [replace(products[0], load=first), *products[1:]]


def _by_cause(causes: npt.NDArray[np.int64]) -> dict[str, int]:
    return dict(zip(CAUSES, causes.tolist(), strict=True))


class _Spent(NamedTuple):
    """What an operation's products come to, of whichever kind it is.

    ``operations`` counts the engines' products; ``decoder_multiplies`` apart, which are none of the operation's.
    """

    energy: dict[str, float]
    traffic: dict[str, int]
    operations: dict[str, int]
    counters: dict[str, int]


def _spent(design: ViTCoDDesign, works: Sequence[Work], divided: int) -> _Spent:
    """All of ``works`` together; ``divided`` elements of the output are divided by a row's sum."""
    events = Events.sum_of([work.events for work in works])
    traffic: dict[str, int] = {}
    for work in works:
        for name, moved in work.traffic.items():
            traffic[name] = traffic.get(name, 0) + moved
    return _Spent(
        energy=energy_parts(design, events, divided, traffic["dram_read"] + traffic["dram_write"]),
        traffic=traffic,
        operations={
            "multiplies": events.engine_macs,
            "adds": events.engine_macs,
            "decoder_multiplies": events.decode_macs,
        },
        counters={
            "denser_items": sum(int((work.product.engine == DENSER).sum()) for work in works),
            "sparser_items": sum(int((work.product.engine == SPARSER).sum()) for work in works),
            "queries_forwarded": events.vectors_forwarded,
        },
    )


def _relative(q: npt.NDArray[np.int32], q_back: npt.NDArray[np.int32], k: npt.NDArray[np.int32],
              k_back: npt.NDArray[np.int32]) -> float:  # fmt: skip
    """Error of Q and K together in the Frobenius norm."""
    lost = sum(float(np.square((a - b).astype(np.float64)).sum()) for a, b in ((q, q_back), (k, k_back)))
    whole = sum(float(np.square(a.astype(np.float64)).sum()) for a in (q, k))
    return math.sqrt(lost / whole) if whole else 0.0
