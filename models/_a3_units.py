"""The functional units of one A3 pipeline, and how a module's depth is dealt out over what a key goes through in it.

A module takes its keys one a cycle, and the last one leaves it ``module_depth_cycles`` later, with its query. In that
time a key passes a register each where a memory is read, and the stages of its unit get the rest:

- products: a row of K is read; the product;
- exponents: a cycle for the last comparison of post-scoring, a score is read, its distance is scaled; the power;
- output: a power is read, then a row of V; share, product and sum.

A search's ``search_fill_cycles`` begin with the cycle in which the query is taken up, its unit's own do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from siloom.models._a3_design import A3Design
from siloom.sim.units.dot_product import DotProduct
from siloom.sim.units.exp_split import ExpSplit
from siloom.sim.units.greedy_search import GreedySearch
from siloom.sim.units.post_score import PostScore
from siloom.sim.units.share_sum import ShareSum

SCALE_BITS = 16
PRODUCT_READS, EXPONENT_READS, OUTPUT_READS = 1, 3, 2
"""Cycles of a module's depth that are not its unit's."""


@dataclass(frozen=True)
class A3Units:
    """Units for heads of ``keys`` rows of as many elements as there are lanes; InputError where there is no such unit.

    ``search`` and ``post`` are those of a design that has them.
    """

    design: A3Design

    @property
    def search(self) -> GreedySearch:
        """The greedy search."""
        design = self.design
        return GreedySearch(
            rows=design.keys,
            columns=design.lanes,
            value_bits=design.operand_bits,
            iterations=design.iterations(design.keys),
            refinement=design.refinement,
            fill_cycles=design.search_fill_cycles - 1,
        )

    @property
    def product(self) -> DotProduct:
        """A query's product with a key."""
        design, bits = self.design, self.design.operand_bits
        return DotProduct(dim=design.lanes, a_bits=bits, b_bits=bits, stages=design.module_depth_cycles - PRODUCT_READS)

    @property
    def post(self) -> PostScore:
        """Post-scoring of one score."""
        return PostScore(score_bits=self.product.total.bits, score_fraction=2 * self.design.fraction_bits, stages=1)

    @property
    def power(self) -> ExpSplit:
        """The exponential."""
        return replace(self.design.exponential, stages=self.design.module_depth_cycles - EXPONENT_READS)

    @property
    def share(self) -> ShareSum:
        """Shares times rows of V."""
        design = self.design
        return ShareSum(
            dim=design.lanes,
            power_bits=design.weight_fraction_bits + 1,
            share_fraction=design.weight_fraction_bits,
            value_bits=design.operand_bits,
            most_beats=design.keys,
            stages=design.module_depth_cycles - OUTPUT_READS,
        )


def scale_factor(dim: int) -> int:
    """1/sqrt(dim), with ``SCALE_BITS`` bits behind the point."""
    return round((1 << SCALE_BITS) / math.sqrt(dim))


def post_bound(design: A3Design, dim: int) -> int:
    """How far below the largest an exact product is dropped; only where there is post-scoring."""
    return design.selection.post_bound(dim)
