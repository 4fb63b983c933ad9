"""How fast bit-true matrix products are, as shares of numpy's float32 product in the same run.

Usage: python benchmarks/gemm.py [--repeats N]

Two tables, on one thread (set OMP_NUM_THREADS=1 for the BLAS). The first is of the units' products alone, on codes:
``int_gemm`` and ``float_gemm``. Integer codes are normal numbers whose largest of the tensor is 127, as they are in
training, or drawn evenly from -127 to 127, which fills accumulators fastest: what can be proved, and so the time,
depends on it. The second is of ``Arithmetic.product`` as training calls it, from float32 to float32: scale factors,
rounding, product and scaling back. The time of each is the best of some runs, in the thread's own seconds; the
yardstick is timed anew beside each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from siloom.sim.arithmetic import arithmetic
from siloom.sim.units.float_gemm import float_gemm
from siloom.sim.units.fp_gemm import decoded, encoded
from siloom.sim.units.fp_mac import FpMac
from siloom.sim.units.int_gemm import int_gemm
from siloom.sim.units.mac import Mac

Singles = npt.NDArray[np.float32]

SHAPES = ((1, 2048, 128, 512), (1, 512, 512, 512), (1, 512, 2048, 128), (64, 128, 32, 128), (64, 128, 128, 32))
"""Stack, m, k, n: a layer's forward product, a square, a layer's gradient, and attention's two products."""
WIDTHS = ((32, "saturate"), (24, "saturate"), (18, "saturate"), (16, "saturate"), (18, "wrap"), (16, "wrap"))
ACCUMULATORS = (
    ("fp8_e4m3", 8, 23, None), ("fp8_e4m3", 5, 10, None), ("fp8_e4m3", 8, 7, None), ("fp8_e4m3", 8, 13, None),
    ("fp8_e4m3", 6, 5, None), ("fp8_e4m3", 8, 13, 1), ("fp8_e4m3", 5, 10, 1), ("bf16", 8, 23, None),
    ("bf16", 8, 7, None), ("fp8_e5m2", 5, 2, None), ("fp8_e5m2", 4, 3, None), ("fp16", 5, 10, None),
)  # fmt: skip
"""Format of both factors; the accumulator's exponent and mantissa; the key, where sums are rounded by chance."""
ARITHMETICS = (
    "int8", "int8:acc=24", "int8:acc=18", "int8:acc=16", "int8:scaling=channel", "int8:scaling=block",
    "int8:rounding=stochastic", "fp8", "fp8:acc=fp16", "fp8:acc=fp16,overflow=saturate,headroom=none",
    "fp8:acc=e8m13,chunk=128", "fp8:scaling=block", "fp8:rounding=stochastic", "bf16",
)  # fmt: skip


def share(of: Callable[[], object], yardstick: Callable[[], object], repeats: int) -> float:
    """How much of the yardstick's rate a function reaches: best times of both, taken in turns."""
    best = [float("inf"), float("inf")]
    for run in (of, yardstick):
        run()
    for _ in range(repeats):
        for n, run in enumerate((of, yardstick)):
            start = time.thread_time()
            run()
            best[n] = min(best[n], time.thread_time() - start)
    return best[1] / best[0]


def rate(a: Singles, b: Singles, repeats: int) -> float:
    """Of numpy's own product, in billions of multiply-accumulates a second."""
    best = float("inf")
    for _ in range(repeats):
        start = time.thread_time()
        np.matmul(a, b)
        best = min(best, time.thread_time() - start)
    return 1e-9 * a.size * b.shape[2] / best


def row(name: str, found: list[float]) -> None:
    """Print one line of shares."""
    print(f"{name:<44}" + "".join(f"{100 * x:>15.0f} %" for x in found), flush=True)


def heading(title: str) -> None:
    """Print the names of the columns."""
    print(f"{title:<44}" + "".join(f"{'x'.join(map(str, shape)):>17}" for shape in SHAPES))


def codes(rng: np.random.Generator, even: bool, shape: tuple[int, ...]) -> Singles:
    """Whole numbers from -127 to 127."""
    if even:
        return rng.integers(-127, 128, shape).astype(np.float32)
    x = rng.standard_normal(shape)
    found: Singles = np.rint(x * (127 / np.abs(x).max())).astype(np.float32)
    return found


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    reals = [tuple(rng.standard_normal(x).astype(np.float32) for x in ((s, m, k), (s, k, n))) for s, m, k, n in SHAPES]
    heading("")
    print(
        f"{'sgemm, G multiply-accumulates/s':<44}" + "".join(f"{rate(a, b, repeats):>17.1f}" for a, b in reals) + "\n"
    )
    heading("units, share of sgemm")
    for even in (False, True):
        operands = [[codes(rng, even, x.shape) for x in pair] for pair in reals]
        for width, overflow in WIDTHS:
            found = [
                share(
                    partial(int_gemm, a, b, Mac(acc_bits=width, overflow=overflow)), partial(np.matmul, a, b), repeats
                )
                for a, b in operands
            ]
            row(f"int8 {'even' if even else 'normal'}, {width} bits, {overflow}", found)
    for name, exponent, mantissa, key in ACCUMULATORS:
        unit = FpMac(a_format=name, b_format=name, acc_exponent_bits=exponent, acc_mantissa_bits=mantissa)
        numbers = [[decoded(unit.a)[encoded(x, unit.a)] for x in pair] for pair in reals]
        found = [share(partial(float_gemm, a, b, unit, key=key), partial(np.matmul, a, b), repeats) for a, b in numbers]
        row(f"{name} onto e{exponent}m{mantissa}{'' if key is None else ', by chance'}", found)
    print()
    heading("arithmetics, share of sgemm")
    for text in ARITHMETICS:
        way = arithmetic(text)
        row(text, [share(partial(way.product, a, b, "forward"), partial(np.matmul, a, b), repeats) for a, b in reals])


if __name__ == "__main__":
    main()
