"""What hardware takes of FPGA parts: synthesises, places and routes it, and compares with the table or writes it.

    python benchmarks/synthesis.py [NAME...]            compare with sim/cost/synthesis.csv
    python benchmarks/synthesis.py [NAME...] --write    write these rows; those of other names stay as they are
    ... --jobs N                                        designs at once (default: one a core)

Without a name: every unit in its default size, the cells that the FPGA models read, and arrays of several kinds, whose
clocks tell what an array's wires cost its cells. What was run before is not run again, so that an interrupted run goes
on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siloom.rtl import api
from siloom.rtl.registry import unit_names
from siloom.rtl.synth import TARGETS
from siloom.sim.cost.synthesis import COUNTS, owner

TABLE = Path(__file__).resolve().parents[1] / "sim" / "cost" / "synthesis.csv"
HEAD = "# Made by benchmarks/synthesis.py --write; lut counts 4-input LUTs, those of carries included.\n"
COLUMNS = ("owner", "name", "value", "unit", "source", "status", "node", "condition")
NODES_NM = {"ecp5-85k": 40, "ice40-hx8k": 40}
SEED = 1
CELLS = [
    f"systolic_cell:dataflow={dataflow},a_bits={bits},b_bits={bits},acc_bits={total},double={double}"
    for dataflow in ("ws", "os")
    for bits in (4, 8)
    for total in (16, 32)
    for double in (1, 0)
]
"""What models/fpga.py asks for; inputs that stay are the hardware of weights that stay."""

ARRAYS = [
    f"{array},accumulator={accumulator}"
    for array, accumulator in (
        ("systolic:rows=4,cols=4", "int32"),
        ("systolic:rows=8,cols=8", "int32"),
        ("sparse24:rows=4,cols=4", "int32"),
        ("sparse24:rows=8,cols=8", "int32"),
        ("systolic:rows=4,cols=4,precision=bf16", "fp32"),
        ("systolic:rows=4,cols=4,dataflow=os,precision=fp8", "fp16"),
    )
]


def designs() -> list[str]:
    """Everything that the table holds."""
    return [*unit_names(), *CELLS, *ARRAYS]


def table_rows(row: dict[str, Any]) -> list[tuple[str, ...]]:
    """One synthesised design as rows of the table."""
    of = owner(row["target"], row["name"], row["size"])
    about = (f"siloom rtl synth: {row['tools']}", "measured", str(NODES_NM[row["target"]]))
    where = f"{TARGETS[row['target']].condition}; seed {row['seed']}; {row['placed']}"
    rows = [(of, count, str(row[count]), "", *about, "") for count in COUNTS]
    if row["clock_hz"] is not None:
        rows.append((of, "clock_hz", str(row["clock_hz"]), "Hz", *about, where))
    return rows


def read_table() -> list[tuple[str, ...]]:
    """The table's rows, header left out."""
    if not TABLE.exists():
        return []
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [tuple(row) for row in csv.reader(lines)][1:]


def write_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Write the table, sorted by owner, each owner's rows in their order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(sorted(rows, key=lambda row: row[0]))
    draft = TABLE.with_suffix(".part")
    draft.write_text(HEAD + text.getvalue(), encoding="utf-8")
    draft.replace(TABLE)


def main() -> None:
    """Run, print and, if asked, write."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("names", nargs="*", help="units and machines, with settings")
    parser.add_argument("--write", action="store_true", help="write the table")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="designs at once")
    given = parser.parse_args()
    before = read_table()
    known = {(row[0], row[1]): row[2] for row in before}
    rows = api.synth(given.names or designs(), targets=tuple(TARGETS), seed=SEED, jobs=given.jobs, on_row=show(known))
    made = [line for row in rows if not row["fault"] for line in table_rows(row)]
    if given.write:
        owners = {line[0] for line in made}
        stays = [line for line in before if line[0] not in owners] if given.names else []
        # Cells that are a unit's default size come twice.
        write_table([*stays, *dict.fromkeys(made)])
    if faults := [row for row in rows if row["fault"]]:
        sys.exit(f"{len(faults)} of {len(rows)} designs: {faults[0]['name']}: {faults[0]['fault']}")


def show(known: dict[tuple[str, str], str]) -> Any:
    """A printer of rows that stars what differs from the table."""
    print(f"{'design':<16} {'part':<10} {'LUT':>7} {'FF':>6} {'DSP':>4} {'BRAM':>5} {'carry':>6} {'MHz':>7} {'s':>6}")

    def line(row: dict[str, Any]) -> None:
        if row["fault"]:
            print(f"{row['name']:<16} {row['target']:<10} {row['fault']}", flush=True)
            return
        of = owner(row["target"], row["name"], row["size"])
        cells = [row[count] for count in COUNTS]
        clock = "-" if row["clock_hz"] is None else f"{row['clock_hz'] / 1e6:.1f}"
        same = all(
            known.get((of, count)) == str(row[count]) for count in (*COUNTS, "clock_hz") if row[count] is not None
        )
        print(
            f"{row['name']:<16} {row['target']:<10} {cells[0]:>7} {cells[1]:>6} {cells[2]:>4} {cells[3]:>5} "
            f"{cells[4]:>6} {clock:>7} {row['seconds']:>6} {'' if same else '*'} {row['size']} {row['short']}",
            flush=True,
        )

    return line


if __name__ == "__main__":
    main()
