"""DOTA's masks: keys that a low-rank detector, trained with the network, finds strong (Qu et al., ASPLOS 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from siloom.sim.design import parameter, same_parameter
from siloom.sim.fixed_point import to_codes
from siloom.sim.selection.low_rank_scores import LowRankScores, detector_of
from siloom.workloads.torch.methods import Method, Scene, Tensors


@dataclass(frozen=True, kw_only=True)
class Dota(Method):
    """The ``keep`` share of keys, by each row's largest estimates S~ = (Q P W~q) (K P W~k)'.

    P is fixed and ternary, W~q and W~k are each head's own and trained with the network: ``penalty`` times the mean
    square of S - S~ over the scores allowed is added to its loss (recalled: the paper's sum of both losses; its
    weight is not). The paper projects a layer's input; here, as in the machine, Q and K are projected. S, Q and K are
    detached there, so that the network's own weights learn from its own loss alone, and so is the mask. Training
    estimates with real numbers, the mask is that of the detector's low precision.
    """

    name = "dota"
    summary = "each row's best keys by a low-rank detector that is trained too (DOTA, ASPLOS 2022)"

    keep: float = same_parameter(LowRankScores, "retention")
    detector_bits: int = same_parameter(LowRankScores, "detector_bits")
    rank_share: float = same_parameter(LowRankScores, "rank_share")
    seed: int = same_parameter(LowRankScores, "seed")
    penalty: float = parameter(1.0, unit="", source="free choice", status="assumed", low=0.0, high=1e6)

    def learnt(self, heads: int, dim: int) -> dict[str, torch.Tensor]:
        """``query`` and ``key`` [heads, rank, rank]: W~q and W~k, the identity before any data."""
        eye = torch.eye(self._way.rank(dim)).expand(heads, -1, -1)
        return {name: nn.Parameter(eye.clone()) for name in ("query", "key")}

    def select(self, scene: Scene, learnt: Tensors) -> torch.Tensor:
        """The masks of all heads."""
        way = self._way
        matrix = way.matrix(scene.q.shape[3])
        weights = [learnt[name].detach().numpy().astype(np.float64) for name in ("query", "key")]
        q, k, allowed = scene.stack
        of_q, of_k = (to_codes(x, way.operand_bits, way.fraction_bits)[0] for x in (q, k))
        scores = []
        for at, head in enumerate(zip(of_q, of_k, strict=True)):
            own = at % scene.q.shape[1]
            exact = weights[0][own], weights[1][own]
            detector = detector_of(*head, matrix, way.detector_bits, exact, ranges=way.ranges)
            scores.append(detector.scores(*head))
        return scene.masks(way.best(np.concatenate(scores), allowed.reshape(-1, k.shape[1])))

    def loss(self, scene: Scene, learnt: Tensors) -> torch.Tensor:
        """The detector's own loss."""
        q, k = scene.q.detach(), scene.k.detach()
        k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
        # A third of the elements of P is not zero: so scaled, products of projections are those of q and k in the mean.
        matrix = torch.tensor(self._way.matrix(q.shape[3]), dtype=torch.float32, device=q.device)
        matrix = matrix * math.sqrt(3.0 / matrix.shape[1])
        estimate = (q @ matrix @ learnt["query"]) @ (k @ matrix @ learnt["key"]).mT
        off = ((q @ k.mT - estimate) * scene.scale).square()
        allowed = scene.allowed
        return self.penalty * off.masked_fill(~allowed, 0.0).sum() / allowed.sum().clamp(min=1)

    @property
    def _way(self) -> LowRankScores:
        return LowRankScores(
            retention=self.keep, detector_bits=self.detector_bits, rank_share=self.rank_share, seed=self.seed
        )
