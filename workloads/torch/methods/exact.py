"""Attention as it is defined."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from siloom.workloads.torch.methods import Method, Scene, Tensors


@dataclass(frozen=True, kw_only=True)
class Exact(Method):
    """Every score that causality and the model's masks allow."""

    name = "exact"
    summary = "all scores"

    def select(self, scene: Scene, learnt: Tensors) -> torch.Tensor:
        """All that is allowed."""
        return scene.allowed
