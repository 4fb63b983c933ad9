"""Handwritten digits of 8 x 8 pixels: 1,437 to learn from and 360 to be judged on, from scikit-learn's package."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from siloom.sim.design import parameter
from siloom.sim.errors import MissingPartError
from siloom.workloads.torch.data import Data, Split
from siloom.workloads.torch.named import CHOICE
from siloom.workloads.torch.networks.mlp import mlp
from siloom.workloads.torch.networks.transformer import PatchEncoder
from siloom.workloads.torch.recipe import Recipe, epoch_count

HELD_OUT = 360
"""A fifth of the 1,797 images; one of them is 0.28 points of accuracy."""
_WHITE = 16.0
"""Largest value of a pixel."""


@dataclass(frozen=True, kw_only=True)
class Digits(Recipe):
    """An MLP 64-128-128-10, or a ViT of three blocks on 16 patches of 2 x 2 pixels."""

    name = "digits"
    summary = "scikit-learn's 1,797 images of digits; an MLP or a small ViT"
    schedule = "cosine"

    epochs: int = epoch_count(25)
    model: str = parameter("mlp", unit="", source=CHOICE, status="assumed", choices=("mlp", "vit"))

    @property
    def optimizer(self) -> str:
        """Adaptive for the ViT, whose layers' gradients differ much in size."""
        return "adamw:lr=0.003" if self.model == "vit" else "momentum:lr=0.05"

    def data(self) -> Data:
        """The split is the same in every run: drawn with seed 0."""
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise MissingPartError("digits: needs scikit-learn: pip install 'siloom[train]'") from None
        loaded = load_digits()
        order = np.random.default_rng(0).permutation(len(loaded.target))
        inputs = torch.from_numpy((loaded.images[order] / _WHITE).astype(np.float32))
        targets = torch.from_numpy(loaded.target[order].astype(np.uint8))
        return Data(
            Split(inputs[HELD_OUT:], targets[HELD_OUT:]),
            Split(inputs[:HELD_OUT], targets[:HELD_OUT]),
            {"classes": 10, "pixels": 64},
        )

    def step_count(self, data: Data) -> int:
        """Those of all epochs."""
        return self.steps_of_epochs(data, self.epochs)

    def network(self, data: Data) -> nn.Module:
        """Drawn from torch's generator."""
        if self.model == "vit":
            return PatchEncoder(8, 2, 10, width=32, layers=3, heads=4, remat=self.remat)
        return nn.Sequential(nn.Flatten(), mlp(64, 128, 128, 10, remat=self.remat))
