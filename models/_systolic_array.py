"""Machines made of systolic arrays: what one is, what it is given to do, and how long that takes.

Knows no machine by name. A machine describes itself as a :class:`Core`, turns an operation into steps with
``siloom.models._systolic_lower.lower`` and runs them::

    core = Core(rows=128, cols=128, dataflow="ws", bytes_per_cycle=512.0, ...)
    run = run_steps(core, lower(op, core, "bf16"), "bf16", "fp32")

``run`` is a :class:`Run`: cycles by cause and by phase, words between the arrays and their SRAMs, bytes over the
memory port. Several arrays share work by batch, by columns of C or by rows of C, whichever is fastest; they
share the memory port too, and an operand that all of them use crosses it once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from siloom.sim.engine.systolic import STALLS, axis_at, cost_at, jobs, run_gemms
from siloom.sim.errors import InputError
from siloom.sim.ops import FORMAT_BITS, MAX_COUNT
from siloom.sim.result import Phase, apportion

ACCUMULATORS: Mapping[str, int] = {**FORMAT_BITS, "int16": 16, "int32": 32, "int64": 64}
"""Bits of the formats that sums may have."""


def accumulator_of(form: str) -> str:
    """The usual accumulator of an operand format: int32 for integers, fp32, and fp64 for fp64."""
    if form.startswith("int"):
        return "int32"
    return "fp64" if form == "fp64" else "fp32"


@dataclass(frozen=True, kw_only=True)
class Core:
    """Systolic arrays, their SRAMs, a vector unit and one memory port.

    ``arrays`` arrays of ``rows`` x ``cols`` cells; ``double``: cells hold a second operand or sum (see
    ``siloom.sim.engine.systolic_folds``); ``stages`` registers stand before their adder. The SRAMs are those of all
    arrays together, each array has its share. ``vector_lanes`` operations a cycle. ``bytes_per_cycle``, of reads alone,
    may be infinite; ``write_costs`` is the time of a byte over that at equal steps of the share of writes
    (``siloom.sim.memory``); ``latency`` in cycles.
    """

    rows: int
    cols: int
    dataflow: str = "ws"
    arrays: int = 1
    double: bool = True
    stages: int = 0
    ifmap_bytes: int = 2**20
    filter_bytes: int = 2**20
    ofmap_bytes: int = 2**20
    vector_lanes: int = 128
    bytes_per_cycle: float = math.inf
    write_costs: tuple[float, ...] = (1.0,)
    latency: int = 0

    def port_cycles(self, read: int, written: int) -> int:
        """Cycles of the memory port for so many bytes, at their share of writes."""
        if not read + written or math.isinf(self.bytes_per_cycle):
            return 0
        cost = cost_at(np.asarray(self.write_costs), written / (read + written))
        return math.ceil((read + written) * cost / self.bytes_per_cycle)


@dataclass(frozen=True, kw_only=True)
class Product:
    """``batch`` dense products C[m, n] = A[m, k] B[k, n] of one shape.

    ``a_unique`` elements of memory make up one A beside ``a_halo`` that every block of rows reads again, ``b_unique``
    one B (-1: all of them are different). ``on_chip`` names the tensors (a, b, c) that need no memory traffic,
    ``b_new`` is the share of B that does where an earlier product has left the rest in its SRAM. ``a_bits`` and
    ``b_bits`` of an element, where they are not those of the operands' format (0).
    """

    name: str
    m: int
    n: int
    k: int
    batch: int = 1
    a_unique: int = -1
    a_halo: int = 0
    b_unique: int = -1
    on_chip: str = ""
    b_new: float = 1.0
    a_bits: int = 0
    b_bits: int = 0

    @property
    def multiplies(self) -> int:
        """All multiplies, zeros included."""
        return self.m * self.n * self.k * self.batch


@dataclass(frozen=True, kw_only=True)
class Vector:
    """Work of the vector unit: ``operations``, and bytes over the memory port (0 where data are on chip)."""

    name: str
    operations: int
    read_bytes: int = 0
    write_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Step:
    """Products one after another, then vector work on what they made.

    With ``bands`` above 1 both work at once, on ``bands`` equal bands one behind the other.
    """

    name: str
    products: tuple[Product, ...] = ()
    vectors: tuple[Vector, ...] = ()
    bands: int = 1


@dataclass(frozen=True, kw_only=True)
class Run:
    """What happened. ``stalls`` adds up to ``cycles``, and so do the phases.

    ``words``: elements between arrays and SRAMs: ``ifmap_read``, ``filter_read``, ``ofmap_read`` (sums read back
    to be added to), ``ofmap_write``. ``port_bytes``: over the memory port, ``ifmap_read``, ``filter_read``,
    ``psum_read``, ``psum_write``, ``ofmap_write``, ``vector_read``, ``vector_write``. ``multiplies`` are those of the
    arrays, zeros included; ``vector_operations`` those of the vector unit. ``blocks`` says how each product was cut.
    """

    cycles: int = 0
    stalls: Mapping[str, int] = field(default_factory=dict)
    phases: tuple[tuple[str, int, Mapping[str, int]], ...] = ()
    multiplies: int = 0
    vector_operations: int = 0
    words: Mapping[str, int] = field(default_factory=dict)
    port_bytes: Mapping[str, int] = field(default_factory=dict)
    blocks: tuple[str, ...] = ()

    @property
    def read_bytes(self) -> int:
        """Bytes read over the memory port."""
        return sum(v for k, v in self.port_bytes.items() if k.endswith("read"))

    @property
    def write_bytes(self) -> int:
        """Bytes written over the memory port."""
        return sum(v for k, v in self.port_bytes.items() if k.endswith("write"))

    def as_phases(self, clock_hz: float) -> tuple[Phase, ...]:
        """The phases of a Result."""
        return tuple(Phase(name, cycles, cycles / clock_hz, stalls) for name, cycles, stalls in self.phases)


def run_steps(core: Core, steps: Sequence[Step], form: str, accumulator: str) -> Run:
    """Run ``steps`` one after another, operands in the format ``form`` and sums in ``accumulator``.

    Raises:
        InfeasibleError: an SRAM that does not hold one fold twice over.
        InputError: counts that could reach 2^62.
    """
    products = [(step, product) for step in steps for product in step.products]
    timed = iter(_time_products(core, [p for _, p in products], form, accumulator))
    return add_runs(_run_step(core, step, [next(timed) for _ in step.products]) for step in steps)


def _run_step(core: Core, step: Step, products: list[Run]) -> Run:
    array = add_runs(products)
    vector = add_runs(_time_vector(core, work) for work in step.vectors)
    both = add_runs([array, vector])
    stalls, cycles = dict(both.stalls), both.cycles
    if step.bands > 1 and array.cycles and vector.cycles:
        # Two stations in tandem with equal bands: the longer sets the pace, the shorter shows once.
        shown = -(-min(array.cycles, vector.cycles) // step.bands)
        cycles = max(array.cycles, vector.cycles) + shown
        if array.cycles >= vector.cycles:
            stalls = add_up([array.stalls, apportion(shown, vector.stalls)])
        else:
            stalls = add_up([apportion(shown, array.stalls), vector.stalls])
        # They share the port, which may then be the slowest of the three.
        late = core.port_cycles(both.read_bytes, both.write_bytes) - cycles
        if late > 0:
            cycles += late
            stalls = add_up([stalls, {"dram_bandwidth": late}])
    return replace(both, cycles=cycles, stalls=stalls, phases=((step.name, cycles, stalls),))


def _time_vector(core: Core, work: Vector) -> Run:
    """The vector unit streams: its work and its traffic overlap, behind the memory's first latency."""
    busy = -(-work.operations // core.vector_lanes)
    port = core.port_cycles(work.read_bytes, work.write_bytes)
    latency = core.latency if work.read_bytes else 0
    stalls = {"vector": busy, "dram_latency": latency, "dram_bandwidth": max(0, port - busy)}
    cycles = latency + max(busy, port)
    return Run(
        cycles=cycles,
        stalls={cause: value for cause, value in stalls.items() if value},
        phases=((work.name, cycles, stalls),),
        vector_operations=work.operations,
        port_bytes={"vector_read": work.read_bytes, "vector_write": work.write_bytes},
    )


@dataclass(frozen=True)
class _Share:
    """What one of several arrays does, and on how many arrays a tensor's traffic counts."""

    batch: int
    m: int
    n: int
    a: float
    b: float
    c: float


def _shares(core: Core, product: Product) -> list[_Share]:
    """Ways to share a product out: by batch, by columns of C, by rows of C, or two of them."""
    if core.arrays == 1:
        return [_Share(product.batch, product.m, product.n, 1.0, 1.0, 1.0)]
    ways: list[_Share] = []
    for by_batch in {min(2**i, core.arrays) for i in range(core.arrays.bit_length())} | {core.arrays}:
        batch = -(-product.batch // by_batch)
        used = product.batch / batch
        rest = core.arrays // by_batch
        # Columns (os, ws: n; is: m) go by whole folds, so that no fold is cut for it.
        m_grain = {"os": core.rows, "ws": 1, "is": core.cols}[core.dataflow]
        n_grain = {"os": core.cols, "ws": core.cols, "is": 1}[core.dataflow]
        n = min(product.n, -(-product.n // (rest * n_grain)) * n_grain)
        ways.append(_Share(batch, product.m, n, used, used * product.n / n, used * product.n / n))
        m = min(product.m, -(-product.m // (rest * m_grain)) * m_grain)
        ways.append(_Share(batch, m, product.n, used * product.m / m, used, used * product.m / m))
    return list(dict.fromkeys(ways))


def _time_products(core: Core, products: Sequence[Product], form: str, accumulator: str) -> list[Run]:
    """All products of a program in one call of the engine, each shared out the fastest way."""
    if not products:
        return []
    bits, sum_bits = FORMAT_BITS[form], ACCUMULATORS[accumulator]
    pairs = [(product, share) for product in products for share in _shares(core, product)]
    found = run_gemms(
        jobs(
            dataflow=core.dataflow,
            rows=core.rows,
            cols=core.cols,
            double=core.double,
            stages=core.stages,
            m=[s.m for _, s in pairs],
            n=[s.n for _, s in pairs],
            k=[p.k for p, _ in pairs],
            batch=[s.batch for _, s in pairs],
            ifmap_bytes=core.ifmap_bytes // core.arrays,
            filter_bytes=core.filter_bytes // core.arrays,
            ofmap_bytes=core.ofmap_bytes // core.arrays,
            a_bits=[p.a_bits or bits for p, _ in pairs],
            b_bits=[p.b_bits or bits for p, _ in pairs],
            o_bits=bits,
            sum_bits=sum_bits,
            a_unique=[-1 if p.a_unique < 0 else -(-p.a_unique * s.m // p.m) for p, s in pairs],
            a_halo=[p.a_halo for p, _ in pairs],
            b_unique=[-1 if p.b_unique < 0 else -(-p.b_unique * s.n // p.n) for p, s in pairs],
            a_copies=[0.0 if "a" in p.on_chip else s.a for p, s in pairs],
            b_copies=[0.0 if "b" in p.on_chip else s.b * p.b_new for p, s in pairs],
            o_copies=[0.0 if "c" in p.on_chip else s.c for p, s in pairs],
            bytes_per_cycle=core.bytes_per_cycle,
            write_costs=core.write_costs,
            latency=core.latency,
        )
    )
    moved = np.sum([found[name] for name in ("a_read", "b_read", "sum_read", "sum_write", "c_write")], axis=0)
    best: dict[int, int] = {}
    for i, (product, _) in enumerate(pairs):
        # Where several are as fast, the one that moves the fewest bytes over the port.
        first = best.setdefault(id(product), i)
        if (found["cycles"][i], moved[i]) < (found["cycles"][first], moved[first]):
            best[id(product)] = i
    runs = []
    for product in products:
        i = best[id(product)]
        runs.append(_run_of(core, product, pairs[i][1], {name: int(column[i]) for name, column in found.items()}))
    return runs


def _run_of(core: Core, product: Product, share: _Share, out: Mapping[str, int]) -> Run:
    m, n, k, batch = product.m, product.n, product.k, product.batch
    if max(product.multiplies, 8 * batch * m * n * -(-k // core.rows), 8 * out["stationary_loads"]) >= MAX_COUNT:
        raise InputError(f"systolic: {product.name} moves 2^62 bytes or more, it must stay below")
    if core.dataflow == "os":
        ifmap, weights, passes = m * k * -(-n // core.cols), k * n * -(-m // core.rows), -(-k // out["kb"])
    elif core.dataflow == "ws":
        ifmap, weights, passes = m * k * -(-n // core.cols), 0, -(-k // core.rows)
    else:
        ifmap, weights, passes = 0, k * n * -(-m // core.cols), -(-k // core.rows)
    words = {
        "ifmap_read": round(out["stationary_loads"] * share.a) if core.dataflow == "is" else ifmap * batch,
        "filter_read": round(out["stationary_loads"] * share.b) if core.dataflow == "ws" else weights * batch,
        "ofmap_read": m * n * (passes - 1) * batch,
        "ofmap_write": m * n * passes * batch,
    }
    stalls = {name: out[name] for name in STALLS if out[name]}
    names = {
        "ifmap_read": "a_read",
        "filter_read": "b_read",
        "psum_read": "sum_read",
        "psum_write": "sum_write",
        "ofmap_write": "c_write",
    }
    return Run(
        cycles=out["cycles"],
        stalls=stalls,
        phases=((product.name, out["cycles"], stalls),),
        multiplies=product.multiplies,
        words=words,
        port_bytes={name: out[column] for name, column in names.items()},
        blocks=(_blocks(product, out),),
    )


def _blocks(product: Product, out: Mapping[str, int]) -> str:
    """In words: sizes of a block, and the loops over blocks from the outermost in."""
    loops = " ".join("mnk"[axis_at(out["order"], level)] for level in range(3))
    return f"{product.name}: blocks of m {out['mb']} x n {out['nb']} x k {out['kb']}, loops {loops}"


def add_runs(runs: Iterable[Run]) -> Run:
    """One after another."""
    parts = list(runs)
    return Run(
        cycles=sum(r.cycles for r in parts),
        stalls=add_up(r.stalls for r in parts),
        phases=tuple(phase for r in parts for phase in r.phases),
        multiplies=sum(r.multiplies for r in parts),
        vector_operations=sum(r.vector_operations for r in parts),
        words=add_up(r.words for r in parts),
        port_bytes=add_up(r.port_bytes for r in parts),
        blocks=tuple(text for r in parts for text in r.blocks),
    )


def add_up(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sums by name."""
    out: dict[str, int] = {}
    for table in tables:
        for name, value in table.items():
            out[name] = out.get(name, 0) + value
    return out


__all__ = [
    "ACCUMULATORS", "Core", "Product", "Run", "Step", "Vector", "accumulator_of", "add_runs", "add_up", "run_steps",
]  # fmt: skip
