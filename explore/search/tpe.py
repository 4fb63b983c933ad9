"""Tree-structured Parzen estimators (Bergstra et al., NIPS 2011; of several objectives Ozaki et al., JAIR 2022).

The points seen are split into the better and the others (of several objectives by their fronts, of broken constraints
by how much they are broken), each part is a density, and what is proposed is likely among the better and unlikely among
the others. Optuna computes it, in memory. The points of a batch are proposed one after another while none is known:
those under way count among the others (the constant liar), so that they lie apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from siloom.explore.search import Search, Told
from siloom.explore.search._proposals import Proposals, violations
from siloom.explore.space import Space


class Tpe(Search):
    """Parzen estimators of all fields together; the first batch is drawn at random."""

    name = "tpe"
    summary = "tree-structured Parzen estimators by Optuna: few points, each chosen at length"
    adaptive = True

    def __init__(self, space: Space, **how: Any) -> None:
        super().__init__(space, **how)
        self._proposals = Proposals(
            self.name,
            space,
            self.batch,
            self.points,
            lambda samplers: samplers.TPESampler(
                n_startup_trials=self.batch,
                multivariate=True,
                group=True,  # the fields of each machine are estimated apart
                constant_liar=True,
                warn_independent_sampling=False,
                seed=self.seed,
                constraints_func=violations,
            ),
        )

    def ask(self) -> list[int]:
        """A batch, proposed from all that were told before."""
        return self._proposals.ask()

    def tell(self, told: Sequence[Told]) -> None:
        """Learn from the batch."""
        self._proposals.tell(told)
