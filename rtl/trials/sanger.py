"""Trials of Sanger: drawn and random heads, dense and sparse masks, causal ones, heads one after another, and stalls.

The model's results and cycles are those that ``siloom run sanger:...`` gives for the same heads. Operands come at the
pace of the memory's port, whose time for results is left out of the stream. Where neighbours stall beyond that, only
bits are compared.
"""

from __future__ import annotations

import numpy as np

from siloom.models._sanger_units import HEADS_HELD
from siloom.models.sanger import Sanger, SangerDesign, operand_port
from siloom.rtl.cosim import Trial
from siloom.rtl.hardware import Hardware
from siloom.rtl.machines._sanger_size import SangerSize, least_dim
from siloom.rtl.trials._sanger_streams import Stalls, make_plan
from siloom.sim.drawn_attention import Clustered
from siloom.sim.errors import InfeasibleError
from siloom.sim.ops import Attention

_BUSY = (True, True, False, True, False, False, True) + (False,) * 11
_LATE = (0, 0, 3, 0, 1, 0, 0, 0, 9)
_STALLS = {
    "late operands": Stalls(idle=_LATE),
    "full queues": Stalls(ready=_BUSY),
    "both": Stalls(idle=_LATE, ready=_BUSY),
}


def buildable(design: SangerDesign) -> None:
    """Refuse what is no hardware, or none of this.

    Raises:
        InfeasibleError: naming field and limit.
    """

    def refuse(field: str, rule: str) -> None:
        raise InfeasibleError(f"sanger: {field} must be {rule} to be built, got {getattr(design, field)}")

    if design.convention != "physical":
        refuse("convention", "physical")
    if design.exponent != "table":
        refuse("exponent", "table")
    if design.packing != "pack_split":
        refuse("packing", "pack_split")
    for field in ("tile_rows", "tile_columns", "pes_per_row"):
        size = getattr(design, field)
        if size < 2 or size & (size - 1):
            refuse(field, "a power of two, at least 2")
    least = (
        2 * HEADS_HELD * -(-design.operand_bits // 8) * max(design.tile_rows, design.tile_columns) * least_dim(design)
    )
    if design.kv_sram_bytes < least:
        refuse("kv_sram_bytes", f"at least {least}, for a tile of three heads,")


def trials(design: SangerDesign, seed: int) -> list[Trial]:
    """Heads alone and one after another, whose cycles are compared, and heads against stalls."""
    size = SangerSize(design)
    out = []
    for name, op in heads_of(size, seed).items():
        out.append(_trial(size, name, op, seed, None))
    op = _drawn(size, seed + 7, heads=3)
    out += [_trial(size, name, op, seed, stalls) for name, stalls in _STALLS.items()]
    return out


def heads_of(size: SangerSize, seed: int) -> dict[str, Attention]:
    """What is run, by name."""
    dim = _dim(size)
    seq = _seq(size, dim)
    ragged = max(1, seq - size.columns // 2 - 1)
    return {
        "one head": _drawn(size, seed, heads=1),
        "heads": _drawn(size, seed + 1, heads=4),
        "causal": _drawn(size, seed + 2, heads=2, causal=True),
        "ragged": _drawn(size, seed + 3, heads=3, seq=ragged),
        "short": _drawn(size, seed + 4, heads=3, seq=max(1, size.rows // 2 - 1)),
        "random": _random(size, seed, heads=2),
        "wild": _drawn(size, seed + 5, heads=2, concentration=40.0),
    }


def _dim(size: SangerSize) -> int:
    """A length that the hardware takes: the longest up to 64 of which a few tiles have room."""
    least = max(8, size.rows)
    room = size.elements // (2 * max(size.columns, size.rows))
    return max(least, min(64, room // least * least))


def _seq(size: SangerSize, dim: int) -> int:
    tile = max(size.columns, size.rows)
    return min(size.seq, size.elements // dim) // tile * tile


def _drawn(
    size: SangerSize, seed: int, heads: int, seq: int = 0, causal: bool = False, concentration: float = 0.0
) -> Attention:
    dim = _dim(size)
    law = Clustered(seed=seed, concentration=concentration) if concentration else Clustered(seed=seed)
    return Attention(seq=seq or _seq(size, dim), heads=heads, dim=dim, causal=causal, law=law)


def _random(size: SangerSize, seed: int, heads: int) -> Attention:
    """Operands drawn evenly, some beyond their format; a row of zeros among them."""
    dim = _dim(size)
    shape = (1, heads, _seq(size, dim), dim)
    rng = np.random.default_rng(seed)
    top = 2.0 ** (size.design.operand_bits - 1 - size.design.fraction_bits)
    q, k, v = (rng.uniform(-span, span, shape).astype(np.float32) for span in (2.0, 2.0, 1.01 * top))
    q[0, 0, 1] = 0.0
    k[0, 0, 2] = 0.0
    return Attention(seq=shape[2], heads=heads, dim=dim, q=q, k=k, v=v)


def _trial(size: SangerSize, name: str, op: Attention, seed: int, stalls: Stalls | None) -> Trial:
    design = size.design
    result = Sanger(design).run(op, values=True)
    assert result.cycles is not None
    assert isinstance(result.values, np.ndarray)
    port = operand_port(design, op)
    limit = (3 if stalls is None else 12) * result.cycles + 1000
    plan, answers = make_plan(size, name, op, result.values, (port.cycles, port.latency), limit, seed, stalls)
    return Trial(plan, answers, result.cycles if stalls is None else None)


def _size(rows: int, columns: int, places: int, seq: int, dim: int, **changes: object) -> SangerDesign:
    """A machine whose memories hold three heads of ``seq`` vectors, with a memory as wide as a tile's word."""
    clock = SangerDesign().clock_hz
    given = {
        "threshold": 0.02,
        "kv_sram_bytes": 4 * HEADS_HELD * seq * dim,
        "memory_bytes_per_s": 2.0 * columns * clock,
        "memory_latency_s": 20 / clock,
    }
    return SangerDesign(
        tile_rows=rows,
        tile_columns=columns,
        pes_per_row=places,
        **{**given, **changes},  # type: ignore[arg-type]
    )


_SIZES = (
    _size(4, 8, 2, 16, 8, threshold=0.08),
    _size(8, 16, 4, 64, 16),
    _size(16, 16, 4, 128, 64),
)

HARDWARE = Hardware(
    name="sanger",
    summary="predicted masks, packed sub-rows, and an array whose scores stay while values pass by",
    base=_SIZES[0],
    sizes=_SIZES,
    trials=trials,
    bound=0.02,
    buildable=buildable,
)
