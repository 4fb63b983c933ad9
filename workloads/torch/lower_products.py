"""Matrix products and convolutions out of dispatched operations, dense ones; gradients do the same multiplies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from siloom.sim.arithmetic import arithmetic
from siloom.sim.ops import FORMAT_BITS, Conv, Item, MatMul
from siloom.workloads.torch.calls import Call, format_of
from siloom.workloads.torch.lower_elements import elementwise


def _matrix_product(call: Call, a: torch.Tensor, b: torch.Tensor, number_format: str = "") -> list[Item]:
    """A [..., m, k] times B [..., k, n], of equal or of one leading size."""
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    batch = max(math.prod(a.shape[:-2]), math.prod(b.shape[:-2]))
    if 0 in (m, n, k, batch):
        return []
    shared = batch > 1 and (math.prod(b.shape[:-2]) == 1 or (b.dim() == 3 and b.stride(0) == 0))
    form = number_format or format_of(a)
    return [Item(MatMul(name=call.label, m=m, n=n, k=k, batch=batch, shared=shared, format=form))]


def operands_of(call: Call) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The two matrices that are multiplied; None where the operation is no product of two."""
    if call.name not in _OPERANDS:
        return None
    first, second = (call.named[name] for name in _OPERANDS[call.name])
    if call.name in ("mv", "addmv"):
        second = second.unsqueeze(-1)
    if call.name == "dot":
        first, second = first.unsqueeze(0), second.unsqueeze(-1)
    return first, second


_OPERANDS: Mapping[str, tuple[str, str]] = {
    "mm": ("self", "mat2"),
    "addmm": ("mat1", "mat2"),
    "_addmm_activation": ("mat1", "mat2"),
    "addmm_": ("mat1", "mat2"),
    "bmm": ("self", "mat2"),
    "baddbmm": ("batch1", "batch2"),
    "baddbmm_": ("batch1", "batch2"),
    "addbmm": ("batch1", "batch2"),
    "mv": ("self", "vec"),
    "addmv": ("mat", "vec"),
    "dot": ("self", "tensor"),
    "_int_mm": ("self", "mat2"),
    "_scaled_mm": ("self", "mat2"),
    "siloom.product": ("a", "b"),
}


def arithmetic_format(named: Mapping[str, Any]) -> str:
    """Format of the operands in memory that the arithmetic of an operation of Siloom's names; empty if it has none."""
    text = str(next((named[name] for name in ("arithmetic", "arithmetic_text") if named.get(name)), ""))
    head = text.partition(":")[0]
    return "" if not text else head if head in FORMAT_BITS else arithmetic(text).format


def _product(call: Call) -> list[Item]:
    operands = operands_of(call)
    assert operands is not None
    return _matrix_product(call, *operands, number_format=arithmetic_format(call.named))


def _outer(call: Call) -> list[Item]:
    left, right = call.args[-2:]
    return _matrix_product(call, left.unsqueeze(-1), right.unsqueeze(0))


def _convolution(call: Call) -> list[Item]:
    """A square one as it is; one in one axis, dilated, transposed or of unequal strides as its product."""
    named = call.named
    x, w, y = named["input"], named["weight"], call.results[0]
    groups, stride, pad = named["groups"], named["stride"], named["padding"]
    plain = not named["transposed"] and set(named["dilation"]) == {1} and x.dim() == 4
    if plain and len(set(stride)) == 1 and len(set(pad)) == 1:
        (batch, c, h, width), (k, _, r, s) = x.shape, w.shape
        conv = Conv(
            name=call.label,
            h=h,
            w=width,
            c=c,
            r=r,
            s=s,
            k=k,
            stride=stride[0],
            pad=pad[0],
            groups=groups,
            batch=batch,
            format=format_of(x),
        )
        return [Item(conv)]
    return [Item(_lowered(call, x, w, y, groups, named["transposed"]))]


def _lowered(
    call: Call, x: torch.Tensor, w: torch.Tensor, y: torch.Tensor, groups: int, transposed: bool, of: str = "y"
) -> MatMul:
    """The product that a convolution, or the gradient of its input or filters, is lowered to; a batch is a group.

    A transposed convolution is the gradient of a convolution whose output is its input.
    """
    wide, narrow = (x, y) if transposed else (y, x)
    places = wide.shape[0] * math.prod(wide.shape[2:])
    filters = wide.shape[1] // groups
    window = narrow.shape[1] // groups * math.prod(w.shape[2:])
    sizes = {
        "y": (places, filters, window),
        "dx": (places, window, filters),
        "dw": (window, filters, places),
    }
    turned = {"y": "dx", "dx": "y", "dw": "dw"}[of] if transposed else of
    m, n, k = sizes[turned]
    return MatMul(name=call.label, m=m, n=n, k=k, batch=groups, format=format_of(x))


def _convolution_backward(call: Call) -> list[Item]:
    named = call.named
    dy, x, w, groups = named["grad_output"], named["input"], named["weight"], named["groups"]
    to_x, to_w, to_bias = named["output_mask"]
    out = [
        Item(_lowered(call, x, w, dy, groups, named["transposed"], of))
        for of, asked in (("dx", to_x), ("dw", to_w))
        if asked
    ]
    if to_bias:
        size = dy.element_size()
        summed = elementwise(
            call.label,
            "sum",
            format_of(dy),
            read_bytes=dy.numel() * size,
            write_bytes=dy.shape[1] * size,
            flops=dy.numel(),
            outputs=dy.shape[1],
        )
        out.append(Item(summed))
    return out


def _recurrent(call: Call) -> list[Item]:
    """A whole LSTM layer: the inputs' gates in one product, the states' in one a time step, then the cells."""
    named = call.named
    # The backward operation numbers its weights from 1.
    first = 0 if "weight0" in named else 1
    x, to_input, to_state = named["input"], named[f"weight{first}"], named[f"weight{first + 1}"]
    steps, batch = (x.shape[1], x.shape[0]) if named["batch_first"] else (x.shape[0], x.shape[1])
    gates, inputs, hidden = to_input.shape[0], to_input.shape[1], to_state.shape[1]
    form = format_of(x)
    whole = MatMul(name=call.label, m=steps * batch, n=gates, k=inputs, format=form)
    state = MatMul(name=call.label, m=batch, n=gates, k=hidden, format=form)
    passes = 2 if call.name.endswith("backward") else 1
    size = x.element_size()
    cells = elementwise(
        call.label,
        "lstm_cell",
        form,
        read_bytes=(gates + hidden) * batch * steps * size * passes,
        write_bytes=2 * hidden * batch * steps * size * passes,
        # Four gates: three sigmoids (4 each) and a tanh; f c + i g (3), o tanh(c) (2).
        flops=18 * hidden * batch * steps * passes,
        outputs=hidden * batch * steps,
    )
    return [Item(whole, passes), Item(state, steps * passes), Item(cells)]


LOWERINGS: Mapping[str, Callable[[Call], list[Item]]] = {
    **dict.fromkeys(_OPERANDS, _product),
    "ger": _outer,
    "addr": _outer,
    "convolution": _convolution,
    "_convolution": _convolution,
    "convolution_backward": _convolution_backward,
    "mkldnn_rnn_layer": _recurrent,
    "mkldnn_rnn_layer_backward": _recurrent,
}
"""By name, what makes the operations of a dispatched one."""
