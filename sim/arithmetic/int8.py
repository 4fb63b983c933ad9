"""Whole numbers of 8 bits under scale factors, summed in an accumulator of any width.

Codes run from -127 to 127: the most negative one is never used, so that the range is symmetric. The sum is that of
``sim.units.mac``: products are added in the order of k, from 0, and after each the sum saturates or wraps at ``acc``
bits. Scale factors, rounding and result: ``sim.arithmetic.scaling``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from siloom.sim.arithmetic import Arithmetic, Counts, Direction, Product, Singles
from siloom.sim.arithmetic.scaling import SCALINGS, Coded, Round, coded
from siloom.sim.design import parameter
from siloom.sim.units.chance import seed
from siloom.sim.units.int_gemm import Sums, int_gemm
from siloom.sim.units.mac import Mac
from siloom.sim.units.operand_rounding import rescale, to_wholes, to_wholes_by_chance

_CHOICE = "free choice of the design"
_BITS = 8
TOP = (1 << (_BITS - 1)) - 1
"""Largest code."""


@dataclass(frozen=True, kw_only=True)
class Int8(Arithmetic):
    """Operands of 8 bits, sums of ``acc`` bits that saturate or wrap at every step.

    An accumulator of fewer than 15 bits overflows at a single product of large codes, one of fewer than 9 at a code.
    """

    name = "int8"
    summary = "8-bit whole numbers under scale factors, in an accumulator of any width"
    format = "int8"

    acc: int = parameter(32, unit="bit", source=_CHOICE, status="assumed", low=9, high=32)
    overflow: str = parameter("saturate", unit="", source=_CHOICE, status="assumed", choices=("saturate", "wrap"))
    scaling: str = parameter("tensor", unit="", source=_CHOICE, status="assumed", choices=SCALINGS)
    block: int = parameter(32, unit="", source="OCP microscaling formats, recalled", low=2, high=1024)
    rounding: str = parameter("nearest", unit="", source=_CHOICE, status="assumed", choices=("nearest", "stochastic"))

    @property
    def caution(self) -> str:
        """That a single product may be too large, where it may."""
        need = (TOP * TOP).bit_length() + 1
        if self.acc >= need:
            return ""
        high = (1 << (self.acc - 1)) - 1
        return f"{self}: one product of two codes comes to {TOP * TOP} and needs {need} bits, sums end at {high}"

    def product(self, a: Singles, b: Singles, direction: Direction, key: int = 0) -> Product:
        """A times B."""
        if a.shape[2] != b.shape[1]:  # slices of k would hide it
            raise ValueError(f"{self.name}: shapes must be (s, m, k) and (s or 1, k, n), got {a.shape} and {b.shape}")
        x = self._coded(a, f"{self.name}, {direction}: a", seed(key, 0))
        y = self._coded(b.transpose(0, 2, 1), f"{self.name}, {direction}: b", seed(key, 1))
        inner = a.shape[2]
        width = self.block if self.scaling == "block" else max(inner, 1)
        values = np.empty((a.shape[0], a.shape[1], b.shape[2]), np.float32)
        beyond, starts = 0, range(0, max(inner, 1), width)
        for n, start in enumerate(starts):
            of_a, of_b = x.codes[:, :, start : start + width], y.codes[:, :, start : start + width].transpose(0, 2, 1)
            found = self._sums(of_a, of_b)
            rescale(found.values, x.scales[:, :, n], y.scales[:, :, n], values, n > 0)
            beyond += found.beyond
        return Product(values, Counts(values.size * len(starts), beyond, a.size + b.size, x.clipped + y.clipped))

    def _sums(self, a: Singles, b: Singles) -> Sums:
        """Sums (s, m, n) of codes (s, m, k) and (s or 1, k, n)."""
        return int_gemm(a, b, Mac(a_bits=_BITS, b_bits=_BITS, acc_bits=self.acc, overflow=self.overflow))

    def _coded(self, x: Singles, name: str, key: int) -> Coded:
        by_chance = self.rounding == "stochastic"
        top = np.float32(TOP)
        to_codes: Round = partial(_by_chance, key) if by_chance else partial(_nearest, top)
        return coded(x, TOP, self.scaling, self.block, to_codes, by_chance, name)


def _nearest(top: np.float32, values: Singles, scale: np.float32, out: Singles) -> int:
    return to_wholes(values, scale, top, out)


def _by_chance(key: int, values: Singles, scale: np.float32, out: Singles) -> int:
    return to_wholes_by_chance(values, scale, np.float32(TOP), np.uint64(key), out)
