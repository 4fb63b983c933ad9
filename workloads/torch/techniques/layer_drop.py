"""Layers that are left out at random while the network learns: LayerDrop and stochastic depth."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from siloom.sim.design import parameter
from siloom.workloads.torch.meter import Done, note_done
from siloom.workloads.torch.recipe import Recipe
from siloom.workloads.torch.residual import Around, row_of
from siloom.workloads.torch.technique import Technique

_LAYER_DROP = "LayerDrop, Fan et al. 2020, arXiv 1909.11556"
_STOCHASTIC_DEPTH = "Huang et al. 2016, arXiv 1603.09382"


class Skipped(Around):
    """In training a batch passes by a block with probability ``rate``; what is judged adds ``weight`` of its own part.

    A block that no batch of a step ran has no gradient, and the optimizer leaves it, momentum and decay too.
    """

    def __init__(self, block: nn.Module, place: int, rate: float, weight: float) -> None:
        super().__init__(block, place)
        self.rate, self.weight = rate, weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        if self.training:
            runs = bool(torch.rand(()) >= self.rate)
            note_done(f"batches of block {self.place}", Done(int(runs), 1))
            return self.block(x) if runs else x
        y: torch.Tensor = self.block(x)
        return y if self.weight == 1 else x + self.weight * (y - x)


@dataclass(frozen=True, kw_only=True)
class LayerDrop(Technique):
    """Each residual block is left out with probability ``rate``, batch by batch; all are judged, as they are."""

    name = "layer-drop"
    summary = "residual blocks left out at random (LayerDrop)"

    rate: float = parameter(0.2, unit="", source=_LAYER_DROP, status="recalled", low=0.0, high=1.0)

    def fit(self, network: nn.Module, recipe: Recipe) -> None:
        """Put the draw around every block."""
        row = row_of(network, recipe, self.name)
        for number, block in enumerate(row):
            row[number] = Skipped(block, number, self.rate, 1.0)


@dataclass(frozen=True, kw_only=True)
class StochasticDepth(Technique):
    """Block l of L is left out with probability l / L ``rate``; judged, each adds its part in the mean over draws."""

    name = "stochastic-depth"
    summary = "residual blocks left out at random, deep ones more often"

    rate: float = parameter(0.5, unit="", source=_STOCHASTIC_DEPTH, status="recalled", low=0.0, high=1.0)

    def fit(self, network: nn.Module, recipe: Recipe) -> None:
        """Put the draw around every block."""
        row = row_of(network, recipe, self.name)
        for number, block in enumerate(row):
            rate = (number + 1) / len(row) * self.rate
            row[number] = Skipped(block, number, rate, 1.0 - rate)
