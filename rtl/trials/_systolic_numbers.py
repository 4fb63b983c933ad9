"""What trials of a systolic array multiply, and the product that its model gives: integers or floating point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from siloom.rtl.machines._systolic_size import ArraySize
from siloom.rtl.trials._systolic_streams import Product
from siloom.sim.contract import Codes, Whole
from siloom.sim.engine.systolic_cells import multiply
from siloom.sim.units.fp_gemm import encoded, fp_gemm
from siloom.sim.units.fp_mac import FpMac
from siloom.sim.units.quantizer import quantize
from siloom.sim.units.systolic_cell import SystolicCell
from siloom.sim.units.systolic_float_cell import SystolicFloatCell

Reals = npt.NDArray[np.float32]


def random_codes(size: ArraySize, shape: tuple[int, int], rng: np.random.Generator) -> Codes:
    """Integers drawn evenly, or numbers about 1 whose exponents differ."""
    if isinstance(size.cell, SystolicCell):
        form = Whole(size.cell.a_bits)
        return rng.integers(form.low, form.high, shape, endpoint=True)
    numbers = rng.standard_normal(shape) * 2.0 ** rng.integers(-3, 4, shape)
    return encoded(numbers.astype(np.float32), _float_cell(size).a)


def end_codes(size: ArraySize, shape: tuple[int, int], rng: np.random.Generator) -> Codes:
    """The ends of the range, at which sums run away or stop being numbers."""
    if isinstance(size.cell, SystolicCell):
        form = Whole(size.cell.a_bits)
        return rng.choice(np.array([form.low, form.low, form.high]), shape)
    return rng.choice(np.array(_float_cell(size).a.corners()), shape)


def codes_of(size: ArraySize, values: Reals) -> Codes:
    """The nearest codes; of integers at the scale at which the largest value has the largest code."""
    if isinstance(size.cell, SystolicCell):
        bits = size.cell.a_bits
        scale = np.float32((1 << (bits - 1)) - 1) / np.abs(values).max()
        return quantize(values, scale, bits).astype(np.int64)
    return encoded(values, _float_cell(size).a)


def product_of(size: ArraySize, a: Codes, b: Codes) -> Product:
    """Codes of A and B with those of C: of integers as the model of all registers has it, wrapped to the accumulator.

    Of floating-point numbers as an array of ``fp_mac`` has it: where k is cut, each part is summed by itself, and the
    parts are added in the accumulator's format.
    """
    if isinstance(size.cell, SystolicCell):
        whole = size.cell
        exact = multiply(whole.dataflow, size.rows, size.cols, a, b, double=whole.double).product
        half = 1 << (whole.acc_bits - 1)
        return Product(a, b, exact if whole.acc_bits == 64 else (exact + half) % (2 * half) - half)
    cell = _float_cell(size)
    unit = FpMac(
        a_format=cell.a_format,
        b_format=cell.b_format,
        acc_exponent_bits=cell.acc_exponent_bits,
        acc_mantissa_bits=cell.acc_mantissa_bits,
        overflow=cell.overflow,
    )
    chunk = 0 if size.sums_stay else size.rows
    return Product(a, b, fp_gemm(a, b, unit, chunk=chunk, outer=cell.accumulator))


def _float_cell(size: ArraySize) -> SystolicFloatCell:
    assert isinstance(size.cell, SystolicFloatCell)
    return size.cell
