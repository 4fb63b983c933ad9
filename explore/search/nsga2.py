"""NSGA-II (Deb et al., IEEE TEC 2002), by Optuna, in memory: our own store remembers, Optuna only proposes.

A generation is a batch. Points that break constraints take part by how much they break them (the constrained
domination of the paper, section VI).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from siloom.explore.search import Search, Told
from siloom.explore.search._proposals import Proposals, violations
from siloom.explore.space import Space


class Nsga2(Search):
    """Elitist non-dominated sorting with uniform crossover, a generation a batch."""

    name = "nsga2"
    summary = "NSGA-II by Optuna: a generation is a batch"
    adaptive = True

    def __init__(self, space: Space, **how: Any) -> None:
        super().__init__(space, **how)
        self._proposals = Proposals(
            self.name,
            space,
            self.batch,
            self.points,
            lambda samplers: samplers.NSGAIISampler(
                population_size=self.batch, seed=self.seed, constraints_func=violations
            ),
        )

    def ask(self) -> list[int]:
        """A generation, children of the last."""
        return self._proposals.ask()

    def tell(self, told: Sequence[Told]) -> None:
        """End the generation."""
        self._proposals.tell(told)
