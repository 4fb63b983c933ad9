"""Heads of attention as Sanger's streams of operands, and its results as a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from siloom.models.sanger import root_code
from siloom.rtl.exchange import Drain, Feed, Plan
from siloom.rtl.machines._sanger_size import SangerSize
from siloom.sim.contract import Codes
from siloom.sim.drawn_attention import Reals32
from siloom.sim.fixed_point import to_codes
from siloom.sim.ops import Attention
from siloom.sim.selection.predicted_scores import SCALE, PredictorOperands
from siloom.sim.units.int4_predictor import shared_scale


@dataclass(frozen=True)
class Stalls:
    """How the neighbours stall: cycles before beats of a stream in, and readiness by cycle, both repeated."""

    idle: Sequence[int] = ()
    ready: Sequence[bool] = (True,)


def make_plan(
    size: SangerSize, name: str, op: Attention, output: Reals32, load: tuple[int, int], limit: int, seed: int,
    stalls: Stalls | None,
) -> tuple[Plan, dict[str, list[int]]]:  # fmt: skip
    """What is driven for the heads of ``op``, and what must come out.

    Args:
        size: of the machine.
        name: of the trial.
        op: the heads, [batch, heads, seq, dim].
        output: the model's results, of the same shape.
        load: cycles in which a head's operands come, at least as many as the longest stream has words, and cycles
            until the first does.
        limit: cycles after which the run is broken off.
        seed: of the junk.
        stalls: how neighbours stall beyond the memory's pace.
    """
    design = size.design
    words, answers = head_words(size, op), []
    for at in np.ndindex(op.batch, op.heads):
        codes = np.rint(output[at].astype(np.float64) * (1 << design.fraction_bits)).astype(np.int64)
        answers += packed(codes.reshape(-1, size.rows), design.operand_bits)
    feeds = {}
    for stream, (bits, heads) in words.items():
        idle: list[int] = []
        for number, beats in enumerate(heads):
            pace = _pace(len(beats), load[0]) if stream == "kv" else [0] * len(beats)
            if stream == "kv" and number == 0:
                pace[0] += load[1]
            idle += pace
        payloads = [beat for beats in heads for beat in beats]
        if stalls is not None and stalls.idle:
            idle = [spent + stalls.idle[k % len(stalls.idle)] for k, spent in enumerate(idle)]
        feeds[stream] = Feed(bits, payloads, idle)
    ready = list(stalls.ready) * (limit // len(stalls.ready)) if stalls is not None else []
    drain = Drain(size.rows * design.operand_bits, len(answers), ready)
    return Plan(name, feeds, {"o": drain}, limit, seed), {"o": answers}


def _pace(beats: int, cycles: int) -> list[int]:
    """Cycles before every beat, none before the first, so that all come within ``cycles``."""
    when = [k * (cycles - 1) // max(beats - 1, 1) for k in range(beats)]
    return [at - before - 1 for before, at in zip([-1, *when], when, strict=False)]


def head_words(size: SangerSize, op: Attention) -> Mapping[str, tuple[int, list[list[int]]]]:
    """Bits of every stream in, and its payloads by head; places without a query or key hold zeros."""
    design, given = size.design, op.operands()
    scales = shared_scale(given.q, design.predictor_bits), shared_scale(given.k, design.predictor_bits)
    out: dict[str, tuple[int, list[list[int]]]] = {}

    def add(name: str, lanes: Codes, bits: int) -> None:
        payloads = packed(lanes, bits)
        payloads[-1] |= 1 << (bits * lanes.shape[1])
        out.setdefault(name, (bits * lanes.shape[1] + 1, []))[1].append(payloads)

    for at in np.ndindex(op.batch, op.heads):
        q, k, v = given.q[at], given.k[at], given.v[at]
        codes = PredictorOperands.of(q, k, scales, design.predictor_bits)
        exact = [to_codes(x, design.operand_bits, design.fraction_bits)[0].astype(np.int64) for x in (q, k, v)]
        add("query_codes", blocks(codes.q.astype(np.int64), size.rows), design.predictor_bits)
        add("key_codes", blocks(codes.k.astype(np.int64), size.columns), design.predictor_bits)
        add("query_scales", blocks(codes.rows[:, None], size.rows), SCALE.row_bits)
        add("key_scales", blocks(codes.keys[:, None], size.columns), SCALE.key_bits)
        add("q", exact[0].reshape(-1, size.rows), design.operand_bits)
        kv = np.concatenate([blocks(x, size.columns) for x in exact[1:]])
        add("kv", kv, design.operand_bits)
        fields = (
            (op.seq, size.seq.bit_length()),
            (op.dim, size.dim.bit_length()),
            (codes.shift, size.predicted_scale.shifted.bits),
            (int(op.causal), 1),
            (root_code(op.dim), SCALE.row_bits),
        )
        payload = width = 0
        for value, bits in fields:
            payload |= value << width
            width += bits
        out.setdefault("head", (width, []))[1].append([payload])
    return out


def blocks(vectors: Codes, lanes: int) -> Codes:
    """Vectors [n, dim] as words of one element of ``lanes`` vectors, block by block, element by element."""
    n, dim = vectors.shape
    padded = np.zeros((-(-n // lanes) * lanes, dim), np.int64)
    padded[:n] = vectors
    return padded.reshape(-1, lanes, dim).transpose(0, 2, 1).reshape(-1, lanes)


def packed(lanes: Codes, bits: int) -> list[int]:
    """Payloads of words [words, lanes], the first lane lowest."""
    mask = (1 << bits) - 1
    out = []
    for row in lanes.tolist():
        word = 0
        for k, code in enumerate(row):
            word |= (code & mask) << (bits * k)
        out.append(word)
    return out
