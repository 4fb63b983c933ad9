"""LoRA: the network stands still, and a product of two thin matrices beside each dense layer learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from siloom.sim.design import parameter
from siloom.sim.errors import InputError
from siloom.workloads.torch.checkpoint import network_of
from siloom.workloads.torch.learnt import NAME
from siloom.workloads.torch.named import CHOICE
from siloom.workloads.torch.recipe import Recipe
from siloom.workloads.torch.technique import Technique

_LORA = "Hu et al. 2022, arXiv 2106.09685"


class Adapted(nn.Linear):
    """A dense layer W x + b that is frozen, plus ``scale`` times B A x: ``down`` is A (rank, in), ``up`` B (out, rank).

    Parameters of the layer keep their names, so that its checkpoints fit.
    """

    down: nn.Linear
    up: nn.Linear
    scale: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Three products; the scale, put where numbers are few, and the sum are in float32, outside of the unit."""
        added: torch.Tensor = self.up(self.scale * self.down(x))
        return super().forward(x) + added

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """One plain layer that computes the same: of weights W + scale B A."""
        made = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
        made.weight.copy_(self.weight + self.scale * self.up.weight @ self.down.weight)
        if self.bias is not None:
            made.bias.copy_(self.bias)
        return made


def adapt(layer: nn.Linear, rank: int, scale: float) -> None:
    """Make a layer an :class:`Adapted` one that computes what it did: A is drawn, B is 0."""
    layer.__class__ = Adapted
    assert isinstance(layer, Adapted)
    layer.scale = scale
    layer.down = nn.Linear(layer.in_features, rank, bias=False)
    layer.up = nn.Linear(rank, layer.out_features, bias=False)
    nn.init.normal_(layer.down.weight, std=layer.in_features**-0.5)
    nn.init.zeros_(layer.up.weight)


def merge(network: nn.Module) -> None:
    """Put plain layers in the place of all adapted ones below a network."""
    for path, layer in list(network.named_modules()):
        if isinstance(layer, Adapted):
            above, _, name = path.rpartition(".")
            setattr(network.get_submodule(above), name, layer.merged())


@dataclass(frozen=True, kw_only=True)
class Lora(Technique):
    """Every dense layer's W becomes W + alpha / rank B A, and nothing is trained but A and B.

    A is Gaussian, B zero, so that training begins from the network as it is; the paper gives A no variance, here it is
    one over the inputs, which keeps A x as large as x. The paper adapts two of attention's four projections; here all
    dense layers are, because those two lie in one layer with the third. Embeddings, norms, convolutions and biases
    stand still.

    ``base`` is a checkpoint of the same recipe without techniques, whose weights stand still; without one they are as
    they were drawn, which shows what a step costs but starts from nothing learned. A run that goes on from a checkpoint
    of its own reads ``base`` again, but takes all weights from there.
    """

    name = "lora"
    summary = "frozen weights with low-rank adapters (LoRA)"
    with_masks = False

    rank: int = parameter(4, unit="", source=_LORA, status="assumed", low=1, high=65536)
    alpha: float = parameter(8.0, unit="", source=_LORA, status="assumed", low=1e-6, high=1e6)
    base: str = parameter("none", unit="checkpoint", source=CHOICE, status="assumed")

    def fit(self, network: nn.Module, recipe: Recipe) -> None:
        """Load the base, freeze it, and adapt its dense layers."""
        if self.base != "none":
            _load(network, Path(self.base))
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        if not layers:
            raise InputError(f"lora: the network of {recipe.name} has no dense layer to adapt")
        network.requires_grad_(False)
        for layer in layers:
            adapt(layer, self.rank, self.alpha / self.rank)


def _load(network: nn.Module, path: Path) -> None:
    given = {key: value for key, value in network_of(path).items() if f".{NAME}." not in f".{key}"}
    own = network.state_dict()
    for key in sorted(own.keys() | given.keys()):
        kept, wanted = (tuple(state[key].shape) if key in state else "nothing" for state in (given, own))
        if kept != wanted:
            raise InputError(f"lora: base {path} must hold this recipe's network: {key} must be {wanted}, got {kept}")
    network.load_state_dict(given)
