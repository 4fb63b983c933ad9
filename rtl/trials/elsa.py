"""Trials of ELSA: whole heads, drawn and real, with every kind of threshold, alone, in a row and against stalls.

Results and cycles are those that ``siloom run elsa:copies=1,memory=ideal,...`` gives for the same operands. Where
neighbours stall, only bits are compared: the model knows of no stalls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from siloom.models._attention import Head
from siloom.models._elsa_design import ElsaDesign
from siloom.models.elsa import Elsa, head_threshold
from siloom.rtl.cosim import Trial
from siloom.rtl.exchange import Drain, Feed, Plan
from siloom.rtl.hardware import Hardware
from siloom.rtl.trials._attention import drawn, idle, ready, real, wild
from siloom.sim.approximation import exact_probabilities
from siloom.sim.contract import FLAG, Codes, Port, Stream, Whole
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.fixed_point import to_codes
from siloom.sim.ops import Attention
from siloom.sim.selection.hashed_keys import THRESHOLD_FRACTION

_PIPELINE = partial(ElsaDesign, copies=1, memory="ideal")
_MOST_DIM, _MOST_SEQ = 512, 4096


def _buildable(design: ElsaDesign) -> None:
    for field, only in (("copies", 1), ("heads_held", 1), ("memory", "ideal"), ("projection", "kronecker")):
        if (value := getattr(design, field)) != only:
            raise InfeasibleError(f"elsa: {field} must be {only} in hardware, got {value}")
    for field, least in (("max_seq", 2), ("dim", 2)):
        if (value := getattr(design, field)) < least:
            raise InfeasibleError(f"elsa: {field} must be at least {least} in hardware, got {value}")
    for field, most in (("max_seq", _MOST_SEQ), ("dim", _MOST_DIM)):
        if (value := getattr(design, field)) > most:
            raise InfeasibleError(f"elsa: {field} must be at most {most} in hardware, got {value}")
    units = design.units(design.dim)
    try:
        _ = units.hash, units.hamming
    except InputError as error:
        raise InfeasibleError(f"elsa: dim: {error}") from None


@dataclass(frozen=True)
class _Run:
    """Heads one after another; ``fields`` are those of the design that hardware is not built from."""

    name: str
    op: Attention
    fields: dict[str, object]
    stalls: bool = False


def _runs(design: ElsaDesign, seed: int) -> Iterator[_Run]:
    seq, dim = design.max_seq, design.dim
    odd = 2 * seq // 3 + 1
    yield _Run("drawn", drawn(seq, dim, seed), {"p": 1.0})
    yield _Run("independent", wild(seq, dim, seed + 8, 1.5), {"threshold": "0.3"})
    yield _Run("two heads, causal", drawn(odd, dim, seed + 1, heads=2, causal=True), {"p": 0.5})
    yield _Run("all keys", drawn(max(2, seq // 2), dim, seed + 2), {"p": 0.0})
    yield _Run("no candidates", wild(odd, dim, seed + 3, 1.5), {"threshold": "1"})
    yield _Run("few candidates", drawn(seq, dim, seed + 4), {"threshold": "0.6"})
    yield _Run("wild", wild(odd, dim, seed + 5, 12.0), {"threshold": "0.05"})
    yield _Run("two rows", drawn(2, dim, seed + 6, heads=2), {"p": 1.0})
    yield _Run("stalled", drawn(odd, dim, seed + 7, heads=2), {"p": 1.0}, stalls=True)
    for first in (0, 4):
        op = real(seq, dim, first)
        if op is not None:
            yield _Run(f"real, from head {first}", op, {"p": 1.0})
            yield _Run(f"real, from head {first}, stalled", op, {"p": 2.0}, stalls=True)


def _trials(design: ElsaDesign, seed: int) -> Sequence[Trial]:
    rng = np.random.default_rng([seed, design.max_seq, design.dim])
    return [_trial(replace(design, **run.fields), run, rng) for run in _runs(design, seed)]  # type: ignore[arg-type]


def _trial(design: ElsaDesign, run: _Run, rng: np.random.Generator) -> Trial:
    op = run.op
    result = Elsa(design).run(op, values=True)
    bits, fraction, dim = design.operand_bits, design.fraction_bits, op.dim
    row = Stream((Port("row", Whole(bits), "elements", dim),))
    given = op.operands()
    rows: dict[str, list[int]] = {"q": [], "k": [], "v": []}
    announced = []
    for at in np.ndindex(op.batch, op.heads):
        q, k, v = given.q[at], given.k[at], given.v[at]
        head = Head(q, k, v, op.causal, exact_probabilities(q, k, op.causal))
        announced.append((op.seq, int(op.causal), head_threshold(design, head)))
        for name, x in (("q", q), ("k", k), ("v", v)):
            rows[name] += row.pack(to_codes(x, bits, fraction)[0].astype(np.int64))
    heads = _head_stream(design)
    feeds = {"head": (heads.bits, heads.pack(np.array(announced, np.int64)))}
    feeds |= {name: (row.bits, payloads) for name, payloads in rows.items()}
    codes = np.rint(np.asarray(result.values) * (1 << fraction)).astype(np.int64).reshape(-1, dim)
    chunk, answers = _chunks(design, codes)
    limit = 8 * (result.cycles or 0) + 2000
    plan = Plan(
        name=run.name,
        feeds={
            name: Feed(width, payloads, idle(rng, len(payloads)) if run.stalls else [0] * len(payloads))
            for name, (width, payloads) in feeds.items()
        },
        drains={"o": Drain(chunk.bits, len(answers), ready(rng, limit) if run.stalls else ())},
        limit=limit,
        seed=int(rng.integers(2**31)),
    )
    return Trial(plan, {"o": answers}, None if run.stalls else result.cycles)


def _head_stream(design: ElsaDesign) -> Stream:
    return Stream(
        (
            Port("seq", Whole(design.max_seq.bit_length(), signed=False), "rows"),
            Port("causal", FLAG, "1: no later keys"),
            Port("threshold", Whole(THRESHOLD_FRACTION + 2), "its code"),
        )
    )


def _chunks(design: ElsaDesign, codes: Codes) -> tuple[Stream, list[int]]:
    """What of the rows is sent out in a cycle; zeros fill the last beat of a row."""
    units = design.units(design.dim)
    lanes = units.output_lanes
    padded = np.zeros((len(codes), units.finish_cycles * lanes), np.int64)
    padded[:, : design.dim] = codes
    stream = Stream((Port("code", Whole(design.operand_bits), "elements", lanes),))
    return stream, stream.pack(padded.reshape(-1, lanes))


HARDWARE = Hardware(
    name="elsa",
    summary="one pipeline of ELSA: heads whose keys are chosen by their hashes",
    base=_PIPELINE(max_seq=128, dim=64),
    sizes=(
        _PIPELINE(
            attention_units=2, selectors=2, queue_entries=3, hash_multipliers=8, output_multipliers=2, queries_held=4,
            max_seq=16, dim=4, operand_bits=6, norm_bits=5, mantissa_bits=6,
        ),
        _PIPELINE(
            attention_units=3, selectors=3, queue_entries=5, hash_multipliers=64, output_multipliers=5, queries_held=5,
            max_seq=40, dim=12,
        ),
        _PIPELINE(selectors=4, queue_entries=8, hash_multipliers=64, output_multipliers=8, max_seq=64, dim=32),
        _PIPELINE(max_seq=128, dim=64),
    ),
    trials=_trials,
    bound=0.0,
    buildable=_buildable,
)  # fmt: skip
