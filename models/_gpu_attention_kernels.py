"""The FlashAttention kernels: block sizes, and how a block's matrix products share shared memory.

A kernel walks the score matrix in blocks of ``rows`` queries x ``columns`` keys. Each block is a few
matrix products, divided among the warps (or, from FlashAttention 3 on, warpgroups) of a thread
block; a group reads its operands from shared memory for itself, so an operand that several groups
need is read as often. Those bytes, and what is written there, are counted here.

Block sizes and divisions are those of the released kernels (repository Dao-AILab/flash-attention:
``csrc/flash_attn/src/flash_{fwd,bwd}_launch_template.h`` for version 2, ``hopper/tile_size.h`` and
``hopper/flash_bwd_launch_template.h`` for version 3, read; version 1 from memory of
``fmha_{fprop,dgrad}_fp16_kernel.sm80.cu`` and of Dao et al., NeurIPS 2022, algorithm 1).

Letters: R rows and C columns of a block, D head dimension; Q, K, V, O and their gradients dQ ...;
S the scores, P their softmax.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

FP32_BYTES = 4
FLASH1_MAX_COLUMNS = 256
"""Longer blocks of version 1 gain nothing more (Dao et al., NeurIPS 2022, figure 2, middle)."""


@dataclass(frozen=True)
class Product:
    """One matrix product of a block, m x k by k x n, as the groups of a thread block divide it.

    ``a_reads`` and ``b_reads`` say how often each operand is read from shared memory; 0 is an operand
    that its group holds in registers.
    """

    m: int
    n: int
    k: int
    a_reads: int
    b_reads: int

    @property
    def flops(self) -> int:
        """Two per multiply-add."""
        return 2 * self.m * self.n * self.k

    @property
    def read_elements(self) -> int:
        """Elements that come from shared memory."""
        return self.a_reads * self.m * self.k + self.b_reads * self.n * self.k


@dataclass(frozen=True)
class Kernel:
    """A kernel at one head dimension: its block, and the work of one block.

    ``written_elements`` of the operands' format and ``written_fp32`` accumulators go into shared
    memory for each block; ``read_fp32`` accumulators come back from it. ``dim`` is the head dimension
    that the kernel is compiled for, at least the operation's; ``resident`` the thread blocks that a
    multiprocessor holds at a time.
    """

    rows: int
    columns: int
    dim: int
    products: tuple[Product, ...]
    written_elements: int
    written_fp32: int = 0
    read_fp32: int = 0
    resident: int = 1

    @property
    def flops(self) -> int:
        """Floating-point operations of a block on the tensor cores."""
        return sum(p.flops for p in self.products)

    def staged_bytes(self, element_bytes: int) -> int:
        """Bytes that a block reads from and writes to shared memory."""
        elements = self.written_elements + sum(p.read_elements for p in self.products)
        return elements * element_bytes + (self.written_fp32 + self.read_fp32) * FP32_BYTES


LARGEST_DIM: Mapping[str, int] = {"flash1": 128, "flash2": 256, "flash3": 256}
"""The largest head dimension that each version has kernels for."""


def kernel_of(algorithm: str, dim: int, backward: bool, causal: bool, smem_bytes: float, fp8: bool = False) -> Kernel:
    """The kernel that runs head dimension ``dim``, at most ``LARGEST_DIM[algorithm]``.

    ``smem_bytes`` is what one multiprocessor has; boards with little of it get smaller blocks.
    """
    if algorithm == "flash1":
        return _flash1_backward(dim, smem_bytes) if backward else _flash1_forward(dim, smem_bytes)
    if algorithm == "flash2":
        return _flash2_backward(dim, smem_bytes) if backward else _flash2_forward(dim, causal, smem_bytes)
    return _flash3_backward(dim, causal) if backward else _flash3_forward(dim, causal, fp8)


def _at_least(dim: int, table: Mapping[int, tuple[int, ...]]) -> tuple[int, tuple[int, ...]]:
    compiled = next(d for d in table if d >= dim)
    return compiled, table[compiled]


# --- version 1: keys stay, queries stream past; the warps divide the keys --------------------------


def flash1_columns(dim: int, smem_bytes: float) -> int:
    """Keys of a block: a quarter of shared memory holds them (algorithm 1, line 1: M / 4d elements).

    The largest power of two not above that, and not above 256, as the kernels are compiled.
    """
    most = min(FLASH1_MAX_COLUMNS, max(16, int(smem_bytes / 2 / (4 * dim))))
    return 1 << (most.bit_length() - 1)


def _flash1_forward(dim: int, smem_bytes: float) -> Kernel:
    compiled = next(d for d in (32, 64, 128) if d >= dim)
    rows, warps, columns = 16, 4, flash1_columns(compiled, smem_bytes)
    products = (
        Product(rows, columns, compiled, warps, 1),  # S = Q K^T: every warp needs all of Q
        Product(rows, compiled, columns, 0, 1),  # O = P V: every warp has a part of the sum over keys
    )
    # The warps' partial outputs meet in shared memory: each writes one, all are read and added.
    partial = warps * rows * compiled
    return Kernel(rows, columns, compiled, products, rows * compiled, partial, partial, resident=2)


def _flash1_backward(dim: int, smem_bytes: float) -> Kernel:
    compiled = next(d for d in (32, 64, 128) if d >= dim)
    rows, warps, columns = 16, 8, flash1_columns(compiled, smem_bytes)
    products = (
        Product(rows, columns, compiled, warps, 1),  # S = Q K^T
        Product(rows, columns, compiled, warps, 1),  # dP = dO V^T
        Product(columns, compiled, rows, 1, warps),  # dV += P^T dO
        Product(columns, compiled, rows, 1, warps),  # dK += dS^T Q
        Product(rows, compiled, columns, 0, 1),  # dQ += dS K, in parts over the keys
    )
    partial = warps * rows * compiled
    return Kernel(rows, columns, compiled, products, 2 * rows * compiled + 2 * rows * columns, partial, partial)


# --- version 2: the warps divide the queries -------------------------------------------------------

_FLASH2_FORWARD = {32: (128, 128, 4), 64: (128, 128, 4), 96: (128, 64, 4), 128: (128, 64, 4), 192: (128, 64, 8),
                   256: (128, 64, 8)}  # fmt: skip
"""Head dimension -> rows, columns, warps."""
_FLASH2_BACKWARD = {32: (128, 128, 4, 4, 4, 0), 64: (128, 128, 4, 4, 4, 1), 96: (64, 128, 2, 4, 4, 0),
                    128: (64, 128, 2, 4, 2, 1), 192: (64, 64, 4, 2, 2, 1), 256: (64, 64, 4, 2, 2, 1)}  # fmt: skip
"""Head dimension -> rows, columns; of 8 warps those along the rows of S, the columns of dK and dV, the
rows of dQ; and reads of V from shared memory (0: in registers)."""
_BACKWARD_WARPS = 8
_SMALL_SMEM_BYTES = 144 * 1024
"""Boards with less get the small blocks (version 2: compute capability 8.6 and 8.9)."""


def _flash2_forward(dim: int, causal: bool, smem_bytes: float) -> Kernel:
    compiled, (rows, columns, warps) = _at_least(dim, _FLASH2_FORWARD)
    if compiled == 128 and smem_bytes < _SMALL_SMEM_BYTES:
        rows, columns = (64, 64) if causal else (128, 32)
    # Two small blocks fit side by side where there is room for them (Hopper).
    if compiled == 256 and not 128 * 1024 <= smem_bytes < 4 * compiled * (64 + 2 * 64):
        rows, warps = 64, 4
    # Four warps with all the registers that a thread may have take half of the register file.
    return replace(_row_kernel(rows, columns, compiled, warps), resident=2 if warps == 4 else 1)


def _row_kernel(rows: int, columns: int, dim: int, groups: int) -> Kernel:
    """Forward kernels whose groups divide the rows: every group reads all keys and values."""
    products = (
        Product(rows, columns, dim, 1, groups),  # S = Q K^T
        Product(rows, dim, columns, 0, groups),  # O += P V: P never leaves its group's registers
    )
    return Kernel(rows, columns, dim, products, 2 * columns * dim)


def _flash2_backward(dim: int, smem_bytes: float) -> Kernel:
    compiled, (rows, columns, along_s, along_kv, along_q, v_reads) = _at_least(dim, _FLASH2_BACKWARD)
    if smem_bytes < _SMALL_SMEM_BYTES and compiled in (64, 128):
        rows, columns, along_s, along_kv, along_q, v_reads = (
            (64, 128, 2, 4, 4, 0) if compiled == 64 else (64, 64, 4, 2, 2, 0)
        )
    warps = _BACKWARD_WARPS
    products = (
        Product(rows, columns, compiled, warps // along_s, along_s),  # S = Q K^T
        Product(rows, columns, compiled, warps // along_s, along_s * v_reads),  # dP = dO V^T
        Product(columns, compiled, rows, warps // along_kv, along_kv),  # dV += P^T dO
        Product(columns, compiled, rows, warps // along_kv, along_kv),  # dK += dS^T Q
        Product(rows, compiled, columns, warps // along_q, along_q),  # dQ += dS K
    )
    # Q and dO come in; P and dS change groups through shared memory.
    return Kernel(rows, columns, compiled, products, 2 * rows * compiled + 2 * rows * columns)


# --- version 3: warpgroups, asynchronous products that read shared memory themselves ---------------

_FLASH3_FORWARD = {64: (192, 128, 128), 96: (192, 144, 144), 128: (128, 176, 128), 192: (128, 112, 112),
                   256: (128, 80, 80)}  # fmt: skip
"""Head dimension -> rows, columns, columns where causal."""
_FLASH3_FP8 = {64: (192, 160, 160), 96: (192, 128, 128), 128: (128, 224, 224), 192: (128, 160, 160),
               256: (128, 128, 128)}  # fmt: skip
_ROWS_PER_WARPGROUP = 64


def _flash3_forward(dim: int, causal: bool, fp8: bool) -> Kernel:
    compiled, (rows, wide, narrow) = _at_least(dim, _FLASH3_FP8 if fp8 else _FLASH3_FORWARD)
    columns = narrow if causal else wide
    kernel = _row_kernel(rows, columns, compiled, rows // _ROWS_PER_WARPGROUP)
    if not fp8:
        return kernel
    # FP8 products take V by columns only: it is read, transposed and written once more.
    transposed = Product(0, columns, compiled, 0, 1)
    return Kernel(rows, columns, compiled, (*kernel.products, transposed), 3 * columns * compiled)


_FLASH3_BACKWARD = {64: (128, 128, 2), 96: (64, 128, 2), 128: (80, 128, 2), 192: (64, 96, 3), 256: (64, 80, 2)}
"""Head dimension -> rows, columns, warpgroups."""
_CAUSAL_ROWS = {128: 64}


def _flash3_backward(dim: int, causal: bool) -> Kernel:
    compiled, (rows, columns, groups) = _at_least(dim, _FLASH3_BACKWARD)
    if causal:
        rows = _CAUSAL_ROWS.get(compiled, rows)
    if compiled <= 128:
        # The groups divide the keys; P and dS of dV and dK stay in their registers.
        score, key, p_written = (groups, 1), (0, groups), 0
    else:
        # The groups divide the keys of S, but the head dimension of dV and dK.
        score, key, p_written = (groups, 1), (groups, 1), rows * columns
    # Up to 64 the groups divide the queries of dQ, beyond that its head dimension.
    query = (1, groups) if compiled <= 64 else (groups, 1)
    products = (
        Product(rows, columns, compiled, *score),  # S = Q K^T
        Product(rows, columns, compiled, *score),  # dP = dO V^T
        Product(columns, compiled, rows, *key),  # dV += P^T dO
        Product(columns, compiled, rows, *key),  # dK += dS^T Q
        Product(rows, compiled, columns, *query),  # dQ += dS K
    )
    # dQ leaves through shared memory, from where it is added to the sum in memory.
    staged = rows * compiled
    return Kernel(rows, columns, compiled, products, 2 * rows * compiled + rows * columns + p_written, staged, staged)
