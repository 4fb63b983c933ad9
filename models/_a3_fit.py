"""A3's two settings from calibration operands: the fastest that still find what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from siloom.models._a3_design import A3Design
from siloom.models.a3 import above_percent, attention_causes, choices, query_cycles
from siloom.sim.approximation import exact_probabilities
from siloom.sim.drawn_attention import Operands, Reals32
from siloom.sim.errors import InputError
from siloom.sim.fixed_point import Codes32, to_codes


def fitted_design(
    design: A3Design,
    given: Operands,
    wish: float,
    *,
    measure: str = "mass_kept",
    causal: bool = False,
    shares: Sequence[float] = (0.03125, 0.0625, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0),
    percents: Sequence[float] = (50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.1, 0.0),
) -> A3Design:
    """The fastest of the settings tried that reaches ``wish`` on calibration operands; the base machine if none does.

    Args:
        design: everything but the two settings.
        given: calibration operands of some heads, [batch, heads, seq, dim].
        wish: share from 0 to 1 that must be reached over all heads.
        measure: ``mass_kept``, the exact softmax's probability on the keys kept, mean over rows; or ``recall``, the
            share kept of the keys whose exact probability is above the threshold's percentage of their row's largest.
        causal: whether a query sees only keys up to its own.
        shares: of iterations, to be tried with each of ``percents``.
        percents: thresholds of post-scoring.

    Raises:
        InputError: another measure, or a wish outside 0 to 1.
    """
    if measure not in ("mass_kept", "recall"):
        raise InputError(f"a3: measure must be mass_kept or recall, got {measure!r}")
    if not 0.0 <= wish <= 1.0:
        raise InputError(f"a3: wish must be from 0 to 1, got {wish}")
    heads = []
    for at in np.ndindex(given.q.shape[:2]):
        q, k = (to_codes(x[at], design.operand_bits, design.fraction_bits)[0] for x in (given.q, given.k))
        heads.append((q, k, exact_probabilities(given.q[at], given.k[at], causal)))
    base = replace(design, iterations_share=0.0, post_threshold_percent=0.0)
    best, least = base, _settled(base, heads, causal, measure)[1]
    for share in shares:
        for percent in percents:
            tried = replace(design, iterations_share=share, post_threshold_percent=percent)
            reached, cycles = _settled(tried, heads, causal, measure)
            if reached >= wish and cycles < least:
                best, least = tried, cycles
    return best


def _settled(
    design: A3Design, heads: Sequence[tuple[Codes32, Codes32, Reals32]], causal: bool, measure: str
) -> tuple[float, int]:
    """What a design reaches on these heads, and the cycles of their queries."""
    reached, of, cycles = 0.0, 0, 0
    for q, k, probabilities in heads:
        seq, dim = q.shape
        allowed = np.tril(np.ones((seq, seq), np.bool_)) if causal else np.ones((seq, seq), np.bool_)
        counts = np.empty((2, seq), np.int64)
        for part, choice in choices(design, q, k, allowed):
            counts[0, part] = np.count_nonzero(choice.candidates, axis=1)
            counts[1, part] = np.count_nonzero(choice.kept, axis=1)
            exact = probabilities[part]
            if measure == "recall":
                matters = above_percent(exact, design.post_threshold_percent) & allowed[part]
                reached += int(np.count_nonzero(matters & choice.kept))
                of += int(np.count_nonzero(matters))
            else:
                reached += float(np.sum(exact, where=choice.kept, dtype=np.float64))
                of += len(exact)
        cycles += sum(attention_causes(design, *query_cycles(design, seq, dim, *counts)).values())
    return (reached / of if of else 1.0), cycles
