"""Multi-query associative recall: pairs of a key and a value, then the keys again, each asking for its value.

The rule is that of Arora et al. 2023 (Zoology, arXiv 2312.04927) and of their published generator. An example begins
with ``pairs`` keys and values, all keys different and all values different; keys are the tokens from 1 to half the
vocabulary, values those of the other half. Behind them every key comes once more, at an even distance from the pairs'
end that is drawn without repetition by a power law (weight of distance i: i^(power - 1)), and its value is the right
answer at that place. All places left over hold tokens at random, and nothing is asked there. Distribution and rule are
theirs; the examples are our own, because the random numbers are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from siloom.sim.design import parameter
from siloom.sim.errors import InputError
from siloom.workloads.torch.data import IGNORED, Data, Split
from siloom.workloads.torch.named import CHOICE
from siloom.workloads.torch.networks.recall import Recall
from siloom.workloads.torch.recipe import Recipe, epoch_count

_RULE = "arXiv 2312.04927 and its generator multiquery_ar"
_LEARN, _JUDGE = 0, 1
"""Names of the two streams of random numbers."""


@dataclass(frozen=True, kw_only=True)
class Mqar(Recipe):
    """A gated convolution and attention, ``layers`` times; the same ``examples`` come in every epoch."""

    name = "mqar"
    summary = "multi-query associative recall, drawn by the published rule; one layer of attention"
    optimizer = "adamw:lr=0.005"
    schedule = "cosine:warmup=100"

    epochs: int = epoch_count(4)
    batch: int = parameter(64, unit="examples", source=CHOICE, status="assumed", low=1, high=65536)
    length: int = parameter(64, unit="tokens", source=_RULE, low=4, high=4096)
    pairs: int = parameter(4, unit="", source=_RULE, low=1, high=1024)
    vocabulary: int = parameter(256, unit="tokens", source=CHOICE, status="assumed", low=6, high=65536)
    power: float = parameter(0.01, unit="", source=_RULE, low=1e-6, high=1.0)
    examples: int = parameter(20_000, unit="", source=CHOICE, status="assumed", low=1, high=10**6)
    judged_on: int = parameter(1000, unit="examples", source=CHOICE, status="assumed", low=1, high=10**5)
    draw: int = parameter(0, unit="seed", source=CHOICE, status="assumed", low=0, high=2**31)
    width: int = parameter(64, unit="", source=CHOICE, status="assumed", low=4, high=4096)
    layers: int = parameter(1, unit="", source=CHOICE, status="assumed", low=1, high=64)
    heads: int = parameter(1, unit="", source=CHOICE, status="assumed", low=1, high=64)

    def __post_init__(self) -> None:
        """Refuse fields that exclude each other."""
        super().__post_init__()
        if self.length % 2 or 4 * self.pairs > self.length:
            raise InputError(f"mqar: length must be even and at least 4 * pairs = {4 * self.pairs}, got {self.length}")
        if self.vocabulary <= self.length:
            raise InputError(f"mqar: vocabulary must be above length, {self.length}, got {self.vocabulary}")
        if self.width % self.heads:
            raise InputError(f"mqar: width must be a multiple of heads, {self.heads}, got {self.width}")
        if self.examples * self.length > 10**9:
            raise InputError(f"mqar: examples * length must be at most 10^9, got {self.examples * self.length}")

    def data(self) -> Data:
        """Drawn with the seed ``draw``, whatever the seed of the run."""
        return Data(
            self._split(self.examples, _LEARN),
            self._split(self.judged_on, _JUDGE),
            {"vocabulary": self.vocabulary, "length": self.length, "pairs": self.pairs, "power": self.power},
        )

    def step_count(self, data: Data) -> int:
        """Those of all epochs."""
        return self.steps_of_epochs(data, self.epochs)

    def network(self, data: Data) -> nn.Module:
        """Drawn from torch's generator."""
        return Recall(self.vocabulary, width=self.width, layers=self.layers, heads=self.heads, remat=self.remat)

    def _split(self, examples: int, stream: int) -> Split:
        rng = np.random.default_rng([self.draw, stream])
        half, start = self.vocabulary // 2, 2 * self.pairs
        places = (self.length - start) // 2
        keys = 1 + _different(rng, examples, self.pairs, np.ones(half - 1))
        values = half + _different(rng, examples, self.pairs, np.ones(self.vocabulary - half))
        gaps = _different(rng, examples, self.pairs, np.arange(1.0, places + 1) ** (self.power - 1))
        inputs = rng.integers(0, self.vocabulary, (examples, self.length))
        inputs[:, 0:start:2], inputs[:, 1:start:2] = keys, values
        targets = np.full((examples, self.length), IGNORED, np.int32)
        asked = start + 2 * gaps
        np.put_along_axis(inputs, asked, keys, 1)
        np.put_along_axis(targets, asked, values.astype(np.int32), 1)
        return Split(torch.from_numpy(inputs.astype(np.int32)), torch.from_numpy(targets))


def _different(
    rng: np.random.Generator, rows: int, count: int, weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """``count`` different whole numbers a row, drawn one after another by weight.

    The largest of ln(uniform) / weight are such a draw (Efraimidis and Spirakis 2006). Rows are drawn a few at a time:
    all of them times all numbers would not fit memory.
    """
    out = np.empty((rows, count), np.int64)
    at_once = max(1, 2**22 // len(weights))
    for start in range(0, rows, at_once):
        block = out[start : start + at_once]
        scores = np.log(rng.random((len(block), len(weights)))) / weights
        block[:] = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return out
