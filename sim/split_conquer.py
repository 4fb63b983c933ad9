"""Split and conquer: a fixed mask from averaged attention, its columns split into global tokens and the rest (ViTCoD).

Done once, on calibration data, before any hardware runs:

1. Prune, row by row: the largest entries of the averaged map are kept until their sum reaches ``theta_p`` of the row's;
   of equal entries the one with the lower index comes first. The row and the column of the first ``always`` tokens
   ([CLS]) are kept whatever their entries. ``theta_p`` 1 keeps all.
2. Conquer: tokens whose column has more than ``theta_d`` non-zeros are global. They are moved to the front, in their
   order; the rest stay in theirs.

Source: You et al., ViTCoD, HPCA 2023; GATECH-EIC/ViTCoD, gen_mask.py (info_cutoff: rows, [CLS] always) and reorder.py
(more than 50 non-zeros). The program keeps one entry a row more than its sum needs, and breaks ties as its sort happens
to; here neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siloom.sim.errors import InputError

Mask = npt.NDArray[np.bool_]
_SUM_SLACK = 1e-12
"""Of a row's sum: what rounding may take from entries that reach it together."""


@dataclass(frozen=True)
class Split:
    """Tokens in their new order, [n]: the first ``global_tokens`` of it have the columns of the denser part."""

    order: npt.NDArray[np.int64]
    global_tokens: int


def prune(averaged: npt.NDArray[np.floating], theta_p: float, always: int = 0) -> Mask:
    """The mask [..., queries, keys] of an averaged map of entries that are at least 0.

    Raises:
        InputError: ``theta_p`` outside 0 to 1, a negative number of tokens, or a map that is not finite or is negative.
    """
    if not 0.0 <= theta_p <= 1.0:
        raise InputError(f"split and conquer: theta_p must be between 0 and 1, got {theta_p}")
    if always < 0:
        raise InputError(f"split and conquer: always must be at least 0, got {always}")
    if not np.isfinite(averaged).all() or (averaged < 0).any():
        raise InputError("split and conquer: the averaged map must be finite and at least 0")
    if theta_p == 1.0:
        return np.ones(averaged.shape, np.bool_)
    falling = np.sort(averaged, axis=-1)[..., ::-1]
    reached = np.cumsum(falling, axis=-1, dtype=np.float64)
    # An entry is needed while those before it have not reached the threshold.
    needed = np.count_nonzero(reached - falling < theta_p * reached[..., -1:] * (1.0 - _SUM_SLACK), axis=-1)
    last = np.take_along_axis(falling, np.maximum(needed, 1)[..., None] - 1, axis=-1)
    kept: Mask = averaged > last
    missing = needed[..., None] - np.count_nonzero(kept, axis=-1, keepdims=True)
    ties = averaged == last
    kept |= ties & (np.cumsum(ties, axis=-1, dtype=np.int32) <= missing)
    kept &= needed[..., None] > 0
    kept[..., :always, :] = True
    kept[..., :, :always] = True
    return kept


def conquer(column_lengths: npt.NDArray[np.integer], theta_d: int) -> Split:
    """Global tokens by their columns' non-zeros, [keys]."""
    many = column_lengths > theta_d
    order = np.argsort(~many, kind="stable").astype(np.int64)
    return Split(order, int(np.count_nonzero(many)))


def split_conquer(
    averaged: npt.NDArray[np.floating], theta_p: float, theta_d: int, always: int = 0
) -> tuple[Mask, Split]:
    """Both steps on one head's averaged map [queries, keys]."""
    kept = prune(averaged, theta_p, always)
    return kept, conquer(np.count_nonzero(kept, axis=0), theta_d)
