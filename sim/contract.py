"""Contracts: the promise of a functional unit, written once.

A unit takes one stream of beats and gives one; operands that belong together travel in one beat.
Its Contract says what a beat holds, what comes out, and in which cycle. Everything that needs to
know reads this object, so that nothing can drift apart:

- the cycle engines read ``latency`` and ``interval``;
- the RTL twin reads widths, latency and capacity, and is built from them;
- training reads the formats and calls the bit-true kernel that ``function`` wraps;
- the conformance tests compare the twin with ``answer`` (bits) and ``schedule`` (cycles).

Inside Siloom a beat is a row of ``int64`` codes, one column per lane of each port. The code of a
number is its integer value, of a floating-point number its bit pattern; a 64-bit pattern is held as
the ``int64`` with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from siloom.sim.design import Design

Codes = npt.NDArray[np.int64]
"""Codes or cycles; as beats of shape (beats, columns)."""

CycleKernel = Callable[[Codes], Codes]
"""All beats taken -> cycles, one of each beat, or of each result where that is said."""

D = TypeVar("D", bound=Design)

MAX_BITS = 64


def fixed(promise: int | CycleKernel) -> int:
    """A promise that is the same for all operands, as a number; TypeError where operands decide."""
    if not isinstance(promise, int):
        raise TypeError("these cycles depend on the operands")
    return promise


def _require_bits(bits: int) -> None:
    if not 1 <= bits <= MAX_BITS:
        raise ValueError(f"a format has 1 to {MAX_BITS} bits, got {bits}")


@dataclass(frozen=True)
class Whole:
    """A two's complement or unsigned number; its value is ``code * 2**-fraction``."""

    bits: int
    signed: bool = True
    fraction: int = 0

    def __post_init__(self) -> None:
        """Refuse a width that no code can hold."""
        _require_bits(self.bits)

    @property
    def low(self) -> int:
        """The smallest code."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest code, before it is held as ``int64``."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    def corners(self) -> tuple[int, ...]:
        """Codes at which arithmetic tends to go wrong."""
        near = {self.low, self.low + 1, -1, 0, 1, self.high - 1, self.high}
        return tuple(sorted({as_code(c, self) for c in near if self.low <= c <= self.high}))

    def __str__(self) -> str:
        """As ``s8``, ``u1`` or, with a binary point, ``s16.8``."""
        return f"{'s' if self.signed else 'u'}{self.bits}" + (f".{self.fraction}" if self.fraction else "")


@dataclass(frozen=True)
class Float:
    """A sign bit, a biased exponent and a mantissa; its codes are bit patterns.

    The highest exponent holds the infinities and NaNs, as in IEEE 754. Where ``finite``, it is one more
    binade of numbers and only its highest mantissa is NaN: there are no infinities, as in OCP's E4M3.
    """

    exponent_bits: int
    mantissa_bits: int
    finite: bool = False

    def __post_init__(self) -> None:
        """Refuse a width that no code can hold."""
        _require_bits(self.bits)

    @property
    def bits(self) -> int:
        """Sign, exponent and mantissa together."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def signed(self) -> bool:
        """False: a pattern is moved about as an unsigned word."""
        return False

    @property
    def bias(self) -> int:
        """The exponent field of 1.0."""
        return int((1 << (self.exponent_bits - 1)) - 1)

    @property
    def largest(self) -> int:
        """The code of the largest finite number."""
        special = 1 if self.finite else 1 << self.mantissa_bits
        return int((1 << (self.bits - 1)) - 1 - special)

    def corners(self) -> tuple[int, ...]:
        """Zeros, subnormals, the ends of the normal range, about one, infinities and NaNs."""
        top = (1 << self.exponent_bits) - 1
        exponents = {0, 1, self.bias, top - 1, top}
        full = (1 << self.mantissa_bits) - 1
        mantissas = {0, 1, full} | ({full - 1} if self.finite else set())
        patterns = (
            (sign << (self.bits - 1)) | (exponent << self.mantissa_bits) | mantissa
            for sign, exponent, mantissa in product((0, 1), sorted(exponents), sorted(mantissas))
        )
        return tuple(as_code(p, self) for p in patterns)

    def __str__(self) -> str:
        """As ``e4m3``, or ``e4m3fn`` where there are no infinities."""
        return f"e{self.exponent_bits}m{self.mantissa_bits}" + ("fn" if self.finite else "")


Format = Whole | Float

FLAG = Whole(1, signed=False)
FP8_E4M3 = Float(4, 3)
"""IEEE-like, to 240. What OCP's standard and its hardware call E4M3 is :data:`FP8_E4M3FN`."""
FP8_E4M3FN = Float(4, 3, finite=True)
"""OCP OFP8's E4M3: to 448, one NaN of each sign."""
FP8_E5M2 = Float(5, 2)
BF16 = Float(8, 7)
FP16 = Float(5, 10)
FP32 = Float(8, 23)
FP64 = Float(11, 52)


def as_code(pattern: int, form: Format) -> int:
    """The code of the low bits of ``pattern`` (any Python integer) in a format."""
    word = pattern & ((1 << form.bits) - 1)
    negative = (form.signed or form.bits == MAX_BITS) and bool(word >> (form.bits - 1))
    return word - (1 << form.bits) if negative else word


@dataclass(frozen=True)
class Port:
    """One named part of a beat: ``lanes`` numbers of one format, and in words what they mean."""

    name: str
    format: Format
    meaning: str
    lanes: int = 1


@dataclass(frozen=True)
class Stream:
    """The ports of one side of a unit. The first port lies in the lowest bits of the payload."""

    ports: tuple[Port, ...]

    @cached_property
    def formats(self) -> tuple[Format, ...]:
        """The format of every column."""
        return tuple(port.format for port in self.ports for _ in range(port.lanes))

    @property
    def columns(self) -> int:
        """Columns of a beat."""
        return len(self.formats)

    @cached_property
    def bits(self) -> int:
        """Bits of a payload."""
        return sum(form.bits for form in self.formats)

    def pack(self, beats: Codes) -> list[int]:
        """The payload of each beat, as the bits on the wires."""
        out = [0] * len(beats)
        shift = 0
        for column, form in enumerate(self.formats):
            mask = (1 << form.bits) - 1
            for row, code in enumerate(beats[:, column].tolist()):
                out[row] |= (code & mask) << shift
            shift += form.bits
        return out

    def unpack(self, payloads: list[int]) -> Codes:
        """The beats of these payloads."""
        out = np.empty((len(payloads), self.columns), np.int64)
        shift = 0
        for column, form in enumerate(self.formats):
            out[:, column] = [as_code(p >> shift, form) for p in payloads]
            shift += form.bits
        return out

    def check(self, owner: str, beats: Codes) -> None:
        """Raise ValueError unless ``beats`` has the right shape and every code fits its format."""
        if beats.ndim != 2 or beats.shape[1] != self.columns:
            raise ValueError(f"{owner}: beats have {self.columns} columns, got an array of shape {beats.shape}")
        for column, form in enumerate(self.formats):
            if form.bits == MAX_BITS or not len(beats):
                continue
            low, high = (form.low, form.high) if isinstance(form, Whole) else (0, (1 << form.bits) - 1)
            least, most = int(beats[:, column].min()), int(beats[:, column].max())
            if least < low or most > high:
                wrong = least if least < low else most
                raise ValueError(f"{owner}: column {column} holds {form} codes, {low} to {high}, got {wrong}")


@dataclass(frozen=True)
class Answer:
    """What a unit gives: ``beats``, and for each the index of the beat taken that completes it.

    ``cause`` never falls: beats leave in the order in which they were completed.
    """

    beats: Codes
    cause: Codes


@dataclass(frozen=True)
class Schedule:
    """When everything happens, in cycles from 0.

    ``taken[i]``: beat i is taken. ``shown[k]``: result k becomes valid. ``left[k]``: it is handed over.
    """

    taken: Codes
    shown: Codes
    left: Codes

    @property
    def cycles(self) -> int:
        """Cycles up to and with the last transfer."""
        return 1 + max(int(a[-1]) if len(a) else -1 for a in (self.taken, self.left))


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The promise of a functional unit of one size, from reset.

    A beat moves in a cycle in which ``valid`` and ``ready`` are both high; a result, once valid, stays
    valid and unchanged until it moves. In cycles, and where operands decide, kernels of all beats taken:

    - ``latency``, of each beat: from being taken to its first result being valid. A beat that
      completes no result stays as long, then vanishes.
    - ``spacing``, of each result: from its forerunner out of the same beat leaving to this one being
      valid. It says nothing of the first result of a beat.
    - ``interval``, of each beat: from being taken to the unit being ready for the next.

    When results are not fetched, beats queue: they leave in order, at most one a cycle, each with its
    last result. ``capacity`` beats have room: a beat is taken only once the one ``capacity`` places
    before it has left, ``turnaround`` cycles later (0: in the same cycle, ``ready`` passes through the
    unit; 1: ``ready`` is registered).

    ``function`` is the bit-true behaviour, from reset, of any run of beats. ``legal`` turns any beats
    into ones that the unit is promised to be given (None: every beat is legal at any time).
    """

    name: str
    inputs: Stream
    outputs: Stream
    latency: int | CycleKernel
    interval: int | CycleKernel
    capacity: int
    function: Callable[[Codes], Answer]
    spacing: int | CycleKernel = 1
    turnaround: int = 0
    legal: Callable[[Codes], Codes] | None = None

    def __post_init__(self) -> None:
        """Refuse promises that no clocked unit can keep."""
        for field, least in (("latency", 1), ("spacing", 1), ("interval", 1), ("capacity", 1), ("turnaround", 0)):
            value = getattr(self, field)
            if isinstance(value, int) and value < least:
                raise ValueError(f"{self.name}: {field} must be at least {least}, got {value}")

    def answer(self, beats: Codes) -> Answer:
        """The beats that the unit gives for these.

        Raises:
            ValueError: codes that do not fit their ports, or an answer that breaks the Contract.
        """
        self.inputs.check(f"{self.name} input", beats)
        answer = self.function(beats)
        self.outputs.check(f"{self.name} output", answer.beats)
        cause = answer.cause
        if len(cause) != len(answer.beats) or (np.diff(cause, prepend=0, append=max(len(beats) - 1, 0)) < 0).any():
            raise ValueError(f"{self.name}: causes must be in order, one for each result")
        return answer

    def schedule(self, beats: Codes, idle: Codes, ready: npt.NDArray[np.bool_]) -> Schedule:
        """Every transfer's cycle, for a given behaviour of both neighbours.

        Args:
            beats: what is offered, in order.
            idle: cycles for which the producer waits before each beat, after the one before was taken.
            ready: whether the consumer is ready, by cycle; after its end it always is.

        Raises:
            ValueError: a cycle kernel that gives the wrong number of cycles.
        """
        cause = self.answer(beats).cause
        latency = self._cycles("latency", beats, len(beats)).tolist()
        spacing = self._cycles("spacing", beats, len(cause)).tolist()
        interval = self._cycles("interval", beats, len(beats)).tolist()
        next_ready = _next_ready(ready)
        results = np.bincount(cause, minlength=len(beats)).tolist()
        taken: list[int] = []
        shown: list[int] = []
        left: list[int] = []
        gone: list[int] = []  # when each beat left, or vanished
        for i, wait in enumerate(idle.tolist()):
            at = wait if i == 0 else max(taken[-1] + 1 + wait, taken[-1] + interval[i - 1])
            if i >= self.capacity:
                at = max(at, gone[i - self.capacity] + self.turnaround)
            taken.append(at)
            leaves = at + latency[i] if i == 0 else max(at + latency[i], gone[-1] + 1)
            for k in range(results[i]):
                valid = leaves if k == 0 else leaves + spacing[len(left)]
                leaves = next_ready[valid] if valid < len(next_ready) else valid
                shown.append(valid)
                left.append(leaves)
            gone.append(leaves)
        return Schedule(*(np.array(a, np.int64) for a in (taken, shown, left)))

    def _cycles(self, field: str, beats: Codes, count: int) -> Codes:
        promise: int | CycleKernel = getattr(self, field)
        if isinstance(promise, int):
            return np.full(count, promise, np.int64)
        cycles = promise(beats)
        if cycles.shape != (count,) or (cycles < 1).any():
            raise ValueError(f"{self.name}: {field} must give {count} cycles of at least 1")
        return cycles


def _next_ready(ready: npt.NDArray[np.bool_]) -> list[int]:
    """For each cycle of ``ready``, the first at or after it in which the consumer is ready."""
    here = np.where(ready, np.arange(len(ready)), len(ready))
    return [int(c) for c in np.minimum.accumulate(here[::-1])[::-1]]


@dataclass(frozen=True, kw_only=True)
class Unit(Generic[D]):
    """A functional unit of any size; each file of ``sim/units`` gives one as ``UNIT``.

    ``sizes`` are the designs that the conformance tests try; the first is the smallest.
    """

    name: str
    summary: str
    design_type: type[D]
    contract: Callable[[D], Contract]
    sizes: tuple[D, ...]
