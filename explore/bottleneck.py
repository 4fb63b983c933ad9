"""Which class of cause most of a point's cycles went to.

Machines name the causes of their stalls as their hardware has them; a front is read more easily by a few classes. A
cause that no class holds is a class of its own, so that a machine that we do not know loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

_CLASSES: Mapping[str, tuple[str, ...]] = {
    "compute": ("compute", "vector", "exponential", "division", "softmax", "output"),
    "memory bandwidth": ("bandwidth", "dram_bandwidth", "memory", "sram_bandwidth", "port", "link"),
    "memory latency": ("memory_latency", "dram_latency", "latency", "mshr", "outstanding_requests"),
    "load imbalance": ("imbalance", "empty_places", "partial_passes"),
    "selection": ("hash", "prediction", "selection", "detection", "scheduling", "packing"),
    "pipeline fill": ("fill", "drain", "preload"),
}
_CLASS_OF = {cause: name for name, causes in _CLASSES.items() for cause in causes}


def bottleneck(stalls: Mapping[str, float]) -> str:
    """The class with most cycles, the first by name where two have as many; empty without cycles."""
    classes: dict[str, float] = {}
    for cause, cycles in stalls.items():
        name = _CLASS_OF.get(cause, cause)
        classes[name] = classes.get(name, 0) + cycles
    most = max(classes.values(), default=0)
    return min((name for name, cycles in classes.items() if cycles == most), default="") if most > 0 else ""
