"""Dense layers with ReLU between them."""

from __future__ import annotations

import itertools

from torch import nn

from siloom.workloads.torch.networks.blocks import Blocks


def mlp(*widths: int, remat: bool = False) -> nn.Module:
    """From ``widths[0]`` inputs to ``widths[-1]`` outputs, which have no ReLU."""
    *inner, last = [nn.Linear(n, m) for n, m in itertools.pairwise(widths)]
    return Blocks(*(nn.Sequential(layer, nn.ReLU()) for layer in inner), last, remat=remat)
