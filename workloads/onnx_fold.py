"""Shapes that a model computes with small whole numbers, followed value by value.

Exporters write ``Where(Equal(shape, -1), ...)`` and the like to say a shape, which ONNX's own
inference does not follow. Here the handful of operators that such chains are made of are evaluated
on arrays of at most ``SMALL`` numbers; all others stay unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siloom.workloads.onnx_checks import SMALL

Array = NDArray[Any]
_Inputs = Sequence[Array | None]
_MAX_RANK = 16
_MAX_WORK = 1 << 22  # inputs may be broadcast against each other
_KINDS = {6: np.int32, 7: np.int64, 9: np.bool_}  # TensorProto.DataType


def _divide(a: Array, b: Array) -> Array:
    if not np.all(b):
        raise ZeroDivisionError
    quotient: Array = np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))  # C's: towards zero
    return quotient.astype(a.dtype)


def _range(start: Array, stop: Array, step: Array) -> Array:
    if not step or abs(int(stop) - int(start)) // abs(int(step)) > SMALL:
        raise ValueError("too long")
    return np.arange(int(start), int(stop), int(step), dtype=np.int64)


def _slice(inputs: _Inputs, _: Mapping[str, Any]) -> Array:
    data, starts, stops = (_given(inputs, i) for i in range(3))
    axes = _optional(inputs, 3)
    steps = _optional(inputs, 4)
    where = [slice(None)] * data.ndim
    for i in range(starts.size):
        axis = int(axes[i]) if axes is not None else i
        step = int(steps[i]) if steps is not None else 1
        where[axis] = slice(int(starts[i]), None if step < 0 and stops[i] < -data.shape[axis] else int(stops[i]), step)
    return data[tuple(where)]


def _axes(inputs: _Inputs, attributes: Mapping[str, Any]) -> tuple[int, ...] | None:
    given = _optional(inputs, 1)
    axes = given.tolist() if given is not None else attributes.get("axes")
    return None if axes is None else tuple(axes)


def _reshape(inputs: _Inputs, attributes: Mapping[str, Any]) -> Array:
    data = _given(inputs, 0)
    wanted = _given(inputs, 1).tolist()
    if not attributes.get("allowzero"):
        wanted = [data.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
    return data.reshape(wanted)


def _filled(inputs: _Inputs, attributes: Mapping[str, Any]) -> Array:
    value = attributes.get("value")
    shape = tuple(_given(inputs, 0).tolist())
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iub" or np.prod(shape, dtype=float) > SMALL:
        raise ValueError("not small whole numbers")
    return np.full(shape, value.ravel()[0])


def _given(inputs: _Inputs, i: int) -> Array:
    found = _optional(inputs, i)
    if found is None:
        raise ValueError("not known")
    return found


def _optional(inputs: _Inputs, i: int) -> Array | None:
    return inputs[i] if i < len(inputs) else None


def _plain(function: Callable[..., Array], count: int) -> Callable[[_Inputs, Mapping[str, Any]], Array]:
    return lambda inputs, _: function(*(_given(inputs, i) for i in range(count)))


_OPERATORS: Mapping[str, Callable[[_Inputs, Mapping[str, Any]], Array]] = {
    "Add": _plain(np.add, 2),
    "Sub": _plain(np.subtract, 2),
    "Mul": _plain(np.multiply, 2),
    "Div": _plain(_divide, 2),
    "Min": _plain(np.minimum, 2),
    "Max": _plain(np.maximum, 2),
    "Neg": _plain(np.negative, 1),
    "Equal": _plain(np.equal, 2),
    "Less": _plain(np.less, 2),
    "Greater": _plain(np.greater, 2),
    "Not": _plain(np.logical_not, 1),
    "Where": _plain(np.where, 3),
    "Range": _plain(_range, 3),
    "Identity": _plain(np.asarray, 1),
    "Cast": lambda i, a: _given(i, 0).astype(_KINDS[a["to"]]),
    "Slice": _slice,
    "Reshape": _reshape,
    "ConstantOfShape": _filled,
    "Concat": lambda i, a: np.concatenate([_given(i, k) for k in range(len(i))], axis=a["axis"]),
    "Gather": lambda i, a: np.take(_given(i, 0), _given(i, 1), axis=a.get("axis", 0)),
    "Squeeze": lambda i, a: np.squeeze(_given(i, 0), axis=_axes(i, a)),
    "Unsqueeze": lambda i, a: np.expand_dims(_given(i, 0), axis=_axes(i, a) or ()),
    "ReduceProd": lambda i, a: np.prod(_given(i, 0), axis=_axes(i, a), keepdims=bool(a.get("keepdims", 1))),
}


def fold(kind: str, inputs: _Inputs, attributes: Mapping[str, Any]) -> Array | None:
    """The value of one operator on small whole numbers; None where it is not known."""
    function = _OPERATORS.get(kind)
    sizes = [i.size for i in inputs if i is not None]
    if function is None or sum(sizes) > SMALL or (kind != "Concat" and prod(sizes) > _MAX_WORK):
        return None
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(function(inputs, attributes))
    except (ValueError, IndexError, KeyError, TypeError, ZeroDivisionError, OverflowError):
        return None
    small = found.size <= SMALL and found.ndim <= _MAX_RANK and found.dtype.kind in "iub"
    return found if small else None
