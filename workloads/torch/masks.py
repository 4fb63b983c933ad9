"""Masks on the weights of a network, in torch's own convention (``torch.nn.utils.prune``).

A masked layer has the parameter ``weight_orig`` and the buffer ``weight_mask``; the ``weight`` that its product sees is
theirs multiplied. Where the mask is 0, weight and optimizer state are kept at 0 too, so that a weight that comes back
starts from 0, and lifting all masks for a moment changes no output.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.utils import prune


def maskable(model: nn.Module) -> dict[str, nn.Module]:
    """Layers that multiply by a weight matrix of their own, by path; a table of embeddings does not."""
    return {
        path: layer
        for path, layer in model.named_modules()
        if isinstance(layer._parameters.get("weight"), nn.Parameter)
        and layer.weight.ndim > 1
        and not isinstance(layer, nn.Embedding)
    }


class Masks:
    """The masks of a network in training; all of ones when made."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, *, masked: bool = True) -> None:
        self.layers = maskable(model) if masked else {}
        self._optimizer = optimizer
        for layer in self.layers.values():
            prune.custom_from_mask(layer, "weight", torch.ones_like(layer.get_parameter("weight")))  # type: ignore[no-untyped-call]

    def weight(self, path: str) -> torch.Tensor:
        """The parameter of a layer: 0 where it is not kept."""
        return self.layers[path].get_parameter("weight_orig")

    def mask(self, path: str) -> torch.Tensor:
        """1 where a weight of the layer is kept, else 0."""
        return self.layers[path].get_buffer("weight_mask")

    @torch.no_grad()
    def put(self, path: str, kept: torch.Tensor) -> None:
        """Lay another mask on a layer; ``kept`` is of its weight's shape."""
        weight = self.weight(path)
        changed = kept != self.mask(path).bool()
        self.mask(path).copy_(kept)
        weight[~kept] = 0
        for value in self._optimizer.state.get(weight, {}).values():
            if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                value[changed] = 0

    def put_largest(self, scores: dict[str, torch.Tensor], density: float) -> None:
        """Keep the share ``density`` of all weights, those with the largest scores anywhere in the network."""
        everything = torch.cat([score.flatten() for score in scores.values()])
        kept = torch.zeros(len(everything), dtype=torch.bool)
        kept[everything.argsort(descending=True, stable=True)[: round(density * len(everything))]] = True
        parts = torch.split(kept, [score.numel() for score in scores.values()])
        for (path, score), part in zip(scores.items(), parts, strict=True):
            self.put(path, part.reshape(score.shape))

    def restart(self) -> None:
        """Let the optimizer forget all its state."""
        self._optimizer.state.clear()

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """All masks of ones within; outputs stay the same, and gradients reach every weight."""
        before = {path: self.mask(path).clone() for path in self.layers}
        for path in self.layers:
            self.mask(path).fill_(1)
        try:
            yield
        finally:
            for path, mask in before.items():
                self.mask(path).copy_(mask)

    def densities(self) -> dict[str, float]:
        """Share of kept weights by layer."""
        return {path: float(self.mask(path).mean()) for path in self.layers}

    def density(self) -> float:
        """Share of kept weights of all masked layers; 1 without any."""
        sizes = [self.mask(path).numel() for path in self.layers]
        kept = [float(self.mask(path).sum()) for path in self.layers]
        return sum(kept) / sum(sizes) if sizes else 1.0
