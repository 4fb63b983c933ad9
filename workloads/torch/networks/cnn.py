"""A small convolutional network in the manner of LeNet: two convolutions, two dense layers."""

from __future__ import annotations

import torch
from torch import nn

from siloom.workloads.torch.networks.blocks import Blocks


class Cnn(nn.Module):
    """Convolutions of 5 x 5 with ReLU, each followed by the maximum of 2 x 2; then dense layers."""

    def __init__(self, side: int, classes: int, *, channels: int, hidden: int, remat: bool = False) -> None:
        super().__init__()
        wide = 2 * channels
        self.features = Blocks(
            nn.Sequential(nn.Conv2d(1, channels, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            nn.Sequential(nn.Conv2d(channels, wide, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            remat=remat,
        )
        self.hidden = nn.Linear(wide * (side // 4) ** 2, hidden)
        self.scores = nn.Linear(hidden, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (B, side, side) to (B, classes)."""
        x = self.features(images[:, None]).flatten(1)
        y: torch.Tensor = self.scores(torch.relu(self.hidden(x)))
        return y
