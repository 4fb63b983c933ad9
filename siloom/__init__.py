"""Siloom: weave an algorithm and the hardware that runs it.

The public API; everything is imported when first used::

    import siloom

    result = siloom.run("outerspace", "uniform:n=500,density=0.01,seed=0")
    table = siloom.compare("wiki-Vote.mtx", ["outerspace", "host"], baselines=["host"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from siloom.api import compare, load, machine, run

__all__ = ["__version__", "compare", "load", "machine", "run"]


def __getattr__(name: str) -> Any:
    if name in ("compare", "load", "machine", "run"):
        from siloom import api

        return getattr(api, name)
    raise AttributeError(f"module 'siloom' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
