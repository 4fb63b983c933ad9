"""A3's masks: keys that a greedy search finds, near the best of them (Ham et al., HPCA 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from siloom.sim.design import same_parameter
from siloom.sim.fixed_point import to_codes
from siloom.sim.selection.greedy_keys import GreedyKeys
from siloom.workloads.torch.methods import Method, Scene, Tensors


@dataclass(frozen=True, kw_only=True)
class A3(Method):
    """Candidates of a search of ``iterations_share`` times the keys, above a share of the largest weight.

    It learns nothing. The paper approximates networks that are trained already; here the mask is detached.
    """

    name = "a3"
    summary = "keys of a greedy search among sorted columns (A3, HPCA 2020)"

    iterations_share: float = same_parameter(GreedyKeys, "iterations_share")
    post_threshold_percent: float = same_parameter(GreedyKeys, "post_threshold_percent")
    refinement: str = same_parameter(GreedyKeys, "refinement")

    def select(self, scene: Scene, learnt: Tensors) -> torch.Tensor:
        """The masks of all heads."""
        way = GreedyKeys(
            iterations_share=self.iterations_share,
            post_threshold_percent=self.post_threshold_percent,
            refinement=self.refinement,
        )
        q, k, allowed = scene.stack
        of_q, of_k = (to_codes(x, way.operand_bits, way.fraction_bits)[0] for x in (q, k))
        kept = [way.select(*head).kept for head in zip(of_q, of_k, allowed, strict=True)]
        return scene.masks(np.stack(kept) & allowed)
