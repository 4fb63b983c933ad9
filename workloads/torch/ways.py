"""Which arithmetic each direction of training uses."""

from __future__ import annotations

from dataclasses import dataclass

from siloom.sim.arithmetic import Arithmetic, Direction, arithmetic

Way = str | Arithmetic


@dataclass(frozen=True)
class Ways:
    """The arithmetic of the forward product and of both backward products."""

    forward: Arithmetic
    grad_input: Arithmetic
    grad_weight: Arithmetic

    @classmethod
    def of(
        cls, forward: Way, backward: Way | None = None, grad_input: Way | None = None, grad_weight: Way | None = None
    ) -> Ways:
        """From names or objects; ``backward`` stands for both gradients, and is ``forward`` where not given.

        Raises:
            SiloomError: see :func:`siloom.sim.arithmetic.arithmetic`.
        """
        behind = forward if backward is None else backward
        return cls(
            _way(forward),
            _way(behind if grad_input is None else grad_input),
            _way(behind if grad_weight is None else grad_weight),
        )

    @property
    def cautions(self) -> list[str]:
        """What makes results doubtful whatever is multiplied, each once."""
        found = (way.caution for way in (self.forward, self.grad_input, self.grad_weight))
        return [text for text in dict.fromkeys(found) if text]

    def text(self, direction: Direction) -> str:
        """The name of a direction's arithmetic."""
        return str(getattr(self, direction))


def _way(way: Way) -> Arithmetic:
    # By its text, objects too: that is what an operation is told, so there must be such an arithmetic.
    return arithmetic(str(way))
