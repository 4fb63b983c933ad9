"""What a conversion does not reach: products that stay in float32, and how the user is told.

Layers of these kinds are named when the model is converted. A function of ``FUNCTIONS`` in a module's own code is
named when the model first ran it, once.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import nn

LAYERS: tuple[type[nn.Module], ...] = (
    nn.RNNBase,
    nn.RNNCellBase,
    nn.Bilinear,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)

_NAMES = (
    "addbmm addbmm_ addmm addmm_ addmv addmv_ addr addr_ baddbmm baddbmm_ bmm bilinear cdist chain_matmul conv3d "
    "conv_transpose1d conv_transpose2d conv_transpose3d dot einsum ger gru gru_cell inner kron lstm lstm_cell "
    "matmul mm mv outer rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell tensordot vdot __matmul__ __rmatmul__"
)

FUNCTIONS = {
    getattr(owner, name): name.strip("_")
    for name in _NAMES.split()
    for owner in (torch, torch.Tensor)
    if hasattr(owner, name)
} | {
    torch.linalg.matmul: "matmul",
    torch.linalg.multi_dot: "multi_dot",
    torch.linalg.vecdot: "vecdot",
    torch.sparse.addmm: "addmm",
    torch.sparse.mm: "mm",
}
"""Function -> the name it is told by."""


class LeftInFp32Warning(UserWarning):
    """Products of a converted model that do not go through its arithmetic."""


def warn_of(places: Mapping[str, str], depth: int) -> None:
    """Tell the user, who is ``depth`` calls above the caller, which ``places`` compute what in float32."""
    told = ", ".join(f"{place} ({what})" for place, what in sorted(places.items()))
    warnings.warn(f"left in float32, no arithmetic is applied there: {told}", LeftInFp32Warning, stacklevel=depth + 2)
