"""What travels between Sanger's parts."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Shape, signed
from amaranth.lib import data

from siloom.rtl.machines._sanger_size import SangerSize
from siloom.sim.selection.predicted_scores import EXP, SCALE


def head_layout(size: SangerSize) -> Any:
    """What is known of a head before it comes; ``root``: one over the root of ``dim``, in the scale's own format."""
    return data.StructLayout(
        {
            "seq": (size.seq).bit_length(),
            "dim": (size.dim).bit_length(),
            "shift": size.predicted_scale.shifted.bits,
            "causal": 1,
            "root": SCALE.row_bits,
        }
    )


def word_layout(shape: Any, lanes: int) -> Any:
    """A word of an operand memory on its way in; ``last``: the head has no more of this kind."""
    return data.StructLayout({"word": data.ArrayLayout(shape, lanes), "last": 1})


def operand_layouts(size: SangerSize) -> dict[str, tuple[Any, int]]:
    """Shape and lanes of every operand stream's words."""
    code, operand = signed(size.design.predictor_bits), signed(size.design.operand_bits)
    return {
        "query_codes": (code, size.rows),
        "key_codes": (code, size.columns),
        "query_scales": (Shape(SCALE.row_bits), size.rows),
        "key_scales": (Shape(SCALE.key_bits), size.columns),
        "q": (operand, size.rows),
        "kv": (operand, size.columns),
    }


def mean_layout(size: SangerSize) -> Any:
    """A word of the result."""
    return data.ArrayLayout(signed(size.design.operand_bits), size.rows)


def sub_row_layout(size: SangerSize) -> Any:
    """A sub-row as it waits for its pass."""
    return data.StructLayout(
        {
            "columns": data.ArrayLayout(size.column_bits, size.places),
            "count": size.pack.counted.bits,
            "query": size.query_bits,
        }
    )


def task_layout(size: SangerSize) -> Any:
    """A sub-row as a row of PEs gets it; ``base``: where its query's words begin; ``first``: of its query."""
    return data.StructLayout(
        {
            "columns": data.ArrayLayout(size.column_bits, size.places),
            "count": size.pack.counted.bits,
            "query": size.query_bits,
            "base": size.word_bits,
            "first": 1,
            "largest": signed(SCALE.score_bits),
        }
    )


def step_layout(size: SangerSize) -> Any:
    """What a row of PEs does in a cycle: element ``element`` of queries and keys, or of values."""
    return data.StructLayout(
        {"valid": 1, "values": 1, "first": 1, "last": 1, "parity": 1, "element": size.element_bits}
    )


def weight_layout(size: SangerSize) -> Any:
    """The weights of a sub-row, together."""
    total = EXP.width + size.places.bit_length() - 1
    return data.StructLayout({"valid": 1, "total": total, "query": size.query_bits, "first": 1})


def partial_layout(size: SangerSize) -> Any:
    """One element of a sub-row's weighted sum, and where it belongs."""
    return data.StructLayout(
        {
            "sum": signed(EXP.width + size.design.operand_bits + size.places.bit_length() - 1),
            "word": size.word_bits,
            "first": 1,
            "valid": 1,
        }
    )
