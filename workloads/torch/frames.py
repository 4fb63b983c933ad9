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

from torch import nn

from siloom.workloads.torch.ways import Ways


@dataclass
class Conversion:
    """What one call of ``convert`` asked for, shared by all modules of the copy."""

    ways: Ways
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


_STACK = _Stack()


def current() -> Frame:
    """The innermost converted module that runs."""
    return _STACK.frames[-1]


def leave_out(what: str) -> None:
    """Note that the running module computes ``what`` in float32; the user is told when the model's call ends."""
    frame = current()
    if frame.place not in frame.conversion.reported:
        _STACK.left_out.setdefault(frame.place, set()).add(what)


@contextmanager
def entered(module: nn.Module, site: Site) -> Iterator[None]:
    """Run a module: its frame lies on top meanwhile, and functions are seen by the mode."""
    # Not at the top of the file: both need the frames.
    from siloom.workloads.torch.left_out import warn_of
    from siloom.workloads.torch.mode import Products

    outermost = not _STACK.frames
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
                warn_of({place: " and ".join(sorted(what)) for place, what in found.items()})


class Converted:
    """Mixed in before a module's own class."""

    siloom: Site
    __call__: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[no-redef]
        """The module's own call, hooks and all."""
        assert isinstance(self, nn.Module)
        with entered(self, self.siloom):
            return super().__call__(*args, **kwargs)  # type: ignore[misc]


@cache
def converted_class(kind: type[nn.Module]) -> type[nn.Module]:
    """The class of a converted module that was a ``kind``."""
    if issubclass(kind, Converted):
        return kind
    about = {"__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(f"Siloom{kind.__name__}", (Converted, kind), about)
