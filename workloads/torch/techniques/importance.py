"""Importance sampling: examples that would move the weights far are learned from more often, and weigh less."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from siloom.sim.design import parameter
from siloom.workloads.torch.data import IGNORED
from siloom.workloads.torch.guards import check_loss
from siloom.workloads.torch.judged import judged
from siloom.workloads.torch.meter import Done, note_done
from siloom.workloads.torch.recipe import Recipe
from siloom.workloads.torch.technique import Objective, Technique

_IMPORTANCE = "Katharopoulos and Fleuret 2018, arXiv 1803.00942"


@dataclass(frozen=True, kw_only=True)
class Importance(Technique):
    """A batch is drawn, with replacement, among ``presample`` times as many examples, N of them.

    A forward pass of all N gives each a score, and example i is drawn with a probability p_i in proportion to it. Its
    loss weighs 1 / (N p_i), so that loss and gradient of the batch are in the mean those of all N. The score is

    - ``gradient``: the norm of the loss's gradient by the network's outputs, softmax less the right answer over all
      places asked, to which the norm of its gradient by the weights is bounded up to a factor that is the same for all;
    - ``loss``: the loss itself.

    The paper turns this on only once it pays, by a running estimate of the variance that it saves; here it is always
    on. Scores are those of the network as it is judged: nothing is left out of it. Epochs are counted by the examples
    learned from, so that ``presample`` times as many are looked at.
    """

    name = "importance"
    summary = "examples drawn by their gradients, weighted so that the mean stays (importance sampling)"

    score: str = parameter("gradient", unit="", source=_IMPORTANCE, choices=("gradient", "loss"))
    presample: int = parameter(3, unit="", source=_IMPORTANCE, status="recalled", low=2, high=1024)

    @property
    def pool(self) -> int:
        """Those that are scored."""
        return self.presample

    def fit(self, network: nn.Module, recipe: Recipe) -> None:
        """The network stays as it is."""

    def objective(self, plain: Objective, recipe: Recipe) -> Objective:
        """The weighted loss of a batch drawn from the examples given; not ``plain``, which weighs all alike."""

        def drawn(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            with judged(model):
                scores = self._scores(model(inputs), targets, recipe)
            count, total = len(inputs), scores.sum()
            shares = torch.where(total > 0, scores / total, 1.0 / count)
            try:
                index = torch.multinomial(shares, count // self.presample, replacement=True)
            except RuntimeError:
                check_loss(total, model, inputs)
                raise
            note_done("examples of those looked at", Done(len(index), count))
            losses = recipe.example_losses(model(inputs[index]), targets[index])
            weighted: torch.Tensor = (losses / (count * shares[index])).mean()
            return weighted * (count / (targets != IGNORED).sum())

        return drawn

    def _scores(self, outputs: torch.Tensor, targets: torch.Tensor, recipe: Recipe) -> torch.Tensor:
        return recipe.example_losses(outputs, targets) if self.score == "loss" else gradient_norms(outputs, targets)


def gradient_norms(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Norms (n,) of the cross entropy's gradient by ``outputs`` (n, ..., classes), over the places that are asked."""
    right = functional.one_hot(targets.clamp(min=0), outputs.shape[-1])
    gradient = (outputs.softmax(-1) - right) * (targets != IGNORED)[..., None]
    norms: torch.Tensor = gradient.flatten(1).norm(dim=1)
    return norms
