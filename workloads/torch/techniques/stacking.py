"""Progressive stacking: a shallow network learns first, then its blocks are copied on top of themselves."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from siloom.sim.design import parameter
from siloom.sim.errors import InputError
from siloom.workloads.torch.named import CHOICE
from siloom.workloads.torch.networks.blocks import Blocks
from siloom.workloads.torch.recipe import Recipe
from siloom.workloads.torch.residual import row_of
from siloom.workloads.torch.technique import Technique

_STACKING = "Gong et al. 2019, Efficient Training of BERT by Progressively Stacking"


class Growing(Blocks):
    """A row of blocks whose upper ones wait outside at first: neither network nor optimizer has weights of theirs."""

    waiting: list[nn.Module]

    def shrink(self, depth: int) -> None:
        """Take all blocks but the first ``depth`` out."""
        self.waiting = list(self)[depth:]
        del self[depth:]

    def grow(self, optimizer: torch.optim.Optimizer) -> list[tuple[nn.Module, nn.Module]]:
        """Put as many blocks on top as there are, and under the optimizer; gives each block with the one above it."""
        below = list(self)
        above, self.waiting = self.waiting[: len(below)], self.waiting[len(below) :]
        for block in above:
            self.append(block)
        weights = optimizer.param_groups[0]["params"]
        weights += [weight for block in above for weight in block.parameters() if weight.requires_grad]
        return list(zip(below, above, strict=True))


@dataclass(frozen=True, kw_only=True)
class Stacking(Technique):
    """The recipe's blocks are the last stage; ``doublings`` times before, the network has half as many.

    Stages are equally long, and the last begins at the share ``until`` of the steps. At a doubling, block i is copied
    to block i + n. The function is not kept: what was f is then f of f, between the same embeddings and scores, and
    the loss rises until the copies have parted. What the optimizer knows of a copied weight is either ``copied`` with
    it, so that both move alike at first, or begins ``fresh`` (the paper does not say; weights alone are copied there
    as recalled). All blocks are drawn before training, and their draws are lost.
    """

    name = "stacking"
    summary = "a shallow network whose blocks are doubled while it learns"
    endless = False
    with_masks = False

    doublings: int = parameter(1, unit="", source=_STACKING, status="assumed", low=1, high=10)
    until: float = parameter(0.3, unit="of the steps", source=CHOICE, status="assumed", low=0.0, high=1.0)
    state: str = parameter("copied", unit="", source=CHOICE, status="assumed", choices=("copied", "fresh"))

    def fit(self, network: nn.Module, recipe: Recipe) -> None:
        """Find the row of blocks."""
        row = row_of(network, recipe, self.name)
        depth, rest = divmod(len(row), 2**self.doublings)
        if rest or not depth:
            raise InputError(
                f"stacking: the {len(row)} blocks of {recipe.name} must be a multiple of 2^doublings, "
                f"{2**self.doublings}"
            )
        for number, block in enumerate(row):
            if _built(block) != _built(row[number % depth]):
                raise InputError(
                    f"stacking: block {number} of {recipe.name} must be built as block {number % depth}, which is "
                    "copied to it"
                )
        row.__class__ = Growing

    def begin(self, model: nn.Module) -> None:
        """Leave the first stage of the network."""
        row = _row(model)
        row.shrink(len(row) // 2**self.doublings)

    @torch.no_grad()
    def update(self, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, steps: int) -> None:
        """Copy all blocks on top of themselves where a stage begins."""
        for _ in range(self._borders(steps).count(step)):
            for below, above in _row(model).grow(optimizer):
                above.load_state_dict(below.state_dict())
                if self.state == "copied":
                    _copy_state(optimizer, below, above)

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, steps: int) -> None:
        """Be as deep as behind so many steps."""
        for border in self._borders(steps):
            if border < step:
                _row(model).grow(optimizer)

    def _borders(self, steps: int) -> list[int]:
        """Steps before which the network doubles."""
        stages = range(1, self.doublings + 1)
        return [min(steps - 1, round(self.until * steps * stage / self.doublings)) for stage in stages]


def _row(model: nn.Module) -> Growing:
    return next(module for module in model.modules() if isinstance(module, Growing))


def _built(block: nn.Module) -> list[object]:
    """What two blocks must have in common for one to be copied to the other."""
    shapes = [(name, tuple(value.shape)) for name, value in block.state_dict().items()]
    return [*(type(module) for module in block.modules()), *shapes]


def _copy_state(optimizer: torch.optim.Optimizer, below: nn.Module, above: nn.Module) -> None:
    for old, new in zip(below.parameters(), above.parameters(), strict=True):
        if old in optimizer.state:
            optimizer.state[new] = copy.deepcopy(optimizer.state[old])
