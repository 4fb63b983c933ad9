"""What the front door asks of the hardware: which units there are, their proof, and their Verilog."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from siloom.rtl.emit import make_files, write_files
from siloom.rtl.registry import find_design, find_unit, make_twin, size_text, unit_names
from siloom.rtl.testing import SIMULATORS, conform
from siloom.sim.contract import CycleKernel, Stream, Unit
from siloom.sim.design import Design
from siloom.sim.errors import InputError, UsageError, did_you_mean

__all__ = ["MAX_VECTORS", "check", "emit", "list_units"]

MAX_VECTORS = 10_000_000


def list_units() -> list[dict[str, Any]]:
    """Every unit that can be checked and emitted; needs no optional part.

    Each row has ``name``, ``kind``, ``summary``, ``fields`` {name: {default, unit, low, high, choices}},
    ``inputs`` and ``outputs`` (of the default size, as texts), ``latency`` and ``interval`` in cycles
    (of the default size; None where they depend on the operands).
    """
    return [_describe(find_unit(name)) for name in unit_names()]


def check(
    names: Sequence[str] | None,
    *,
    vectors: int,
    seed: int,
    simulators: Sequence[str] = ("amaranth", "verilator"),
    on_row: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Compare twins with their Contracts; one row per unit, size and simulator.

    Args:
        names: units, or None for all; with settings (``mac:a_bits=4``) that size alone, else every
            size its file names.
        vectors: beats for each row.
        seed: of operands, stalls and junk.
        simulators: names in ``siloom.rtl.testing.SIMULATORS``.
        on_row: called with each row as it is done.

    Returns:
        Rows of ``name,kind,size,seed,vectors,mismatched_bits,model_cycles,rtl_cycles,simulator``, and
        ``mismatched_cycles`` (transfers in a cycle other than the model's), ``passed`` and ``fault``
        (the first difference, in words; empty if none).

    Raises:
        UsageError: an unknown unit, setting or simulator.
        InputError: a setting, ``vectors`` or ``seed`` out of its range.
        MissingPartError: a part that is not installed, or a tool that dies.
    """
    for simulator in simulators:
        if simulator not in SIMULATORS:
            raise UsageError(f"no simulator named '{simulator}'{did_you_mean(simulator, SIMULATORS)}")
    if not 1 <= vectors <= MAX_VECTORS:
        raise InputError(f"rtl check: vectors must be 1 to {MAX_VECTORS}, got {vectors}")
    if seed < 0:
        raise InputError(f"rtl check: seed must be at least 0, got {seed}")
    rows = []
    for unit, design in _chosen(names):
        for simulator in simulators:
            row = _check_one(unit, design, vectors, seed, simulator)
            if on_row is not None:
                on_row(row)
            rows.append(row)
    return rows


def emit(name: str, out: Path) -> list[Path]:
    """Write the Verilog of a unit (``mac:a_bits=8,acc_bits=20``) and its README into a folder.

    Raises:
        UsageError: an unknown unit or setting.
        InputError: a setting out of its range, or a folder that cannot be written.
        MissingPartError: Amaranth or its Yosys is not installed or does not work.
    """
    return write_files(make_files(*find_design(name)), out)


def _chosen(names: Sequence[str] | None) -> list[tuple[Unit[Any], Design]]:
    """Units and sizes, all looked up before anything is run."""
    chosen: list[tuple[Unit[Any], Design]] = []
    for name in unit_names() if names is None else names:
        unit, design = find_design(name)
        chosen += [(unit, design)] if ":" in name else [(unit, size) for size in unit.sizes]
    return chosen


def _check_one(unit: Unit[Any], design: Design, vectors: int, seed: int, simulator: str) -> dict[str, Any]:
    verdict = conform(
        unit.contract(design), lambda: make_twin(unit, design), vectors=vectors, seed=seed, simulator=simulator
    )
    return {
        "name": unit.name,
        "kind": "unit",
        "size": size_text(design),
        "seed": seed,
        "vectors": verdict.vectors,
        "mismatched_bits": verdict.mismatched_bits,
        "model_cycles": verdict.model_cycles,
        "rtl_cycles": verdict.rtl_cycles,
        "simulator": simulator,
        "mismatched_cycles": verdict.mismatched_cycles,
        "passed": verdict.passed,
        "fault": verdict.fault,
    }


def _describe(unit: Unit[Any]) -> dict[str, Any]:
    design = unit.design_type()
    contract = unit.contract(design)
    fields = {
        name: {
            "default": getattr(design, name),
            "unit": about.unit,
            "low": about.low,
            "high": about.high,
            "choices": list(about.choices),
        }
        for name, about in unit.design_type.parameters().items()
    }
    return {
        "name": unit.name,
        "kind": "unit",
        "summary": unit.summary,
        "fields": fields,
        "inputs": _ports(contract.inputs),
        "outputs": _ports(contract.outputs),
        "latency": _constant(contract.latency),
        "interval": _constant(contract.interval),
    }


def _ports(side: Stream) -> dict[str, str]:
    return {p.name: str(p.format) if p.lanes == 1 else f"{p.lanes} x {p.format}" for p in side.ports}


def _constant(promise: int | CycleKernel) -> int | None:
    return promise if isinstance(promise, int) else None
