"""Token dropping: the blocks in the middle see a part of the tokens, the rest pass them by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from siloom.sim.design import parameter
from siloom.sim.errors import InputError
from siloom.workloads.torch.meter import Done, note_done
from siloom.workloads.torch.recipe import Recipe
from siloom.workloads.torch.residual import Around, attends, row_of
from siloom.workloads.torch.technique import Technique

_LTD = "random-LTD, Yao et al. 2022, arXiv 2211.11586"


class Thinned(Around):
    """In training a block sees so many tokens of each example, drawn anew for each, in their order."""

    def __init__(self, block: nn.Module, place: int, keep: float) -> None:
        super().__init__(block, place)
        self.keep = keep

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From (B, S, D) to (B, S, D); tokens not drawn stay what they are."""
        batch, tokens, width = x.shape
        count = max(1, round(self.keep * tokens)) if self.training else tokens
        if count == tokens:
            whole: torch.Tensor = self.block(x)
            return whole
        note_done(f"tokens of block {self.place}", Done(batch * count, batch * tokens))
        drawn = torch.rand(batch, tokens).argsort(dim=1)[:, :count].sort(dim=1).values
        index = drawn[:, :, None].expand(-1, -1, width)
        return x.scatter(1, index, self.block(x.gather(1, index)))


@dataclass(frozen=True, kw_only=True)
class TokenDrop(Technique):
    """Each block that attends, but the first and the last ``edges`` of them, sees the share ``keep`` of the tokens.

    Every such block draws its own, so that a token which one leaves out is seen by another. Kept tokens stand in
    their order: what looks back still does. What is judged is the whole network on all tokens. The paper lets the
    share rise to 1 over training; here it stands still.
    """

    name = "token-drop"
    summary = "middle blocks see a random part of the tokens (random-LTD)"

    keep: float = parameter(0.5, unit="of the tokens", source=_LTD, status="assumed", low=1e-3, high=1.0)
    edges: int = parameter(1, unit="blocks", source=_LTD, status="recalled", low=0, high=1000)

    def fit(self, network: nn.Module, recipe: Recipe) -> None:
        """Put the draw around the blocks in the middle."""
        row = row_of(network, recipe, self.name)
        found = [number for number, block in enumerate(row) if attends(block)]
        middle = found[self.edges : len(found) - self.edges]
        if not middle:
            raise InputError(
                f"token-drop: edges must leave one of the {len(found)} blocks that attend in {recipe.name}, "
                f"got {self.edges}"
            )
        for number in middle:
            row[number] = Thinned(row[number], number, self.keep)
