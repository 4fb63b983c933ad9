"""Elementwise operations and reductions out of dispatched ones: bytes from the tensors, arithmetic from a table."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from siloom.sim.ops import Elementwise, Operation, Reduce
from siloom.workloads.layers import ACTIVATIONS
from siloom.workloads.torch.calls import Call, bytes_of, element_bytes, format_of

FLOPS_EACH: Mapping[str, int] = {
    # Copies, fills and gathers: elements move, nothing is computed.
    **dict.fromkeys(
        (
            "_to_copy", "arange", "cat", "clone", "constant_pad_nd", "contiguous", "copy", "embedding", "expand_copy",
            "fill", "flip", "full", "full_like", "gather", "index", "index_select", "new_full", "new_zeros", "ones",
            "ones_like", "one_hot", "repeat", "roll", "scalar_tensor", "scatter", "select_backward", "slice_backward",
            "stack", "tril", "triu", "unfold_backward", "view_copy", "zero", "zeros", "zeros_like", "lift_fresh_copy",
            "_index_put_impl", "index_put", "diagonal_backward", "split_with_sizes_copy", "index_copy", "new_ones",
        ),
        0,
    ),
    # One operation an element.
    **dict.fromkeys(
        (
            "abs", "add", "bitwise_and", "bitwise_not", "bitwise_or", "ceil", "cos", "cumsum", "div",
            "embedding_dense_backward", "eq", "erf", "exp", "floor", "floor_divide", "ge", "gt", "index_add",
            "isfinite", "isinf", "isnan", "le",
            "log", "logical_and", "logical_not", "logical_or", "lt", "masked_fill", "maximum", "minimum", "mul", "ne",
            "neg", "nll_loss_backward", "nll_loss_forward", "pow", "reciprocal", "remainder", "round", "rsub",
            "scatter_add", "sign", "sin", "sqrt", "sub", "where", "bernoulli", "normal", "rand", "rand_like", "randn",
            "randn_like", "uniform", "randint", "randperm", "random", "exponential", "hardtanh_backward",
        ),
        1,
    ),
    **{name: flops[0] for name, flops in ACTIVATIONS.items()},
    # As those of ACTIVATIONS, under torch's names.
    "threshold_backward": ACTIVATIONS["relu"][1],
    "tanh_backward": ACTIVATIONS["tanh"][1],
    "silu_backward": ACTIVATIONS["silu"][1],
    "gelu_backward": ACTIVATIONS["gelu"][1],
    # max, min.
    "clamp": 2,
    "hardtanh": 2,
    "clamp_min": 1,
    # root, then one over it.
    "rsqrt": 2,
    # negate, exp, add, divide; dy y (1 - y).
    "sigmoid": 4,
    "sigmoid_backward": 3,
    # a + s b c, a + s b / c, a + w (b - a).
    "addcmul": 3,
    "addcdiv": 3,
    "lerp": 3,
    # compare with a drawn number, then scale; dy mask scale.
    "native_dropout": 2,
    "native_dropout_backward": 2,
    # y (dy - sum(y dy)): product, sum, difference, product; the logarithm's: exp, product, sum, difference.
    "_softmax_backward_data": 4,
    "_log_softmax_backward_data": 4,
    # subtract, square, mean; times 2 (y - x) / n.
    "mse_loss": 3,
    "mse_loss_backward": 3,
    # dx (10) and the parameters' gradients (5), as workloads.layers counts them.
    "native_layer_norm_backward": 15,
    # both statistics (1 + 3), then subtract, scale, scale, shift; sums (5) and dx (7).
    "native_batch_norm": 8,
    "_native_batch_norm_legit": 8,
    "native_batch_norm_backward": 12,
    # both statistics, normalise; as layer norm's.
    "native_group_norm": 8,
    "native_group_norm_backward": 15,
    "_fused_rms_norm_backward": 10,
}  # fmt: skip
"""Operations for each element written; of those not named one is counted, and said so."""

_GATHERS = frozenset({"embedding", "gather", "index", "index_select"})
"""Of their first operand they read no more than they write."""

_SUMS = frozenset({
    "sum", "mean", "prod", "norm", "linalg_vector_norm", "var", "var_mean", "std", "logsumexp", "any", "all",
})  # fmt: skip
_MAXIMA = frozenset({"max", "min", "amax", "amin", "argmax", "argmin"})
_ROWS = {
    "_softmax": "softmax",
    "_safe_softmax": "softmax",
    "_log_softmax": "softmax",
    "native_layer_norm": "layernorm",
    "_fused_rms_norm": "rmsnorm",
}
_FINEST = 4096


def lower_elements(call: Call) -> tuple[list[Operation], list[str]]:
    """The operation, and what to say of it."""
    reduced = _reduction(call)
    if reduced is not None:
        return [reduced], []
    stem = _stem(call.name)
    flops = _pool_flops(call, stem) or _svd_flops(call, stem)
    notes = []
    if flops is None:
        flops = 1 if stem in _SUMS | _MAXIMA else FLOPS_EACH.get(stem)
    if flops is None:
        flops = 1
        notes.append(f"{call.full_name}: taken as one operation an element")
    largest = max(call.written, key=lambda tensor: tensor.numel())
    read = bytes_of(call.read)
    if stem in _GATHERS and call.read:
        source = call.read[0]
        read += min(bytes_of([source]), largest.numel() * source.element_size()) - bytes_of([source])
    if stem in _SUMS | _MAXIMA:  # of a list of tensors, each to its own
        computed = sum(tensor.numel() for tensor in call.read)
    else:
        computed = sum(tensor.numel() for tensor in call.written if tensor.shape == largest.shape)
    moved = elementwise(
        call.label,
        stem,
        format_of(largest),
        read_bytes=read,
        write_bytes=bytes_of(call.written),
        flops=flops * computed,
        outputs=largest.numel(),
    )
    return [moved], notes


def elementwise(
    name: str, function: str, number_format: str, *, read_bytes: int, write_bytes: int, flops: int, outputs: int
) -> Elementwise:
    """The operation whose totals are these.

    Reads, writes and arithmetic are whole multiples of ``elements``. Where they are not of the outputs, as with a row
    that is added to all rows, ``elements`` is their greatest common divisor; where that is less than a 4096th of
    them, totals are rounded to multiples of the outputs instead.
    """
    each = element_bytes(number_format)
    reads, writes = -(-read_bytes // each), -(-write_bytes // each)
    elements = outputs
    if reads % elements or writes % elements or flops % elements:
        common = math.gcd(reads, writes, flops)
        if common * _FINEST >= outputs:
            elements = common
    return Elementwise(
        name=name,
        elements=elements,
        reads=round(reads / elements),
        writes=round(writes / elements),
        flops_each=round(flops / elements),
        function=function,
        format=number_format,
    )


def _stem(name: str) -> str:
    """The function's name, of an operation in place or on a list of tensors too."""
    stem = name.removeprefix("_foreach_")
    return stem[:-1] if stem.endswith("_") else stem


def _reduction(call: Call) -> Operation | None:
    """Reductions, softmax and norms; None for all else."""
    tensors = [t for t in call.read if t.numel()]
    if not tensors or not call.results or not call.results[0].numel():
        return None
    x, y = tensors[0], call.results[0]
    number_format = format_of(x)
    if call.name in _ROWS:
        length = x.numel() // max(1, _rows(call, x))
        return Reduce(
            name=call.label, rows=x.numel() // length, length=length, function=_ROWS[call.name], format=number_format
        )
    kept = "out" in call.kwargs or (call.name in _MAXIMA and len(tensors) > 1)
    if kept or call.name not in _SUMS | _MAXIMA or x.numel() % y.numel():
        return None
    function = "max" if call.name in _MAXIMA else "sum"
    return Reduce(
        name=call.label, rows=y.numel(), length=x.numel() // y.numel(), function=function, format=number_format
    )


def _rows(call: Call, x: torch.Tensor) -> int:
    """Rows that softmax or a norm runs over."""
    named = call.named
    if "dim" in named:
        return x.numel() // int(x.shape[named["dim"]]) if x.dim() else 1
    return x.numel() // int(math.prod(named["normalized_shape"]))


def _pool_flops(call: Call, stem: str) -> int | None:
    """Operations an output of a pooling: one for each element of its window; None for all else."""
    if "pool" not in stem:
        return None
    if stem.endswith("backward"):
        return 1
    window = call.named.get("kernel_size")
    if window:
        return int(math.prod(window)) if len(window) > 1 else int(window[0]) ** 2
    return max(1, call.read[0].numel() // call.results[0].numel())


def _svd_flops(call: Call, stem: str) -> int | None:
    """Operations an element of the largest factor of a decomposition into singular values; None for all else.

    14 m n^2 + 8 n^3 for both thin factors of m times n numbers, m >= n (Golub and Van Loan, recalled). Where m = n both
    factors are as large, and share them.
    """
    if stem != "_linalg_svd":
        return None
    n, m = sorted(call.read[0].shape[-2:])
    return round((14 * n + 8 * n * n / m) / (2 if m == n else 1))
