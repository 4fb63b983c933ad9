"""Where in a model the code that runs now is: which converted module, of which path, in which arithmetic."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn

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


def runs(module: nn.Module) -> bool:
    """Whether this very module is the innermost."""
    return bool(_STACK.frames) and _STACK.frames[-1].module is module


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


def enter(module: nn.Module, site: Site) -> bool:
    """Put a module's frame on top; whether it is the first, so that a model's call begins."""
    first = not _STACK.frames
    if first and not recomputing():
        _STACK.losses.pop(site.conversion, None)
    _STACK.frames.append(Frame(site.conversion, site.place, module))
    return first


def leave() -> dict[str, str]:
    """Take the top frame off; behind a model's call, the places left in float32 that were not yet told, and what."""
    conversion = _STACK.frames.pop().conversion
    if _STACK.frames:
        return {}
    found, _STACK.left_out = _STACK.left_out, {}
    conversion.reported |= set(found)
    return {place: " and ".join(sorted(what)) for place, what in found.items()}
