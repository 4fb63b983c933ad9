"""Dense matrix products on a GPU: tiles, waves, split-K, and where every second goes.

A library computes C in tiles of a menu, each by one multiprocessor, wave after wave; a small C is
cut along k as well and its parts are added by a second kernel. A tile of tm x tn needs, for each
step of k, tm * tn multiply-adds and tm + tn operands brought into the multiprocessor. The part of
that loading which the multiply-adds do not hide is one constant, in bytes a clock: it gives small
tiles their lower rate, eff = e ai / (ai + h) with ai = tm tn / (tm + tn) and
h = multiply-adds a clock x bytes / constant. The kernel ends no sooner than its bytes have come from
memory, and every call has a fixed cost. The fastest of all settings is taken, as the library's
heuristic aims to.

Three constants are fitted (``benchmarks/fit_gpu_gemm.py``); the rest is the board's, the clock that it holds while
its tensor cores are busy included: what that costs at peak is the cause ``lowered_clock``.

What it does not model: several tiles that share a multiprocessor, Stream-K
schedules, few tiles that cannot ask for all of memory's bandwidth, and fused epilogues (they are
operations of their own).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from siloom.models._gpu_board import DenseBoard
from siloom.sim.ops import FORMAT_BITS

TILES: tuple[tuple[int, int], ...] = (
    (256, 128), (128, 256), (128, 128), (256, 64), (64, 256), (128, 64), (64, 128), (64, 64),
    (128, 32), (32, 128), (128, 16), (16, 128),
)  # fmt: skip
"""Rows x columns of C that one multiprocessor computes at a time: cuBLAS's usual shapes."""
SPLITS = (1, 2, 4, 8)
K_STEP_BYTES = 64
"""Depth of one step along k: 32 fp16 operands, the usual depth of tensor-core kernels."""
ALIGNED_BYTES = 16
"""Widest load of a thread: rows that do not begin at its multiples are loaded in smaller pieces."""
METADATA_BITS = 2
"""A kept value's place among four: the only index that the 2:4 format stores."""
_MIN_SPLIT_STEPS = 8
_L2_SHARE = 0.5
_PARTIAL_BYTES = 4
_TIE_S = 1e-12


@dataclass(frozen=True)
class GemmCosts:
    """The fitted constants, and the assumed rate of unaligned operands; see ``GpuDesign``."""

    call_s: float
    math_efficiency: float
    operand_bytes_per_clock: float
    unaligned_share: float


@dataclass(frozen=True)
class GemmProblem:
    """``batch`` products of m x k and k x n, stored in one format and computed in another.

    ``skips24``: B is stored in 2:4 form and its zeros are skipped. ``a_elements`` is what A really
    holds where the library gathers it (convolution): by default batch * m * k.
    """

    m: int
    n: int
    k: int
    batch: int
    stored: str
    computed: str
    skips24: bool = False
    a_elements: int | None = None

    @property
    def a_bytes(self) -> float:
        """Bytes of A in memory."""
        elements = self.batch * self.m * self.k if self.a_elements is None else self.a_elements
        return elements * FORMAT_BITS[self.stored] / 8

    @property
    def b_element_bytes(self) -> float:
        """Bytes in memory that one position of B takes; with its metadata where it is 2:4."""
        bits = FORMAT_BITS[self.stored]
        return ((bits + METADATA_BITS) / 2 if self.skips24 else bits) / 8

    @property
    def b_bytes(self) -> float:
        """Bytes of B in memory."""
        return self.batch * self.k * self.n * self.b_element_bytes

    @property
    def c_bytes(self) -> float:
        """Bytes of C in memory."""
        return self.batch * self.m * self.n * FORMAT_BITS[self.stored] / 8

    @property
    def operand_bytes(self) -> float:
        """Bytes of A, B and C."""
        return self.a_bytes + self.b_bytes + self.c_bytes


@dataclass(frozen=True)
class GemmEstimate:
    """The chosen setting and its time: ``parts`` (cause -> seconds) add up to ``seconds``.

    ``multiplies`` counts the padded tiles too; ``read`` and ``written`` are bytes of DRAM by tensor;
    ``staged_bytes`` is what all tiles take into their multiprocessors.
    """

    tile: tuple[int, int]
    split_k: int
    tiles: int
    waves: int
    parts: Mapping[str, float]
    multiplies: int
    read: Mapping[str, float]
    written: Mapping[str, float]
    staged_bytes: float

    @property
    def seconds(self) -> float:
        """The whole call."""
        return math.fsum(self.parts.values())


def estimate_gemm(board: DenseBoard, costs: GemmCosts, problem: GemmProblem) -> GemmEstimate:
    """The fastest setting of the menu; of those that wait for the same bytes, the one that computes least."""
    settings = (estimate_setting(board, costs, problem, tile, split) for tile, split in menu(problem))
    return min(settings, key=lambda e: (round(e.seconds / _TIE_S), -e.parts["memory"]))


def menu(problem: GemmProblem) -> Iterator[tuple[tuple[int, int], int]]:
    """Tiles and cuts along k that a library would try: none of a k that one part of eight steps covers."""
    for split in SPLITS:
        if split == 1 or problem.k > _MIN_SPLIT_STEPS * k_step(problem.stored):
            for tile in TILES:
                yield tile, split


def k_step(stored: str) -> int:
    """Operands of a row or column that one step along k takes."""
    return K_STEP_BYTES * 8 // FORMAT_BITS[stored]


def estimate_setting(
    board: DenseBoard, costs: GemmCosts, p: GemmProblem, tile: tuple[int, int], split: int
) -> GemmEstimate:
    """One setting of the menu."""
    tm, tn = tile
    step = k_step(p.stored)
    across_m, across_n = -(-p.m // tm), -(-p.n // tn)
    tiles = across_m * across_n * split * p.batch
    waves = -(-tiles // board.sms)
    depth = -(-p.k // (split * step)) * step
    per_clock = board.matmul_flops(p.computed) / (2.0 * board.sms * board.clock_hz) * (2 if p.skips24 else 1)
    # One step more than the depth: the first operands come before there is anything to multiply. A part of few steps
    # takes no less than one of eight, so that a longer k, which may be cut more often, is never the faster for it.
    operand_bytes = tm * FORMAT_BITS[p.stored] / 8 + tn * p.b_element_bytes
    filled = depth + step
    waited = (depth if split == 1 else max(depth, _MIN_SPLIT_STEPS * step)) + step
    tile_clocks = (waited * (tm * tn / per_clock + operand_bytes / costs.operand_bytes_per_clock)) / (
        costs.math_efficiency
    )
    clock_hz = board.busy_clock_hz(p.computed)
    ideal = p.batch * p.m * p.n * p.k / per_clock / board.sms / clock_hz
    at_peak = ideal * clock_hz / board.clock_hz
    padded = tiles * tm * tn * depth / per_clock / board.sms / clock_hz
    evenly = tiles * tile_clocks / board.sms / clock_hz
    in_waves = waves * tile_clocks / clock_hz
    computed = in_waves / _aligned_share(board, costs, p)
    read, written = _traffic(board, p, tile, across_m, across_n)
    partial = split * p.batch * p.m * p.n * _PARTIAL_BYTES if split > 1 else 0
    parts = {
        "launch": costs.call_s,
        "compute": at_peak,
        "lowered_clock": ideal - at_peak,
        "tile_quantisation": padded - ideal,
        "operand_loading": evenly - padded,
        "wave_quantisation": in_waves - evenly,
        "alignment": computed - in_waves,
        "memory": max(0.0, (sum(read.values()) + p.c_bytes) / board.stream_bytes_per_s - computed),
        "split_k": (board.launch_s + 2.0 * partial / board.stream_bytes_per_s) if split > 1 else 0.0,
    }
    if partial:
        read["partial"] = written["partial"] = float(partial)
    return GemmEstimate(
        tile,
        split,
        tiles,
        waves,
        parts,
        tiles * tm * tn * depth // (2 if p.skips24 else 1),
        read,
        written,
        tiles * filled * operand_bytes,
    )


def _aligned_share(board: DenseBoard, costs: GemmCosts, p: GemmProblem) -> float:
    """The share of its rate that a tensor-core kernel keeps with rows of k and n as they are aligned.

    1 at 16 bytes, ``unaligned_share`` at 2 and below; every halving between costs the same factor.
    """
    if p.computed not in board.tensor_flops:
        return 1.0
    row_bits = math.gcd(p.k, p.n) * FORMAT_BITS[p.stored]
    aligned = math.gcd(row_bits, ALIGNED_BYTES * 8) / 8
    halvings = min(3.0, math.log2(ALIGNED_BYTES / aligned))
    return float(costs.unaligned_share ** (halvings / 3.0))


def _traffic(
    board: DenseBoard, p: GemmProblem, tile: tuple[int, int], across_m: int, across_n: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Bytes of DRAM by tensor, read and written.

    The tiles in flight form a block of C that is near square in elements; what they share comes from
    the L2 cache. An operand that the cache holds as a whole (in its half) is read once, any other once
    for every block that it meets.
    """
    tm, tn = tile
    rows = min(across_m, max(1, round(math.sqrt(board.sms * tn / tm))))
    columns = min(across_n, max(1, board.sms // rows))
    held = _L2_SHARE * board.l2_bytes * p.batch
    a_times = 1 if p.a_bytes <= held else -(-across_n // columns)
    b_times = 1 if p.b_bytes <= held else -(-across_m // rows)
    return {"a": p.a_bytes * a_times, "b": p.b_bytes * b_times}, {"c": p.c_bytes}
