"""What a kernel model asks of a GPU board: rates, capacities and the generation, in SI units.

A :class:`DenseBoard` is made from a machine's design (``GpuDesign.dense_board``) and read by the
models of dense work: GEMM, attention, elementwise and reduction kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GENERATIONS: tuple[tuple[float, str], ...] = (
    (9.0, "hopper"), (8.9, "ada"), (8.0, "ampere"), (7.5, "turing"), (7.0, "volta"), (6.0, "pascal"), (0.0, "kepler"),
)  # fmt: skip
"""The lowest compute capability of each generation (CUDA C++ Programming Guide), newest first."""

_NEAREST: Mapping[str, tuple[str, ...]] = {"int4": ("int4", "int8"), "int8": ("int8",), "fp8": ("fp8", "fp16")}
"""Formats in which a product is computed exactly, beside fp32 that takes any of them, narrowest first."""


def generation(compute_capability: float) -> str:
    """The generation of a board by its compute capability, as ``ampere`` of 8.0."""
    return next(name for least, name in GENERATIONS if compute_capability >= least)


@dataclass(frozen=True)
class DenseBoard:
    """One GPU as dense kernels see it.

    ``tensor_flops`` is the peak of the tensor cores by number format, two operations a multiply-add,
    accumulating in fp32 (int32 for integers); a format that they do not take is absent.
    ``other_flops`` is the same for the ordinary units: always fp32 and fp64, int8 where they have it.
    ``exp_per_sm_clock`` is the rate of the special-function units. ``stream_share`` is the part of
    ``bandwidth_bytes_per_s`` that streams reach. ``smem_bytes`` is the shared memory of one SM.
    ``sustained_clock_share`` is the clock that the board holds while its tensor cores are busy, over ``clock_hz``,
    at which peaks are stated.
    """

    name: str
    generation: str
    clock_hz: float
    sms: int
    tensor_flops: Mapping[str, float]
    other_flops: Mapping[str, float]
    exp_per_sm_clock: float
    bandwidth_bytes_per_s: float
    stream_share: float
    memory_bytes: float
    l2_bytes: float
    smem_bytes: float
    launch_s: float
    sustained_clock_share: float = 1.0

    def busy_clock_hz(self, number_format: str) -> float:
        """The clock during products computed in a format: lower where tensor cores do them on some boards."""
        return self.clock_hz * (self.sustained_clock_share if number_format in self.tensor_flops else 1.0)

    @property
    def stream_bytes_per_s(self) -> float:
        """Bandwidth that streams reach."""
        return self.bandwidth_bytes_per_s * self.stream_share

    @property
    def fp32_flops(self) -> float:
        """Peak of the ordinary fp32 units: what is not a matrix product runs here."""
        return self.other_flops["fp32"]

    @property
    def exp_per_s(self) -> float:
        """Exponentials a second of the whole board."""
        return self.exp_per_sm_clock * self.sms * self.clock_hz

    @property
    def sparse24(self) -> bool:
        """Whether the tensor cores skip the zeros of 2:4 operands: from Ampere on."""
        return self.generation in ("ampere", "ada", "hopper")

    def computed_in(self, number_format: str) -> str:
        """The format in which a matrix product of operands in ``number_format`` is computed.

        That one where the board has units for it, else the narrowest that holds the same values:
        fp8 in fp16, int4 in int8, and fp32 for whatever has nothing nearer.
        """
        has = {*self.tensor_flops, *self.other_flops}
        return next((name for name in _NEAREST.get(number_format, (number_format,)) if name in has), "fp32")

    def matmul_flops(self, number_format: str) -> float:
        """Peak of matrix products computed in a format of :meth:`computed_in`, FLOP/s."""
        return max(self.tensor_flops.get(number_format, 0.0), self.other_flops.get(number_format, 0.0))
