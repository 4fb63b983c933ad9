"""Keys chosen by a greedy search and a threshold: A3's (Ham et al., HPCA 2020).

The search (``sim/units/greedy_search.py``) takes the largest and the smallest component products of a query with the
sorted columns of K, one after another, and leaves the keys whose sum of them is above zero. Of these, post-scoring
(``post_score.py``) leaves the keys whose weight is above a share of the largest one. Either may be switched off. A
query without any candidate takes the key of the largest greedy sum, the lowest among equals; where not all keys
are allowed the search still runs over all, and the others are dropped from its candidates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.approximation import Mask
from siloom.sim.design import Design, parameter
from siloom.sim.fixed_point import Codes32, exact_products
from siloom.sim.selection.best_key import keep_best_where_none
from siloom.sim.units.greedy_search import REFINEMENTS, greedy_scores, sorted_ends
from siloom.sim.units.post_score import bound_code, near_largest

Counts = npt.NDArray[np.int64]
_PAPER = "Ham et al., A3, HPCA 2020"
_UNBOUNDED = 2**62


@dataclass(frozen=True)
class Choice:
    """What was chosen for some queries, [queries, keys]: ``candidates`` of the search, of these the keys ``kept``.

    ``scores`` are exact products, ``largest`` [queries] the largest among a query's candidates; ``rescued`` queries had
    no candidate of their own.
    """

    candidates: Mask
    kept: Mask
    scores: Counts
    largest: Counts
    rescued: int


@dataclass(frozen=True, kw_only=True)
class GreedyKeys(Design):
    """The choices of search and post-scoring.

    Raises (when made):
        InputError: a field out of its range.
    """

    iterations_share: float = parameter(
        0.5,
        unit="",
        source=_PAPER + ": iterations over keys, 1/2 conservative, 1/8 aggressive; 0: no search",
        status="recalled",
        low=0.0,
        high=8.0,
    )
    post_threshold_percent: float = parameter(
        5.0,
        unit="%",
        source=_PAPER + ": of the largest weight, 5 conservative, 10 aggressive; 0: no post-scoring",
        status="recalled",
        low=0.0,
        high=99.0,
    )
    refinement: str = parameter(
        "skip",
        unit="",
        source=_PAPER + ": while the sum of greedy scores is negative the smallest product waits",
        status="recalled",
        choices=REFINEMENTS,
    )
    operand_bits: int = parameter(9, unit="bit", source=_PAPER, status="recalled", low=3, high=13)
    fraction_bits: int = parameter(4, unit="bit", source=_PAPER, status="recalled", low=0, high=12)

    def iterations(self, keys: int) -> int:
        """Iterations of a search among so many keys; 0 where there is no search."""
        return max(1, round(self.iterations_share * keys)) if self.iterations_share else 0

    def post_bound(self, dim: int) -> int:
        """How far below the largest an exact product is dropped; only where there is post-scoring."""
        return bound_code(self.post_threshold_percent, math.ldexp(1.0, -2 * self.fraction_bits) / math.sqrt(dim))

    def select(self, q: Codes32, k: Codes32, allowed: Mask) -> Choice:
        """The keys of some queries: q [queries, dim] and k [keys, dim] are codes, ``allowed`` is [queries, keys]."""
        keys, dim = k.shape
        passes = self.iterations(keys)
        rescued = 0
        candidates = allowed
        if passes:
            ends = sorted_ends(k, min(keys, passes))
            greedy = greedy_scores(q, *ends, keys, passes, REFINEMENTS.index(self.refinement))
            candidates = (greedy > 0) & allowed
            rescued = keep_best_where_none(candidates, allowed, lambda rows: greedy[rows])
        scores = exact_products(q, k, self.operand_bits)
        bound = self.post_bound(dim) if self.post_threshold_percent else _UNBOUNDED
        kept, largest = near_largest(scores, candidates, bound)
        return Choice(candidates, kept, scores, largest, rescued)
