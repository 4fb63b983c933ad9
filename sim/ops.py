"""Operations: what is to be computed, independent of any machine.

Workloads are made of these and machines run them; nothing else passes between the two. Sizes are
counts of elements unless a name ends in ``_bytes``; ``format`` names the operands' number format.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from siloom.sim.drawn_attention import Clustered, Operands, Reals32, draw
from siloom.sim.engine.cycles import MAX_COUNT as MAX_COUNT
from siloom.sim.errors import InputError
from siloom.sim.sparse import Csr

FORMAT_BITS: Mapping[str, int] = {
    "int4": 4, "int8": 8, "fp8": 8, "bf16": 16, "fp16": 16, "tf32": 32, "fp32": 32, "fp64": 64,
}  # fmt: skip
"""Bits that an element of each number format takes in memory (tf32 is stored as fp32)."""


_LARGEST_OPERAND = 1e15
"""Elements of Q, K and V: sums of squares of 2^20 of them are finite in single precision."""


def format_bytes(name: str, elements: int) -> int:
    """Bytes of ``elements`` numbers, rounded up to whole ones."""
    return (elements * FORMAT_BITS[name] + 7) // 8


def _at_least(low: int, owner: str, item: object, names: tuple[str, ...]) -> None:
    """Hold sizes to their range, as Python's own integers: numpy's, which wrap around, are taken over."""
    for name in names:
        value = getattr(item, name)
        if not isinstance(value, int | np.integer) or isinstance(value, bool):
            raise InputError(f"{owner}: {name} must be a whole number, got {value!r}")
        if value < low:
            raise InputError(f"{owner}: {name} must be at least {low}, got {value}")
        object.__setattr__(item, name, int(value))


def _positive(owner: str, item: object, *names: str) -> None:
    _at_least(1, owner, item, names)


def _not_negative(owner: str, item: object, *names: str) -> None:
    _at_least(0, owner, item, names)


def _known_format(owner: str, name: str) -> None:
    if name not in FORMAT_BITS:
        raise InputError(f"{owner}: format must be one of {', '.join(FORMAT_BITS)}, got {name!r}")


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _countable(owner: str, count: int, what: str = "multiplies") -> None:
    if count >= MAX_COUNT:
        raise InputError(f"{owner}: must count below 2^62 {what}, got {count}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Operation:
    """Base of all operations. ``multiplies`` and ``adds`` count scalar work that is not zero."""

    name: str = ""

    @property
    def kind(self) -> str:
        """The operation's type in lower case, as results and messages name it."""
        return type(self).__name__.lower()

    @property
    def multiplies(self) -> int:
        """Effective scalar multiplications."""
        raise TypeError(f"{self.kind}: counts no multiplies")

    @property
    def flops(self) -> int:
        """Two per effective multiply: the measure in which coverage is stated."""
        return 2 * self.multiplies

    def describe(self) -> dict[str, Any]:
        """Shapes and hashes, no data: what identifies this operation in a result."""
        out: dict[str, Any] = {"kind": self.kind}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Csr):
                out[f.name] = {"shape": list(value.shape), "nnz": value.nnz, "hash": value.content_hash}
            elif isinstance(value, np.ndarray):
                digest = hashlib.blake2b(np.ascontiguousarray(value).data, digest_size=8)
                out[f.name] = {"shape": list(value.shape), "hash": digest.hexdigest()}
            elif dataclasses.is_dataclass(value) and not isinstance(value, type):
                out[f.name] = dataclasses.asdict(value)
            elif value is not None:
                out[f.name] = value
        return out


@dataclass(frozen=True, kw_only=True, eq=False)
class MatMul(Operation):
    """Dense C[m, n] = A[m, k] B[k, n], ``batch`` times.

    ``shared`` says that the B of all products is the same, as weights are. With ``sparse24`` at most
    two of four neighbours along k of B are not zero (pruned weights), so half the products are work.
    """

    m: int
    n: int
    k: int
    batch: int = 1
    format: str = "fp16"
    shared: bool = False
    sparse24: bool = False

    def __post_init__(self) -> None:
        """Refuse empty or absurd sizes, and a 2:4 pattern that k does not hold."""
        _positive("gemm", self, "m", "n", "k", "batch")
        _known_format("gemm", self.format)
        if self.dense_multiplies >= MAX_COUNT:
            raise InputError(f"gemm: m*n*k*batch must be below 2^62, got {self.dense_multiplies}")
        if self.sparse24 and self.k % 4:
            raise InputError(f"gemm: k must be a multiple of 4 for 2:4 sparsity, got {self.k}")

    @property
    def dense_multiplies(self) -> int:
        """M * n * k * batch: what hardware does that cannot skip zeros."""
        return self.m * self.n * self.k * self.batch

    @property
    def multiplies(self) -> int:
        """M * n * k * batch, half of it where B is 2:4 sparse."""
        return self.dense_multiplies // 2 if self.sparse24 else self.dense_multiplies


@dataclass(frozen=True, kw_only=True, eq=False)
class SpGEMM(Operation):
    """Sparse C = A B with both operands given; entries are fp64, indices 32 bits in hardware.

    Raises (when made):
        InputError: A's columns differ from B's rows.
    """

    a: Csr
    b: Csr

    def __post_init__(self) -> None:
        """Refuse operands that do not conform."""
        if self.a.shape[1] != self.b.shape[0]:
            raise InputError(
                f"product: columns of A must equal rows of B, got {self.a.shape[0]} x {self.a.shape[1]} "
                f"times {self.b.shape[0]} x {self.b.shape[1]}"
            )
        _countable("product", self.multiplies)

    @cached_property
    def _per_column(self) -> tuple[Any, Any]:
        columns = np.bincount(self.a.indices, minlength=self.a.shape[1])
        return columns, self.b.row_lengths

    @property
    def multiplies(self) -> int:
        """Sum over k of nnz(A[:, k]) * nnz(B[k, :])."""
        columns, rows = self._per_column
        return int(columns @ rows)

    @property
    def chunks(self) -> int:
        """Non-zeros of A that meet a non-empty row of B: the partial-product chunks."""
        columns, rows = self._per_column
        return int(columns[rows > 0].sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class SpMM(Operation):
    """Sparse times dense: C[rows, n] = A B[cols, n]."""

    a: Csr
    n: int
    b: np.ndarray[Any, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse an empty dense side or one that does not conform."""
        _positive("spmm", self, "n")
        _countable("spmm", self.multiplies)
        if self.b is not None and self.b.shape != (self.a.shape[1], self.n):
            raise InputError(f"spmm: b must be {self.a.shape[1]} x {self.n}, got {self.b.shape}")

    @property
    def multiplies(self) -> int:
        """nnz(A) * n."""
        return self.a.nnz * self.n


@dataclass(frozen=True, kw_only=True, eq=False)
class SDDMM(Operation):
    """Sampled dense-dense product: C = (X[rows, k] Y[k, cols]) at the mask's positions only."""

    mask: Csr
    k: int
    x: np.ndarray[Any, Any] | None = None
    y: np.ndarray[Any, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse an empty inner size and dense sides that do not conform."""
        _positive("sddmm", self, "k")
        _countable("sddmm", self.multiplies)
        rows, cols = self.mask.shape
        for name, side, shape in (("x", self.x, (rows, self.k)), ("y", self.y, (self.k, cols))):
            if side is not None and side.shape != shape:
                raise InputError(f"sddmm: {name} must be {shape[0]} x {shape[1]}, got {side.shape}")

    @property
    def multiplies(self) -> int:
        """nnz(mask) * k."""
        return self.mask.nnz * self.k


@dataclass(frozen=True, kw_only=True, eq=False)
class Attention(Operation):
    """softmax(Q K^T / sqrt(dim)) V over ``batch`` x ``heads``; lengths in tokens.

    ``kv_heads`` of K and V are shared out to the heads of Q (grouped queries); 0 stands for ``heads``.
    ``direction`` ``bwd`` is the backward pass alone: the gradients of Q, K and V. ``mask`` adds a mask of
    seq x seq, shared by all heads, to the scores (beside ``causal``, which leaves scores out); ``dropout``
    drops some of the softmax's results at random. Neither changes what is counted as multiplies.

    Machines whose time depends on values take them from :meth:`operands`: ``q`` [batch, heads, seq, dim],
    ``k`` and ``v`` [batch, kv_heads, seq, dim] where they are given, else operands drawn by ``law``. ``kept``
    [batch, heads, seq, seq] is a mask for machines that are given one (True: this score is needed); it asks for no
    less work of the others.

    Raises (when made):
        InputError: operands or a mask of other shapes, only some of q, k and v, or values that are not finite.
    """

    seq: int
    heads: int
    dim: int
    batch: int = 1
    causal: bool = False
    direction: str = "fwd"
    format: str = "fp16"
    kv_heads: int = 0
    mask: bool = False
    dropout: bool = False
    q: Reals32 | None = None
    k: Reals32 | None = None
    v: Reals32 | None = None
    kept: np.ndarray[Any, np.dtype[np.bool_]] | None = None
    law: Clustered | None = None

    SOFTMAX_GRADIENT: ClassVar[int] = 4
    """Operations a score of dS = P (dP - D), D being the sums of P dP over a row: two products, a sum, a difference."""

    def __post_init__(self) -> None:
        """Refuse empty or absurd sizes and an unknown direction."""
        _positive("attention", self, "seq", "heads", "dim", "batch")
        _not_negative("attention", self, "kv_heads")
        _known_format("attention", self.format)
        if self.heads % self.key_heads:
            raise InputError(f"attention: kv_heads must divide heads, got {self.kv_heads} for {self.heads}")
        if self.direction not in ("fwd", "bwd"):
            raise InputError(f"attention: direction must be fwd or bwd, got {self.direction!r}")
        _countable("attention", self.multiplies)
        self._check_values()

    def _check_values(self) -> None:
        given = [name for name in ("q", "k", "v") if getattr(self, name) is not None]
        if len(given) in (1, 2):
            raise InputError(f"attention: q, k and v must be given together, got {' and '.join(given)} alone")
        queries = (self.batch, self.heads, self.seq, self.dim)
        keys = (self.batch, self.key_heads, self.seq, self.dim)
        pairs = (self.batch, self.heads, self.seq, self.seq)
        for name, shape in (("q", queries), ("k", keys), ("v", keys), ("kept", pairs)):
            array = getattr(self, name)
            if array is None:
                continue
            numbers = "b" if name == "kept" else "fiu"
            if not isinstance(array, np.ndarray) or array.dtype.kind not in numbers:
                wanted = "booleans" if name == "kept" else "real numbers"
                got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise InputError(f"attention: {name} must be an array of {wanted}, got {got}")
            if array.shape != shape:
                raise InputError(f"attention: {name} must be {_by(shape)}, got {_by(array.shape)}")
            if not np.isfinite(array).all():
                at = np.argwhere(~np.isfinite(array))[0].tolist()
                raise InputError(f"attention: {name}{at} must be finite, got {array[tuple(at)]}")
            if name == "kept":
                continue
            if array.size and np.abs(array).max() > _LARGEST_OPERAND:
                raise InputError(f"attention: {name} must lie within {_LARGEST_OPERAND:g}, got {np.abs(array).max():g}")
            if array.dtype != np.float32:
                object.__setattr__(self, name, array.astype(np.float32))

    def operands(self) -> Operands:
        """Q, K and V of every head: those given, else drawn; K and V are repeated where heads share them."""
        if self.q is None or self.k is None or self.v is None:
            law = self.law if self.law is not None else Clustered()
            q, k, v = draw(law, self.batch, self.heads, self.key_heads, self.seq, self.dim)
        else:
            q, k, v = self.q, self.k, self.v
        return Operands(q, np.repeat(k, self.shared, axis=1), np.repeat(v, self.shared, axis=1))

    @property
    def key_heads(self) -> int:
        """Heads of K and V."""
        return self.kv_heads or self.heads

    @property
    def shared(self) -> int:
        """Heads of Q to one of K and V."""
        return self.heads // self.key_heads

    @property
    def rows(self) -> int:
        """Queries of all heads: a row of scores each."""
        return self.batch * self.heads * self.seq

    @property
    def scores(self) -> int:
        """All scores, those that a causal mask leaves out among them."""
        return self.rows * self.seq

    @property
    def q_elements(self) -> int:
        """Elements of Q, and as many of O."""
        return self.rows * self.dim

    @property
    def kv_elements(self) -> int:
        """Elements of K, and as many of V."""
        return self.batch * self.key_heads * self.seq * self.dim

    @property
    def elements_in(self) -> int:
        """Elements of Q, K and V; backward of O and dO too."""
        return (1 if self.direction == "fwd" else 3) * self.q_elements + 2 * self.kv_elements

    @property
    def elements_out(self) -> int:
        """Elements of O; backward those of dQ, dK and dV."""
        return self.q_elements + (0 if self.direction == "fwd" else 2 * self.kv_elements)

    @property
    def score_products(self) -> int:
        """Products that make seq x seq: Q K'; backward Q K' again and dO V'."""
        return 1 if self.direction == "fwd" else 2

    @property
    def products(self) -> int:
        """All products of a head: those and P V; backward those and dV = P' dO, dQ = dS K and dK = dS' Q."""
        return self.score_products + (1 if self.direction == "fwd" else 3)

    @property
    def dense_multiplies(self) -> int:
        """Multiplies of all products in full: what hardware does that computes all scores."""
        return self.products * self.scores * self.dim

    @property
    def multiplies(self) -> int:
        """Multiplies of all products, at the scores that are kept."""
        pairs = self.seq * (self.seq + 1) // 2 if self.causal else self.seq * self.seq
        return self.products * self.batch * self.heads * pairs * self.dim

    def gradient_operations(self, scores: int) -> int:
        """Operations of the backward pass on so many scores, where the rows' log-sums of the softmax were kept.

        Scale, subtract the log-sum and exp for P; dS = P (dP - D); and D, the sums of dO O over a row.
        """
        return 5 * scores + 2 * self.q_elements

    @property
    def extras(self) -> tuple[str, ...]:
        """Which of ``mask`` and ``dropout`` there are."""
        return tuple(name for name in ("mask", "dropout") if getattr(self, name))

    def describe(self) -> dict[str, Any]:
        """As every operation; a mask or dropout that is not there is not named."""
        absent = {"mask", "dropout"} - set(self.extras)
        return {name: value for name, value in super().describe().items() if name not in absent}


def extras_note(op: Operation) -> tuple[str, ...]:
    """What a machine says that computes attention without its mask and dropout; empty where there are none."""
    if not isinstance(op, Attention) or not op.extras:
        return ()
    return (f"{' and '.join(op.extras)} of attention not modelled: computed as if there were none",)


@dataclass(frozen=True, kw_only=True, eq=False)
class KeyFilter(Operation):
    """Choose, for each query, the keys worth an exact product."""

    queries: int
    keys: int
    dim: int
    heads: int = 1

    def __post_init__(self) -> None:
        """Refuse empty or absurd sizes."""
        _positive("keyfilter", self, "queries", "keys", "dim", "heads")
        _countable("keyfilter", self.multiplies)

    @property
    def multiplies(self) -> int:
        """Exact scores that a dense machine would compute."""
        return self.queries * self.keys * self.dim * self.heads


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv(Operation):
    """2-D convolution, NCHW, square stride and padding."""

    h: int
    w: int
    c: int
    r: int
    s: int
    k: int
    stride: int = 1
    pad: int = 0
    groups: int = 1
    batch: int = 1
    format: str = "fp16"

    def __post_init__(self) -> None:
        """Refuse empty sizes, a kernel larger than its input and groups that do not divide."""
        _positive("conv", self, "h", "w", "c", "r", "s", "k")
        _positive("conv", self, "stride", "groups", "batch")
        _known_format("conv", self.format)
        _not_negative("conv", self, "pad")
        if self.c % self.groups or self.k % self.groups:
            raise InputError(f"conv: groups must divide c and k, got {self.groups} for {self.c} and {self.k}")
        if self.r > self.h + 2 * self.pad or self.s > self.w + 2 * self.pad:
            height, width = self.h + 2 * self.pad, self.w + 2 * self.pad
            raise InputError(
                f"conv: kernel must not be larger than its padded input, got {self.r} x {self.s} on {height} x {width}"
            )
        _countable("conv", self.multiplies)

    @property
    def out_hw(self) -> tuple[int, int]:
        """Height and width of the output."""
        return (
            (self.h + 2 * self.pad - self.r) // self.stride + 1,
            (self.w + 2 * self.pad - self.s) // self.stride + 1,
        )

    @property
    def touched_hw(self) -> tuple[int, int]:
        """Rows and columns of the input that some window has; a stride beyond the window leaves others out."""
        rows, cols = self.out_hw
        return (
            _touched(self.h, self.r, self.stride, self.pad, rows),
            _touched(self.w, self.s, self.stride, self.pad, cols),
        )

    @property
    def touched(self) -> int:
        """Elements of the input that are used at all."""
        high, wide = self.touched_hw
        return self.batch * self.c * high * wide

    @property
    def multiplies(self) -> int:
        """Output elements times r * s * c / groups."""
        rows, cols = self.out_hw
        return self.batch * rows * cols * self.k * self.r * self.s * (self.c // self.groups)


def _touched(size: int, window: int, step: int, pad: int, count: int) -> int:
    """Of ``size`` places those in one of ``count`` windows, the first of which begins ``pad`` before them."""
    if step <= window:
        return max(0, min(size, (count - 1) * step + window - pad))
    # Windows apart: those whole inside, and at each end one that padding cuts.
    first, last = -(-pad // step), min(count - 1, (size + pad - window) // step)
    inside = max(0, last - first + 1) * window
    cut = {at for at in (first - 1, last + 1) if 0 <= at < count and not first <= at <= last}
    return inside + sum(max(0, min(size, at * step - pad + window) - max(0, at * step - pad)) for at in cut)


@dataclass(frozen=True, kw_only=True, eq=False)
class Elementwise(Operation):
    """``elements`` times: ``reads`` elements in, ``flops_each`` operations, ``writes`` elements out.

    ``state`` says that they are weights and what an optimizer keeps of them: they lie in memory between runs, and no
    operation before has left them on chip.
    """

    elements: int
    reads: int = 1
    writes: int = 1
    flops_each: int = 1
    function: str = "add"
    format: str = "fp16"
    state: bool = False

    def __post_init__(self) -> None:
        """Refuse empty or absurd sizes."""
        _positive("elementwise", self, "elements")
        _not_negative("elementwise", self, "reads", "writes", "flops_each")
        _known_format("elementwise", self.format)
        moved = self.elements * (self.reads + self.writes + self.flops_each)
        _countable("elementwise", moved, "reads, writes and operations")

    @property
    def read_bytes(self) -> int:
        """Bytes of all operands."""
        return format_bytes(self.format, self.elements * self.reads)

    @property
    def write_bytes(self) -> int:
        """Bytes of all results."""
        return format_bytes(self.format, self.elements * self.writes)

    @property
    def multiplies(self) -> int:
        """None: elementwise work is counted in ``flops``."""
        return 0

    @property
    def flops(self) -> int:
        """Elements * flops_each."""
        return self.elements * self.flops_each

    def describe(self) -> dict[str, Any]:
        """As every operation; ``state`` is named where it holds."""
        absent = () if self.state else ("state",)
        return {name: value for name, value in super().describe().items() if name not in absent}


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduce(Operation):
    """``rows`` reductions over ``length`` elements each.

    ``sum`` and ``max`` leave one element a row. The normalisations (``softmax``, ``layernorm``,
    ``rmsnorm``) use the reduced row at once and leave as many elements as they read.
    """

    rows: int
    length: int
    function: str = "sum"
    format: str = "fp16"

    FLOPS_EACH: ClassVar[Mapping[str, int]] = {"sum": 1, "max": 1, "softmax": 5, "layernorm": 8, "rmsnorm": 4}
    """Operations an element: softmax is max, subtract, exp, sum, divide; layernorm the sums of x and
    of the squared distances (1 + 3), then subtract, divide, scale, shift; rmsnorm two and two."""

    def __post_init__(self) -> None:
        """Refuse empty or absurd sizes and an unknown function."""
        _positive("reduce", self, "rows", "length")
        _known_format("reduce", self.format)
        if self.function not in self.FLOPS_EACH:
            raise InputError(f"reduce: function must be one of {', '.join(self.FLOPS_EACH)}, got {self.function!r}")
        _countable("reduce", self.flops, "operations")

    @property
    def read_bytes(self) -> int:
        """Bytes of all operands."""
        return format_bytes(self.format, self.rows * self.length)

    @property
    def write_bytes(self) -> int:
        """Bytes of what is left: a row's one element, or all of them where it was normalised."""
        return format_bytes(self.format, self.rows * (1 if self.function in ("sum", "max") else self.length))

    @property
    def multiplies(self) -> int:
        """None: reductions are counted in ``flops``."""
        return 0

    @property
    def flops(self) -> int:
        """Rows * length * operations an element."""
        return self.rows * self.length * self.FLOPS_EACH[self.function]


@dataclass(frozen=True, kw_only=True, eq=False)
class Collective(Operation):
    """A transfer of ``bytes_each`` between ``peers`` devices."""

    function: str
    bytes_each: int
    peers: int

    def __post_init__(self) -> None:
        """Refuse a group without members and absurd sizes."""
        _positive("collective", self, "peers")
        _not_negative("collective", self, "bytes_each")
        _countable("collective", self.bytes_each * self.peers, "bytes")

    @property
    def multiplies(self) -> int:
        """None: a collective moves data."""
        return 0


@dataclass(frozen=True, eq=False)
class Item:
    """One operation of a workload and how often it is run.

    ``saved``: its result is wanted again long after the next operation, as a forward pass's by the gradients and
    these by the optimizer. ``recalled``: operands that such a result is (of an :class:`Elementwise`, numbers an
    element): the rest was made just before. A machine that keeps on chip what passes from one operation to the
    next reads both.
    """

    op: Operation
    repeat: int = 1
    saved: bool = False
    recalled: int = 0

    def __post_init__(self) -> None:
        """Refuse an operation that is not run, or one with less than no operands."""
        _positive(self.op.name or self.op.kind, self, "repeat")
        _not_negative(self.op.name or self.op.kind, self, "recalled")


@dataclass(frozen=True, eq=False)
class Workload:
    """A named list of operations, with where they come from.

    ``provenance`` holds plain values only: the source file or generator, its settings, notes such
    as summed duplicates or an empty operand.
    """

    name: str
    items: tuple[Item, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, *ops: Operation, **provenance: Any) -> Workload:
        """A workload that runs each of ``ops`` once."""
        return cls(name, tuple(Item(op) for op in ops), provenance)

    @property
    def flops(self) -> int:
        """Effective floating-point operations of all items with their repeats."""
        return sum(item.op.flops * item.repeat for item in self.items)

    @cached_property
    def content_hash(self) -> str:
        """Hash of all operations, their data and repeats (16 hex digits)."""
        kept = ([item.saved, item.recalled] if item.saved or item.recalled else [] for item in self.items)
        listed = [[item.op.describe(), item.repeat, *more] for item, more in zip(self.items, kept, strict=True)]
        text = json.dumps(listed, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
