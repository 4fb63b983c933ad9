"""ELSA's masks: keys that lie near their query by their hashes (Ham et al., ISCA 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from siloom.sim.approximation import Mask
from siloom.sim.design import parameter, same_parameter
from siloom.sim.drawn_attention import Reals32
from siloom.sim.fixed_point import to_codes
from siloom.sim.selection.hashed_keys import Degree, HashedKeys, learn_thresholds, threshold_code
from siloom.workloads.torch.methods import Method, Scene, Tensors


@dataclass(frozen=True, kw_only=True)
class Elsa(Method):
    """Keys whose estimated score is above a threshold learnt from data.

    The paper filters networks that are trained already (recalled); here they learn under the mask, which is detached.
    The threshold of a layer is the mean, over what was seen in training, of what keeps every key whose probability is
    above ``p / n``, n being the keys that a query may look at (recalled); until then all keys are kept. The paper
    takes the mean over a training set with a network that stands still. Here the network moves, so the mean
    forgets: of ``memory`` batches.
    """

    name = "elsa"
    summary = "keys near their query by hash, above a learnt threshold (ELSA, ISCA 2021)"

    p: float = same_parameter(Degree, "p")
    memory: int = parameter(100, unit="batches", source="of the threshold's mean", status="assumed", low=1, high=10**9)
    projection: str = same_parameter(HashedKeys, "projection")
    seed: int = same_parameter(HashedKeys, "seed")

    def learnt(self, heads: int, dim: int) -> dict[str, torch.Tensor]:
        """``threshold``, keeping all before any data, and the batches ``seen``."""
        return {"threshold": torch.tensor(-1.0), "seen": torch.tensor(0)}

    def observe(self, scene: Scene, learnt: Tensors) -> None:
        """Move the mean by this batch's heads."""
        q, k, allowed = scene.stack
        found = learn_thresholds(q, k, self._above(q, k, allowed)) if self.p else [-1.0]
        seen = learnt["seen"].add_(1)
        share = 1.0 / min(int(seen), self.memory)
        learnt["threshold"].lerp_(torch.tensor(float(np.mean(found))), share)

    def select(self, scene: Scene, learnt: Tensors) -> torch.Tensor:
        """The masks of all heads."""
        way = HashedKeys(projection=self.projection, seed=self.seed)
        code = threshold_code(float(learnt["threshold"]))
        q, k, allowed = scene.stack
        of_q, of_k = (to_codes(x, way.operand_bits, way.fraction_bits)[0] for x in (q, k))
        kept = way.select_stack(of_q, of_k, code, allowed) & allowed
        return scene.masks(kept)

    def _above(self, q: Reals32, k: Reals32, allowed: Mask) -> Mask:
        """Keys whose exact probability is above p / n."""
        scores = np.where(allowed, (q @ k.swapaxes(1, 2)) / np.float32(np.sqrt(q.shape[2])), -np.inf)
        powers = np.exp(scores - scores.max(axis=2, keepdims=True, initial=np.finfo(np.float32).min))
        counts = np.maximum(1, np.count_nonzero(allowed, axis=2, keepdims=True))
        above: Mask = (powers * counts > self.p * powers.sum(axis=2, keepdims=True)) & allowed
        return above
