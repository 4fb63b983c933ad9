"""What the authors' own two models of Sanger say: closed forms of a length, a density and a load balance.

They describe a whole attention layer with its projections, H = heads * dim wide, on 64 x 16 multiply-accumulators at
1 GHz. ``v1`` (bench_sanger.py) scales attention *and the dense output projection* by density over load balance;
``v2`` (bench_sanger_v2.py) counts passes of 64 sub-rows over 64 keys, with 64 cycles of fill each way.

Source: hatsu3/Sanger at 5d99ba3, read; with its quirks.
"""

from __future__ import annotations

from collections.abc import Mapping

OPERATIONS_PER_S = 2.048e12
CLOCK_HZ = 1e9
_TILE = 64
_SPLIT = 0.25
"""16 of 64 columns a sub-row."""


def v1_seconds(seq: int, width: int, density: float, load_balance: float) -> dict[str, float]:
    """Seconds by part, of one sequence."""
    share = density / load_balance
    return {
        "projections": 6 * seq * width**2 / OPERATIONS_PER_S,
        "attention": 4 * seq**2 * width * share / OPERATIONS_PER_S,
        "output projection": 2 * seq * width**2 * share / OPERATIONS_PER_S,
    }


def v2_seconds(seq: int, width: int, density: float, load_balance: float) -> dict[str, float]:
    """Seconds by part, of one sequence."""
    share = density / load_balance
    sub_rows = share / _SPLIT * seq
    bytes_per_s, element = 128e9, 2
    # A column of operands must come in a cycle, or each step takes longer.
    slower = max(1.0, _TILE * element * CLOCK_HZ / bytes_per_s)
    passes = (sub_rows / _TILE) * (seq / _TILE)
    return {
        "projections": 6 * seq * width**2 / OPERATIONS_PER_S,
        "attention": passes * ((width + _TILE) + (sub_rows + _TILE)) * slower / CLOCK_HZ,
        "output projection": 2 * seq * width**2 * share / OPERATIONS_PER_S,
    }


FORMS: Mapping[str, object] = {"authors-v1": v1_seconds, "authors-v2": v2_seconds}
