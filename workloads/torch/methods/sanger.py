"""Sanger's masks: scores predicted at 4 bits, against a threshold (Lu et al., MICRO 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from siloom.sim.design import parameter, same_parameter
from siloom.sim.selection.predicted_scores import PredictedScores
from siloom.sim.units.int4_predictor import normalised
from siloom.workloads.torch.methods import Method, Scene, Tensors


@dataclass(frozen=True, kw_only=True)
class Sanger(Method):
    """Scores whose predicted probability is above ``threshold``.

    The quantizer's scales, one for Q and one for K, are those of a moving mean of their largest elements in training,
    and rest in evaluation. The mask is detached, as in the authors' code; so no gradient meets the quantizer either.
    """

    name = "sanger"
    summary = "scores that 4-bit operands predict above a threshold (Sanger, MICRO 2021)"

    threshold: float = same_parameter(PredictedScores, "threshold")
    predictor_bits: int = same_parameter(PredictedScores, "predictor_bits")
    exponent: str = same_parameter(PredictedScores, "exponent")
    decay: float = parameter(
        0.9999, unit="", source="of the moving mean; hatsu3/Sanger, quant_utils.py", low=0.0, high=1.0
    )

    def learnt(self, heads: int, dim: int) -> dict[str, torch.Tensor]:
        """``reach`` [2]: the largest element of vectors of length one, of Q and K; 0 before any data."""
        return {"reach": torch.zeros(2)}

    def observe(self, scene: Scene, learnt: Tensors) -> None:
        """The first batch sets both, later ones move them."""
        reach, now = learnt["reach"], _reach(scene)
        moved = torch.where(reach == 0, now, reach - (1.0 - self.decay) * (reach - now))
        reach.copy_(moved)

    def select(self, scene: Scene, learnt: Tensors) -> torch.Tensor:
        """The masks of all heads."""
        way = PredictedScores(threshold=self.threshold, predictor_bits=self.predictor_bits, exponent=self.exponent)
        reach = torch.where(learnt["reach"] == 0, _reach(scene), learnt["reach"]).numpy()
        of_q, of_k = np.float32((1 << (self.predictor_bits - 1)) - 1) / np.maximum(reach, np.float32(1e-12))
        q, k, allowed = scene.stack
        return scene.masks(way.select_stack(q, k, (of_q, of_k), allowed) & allowed)


def _reach(scene: Scene) -> torch.Tensor:
    return torch.tensor([float(np.abs(normalised(x.detach().numpy())).max(initial=0)) for x in (scene.q, scene.k)])
