"""Trials of an OuterSPACE tile: products whose chunks, rows and collisions differ, alone and one after another.

What must come out is the functional model's product, bit for bit, and in how many cycles is what ``siloom run
outerspace:...`` says of the same product on the same machine, with one channel of memory that moves a burst in a cycle
and answers after a fixed time. Where memory answers at other times, only bits are compared. Lists and chunks, which the
multiply phase leaves behind, are compared word for word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import scipy.sparse as sp

from siloom.models.outerspace import OuterSpace, OuterSpaceDesign
from siloom.rtl.cosim import Finding, Trial
from siloom.rtl.exchange import Drain, Feed, Memory, Plan
from siloom.rtl.hardware import Hardware
from siloom.rtl.machines._outerspace_size import (
    COLUMN_BITS,
    DONE_BITS,
    JOB,
    PIPELINE,
    PLACE_BITS,
    ROW_BITS,
    WORD_BITS,
    TileSize,
)
from siloom.rtl.trials._outerspace_memory import ENTRY_BITS, Placed, memory_words, place
from siloom.sim.errors import InfeasibleError, InputError
from siloom.sim.ops import SpGEMM
from siloom.sim.sparse import Csr
from siloom.workloads.registry import load

_PAGE_WORDS = 1024
_LARGE_PES = 4
"""Machines with fewer get products that Amaranth's simulator can run."""


def _tile(**fields: object) -> OuterSpaceDesign:
    """A tile by itself: the published memory channel, 80 ns away, at a clock at which it moves a burst in a cycle."""
    own: dict[str, object] = {
        "tiles": 1, "pes_per_tile": 4, "merge_pes_per_tile": 2, "clock_hz": 250e6, "l0_bytes": 8192, "l0_ports": 1,
        "l0_mshrs": 8, "l1_caches": 1, "l1_bytes": 0, "scratchpad_bytes": 512, "outstanding_requests": 8,
        "dispatch_cycles": 8, "merge_element_cycles": 4, "hbm_channels": 1, "hbm_banks": 1, "activate_s": 0.0,
        "row_cycle_s": 0.0, "refresh_s": 0.0,
    }  # fmt: skip
    return OuterSpaceDesign(**(own | fields))  # type: ignore[arg-type]


def buildable(design: OuterSpaceDesign) -> None:
    """Refuse machines that are not one tile with an ideal memory of fixed latency.

    Raises:
        InfeasibleError: names the field and the limit.
    """
    merging, timing = design.merge_array(), design.timing()
    limits: list[tuple[str, object, bool]] = [
        ("tiles", 1, design.tiles == 1),
        ("l1_bytes", 0, design.l1_bytes == 0),
        ("l0_ports", 1, design.l0_ports == 1),
        ("l0_latency_cycles", 2, design.l0_latency_cycles == 2),
        ("element_cycles", 1, design.element_cycles == 1),
        ("hbm_channels", 1, design.hbm_channels == 1),
        ("conversion", "none", design.conversion == "none"),
        *((f"{name}_s", 0, getattr(design, f"{name}_s") == 0) for name in ("activate", "row_cycle", "refresh")),
    ]
    for name, value, holds in limits:
        if not holds:
            raise InfeasibleError(f"outerspace: hardware needs {name} = {value}, got {getattr(design, name)}")
    if timing.burst != 1:
        raise InfeasibleError(
            f"outerspace: hardware needs channel_bytes_per_s = burst_bytes x clock_hz "
            f"({design.burst_bytes * design.clock_hz:g}), got {design.channel_bytes_per_s:g}"
        )
    least: list[tuple[str, float, float]] = [
        ("dispatch_cycles", 4, design.dispatch_cycles),
        ("merge_element_cycles", 2, design.merge_element_cycles),
        ("burst_bytes", 16, design.burst_bytes),
        ("dram_latency_s", (PIPELINE + 1) / design.clock_hz, design.dram_latency_s),
    ]
    for name, low, got in least:
        if got < low:
            raise InfeasibleError(f"outerspace: hardware needs {name} of at least {low:g}, got {got:g}")
    blocks = design.scratchpad_bytes // design.block_bytes
    if design.outstanding_requests > blocks:
        raise InfeasibleError(
            f"outerspace: hardware needs outstanding_requests of at most scratchpad_bytes / block_bytes ({blocks}), "
            f"got {design.outstanding_requests}"
        )
    if merging.heads > 1 << PLACE_BITS:
        raise InfeasibleError(f"outerspace: hardware needs at most 2^{PLACE_BITS} heads, got {merging.heads}")


def product_trial(
    design: OuterSpaceDesign,
    name: str,
    pairs: Sequence[tuple[Csr, Csr]],
    seed: int,
    latencies: Sequence[int] | None = None,
    stalled: bool = False,
) -> Trial:
    """Products one after another, each when the one before is done.

    Args:
        design: the machine.
        name: of the trial.
        pairs: operands.
        seed: of all junk.
        latencies: of memory, a pattern over its answers; None: that of the design, and cycles are compared.
        stalled: jobs come late and answers are not fetched for a while; cycles are not compared.

    Raises:
        InputError: a product that does not fit the tile.
    """
    size, rng = TileSize(design), np.random.default_rng([seed, sum(name.encode())])
    machine = OuterSpace(design)
    placed: list[Placed] = []
    cycles = first = 0
    for a, b in pairs:
        if a.shape[0] > 1 << ROW_BITS or a.shape[1] >= 1 << COLUMN_BITS:
            raise InputError(f"product: A must have at most 2^{ROW_BITS} rows and 2^{COLUMN_BITS} columns")
        result = machine.run(SpGEMM(a=a, b=b), values=True)
        assert isinstance(result.values, Csr)
        assert result.cycles is not None
        cycles += result.cycles
        placed.append(place(size, a, b, result.values, first))
        # A page between products keeps them apart; the cache's sets see only that all of one is moved.
        first = -(-placed[-1].end // _PAGE_WORDS) * _PAGE_WORDS
    words, width = rng.integers(0, 2**32, first, np.uint32), size.burst_words * WORD_BITS
    for product in placed:
        product.write(words, multiplied=False)
    before = memory_words(words, size.burst_words)
    for product in placed:
        product.write(words, multiplied=True)
    after = memory_words(words, size.burst_words)
    fixed = latencies is None
    limit = 4 * cycles * (1 if fixed else 1 + max(latencies or ()) // size.latency) + 2000
    plan = Plan(
        name=name,
        feeds={
            "job": Feed(
                sum(bits for _, bits in JOB), [p.job() for p in placed],
                rng.integers(0, 40, len(placed)).tolist() if stalled else [0] * len(placed),
            )
        },
        drains={"done": Drain(DONE_BITS, len(placed), [False] * (cycles + 50) if stalled else ())},
        limit=limit,
        seed=int(rng.integers(2**31)),
        memories={
            "mem": Memory(
                address_bits=size.burst_bits,
                data_bits=width,
                words=before,
                latency=latencies or (size.latency - PIPELINE,),
                lanes=size.burst_words,
            )
        },
    )  # fmt: skip
    return Trial(
        plan,
        {"done": [product.c.nnz for product in placed]},
        cycles if fixed and not stalled else None,
        # Of the first product what is known lies at the beginning; of others it has to be found.
        words={"mem": after[: placed[0].known.stop]},
        findings=[
            *(Finding("mem", partial(_part, p.known), _part(p.known, after), width) for p in placed[1:]),
            *(Finding("mem", p.find, p.entries(), ENTRY_BITS) for p in placed),
        ],
    )


def _part(where: range, words: Sequence[int]) -> Sequence[int]:
    return words[where.start : where.stop]


def _values(matrix: Csr, rng: np.random.Generator) -> Csr:
    """The same positions with values of either sign over many binades, so that sums round and cancel."""
    return replace(matrix, data=rng.normal(size=matrix.nnz) * 2.0 ** rng.integers(-30, 31, matrix.nnz))


def random_matrix(rows: int, columns: int, each: float, rng: np.random.Generator) -> Csr:
    """About ``each`` entries in a row, anywhere."""
    mask = rng.random((rows, columns)) < each / columns
    return _values(Csr.from_scipy(sp.csr_array(mask.astype(np.float64))), rng)


def _loaded(text: str, rng: np.random.Generator) -> Csr:
    """The matrix that a workload squares, with other values."""
    operation = load(text).items[0].op
    assert isinstance(operation, SpGEMM)
    return _values(operation.a, rng)


def trials(design: OuterSpaceDesign, seed: int) -> list[Trial]:
    """Ten thousand multiplies and more, of small machines some hundred: what Amaranth's simulator does in a minute.

    - ``uniform``: an ordinary square.
    - ``wide``: long rows of B, that PEs share and that fill the memory's pins.
    - ``hub``: a power law's square, rows of very different lengths.
    - ``grid``: a real matrix, the Poisson equation's on a grid in three dimensions.
    - ``sparse``: mostly empty rows and columns.
    - ``rounds``: rows with more chunks than a PE has heads.
    - ``twice``: two products, the second one where the first has left its traces.
    - ``late``: memory that answers at random times, a job that comes late, answers that nobody fetches.
    """
    rng = np.random.default_rng([seed, design.pes_per_tile])
    pes, heads = design.pes_per_tile, TileSize(design).heads
    large = pes >= _LARGE_PES
    if large:
        uniform = random_matrix(100 * pes, 100 * pes, 5, rng)
        wide = random_matrix(16, 24, 8, rng), random_matrix(24, 400, 12 * pes, rng)
        hub = _loaded(f"rmat:scale=7,edges={150 * pes},seed={seed}", rng)
        grid = _loaded(f"poisson3d:n={4 + pes // 2}", rng)
        thin = random_matrix(400 * pes, 400 * pes, 0.7, rng)
        deep = random_matrix(3, 4 * heads, 2 * heads, rng), random_matrix(4 * heads, 24, 2, rng)
    else:
        uniform = random_matrix(16, 16, 3.5, rng)
        wide = random_matrix(4, 8, 3, rng), random_matrix(8, 60, 16, rng)
        hub = _loaded(f"rmat:scale=5,edges=90,seed={seed}", rng)
        grid = _loaded("poisson3d:n=3", rng)
        thin = random_matrix(200, 200, 0.8, rng)
        deep = random_matrix(2, 2 * heads, 1.5 * heads, rng), random_matrix(2 * heads, 24, 1.2, rng)
    late = rng.integers(1, 3 * design.timing().latency, 97).tolist()
    return [
        product_trial(design, "uniform", [(uniform, uniform)], seed),
        product_trial(design, "wide", [wide], seed),
        product_trial(design, "hub", [(hub, hub)], seed),
        product_trial(design, "grid", [(grid, grid)], seed),
        product_trial(design, "sparse", [(thin, thin)], seed),
        product_trial(design, "rounds", [deep], seed),
        product_trial(design, "twice", [(hub, hub), wide], seed),
        product_trial(design, "late", [(thin, thin), deep], seed, latencies=late, stalled=True),
    ]


HARDWARE = Hardware(
    name="outerspace",
    summary="an OuterSPACE tile: outer products of sparse matrices, multiplied and merged",
    base=_tile(),
    sizes=(
        _tile(
            pes_per_tile=2,
            merge_pes_per_tile=1,
            l0_bytes=2048,
            l0_mshrs=4,
            scratchpad_bytes=256,
            outstanding_requests=4,
        ),
        _tile(),
        _tile(pes_per_tile=8, merge_pes_per_tile=4, l0_bytes=16384, l0_mshrs=16),
    ),
    trials=trials,
    bound=0.02,
    buildable=buildable,
)
