"""The residual blocks of a recipe's network, for techniques of training that leave them out or put something around."""

from __future__ import annotations

from torch import nn

from siloom.sim.errors import InputError
from siloom.workloads.torch.networks.blocks import Blocks, ResidualBlock
from siloom.workloads.torch.networks.transformer import SelfAttention
from siloom.workloads.torch.recipe import Recipe


def row_of(network: nn.Module, recipe: Recipe, asked: str) -> Blocks:
    """The network's row of residual blocks; ``asked`` is the technique's name, for the message.

    Raises:
        InputError: it has none.
    """
    for row in network.modules():
        if isinstance(row, Blocks) and all(isinstance(block, ResidualBlock) for block in row):
            return row
    raise InputError(f"{asked}: the network of {recipe.name} has no row of residual blocks")


def attends(block: nn.Module) -> bool:
    """Whether attention is part of a block."""
    return any(isinstance(module, SelfAttention) for module in block.modules())


class Around(ResidualBlock):
    """What stands in a block's place, and around it; ``place`` is its number in the row, for reports."""

    def __init__(self, block: nn.Module, place: int) -> None:
        super().__init__()
        self.block, self.place = block, place
