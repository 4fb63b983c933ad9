"""``siloom rtl``: list hardware, emit it, check it against its model, synthesise it, prove it."""

from __future__ import annotations

import json
import os
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

from siloom.commands.given import Json, print_json, suffix, writable
from siloom.sim.errors import InputError, UsageError

rtl_app = typer.Typer(
    no_args_is_help=True, help="Hardware: list, emit Verilog, check against the model, synthesise, prove."
)


@rtl_app.command("list")
def rtl_list(as_json: Json = False) -> None:
    """List what can be emitted."""
    from siloom.rtl.api import list_hardware

    rows = list_hardware()
    if as_json:
        print_json(rows)
        return
    from siloom.show import show_rows

    show_rows("hardware", [{key: row[key] for key in ("name", "kind", "summary")} for row in rows])


@rtl_app.command("emit")
def rtl_emit(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A unit or machine with settings, e.g. mac:a_bits=8.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write.")],
    as_json: Json = False,
) -> None:
    """Write Verilog with a README of its ports, a test bench, the model's vectors, a Makefile and a cocotb test."""
    from siloom.rtl.api import emit
    from siloom.watch import watching

    with watching(f"emitting {name}"):
        files = emit(name, out)
    if as_json:
        print_json({"files": [str(f) for f in files]})
    else:
        for file in files:
            if file.parent == out:
                print(file)
        vectors = [file for file in files if file.parent != out]  # by hundreds, of a machine
        if vectors:
            print(f"{out / 'vectors'}: {len(vectors)} files of {len({file.parent for file in vectors})} runs")


@rtl_app.command("check")
def rtl_check(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Default: all.")] = None,
    vectors: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="Operand vectors for each size of a unit.")
    ] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the operands.")] = 0,
    simulator: Annotated[
        list[str] | None, typer.Option(help="amaranth, verilator (the default), icarus, cxxrtl; may be repeated.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Rows at once; default: one for each core.")] = None,
    waves: Annotated[Path | None, typer.Option(help="A folder for waveforms (VCD; FST with icarus).")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A CSV file for the rows.")] = None,
    as_json: Json = False,
) -> None:
    """Run hardware and model side by side: same bits, same cycles."""
    from siloom.rtl.api import CSV_COLUMNS, check
    from siloom.sim.errors import CheckFailedError
    from siloom.watch import watching

    if out is not None and not out.resolve().parent.is_dir():
        raise InputError(f"{out}: cannot be written: its folder is absent")  # said before minutes of work
    done = count(1)
    with watching("checking hardware against the model") as watch:
        rows = check(
            names or None,
            vectors=vectors,
            seed=seed,
            simulators=tuple(simulator or ("verilator",)),
            jobs=jobs or len(os.sched_getaffinity(0)),
            waves=waves,
            on_row=lambda row: watch(
                f"checking hardware against the model: {next(done)} done, {row['name']} {row['size']} the last"
            ),
        )
    if out is not None:
        from siloom.reports.files import csv_text, write_whole

        write_whole(out, csv_text(CSV_COLUMNS, ([row[c] for c in CSV_COLUMNS] for row in rows)).encode())
    if as_json:
        print_json(rows)
    else:
        from siloom.show import show_rows

        show_rows("hardware against the model", rows)
    wrong = [row for row in rows if not row["passed"]]
    if wrong:
        raise CheckFailedError(f"{len(wrong)} of {len(rows)} rows disagree, first {wrong[0]['name']}")


@rtl_app.command("synth")
def rtl_synth(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Units or machines with settings, e.g. mac:a_bits=8.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Everything there is, in its default size.")] = False,
    target: Annotated[
        list[str] | None, typer.Option(help="ecp5-85k (the default), ice40-hx8k; may be repeated.")
    ] = None,
    liberty: Annotated[
        Path | None,
        typer.Option(help="Standard cells instead of an FPGA: a Liberty file (.lib); area and clock period."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the placement; clocks move by some per cent with it.")] = 1,
    jobs: Annotated[int | None, typer.Option(min=1, help="Designs at once; default: one for each core.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="A table (.csv, .json), or a folder for logs too; default: your data folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What hardware takes of an FPGA, placed and routed: LUTs, flip-flops, multipliers, memories, the clock reached."""
    from siloom.rtl.api import map_cells, synth
    from siloom.watch import watching

    if every == bool(names):
        raise UsageError("rtl synth: name what is to be synthesised, or say --all")
    if liberty is not None and target:
        raise UsageError("rtl synth: --liberty maps to standard cells and --target to an FPGA: give one of them")
    table = out is not None and not out.is_dir() and out.suffix != ""
    if out is not None and table:
        suffix(out, (".csv", ".json"))
        writable(out)
    folder = None if table else out or _results("synthesis")
    at_once = jobs or len(os.sched_getaffinity(0))
    if liberty is not None:
        with watching("mapping to cells") as watch:
            rows = map_cells(
                None if every else names,
                liberty,
                folder=folder,
                jobs=at_once,
                on_row=lambda row: watch(f"mapping to cells, {row['name']} done"),
            )
        _show_cells(rows, out, folder, as_json=as_json)
        return
    with watching("synthesising") as watch:
        rows = synth(
            None if every else names,
            targets=tuple(target or ("ecp5-85k",)),
            seed=seed,
            folder=folder,
            jobs=at_once,
            on_row=lambda row: watch(f"synthesising, {row['name']} for {row['target']} done"),
        )
    if len(rows) == 1:
        _require_implemented(rows[0])
    if out is not None and table:
        _write_rows(rows, out)
    if as_json:
        print_json(rows)
    else:
        from siloom.reports.chart import amount
        from siloom.show import show_rows

        shown = ("name", "size", "target", "fits", "lut", "ff", "dsp", "bram", "carry")
        clocks = [{"clock": "-" if row["clock_hz"] is None else amount(row["clock_hz"], "Hz")} for row in rows]
        show_rows("synthesised", [{k: row[k] for k in shown} | clock for row, clock in zip(rows, clocks, strict=True)])
        print(f"kept in {out or folder}")
    for row in rows:
        # Of everything there is, what does not fit a small part is an answer, not a refusal.
        if row["fits"] is None or not every:
            _require_implemented(row)


def _show_cells(rows: list[dict[str, Any]], out: Path | None, folder: Path | None, *, as_json: bool) -> None:
    """Show or write rows of standard cells; end with the first tool that died."""
    from siloom.reports.chart import amount
    from siloom.show import show_rows
    from siloom.sim.errors import MissingPartError

    if out is not None and folder is None:
        _write_rows(rows, out)
    if as_json:
        print_json(rows)
    else:
        shown = ("name", "size", "library", "area", "sequential_area", "cells")
        periods = [{"period": "-" if row["period_s"] is None else amount(row["period_s"], "s")} for row in rows]
        show_rows(
            "standard cells", [{k: row[k] for k in shown} | last for row, last in zip(rows, periods, strict=True)]
        )
        for timed in sorted({row["timed"] for row in rows if row["timed"]}):
            print(f"period: {timed}")
        print(f"kept in {out or folder}")
    for row in rows:
        if row["fault"]:
            raise MissingPartError(f"{row['name']} in cells of {row['library']}: {row['fault']}")


def _require_implemented(row: dict[str, Any]) -> None:
    """Raise what the row of a design says that does not fit, or on which a tool died."""
    from siloom.rtl.synth import require_fit
    from siloom.sim.errors import MissingPartError

    if row["fault"]:
        raise MissingPartError(f"{row['name']} for {row['target']}: {row['fault']}")
    require_fit(row)


@rtl_app.command("prove")
def rtl_prove(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Default: all.")] = None,
    depth: Annotated[int | None, typer.Option(help="Steps to look at, instead of what each proof says.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A folder for waveforms of what failed.")] = None,
    as_json: Json = False,
) -> None:
    """Prove laws of hardware parts, whatever their neighbours do: for ever, or for a number of steps."""
    from siloom.rtl.prove import prove
    from siloom.sim.errors import CheckFailedError
    from siloom.watch import watching

    with watching("proving") as watch:
        rows = prove(
            names or None, depth=depth, traces=out, on_start=lambda name, size: watch(f"proving {name}, {size}")
        )
    if as_json:
        print_json(rows)
    else:
        from siloom.show import show_rows

        shown = ("name", "size", "property", "says", "result", "depth", "seconds")
        show_rows("proofs", [{key: row[key] for key in shown} for row in rows])
    wrong = [row for row in rows if not row["passed"]]
    if wrong:
        first = wrong[0]
        raise CheckFailedError(
            f"{len(wrong)} of {len(rows)} rows came out wrong, first {first['name']} ({first['size']}): "
            f"{first['property']} {first['result']} at step {first['depth']}"
        )


def _results(kind: str) -> Path:
    """The folder below the user's data folder in which results of this kind are kept."""
    from siloom.sim.folders import data_root

    return data_root() / kind


def _write_rows(rows: list[dict[str, Any]], out: Path) -> None:
    """Write rows with the same keys as CSV or JSON, by the file's name."""
    from siloom.reports.files import csv_text, write_whole

    if out.name.endswith(".csv"):
        text = csv_text(list(rows[0]), [list(row.values()) for row in rows])
    else:
        text = json.dumps(rows, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_whole(out, text.encode())
