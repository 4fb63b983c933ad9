"""How good an approximation of attention is, against the exact one on the same operands.

Exact attention is computed here in float32 scores and float64 sums, one head at a time. An approximating
machine says which scores it kept and what it gave; a :class:`Quality` gathers, over heads:

- ``recall``: of the keys that matter, the share that was kept. What matters is the machine's own rule on exact
  scores (say, a probability above its threshold), so that only its prediction is judged;
- ``precision``: of the keys kept, the share that matters;
- ``mass_kept``: the exact softmax's probability on the keys kept, mean over rows;
- ``output_error``: relative error of the output in the Frobenius norm over all heads;
- ``candidate_ratio``: keys kept, of all that the mask allows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.drawn_attention import Reals32

Mask = npt.NDArray[np.bool_]


def exact_probabilities(q: Reals32, k: Reals32, causal: bool = False) -> Reals32:
    """softmax(q k^T / sqrt(dim)) of one head: q and k [seq, dim], the result [seq, seq]."""
    scores = (q @ k.T) * np.float32(1.0 / math.sqrt(q.shape[1]))
    if causal:
        scores[np.triu_indices(len(q), 1)] = -np.inf
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    return scores


@dataclass
class Quality:
    """Sums over heads; see the module. Give it every head once, then read :meth:`figures`."""

    rows: int = 0
    allowed: int = 0
    kept: int = 0
    matter: int = 0
    both: int = 0
    mass: float = 0.0
    squared_error: float = 0.0
    squared_output: float = 0.0

    def add(self, probabilities: Reals32, v: Reals32, kept: Mask, matters: Mask, output: Reals32, causal: bool) -> None:
        """One head: exact probabilities and both masks [seq, seq], ``v`` and the machine's output [seq, dim]."""
        seq = len(probabilities)
        self.rows += seq
        self.allowed += seq * (seq + 1) // 2 if causal else seq * seq
        self.kept += int(np.count_nonzero(kept))
        self.matter += int(np.count_nonzero(matters))
        self.both += int(np.count_nonzero(kept & matters))
        self.mass += float(np.sum(probabilities, where=kept, dtype=np.float64))
        exact = probabilities @ v
        self.squared_error += float(np.sum(np.square(output - exact, dtype=np.float64)))
        self.squared_output += float(np.sum(np.square(exact, dtype=np.float64)))

    def figures(self) -> dict[str, float]:
        """The figures by name; of nothing that matters all was kept, and of nothing kept all matters."""
        scale = math.sqrt(self.squared_output)
        return {
            "recall": self.both / self.matter if self.matter else 1.0,
            "precision": self.both / self.kept if self.kept else 1.0,
            "mass_kept": min(1.0, self.mass / self.rows),
            "output_error": math.sqrt(self.squared_error) / scale if scale else 0.0,
            "candidate_ratio": self.kept / self.allowed,
        }
