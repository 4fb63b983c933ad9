"""Single precision by the host's own product: what the others are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from siloom.sim.arithmetic import Arithmetic, Counts, Direction, Product, Singles


@dataclass(frozen=True, kw_only=True)
class Fp32(Arithmetic):
    """No rounding of operands; the order of the sums is that of the host's library."""

    name = "fp32"
    summary = "single precision, by the host's own matrix product"
    format = "fp32"

    def product(self, a: Singles, b: Singles, direction: Direction, key: int = 0) -> Product:
        """A times B, by numpy."""
        values = np.matmul(a, b)
        return Product(values, Counts(sums=values.size, operands=a.size + b.size))
