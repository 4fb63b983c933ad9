"""What the parts of a lane of DOTA hand to each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import data

from siloom.rtl.barrel import named
from siloom.rtl.machines._dota_size import DotaSize


def head_layout(size: DotaSize) -> data.StructLayout:
    """What a head is like; a row keeps ``keep`` keys; scales are those of both sides' quantizers."""
    return data.StructLayout(
        {
            "seq": size.seq_bits,
            "causal": 1,
            "keep": size.keep.bit_length(),
            "key_before": size.quantizer.scale_bits,
            "key_after": size.low_rank.scale_bits,
            "query_before": size.quantizer.scale_bits,
            "query_after": size.low_rank.scale_bits,
        }
    )


def vector_layout(size: DotaSize) -> data.ArrayLayout:
    """A query, key or value."""
    return data.ArrayLayout(signed(size.design.operand_bits), size.dim)


def low_layout(size: DotaSize) -> data.ArrayLayout:
    """A low-rank vector, or a column of weights."""
    return data.ArrayLayout(signed(size.bits), size.rank)


def vector_bits(size: DotaSize) -> int:
    """Bits of a vector; a group of vectors is flat, because a wire for each element would be very many."""
    return size.dim * size.design.operand_bits


def low_bits(size: DotaSize) -> int:
    """Bits of a low-rank vector."""
    return size.rank * size.bits


def lane(value: Any, number: int, bits: int) -> Any:
    """One of the numbers, or of the vectors, of so many bits that lie side by side."""
    return value[number * bits : (number + 1) * bits]


def round_layout(size: DotaSize) -> data.StructLayout:
    """A round as the scheduler gives it."""
    unit = size.scheduler
    return data.StructLayout(
        {
            "key": data.ArrayLayout(unit.index.bits, size.per_round),
            "owners": data.ArrayLayout(unit.owners.bits, size.per_round),
        }
    )


def detect_step(size: DotaSize) -> data.StructLayout:
    """What goes with a cycle of detection: the word of keys, and in which buffer its scores are put."""
    return data.StructLayout({"valid": 1, "word": range(max(2, size.words(size.keys_at_once))), "parity": 1})


def visit_step(size: DotaSize) -> data.StructLayout:
    """What goes with a cycle of a round: scores or values, part of the vector, rows at work, which group."""
    return data.StructLayout(
        {
            "valid": 1,
            "values": 1,
            "slice": range(max(2, size.each)),
            "ends": 1,  # the round's last cycle
            "first": 1,  # round of the group
            "owners": size.tokens,
            "parity": 1,
        }
    )


def later(m: Module, value: Any, cycles: int, name: str) -> Any:
    """A value of so many cycles ago."""
    for number in range(cycles):
        shape = value.shape() if isinstance(value, data.View) else Value.cast(value).shape()
        held: Any = Signal(shape, name=f"{name}_{number + 1}")
        m.d.sync += held.eq(value)
        value = held
    return value


def total(m: Module, name: str, values: Sequence[Any]) -> Any:
    """The sum of these numbers, by a tree of adders."""
    level = 0
    left = list(values)
    while len(left) > 1:
        pairs = [named(m, left[k] + left[k + 1], f"{name}_{level}_{k}") for k in range(0, len(left) - 1, 2)]
        left = [*pairs, *left[2 * len(pairs) :]]
        level += 1
    return left[0]


def share(m: Module, name: str, value: Any, bits: int) -> Any:
    """``value / 2**bits``, rounded up."""
    up = named(m, value + ((1 << bits) - 1), name)
    return up[bits:]
