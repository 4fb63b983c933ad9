"""The functions of torch that a converted model's products come from, and what stands in their place.

A model is free to call them through layers or by itself. Everything else is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from siloom.workloads.torch.attention import scaled_dot_product_attention
from siloom.workloads.torch.convolution import conv1d, conv2d
from siloom.workloads.torch.dense import linear
from siloom.workloads.torch.frames import leave_out
from siloom.workloads.torch.left_out import FUNCTIONS
from siloom.workloads.torch.multi_head import multi_head_attention_forward

REPLACED: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.linear: linear,
    torch.conv1d: conv1d,
    torch.conv2d: conv2d,
    functional.scaled_dot_product_attention: scaled_dot_product_attention,
    functional.multi_head_attention_forward: multi_head_attention_forward,
}


class Products(TorchFunctionMode):
    """Puts ours in the place of torch's while a converted module runs."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        """Called by torch for every function; ours see no mode."""
        if func in FUNCTIONS:
            leave_out(FUNCTIONS[func])
        return REPLACED.get(func, func)(*args, **(kwargs or {}))
