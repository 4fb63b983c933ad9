"""Modules of a converted model: what they were, with a call that says where in the model it is.

Parameters, buffers, hooks and paths stay what they were, so that checkpoints, tied weights, pruning and copies do too.
While a module runs, torch hands every function that is called to :class:`siloom.workloads.torch.mode.Products`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import Any

import torch
from torch import nn

from siloom.workloads.torch.frames import Site, enter, leave, runs
from siloom.workloads.torch.learnt import learnt_from
from siloom.workloads.torch.left_out import warn_of
from siloom.workloads.torch.mode import Products


@contextmanager
def _running(module: nn.Module, site: Site) -> Iterator[None]:
    first = enter(module, site)
    try:
        if first:
            with Products():
                yield
        else:
            yield
    finally:
        if left := leave():
            # Above are the end of the context, and the module's call.
            warn_of(left, depth=3)


class Converted:
    """Mixed in before a module's own class."""

    siloom: Site
    __call__: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[no-redef]
        """The module's own call, hooks and all."""
        assert isinstance(self, nn.Module)
        with _running(self, self.siloom):
            return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process makes its class there."""
        return _blank, (type(self).__bases__[1],), vars(self)

    def _load_from_state_dict(self, state: dict[str, torch.Tensor], prefix: str, *rest: Any) -> None:
        """Make room first for what a method has learnt, if this module has not attended yet."""
        assert isinstance(self, nn.Module)
        learnt_from(self, self.siloom.conversion.method, state, prefix)
        super()._load_from_state_dict(state, prefix, *rest)  # type: ignore[misc]


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}
"""Of converted modules, by what these were."""


def converted_class(kind: type[nn.Module]) -> type[nn.Module]:
    """The class of a converted module that was a ``kind``; the same for every call."""
    if issubclass(kind, Converted):
        return kind
    if kind not in _CLASSES:
        _CLASSES[kind] = _made(kind)
    return _CLASSES[kind]


def _made(kind: type[nn.Module]) -> type[nn.Module]:
    @wraps(kind.forward)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Called by the module's own call, or by a user who passes that by.
        with nullcontext() if runs(self) else _running(self, self.siloom):
            return kind.forward(self, *args, **kwargs)

    about = {"__module__": kind.__module__, "__doc__": kind.__doc__, "forward": forward}
    return type(f"Siloom{kind.__name__}", (Converted, kind), about)


def _blank(kind: type[nn.Module]) -> nn.Module:
    """A converted ``kind`` without anything in it."""
    made = converted_class(kind)
    return made.__new__(made)
