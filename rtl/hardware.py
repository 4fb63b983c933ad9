"""What makes a machine's RTL checkable: its sizes, its trials and how close the cycle model must be.

Each file ``rtl/trials/<name>.py`` gives one as ``HARDWARE``, without Amaranth; the component stands in
``rtl/machines/<name>.py`` as ``TWIN`` and takes the machine's Design as its only parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from siloom.rtl.cosim import Trial
from siloom.sim.design import Design

D = TypeVar("D", bound=Design)


@dataclass(frozen=True, kw_only=True)
class Hardware(Generic[D]):
    """The RTL of a machine.

    ``design_type``: the machine's Design. ``base``: the design that settings given by a user start from.
    ``sizes``: the designs that are checked, smallest first. ``trials``: a design and a seed -> its runs, with
    the model's results and cycles, computed without any RTL. ``bound``: the relative error of the model's cycles
    that is allowed in each run. ``buildable``: raises InfeasibleError, naming field and limit, for a
    design that this RTL cannot be made for.
    """

    name: str
    summary: str
    base: D
    sizes: tuple[D, ...]
    trials: Callable[[D, int], Sequence[Trial]]
    bound: float
    buildable: Callable[[D], None]

    @property
    def design_type(self) -> type[D]:
        """The machine's Design."""
        return type(self.base)

    def design(self, settings: dict[str, str]) -> D:
        """``base`` with settings, of a kind that can be built.

        Raises:
            UsageError: an unknown setting.
            InputError: a value out of its range.
            InfeasibleError: a design that this RTL cannot be made for.
        """
        design = self.base.with_settings(self.name, settings)
        self.buildable(design)
        return design
