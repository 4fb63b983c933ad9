"""Trials of the attention array: drawn, real and wild heads of every awkward length, in a row, and against stalls.

The model's cycles are those that ``siloom run flash_array:memory=ideal,...`` gives for the same heads; the RTL must
take exactly as many. Means are those of the machine's own functional model. Where neighbours stall, or heads of
different lengths follow one another, only bits are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siloom.models._attention import Head
from siloom.models._flash_design import FlashDesign
from siloom.models.flash_array import FlashArray, attend, head_codes
from siloom.rtl.cosim import Trial
from siloom.rtl.exchange import Drain, Feed, Plan
from siloom.rtl.hardware import Hardware
from siloom.rtl.machines._flash_size import LENGTH_BITS
from siloom.rtl.trials._attention import drawn, real, wild
from siloom.rtl.trials._systolic_streams import STALLS, Stalls, packed
from siloom.sim.approximation import exact_probabilities
from siloom.sim.contract import Codes
from siloom.sim.errors import InfeasibleError
from siloom.sim.ops import Attention

_MOST_CELLS = 4096
_SLACK_CYCLES = 64


@dataclass(frozen=True)
class _Coded:
    """A head's codes [seq, dim], and those of its means."""

    q: Codes
    k: Codes
    v: Codes
    means: Codes
    causal: bool


def buildable(design: FlashDesign) -> None:
    """Refuse what is no hardware, or none of this.

    Raises:
        InfeasibleError: naming field and limit.
    """
    if design.memory != "ideal":
        raise InfeasibleError(
            "flash_array: memory must be ideal (operands come as streams, memory is outside) to be built, "
            f"got {design.memory}"
        )
    if design.rows * design.cols > _MOST_CELLS:
        raise InfeasibleError(
            f"flash_array: rows must be at most {_MOST_CELLS // design.cols} beside cols {design.cols} to be built, "
            f"got {design.rows}"
        )


def trials(design: FlashDesign, seed: int) -> list[Trial]:
    """Heads alone and in a row, whose cycles are compared; heads of many lengths, and heads against stalls."""
    rng = np.random.default_rng([seed, design.rows, design.cols])
    dim, block, rows = design.cols, design.block, design.rows
    lengths = {
        "one": 1,
        "part": max(1, rows - 1),
        "tile": rows,
        "ragged": 2 * rows + 1,
        "block": block,
        "blocks": 3 * block + max(1, block // 2),
    }
    ops: dict[str, Attention] = {}
    for name, seq in lengths.items():
        ops[name] = drawn(seq, dim, seed)
        ops[f"causal-{name}"] = drawn(seq, dim, seed + 1, causal=True)
    ops["heads"] = drawn(rows + 2, dim, seed + 2, heads=3)
    ops["causal-heads"] = drawn(2 * block + 1, dim, seed + 3, heads=2, causal=True)
    ops["wild"] = wild(block + 3, dim, seed, 6.0)
    long = design.max_seq if design.max_seq <= 256 else 128
    ops["long"] = drawn(long, dim, seed + 4)
    ops["causal-long"] = drawn(long, dim, seed + 5, causal=True)
    found = real(min(long, 96), dim)
    if found is not None:
        ops["real"] = found
    ops = {name: op for name, op in ops.items() if op.seq <= design.max_seq}
    out = [trial_of(design, name, [op], rng) for name, op in ops.items()]
    mixed = [ops[name] for name in ("ragged", "causal-ragged", "one", "causal-blocks", "wild", "tile") if name in ops]
    for name, stalls in {"mixed": Stalls(), **STALLS}.items():
        out.append(trial_of(design, name, mixed, rng, stalls))
    return out


def trial_of(
    design: FlashDesign,
    name: str,
    ops: Sequence[Attention],
    rng: np.random.Generator,
    stalls: Stalls | None = None,
) -> Trial:
    """Attention after attention, each with all its heads; cycles are compared of one alone, without ``stalls``."""
    heads = [head for op in ops for head in _heads(design, op)]
    cycles = None
    if stalls is None:
        (op,) = ops
        cycles = FlashArray(design).run(op).cycles
    plan, answers = _plan(design, name, heads, cycles, rng, stalls or Stalls())
    return Trial(plan, answers, cycles)


def _heads(design: FlashDesign, op: Attention) -> list[_Coded]:
    given = op.operands()
    out = []
    for at in np.ndindex(op.batch, op.heads):
        q, k, v = given.q[at], given.k[at], given.v[at]
        head = Head(q, k, v, op.causal, exact_probabilities(q, k, op.causal))
        q_codes, k_codes, v_codes, _ = head_codes(design, head)
        means = attend(design, q_codes, k_codes, v_codes, head.allowed)
        wide = [codes.astype(np.int64) for codes in (q_codes, k_codes, v_codes)]
        out.append(_Coded(wide[0], wide[1], wide[2], means, op.causal))
    return out


def _plan(
    design: FlashDesign,
    name: str,
    heads: Sequence[_Coded],
    cycles: int | None,
    rng: np.random.Generator,
    stalls: Stalls,
) -> tuple[Plan, dict[str, list[int]]]:
    """What is driven for these heads, and the means that must come out of every stream."""
    bits = design.operand_bits
    streams: dict[str, list[Codes]] = {"q": [], "k": [], "v": []}
    means: list[list[Codes]] = [[] for _ in range(design.rows)]
    for head in heads:
        streams["q"].append(head.q)
        for first in range(0, len(head.q), design.rows):
            queries = min(design.rows, len(head.q) - first)
            keys = first + queries if head.causal else len(head.q)
            streams["k"].append(head.k[:keys])
            streams["v"].append(head.v[:keys])
            for i in range(queries):
                means[i].append(head.means[first + i, ::-1])
    jobs = [len(head.q) | head.causal << LENGTH_BITS for head in heads]
    given = {"job": (LENGTH_BITS + 1, jobs)}
    given |= {name: (bits * design.cols, packed(np.concatenate(parts), bits)) for name, parts in streams.items()}
    answers = {
        f"means{i}": packed(np.concatenate(parts)[:, None], bits) if parts else [] for i, parts in enumerate(means)
    }
    beats = sum(len(payloads) for _, payloads in given.values()) + sum(map(len, answers.values()))
    limit = 12 * beats + 40 * (design.cols + design.block) + 1000 if cycles is None else 3 * cycles + _SLACK_CYCLES
    plan = Plan(
        name=name,
        feeds={
            name: Feed(width, payloads, np.resize(rng.permutation(stalls.idle), len(payloads)).tolist())
            for name, (width, payloads) in given.items()
        },
        drains={
            name: Drain(bits, len(payloads), _ready(rng, stalls.ready, limit)) for name, payloads in answers.items()
        },
        limit=limit,
        seed=int(rng.integers(2**31)),
    )
    return plan, answers


def _ready(rng: np.random.Generator, pattern: Sequence[bool], limit: int) -> list[bool]:
    if all(pattern):
        return []
    turned = np.roll(np.array(pattern), int(rng.integers(len(pattern))))
    return [bool(ready) for ready in np.resize(turned, limit)]


def _size(rows: int, cols: int, block: int, **changes: object) -> FlashDesign:
    given = {"memory": "ideal", "operand_bits": 9, "fraction_bits": 5, "max_seq": 256}
    return FlashDesign(rows=rows, cols=cols, block=block, **{**given, **changes})  # type: ignore[arg-type]


HARDWARE = Hardware(
    name="flash_array",
    summary="attention on one systolic array: scores, online softmax and values block by block (FlashAttention)",
    base=_size(2, 4, 4, max_seq=64),
    sizes=(
        _size(2, 4, 4, max_seq=64),
        _size(3, 5, 2, exp_stages=1, max_seq=64, score_fraction=6),
        _size(4, 8, 16),
        _size(8, 16, 16, operand_bits=12, fraction_bits=7, exp_stages=3),
        _size(16, 16, 8),
        _size(4, 64, 64),
        _size(16, 64, 32),
    ),
    trials=trials,
    bound=0.0,
    buildable=buildable,
)
