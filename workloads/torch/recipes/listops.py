"""ListOps: nested operations on lists of digits as a row of tokens; what is learned is the digit that comes out.

The rule is that of the Long Range Arena (Tay et al. 2021, arXiv 2011.04006) and of its generator, after Nangia and
Bowman 2018. A node is a digit from 0 to 9 with probability 3/4, and for certain at the greatest depth; else one of MIN,
MAX, MED (the median, rounded down) and SM (the sum modulo 10), of 2 to ``arguments`` nodes. A tree counts a token for
each digit and two for each operation, which is closed by a bracket. Trees of other lengths than those asked for are
thrown away, and none comes twice. Distribution and rule are theirs, the trees are our own, and theirs are 500 to 2,000
tokens long: a length that asks for more time than a recipe here has.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from siloom.sim.design import parameter
from siloom.sim.errors import InputError
from siloom.workloads.torch.data import Data, Split
from siloom.workloads.torch.named import CHOICE
from siloom.workloads.torch.networks.transformer import TokenEncoder
from siloom.workloads.torch.recipe import Recipe, epoch_count

_RULE = "arXiv 2011.04006 and its generator listops"
_LEAF = 0.75
OPERATIONS: dict[str, Callable[[Sequence[int]], int]] = {
    "MIN": min,
    "MAX": max,
    "MED": lambda values: int(statistics.median(values)),
    "SM": lambda values: sum(values) % 10,
}
CLOSE, ASK, NOTHING = 10 + len(OPERATIONS), 11 + len(OPERATIONS), 12 + len(OPERATIONS)
"""Tokens behind the digits and the operations: the bracket, what stands first and is answered, what fills up."""
VOCABULARY = 13 + len(OPERATIONS)
_PATIENCE = 1000
"""Trees drawn for one that is wanted, before it is said that there are too few."""
_AT_ONCE = 2**14


@dataclass(frozen=True, kw_only=True)
class Listops(Recipe):
    """A transformer over all tokens, which answers at the first; what fills up shorter trees is a token like others."""

    name = "listops"
    summary = "nested operations on lists of digits, drawn by the Long Range Arena's rule; an encoder"
    optimizer = "adamw:lr=0.002"
    schedule = "cosine:warmup=100"

    epochs: int = epoch_count(10)
    batch: int = parameter(64, unit="examples", source=CHOICE, status="assumed", low=1, high=65536)
    shortest: int = parameter(6, unit="tokens", source=CHOICE, status="assumed", low=4, high=4096)
    longest: int = parameter(31, unit="tokens", source=CHOICE, status="assumed", low=4, high=4096)
    depth: int = parameter(10, unit="", source=_RULE, low=2, high=100)
    arguments: int = parameter(10, unit="", source=_RULE, low=2, high=100)
    examples: int = parameter(8000, unit="", source=CHOICE, status="assumed", low=1, high=10**6)
    judged_on: int = parameter(1000, unit="examples", source=CHOICE, status="assumed", low=1, high=10**5)
    draw: int = parameter(0, unit="seed", source=CHOICE, status="assumed", low=0, high=2**31)
    width: int = parameter(64, unit="", source=CHOICE, status="assumed", low=4, high=4096)
    layers: int = parameter(2, unit="", source=CHOICE, status="assumed", low=1, high=64)
    heads: int = parameter(4, unit="", source=CHOICE, status="assumed", low=1, high=64)

    def __post_init__(self) -> None:
        """Refuse fields that exclude each other."""
        super().__post_init__()
        if self.longest < self.shortest:
            raise InputError(f"listops: longest must be at least shortest, {self.shortest}, got {self.longest}")
        if self.width % self.heads:
            raise InputError(f"listops: width must be a multiple of heads, {self.heads}, got {self.width}")
        if self.examples * self.longest > 10**9:
            raise InputError(f"listops: examples * longest must be at most 10^9, got {self.examples * self.longest}")

    def data(self) -> Data:
        """Drawn with the seed ``draw``, whatever the seed of the run; what is judged on comes behind what is learned.

        Raises:
            InputError: there are too few different trees of these lengths.
        """
        wanted = self.examples + self.judged_on
        numbers = _numbers(self.draw)
        found: dict[tuple[int, ...], int] = {}
        for _ in range(_PATIENCE * wanted):
            tokens: list[int] = []
            answer = self._tree(1, numbers, tokens)
            if self.shortest <= len(tokens) <= self.longest:
                found[tuple(tokens)] = answer
                if len(found) == wanted:
                    break
        else:
            raise InputError(
                f"listops: examples and judged_on must be at most what there is of these lengths, of which "
                f"{len(found)} were found, got {wanted}"
            )
        inputs = np.full((wanted, 1 + self.longest), NOTHING, np.uint8)
        inputs[:, 0] = ASK
        for row, tokens_of_one in zip(inputs, found, strict=True):
            row[1 : 1 + len(tokens_of_one)] = tokens_of_one
        all_of_them = Split(torch.from_numpy(inputs), torch.tensor(list(found.values()), dtype=torch.uint8))
        learned, judged = slice(0, self.examples), slice(self.examples, wanted)
        answers = np.bincount(list(found.values()), minlength=10)
        return Data(
            Split(all_of_them.inputs[learned], all_of_them.targets[learned]),
            Split(all_of_them.inputs[judged], all_of_them.targets[judged]),
            {
                "vocabulary": VOCABULARY,
                "mean_length": float(np.mean([len(tokens_of_one) for tokens_of_one in found])),
                "commonest_answer_share": float(answers.max() / wanted),
            },
        )

    def step_count(self, data: Data) -> int:
        """Those of all epochs."""
        return self.steps_of_epochs(data, self.epochs)

    def network(self, data: Data) -> nn.Module:
        """Drawn from torch's generator."""
        return TokenEncoder(
            VOCABULARY, 1 + self.longest, 10, width=self.width, layers=self.layers, heads=self.heads, remat=self.remat
        )

    def _tree(self, depth: int, numbers: Iterator[float], tokens: list[int]) -> int:
        """Append a tree's tokens and give its value; of a tree that is too long only the beginning is drawn."""
        if depth >= self.depth or next(numbers) < _LEAF:
            value = int(10 * next(numbers))
            tokens.append(value)
            return value
        name = int(len(OPERATIONS) * next(numbers))
        tokens.append(10 + name)
        values = []
        for _ in range(2 + int((self.arguments - 1) * next(numbers))):
            if len(tokens) > self.longest:
                return 0
            values.append(self._tree(depth + 1, numbers, tokens))
        tokens.append(CLOSE)
        return list(OPERATIONS.values())[name](values)


def _numbers(seed: int) -> Iterator[float]:
    """Numbers from 0 to below 1, drawn many at once."""
    rng = np.random.default_rng(seed)
    while True:
        yield from rng.random(_AT_ONCE).tolist()
