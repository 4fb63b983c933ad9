"""Trials of ViTCoD: drawn, real and random heads under masks of all kinds, alone, in a row and against stalls.

Results and cycles are those that ``siloom run vitcod:memory=ideal,port_tokens=1,...`` gives for the same operands.
Where neighbours stall, only bits are compared: the model knows of no stalls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from siloom.models._vitcod_design import ViTCoDDesign
from siloom.models._vitcod_work import attention_parts
from siloom.models.vitcod import ViTCoD
from siloom.rtl.cosim import Trial
from siloom.rtl.exchange import Drain, Feed, Plan
from siloom.rtl.hardware import Hardware
from siloom.rtl.machines._vitcod_size import ViTCoDSize
from siloom.rtl.trials._attention import drawn, real, wild
from siloom.rtl.trials._sanger_streams import packed
from siloom.rtl.trials._vitcod_streams import plans_of, token_payloads
from siloom.sim.approximation import Mask
from siloom.sim.errors import InfeasibleError
from siloom.sim.fixed_point import to_codes
from siloom.sim.ops import Attention

_BASE = partial(ViTCoDDesign, memory="ideal", port_tokens=1, ratio=1.0)


def buildable(design: ViTCoDDesign) -> None:
    """Refuse what is no hardware, or none of this.

    Raises:
        InfeasibleError: naming field and limit.
    """

    def refuse(field: str, rule: str) -> None:
        raise InfeasibleError(f"vitcod: {field} must be {rule} in hardware, got {getattr(design, field)}")

    for field, only in (("convention", "physical"), ("memory", "ideal"), ("port_tokens", 1)):
        if getattr(design, field) != only:
            refuse(field, str(only))
    size = ViTCoDSize(design)
    if size.decodes:
        if not design.decoder_lines or size.encoded % design.decoder_lines:
            refuse("decoder_lines", f"a divisor of the {size.encoded} encoded heads")
        if size.dim % size.decode_cycles:
            refuse("pe_height", f"a multiple of the {size.decode_cycles} cycles in which a token is decoded")
    if size.lines > 16:
        refuse("pe_width", "at most 16 lines of the engines")
    if size.dim < 2:
        refuse("pe_height", "at least 2, the length of a head,")
    if size.seq < 2:
        refuse("operand_sram_bytes", "enough for two tokens of two heads")
    if design.softmax_cycles < size.settle_cycles:
        refuse("softmax_cycles", f"at least {size.settle_cycles}")


@dataclass(frozen=True)
class _Run:
    """Heads one after another; ``fields`` are those of the design that hardware is not built from."""

    name: str
    op: Attention
    fields: dict[str, object]
    stalls: bool = False


def _runs(size: ViTCoDSize, seed: int) -> Iterator[_Run]:
    seq, dim = size.seq, size.dim
    odd = 2 * seq // 3 + 1

    def heads(wanted: int) -> int:
        """As many as are encoded together, where they are."""
        return size.heads if size.decodes else wanted

    dense: dict[str, object] = {"theta_d": seq // 2}
    yield _Run("drawn", drawn(seq, dim, seed, heads=heads(2)), {"theta_p": 0.6, **dense})
    yield _Run("random mask", _masked(odd, dim, seed + 1, heads(2), 0.3, 2), dense)
    yield _Run("all keys", drawn(seq, dim, seed + 2, heads=heads(1)), {"theta_p": 1.0, **dense})
    yield _Run("sparser engine alone", _masked(seq, dim, seed + 3, heads(2), 0.3, 0), {"theta_d": seq})
    yield _Run("causal", drawn(odd, dim, seed + 4, heads=heads(3), causal=True), {"theta_p": 0.7, **dense})
    yield _Run("wild", _wild(seq, dim, seed + 5, heads(2)), dense)
    yield _Run("stalled", _masked(seq, dim, seed + 6, heads(3), 0.25, 1), dense, stalls=True)
    for first in (0, 4):
        op = _real(seq, dim, first, heads(2))
        if op is not None:
            yield _Run(f"real, from head {first}", op, {"theta_p": 0.6, "theta_d": op.seq // 3})
            yield _Run(f"real, from head {first}, stalled", op, {"theta_p": 0.8, "theta_d": op.seq // 3}, stalls=True)


def _mask(seed: int, seq: int, heads: int, density: float, full: int) -> Mask:
    """Random ones, the first columns of each head full but for a few, one row empty."""
    rng = np.random.default_rng([seed, 5])
    kept = rng.random((1, heads, seq, seq)) < density
    kept[..., :full] = rng.random((1, heads, seq, full)) < 0.9
    kept[..., seq // 2, :] = False
    kept[..., seq - 1] = False
    return kept


def _masked(seq: int, dim: int, seed: int, heads: int, density: float, full: int) -> Attention:
    return replace(drawn(seq, dim, seed, heads=heads), kept=_mask(seed, seq, heads, density, full))


def _wild(seq: int, dim: int, seed: int, heads: int) -> Attention:
    """Heads of numbers beyond their format."""
    ops = [wild(seq, dim, seed + head, 12.0) for head in range(heads)]
    return replace(_side_by_side(ops), kept=_mask(seed, seq, heads, 0.4, 1))


def _real(seq: int, dim: int, first: int, heads: int) -> Attention | None:
    """Heads of a BERT, one after another."""
    ops = [real(seq, dim, (first + head) % 8) for head in range(heads)]
    return _side_by_side([op for op in ops if op is not None]) if None not in ops else None


def _side_by_side(ops: Sequence[Attention]) -> Attention:
    """One operation of several of one head."""
    q, k, v = (np.concatenate([getattr(op, name) for op in ops], axis=1) for name in ("q", "k", "v"))
    return replace(ops[0], heads=len(ops), kv_heads=len(ops), q=q, k=k, v=v)


def trials(design: ViTCoDDesign, seed: int) -> list[Trial]:
    """Heads whose cycles are compared, and heads against stalls."""
    size = ViTCoDSize(design)
    rng = np.random.default_rng([seed, size.seq, size.dim])
    return [_trial(size, run, rng) for run in _runs(size, seed)]


def _trial(size: ViTCoDSize, run: _Run, rng: np.random.Generator) -> Trial:
    design, op = replace(size.design, **run.fields), run.op  # type: ignore[arg-type]
    machine = ViTCoD(design)
    result = machine.run(op, values=True)
    given = op.operands()
    codes = [to_codes(x, design.operand_bits, design.fraction_bits)[0] for x in (given.q, given.k, given.v)]
    masks = machine.masks(op)
    plans = plans_of(
        replace_design(size, design), attention_parts(op, masks), [own for batch in masks for own in batch]
    )
    feeds: dict[str, list[int]] = {"head": [], "qk": [], "v": []}
    known_bits = 2 * size.count_bits + size.lines.bit_length()
    coded = machine.encoded(op) if size.decodes else []
    for number, at in enumerate(np.ndindex(op.batch, op.heads)):
        plan = plans[number]
        feeds["head"].append(op.seq | plan.global_tokens << size.count_bits | plan.denser << 2 * size.count_bits)
        q, k, v = (x[at].astype(np.int64) for x in codes)
        if coded:
            # All encoded heads of a token side by side.
            q, k = (one.heads[:, at[0]].transpose(1, 0, 2).reshape(op.seq, -1) for one in coded)
            weights = packed(np.concatenate([one.decoder[at[1]] for one in coded])[None], design.weight_bits)[0]
            feeds["head"][-1] |= weights << known_bits
        feeds["qk"] += token_payloads(size, q, k, masks[at], plan)
        feeds["v"] += packed(v[plan.order].astype(np.int64), size.bits)
    encoded = size.encoded if size.decodes else 0
    widths = {
        "head": known_bits + 2 * encoded * design.weight_bits,
        "qk": size.bits * size.dim * max(1, encoded) + size.seq + size.line_bits,
        "v": size.bits * size.dim,
    }
    out = np.rint(np.asarray(result.values) * (1 << design.fraction_bits)).astype(np.int64)
    rows = packed(out.reshape(-1, op.dim), size.bits)
    places = [(at % op.seq) | (at // op.seq % 2) << size.index_bits for at in range(len(rows))]
    answers = [row | place << widths["v"] for row, place in zip(rows, places, strict=True)]
    stalled: dict[str, list[int]] = {name: _idle(rng, len(feed)) for name, feed in feeds.items()}
    limit = 8 * (result.cycles or 0) + 2000
    return Trial(
        Plan(
            name=run.name,
            feeds={
                name: Feed(widths[name], payloads, (stalled if run.stalls else _paces(size, op))[name])
                for name, payloads in feeds.items()
            },
            drains={
                "o": Drain(widths["v"] + size.index_bits + 1, len(answers), _ready(rng, limit) if run.stalls else ())
            },
            limit=limit,
            seed=int(rng.integers(2**31)),
        ),
        {"o": answers},
        None if run.stalls else result.cycles,
        unordered=frozenset({"o"}),
    )


def _paces(size: ViTCoDSize, op: Attention) -> dict[str, list[int]]:
    """One port gives a token a cycle: a head's queries and keys, its values, then the next head's.

    Where tokens are decoded for longer than that they wait.
    """
    heads = op.batch * op.heads
    waits = size.decodes and size.decode_cycles > 1
    tokens = [0 if waits else op.seq] + [0] * (2 * op.seq - 1)
    values = [2 * op.seq] + [0] * (op.seq - 1)
    # The first head is announced in the cycle before.
    return {
        "head": [0] * heads,
        "qk": [0] * len(tokens) + tokens * (heads - 1),
        "v": [2 * op.seq + 1] + values[1:] + values * (heads - 1),
    }


def replace_design(size: ViTCoDSize, design: ViTCoDDesign) -> ViTCoDSize:
    """The same hardware under another design's thresholds."""
    return ViTCoDSize(replace(size.design, theta_d=design.theta_d, theta_p=design.theta_p))


def _idle(rng: np.random.Generator, beats: int) -> list[int]:
    """Mostly none, sometimes a few cycles, now and then many."""
    waits = np.where(rng.random(beats) < 0.9, rng.integers(0, 3, beats), rng.integers(0, 40, beats))
    return [int(wait) for wait in waits]


def _ready(rng: np.random.Generator, cycles: int) -> list[bool]:
    """Single cycles and long bursts of not being ready."""
    bursts = np.repeat(rng.random(cycles // 40 + 1) < 0.7, 40)[:cycles]
    return [bool(r) for r in (rng.random(cycles) < 0.7) & bursts]


def _size(lines: int, seq: int, dim: int, **changes: object) -> ViTCoDDesign:
    """A machine with memories for heads of ``seq`` tokens."""
    bits = int(changes.get("operand_bits", 8))  # type: ignore[call-overload]
    return _BASE(
        pe_width=lines,
        pe_height=dim,
        operand_sram_bytes=max(64, -(-2 * seq * dim * bits // 8)),
        output_sram_bytes=max(64, 2 * seq * seq),
        **changes,  # type: ignore[arg-type]
    )


def _decodes(heads: int, encoded: int, lines: int) -> dict[str, object]:
    """So many heads come encoded as fewer, and so many lines decode them."""
    return {"codec_heads": heads, "ratio": encoded / heads, "decoder_lines": lines}


_SIZES = (
    _size(3, 24, 4, operand_bits=6, fraction_bits=3, mantissa_bits=6),
    _size(3, 24, 4, operand_bits=6, fraction_bits=3, mantissa_bits=6, **_decodes(3, 2, 1)),
    _size(4, 64, 16),
    _size(6, 64, 32, weight_bits=6, **_decodes(4, 2, 1)),
    _size(6, 128, 64, **_decodes(2, 1, 1)),
)

HARDWARE = Hardware(
    name="vitcod",
    summary="fixed masks, dense and sparse columns on an engine each, keys and outputs held still in turn",
    base=_SIZES[0],
    sizes=_SIZES,
    trials=trials,
    bound=0.02,
    buildable=buildable,
)
