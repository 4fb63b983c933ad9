"""What ELSA takes at least for an attention, in closed form over many designs at once.

Hashing all keys and the first query comes first; then the other queries' hashes, the banks' look at every hash and the
output go on beside each other, and the slowest decides. How many keys are candidates depends on the operands and is
taken to be none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from siloom.models._columns import ceil_div, each, largest
from siloom.models._elsa_design import ElsaDesign
from siloom.sim.machine import Bound
from siloom.sim.ops import Attention


def bound(op: Attention, d: Any, published: ElsaDesign, area: Any) -> Bound:
    """Least seconds of all heads on all pipelines; ``area`` is the design's, which is exact."""
    chosen = replace(published, projection=d.projection)

    def hash_cycles(multipliers: float) -> int:
        return replace(chosen, hash_multipliers=int(multipliers)).units(op.dim).hash_cycles

    hashing = each(hash_cycles, d.hash_multipliers)
    finish = each(lambda n: ceil_div(op.dim, min(int(n), op.dim)), d.output_multipliers)
    look = ceil_div(ceil_div(op.seq, d.attention_units), d.selectors)
    head = (op.seq + 1) * hashing + largest((op.seq - 1) * hashing, op.seq * finish, op.seq * look)
    rounds = ceil_div(op.batch * op.heads, d.copies)
    return Bound(rounds * head / d.clock_hz, area)
