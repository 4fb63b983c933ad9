"""Where in a model the code that runs now is: which converted module, of which path, in which arithmetic.

Every module of a converted model is a :class:`Converted`: the class it was, with a call that says where it is. Its
parameters, buffers, hooks and paths stay what they were, so that checkpoints, tied weights, pruning and copies do too.
While one runs, torch hands every function that is called to :class:`siloom.workloads.torch.mode.Products`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn

from siloom.workloads.torch.learnt import learnt_from
from siloom.workloads.torch.methods import Method
from siloom.workloads.torch.ways import Ways


@dataclass(eq=False)
class Conversion:
    """What one call of ``convert`` asked for, shared by all modules of the copy."""

    ways: Ways
    method: Method
    reported: set[str]
    """Places whose products stay in float32, and which have been named to the user."""


class Site(NamedTuple):
    """A module's own place in a conversion."""

    conversion: Conversion
    place: str


class Frame(NamedTuple):
    """A module that runs now."""

    conversion: Conversion
    place: str
    module: nn.Module


class _Stack(threading.local):
    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.left_out: dict[str, set[str]] = {}
        self.losses: WeakKeyDictionary[Conversion, list[torch.Tensor]] = WeakKeyDictionary()


_STACK = _Stack()


def current() -> Frame:
    """The innermost converted module that runs."""
    return _STACK.frames[-1]


def leave_out(what: str) -> None:
    """Note that the running module computes ``what`` in float32; the user is told when the model's call ends."""
    frame = current()
    if frame.place not in frame.conversion.reported:
        _STACK.left_out.setdefault(frame.place, set()).add(what)


def add_loss(loss: torch.Tensor) -> None:
    """Note what the running module's method adds to the loss of the model's last call."""
    _STACK.losses.setdefault(current().conversion, []).append(loss)


def losses_of(conversion: Conversion) -> list[torch.Tensor]:
    """What the methods of the model's last call add to its loss, layer by layer; each is given once."""
    return _STACK.losses.pop(conversion, [])


def recomputing() -> bool:
    """Whether a backward pass runs: a forward pass in it only computes again what was computed before."""
    return bool(torch._C._current_graph_task_id() != -1)


@contextmanager
def entered(module: nn.Module, site: Site) -> Iterator[None]:
    """Run a module: its frame lies on top meanwhile, and functions are seen by the mode."""
    # Not at the top of the file: both need the frames.
    from siloom.workloads.torch.left_out import warn_of
    from siloom.workloads.torch.mode import Products

    outermost = not _STACK.frames
    if outermost and not recomputing():
        _STACK.losses.pop(site.conversion, None)
    _STACK.frames.append(Frame(site.conversion, site.place, module))
    try:
        if outermost:
            with Products():
                yield
        else:
            yield
    finally:
        _STACK.frames.pop()
        if outermost:
            found, _STACK.left_out = _STACK.left_out, {}
            if found:
                site.conversion.reported |= set(found)
                # Above are the end of the context, and the module's call.
                warn_of({place: " and ".join(sorted(what)) for place, what in found.items()}, depth=3)


class Converted:
    """Mixed in before a module's own class."""

    siloom: Site
    __call__: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[no-redef]
        """The module's own call, hooks and all."""
        assert isinstance(self, nn.Module)
        with entered(self, self.siloom):
            return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def _load_from_state_dict(self, state: dict[str, torch.Tensor], prefix: str, *rest: Any) -> None:
        """Make room first for what a method has learnt, if this module has not attended yet."""
        assert isinstance(self, nn.Module)
        learnt_from(self, self.siloom.conversion.method, state, prefix)
        super()._load_from_state_dict(state, prefix, *rest)  # type: ignore[misc]


@cache
def converted_class(kind: type[nn.Module]) -> type[nn.Module]:
    """The class of a converted module that was a ``kind``."""
    if issubclass(kind, Converted):
        return kind
    about = {"__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(f"Siloom{kind.__name__}", (Converted, kind), about)
