"""Siloom: weave an algorithm and the hardware that runs it.

The public API; everything is imported when first used::

    import siloom

    result = siloom.run("outerspace", "uniform:n=500,density=0.01,seed=0")
    table = siloom.compare("wiki-Vote.mtx", ["outerspace", "host"], baselines=["host"])
    found = siloom.explore("examples/outerspace-web.toml")
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from siloom.api import compare, load, machine, run
    from siloom.exploring import run as explore

__all__ = ["__version__", "compare", "explore", "load", "machine", "run"]


def __getattr__(name: str) -> Any:
    if name in ("compare", "load", "machine", "run"):
        from siloom import api

        return getattr(api, name)
    if name == "explore":
        return importlib.import_module("siloom.explore")
    raise AttributeError(f"module 'siloom' has no attribute '{name}'")


class _ExploreModule(ModuleType):
    """The package ``siloom.explore``, which may also be called: ``siloom.explore("space.toml")`` searches a space."""

    def __call__(self, *given: Any, **how: Any) -> Any:
        """Search a space: :func:`siloom.exploring.run`."""
        from siloom.exploring import run as search

        return search(*given, **how)


class _SiloomModule(ModuleType):
    """This package. Python sets each part on it once it is imported, and no function of a part's name could stay."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Take a part; the one called ``explore`` becomes callable."""
        if name == "explore" and type(value) is ModuleType:
            value.__class__ = _ExploreModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _SiloomModule


def __dir__() -> list[str]:
    return sorted(__all__)
