"""The command line. Heavy imports live inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from siloom.commands.explore import explore
from siloom.commands.given import Json, drawable, print_json, suffix, writable
from siloom.commands.rtl import rtl_app
from siloom.commands.store import store_app
from siloom.commands.train import train
from siloom.sim.errors import InputError, SiloomError, UsageError, did_you_mean

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Weave an algorithm and the hardware that runs it.",
    epilog="Exit codes: 0 ok, 1 a check failed, 2 usage, 3 infeasible, 4 bad input, 5 a part is missing, 70 defect.",
)
app.add_typer(rtl_app, name="rtl")
app.add_typer(store_app, name="store")

MachineText = Annotated[
    str, typer.Argument(metavar="MACHINE", help="A name with settings, ./file.py, or what measure wrote.")
]
LinkText = Annotated[
    str | None,
    typer.Option(metavar="LINK", help="From MACHINE to --rest: pcie4 (as a rule), nvlink4, ideal, ..., with settings."),
]
WorkloadText = Annotated[str, typer.Argument(metavar="WORKLOAD", help="A file, or a name with settings.")]


@app.command()
def run(
    machine: MachineText,
    workload: WorkloadText,
    rest: Annotated[str | None, typer.Option(metavar="MACHINE", help="Runs what MACHINE does not support.")] = None,
    link: LinkText = None,
    trace: Annotated[Path | None, typer.Option(help="Write a Chrome/Perfetto trace (.json or .json.gz).")] = None,
    out: Annotated[Path | None, typer.Option(help="Keep the product (.npz) or the result (.json).")] = None,
    as_json: Json = False,
) -> None:
    """Simulate WORKLOAD on MACHINE."""
    from siloom import api
    from siloom.sim.link import DEFAULT
    from siloom.watch import watching

    kind = None if out is None else suffix(out, (".npz", ".json"))
    if trace is not None and not trace.name.lower().endswith((".json", ".json.gz")):
        raise UsageError(f"{trace}: the file's name must end in .json or .json.gz")
    if out is not None and trace is not None and out.resolve() == trace.resolve():
        raise UsageError(f"{out}: --out and --trace must be two files")
    writable(out)
    writable(trace)
    with watching(f"reading {workload}") as watch:
        chosen, work = api.machine(machine), api.load(workload)
        other = None if rest is None else api.machine(rest)
        watch(f"simulating {machine} on {workload}")
        result = api.run(chosen, work, rest=other, link=link or DEFAULT, trace=trace, values=kind == ".npz")
    if out is not None and kind == ".npz":
        if result.values is None:
            raise UsageError(f"--out {out}: {machine} computes no product for this workload")
        _keep_values(out, result.values)
    elif out is not None:
        from siloom.reports.files import write_whole

        write_whole(out, f"{result.to_json()}\n".encode())
    if as_json:
        print(result.to_json())
    else:
        from siloom.show import show_result

        show_result(result)


def _keep_values(out: Path, values: Any) -> None:
    """Write a product, as scipy does, or attention's output, as the array ``output``."""
    import numpy as np
    import scipy.sparse

    from siloom.reports.files import fill_whole

    if isinstance(values, np.ndarray):
        fill_whole(out, lambda file: np.savez_compressed(file, output=values))
        return
    product = values.to_scipy()
    fill_whole(out, lambda file: scipy.sparse.save_npz(file, product))


@app.command()
def compare(
    workload: WorkloadText,
    machines: Annotated[list[str], typer.Argument(metavar="MACHINE...", help="Machines to compare.")],
    baseline: Annotated[list[str] | None, typer.Option(metavar="MACHINE", help="Speed-ups are over these.")] = None,
    rest: Annotated[str | None, typer.Option(metavar="MACHINE", help="Runs what a machine does not support.")] = None,
    link: LinkText = None,
    figure: Annotated[Path | None, typer.Option(help="Write a figure (.pdf, .svg, .png) and its data (.csv).")] = None,
    as_json: Json = False,
) -> None:
    """Compare machines on the operations of WORKLOAD that all of them run."""
    from siloom import api
    from siloom.sim.link import DEFAULT
    from siloom.watch import watching

    drawable(figure)
    with watching(f"reading {workload}") as watch:
        chosen = [api.machine(text) for text in machines]
        bases = [api.machine(text) for text in baseline or []]
        other = None if rest is None else api.machine(rest)
        work = api.load(workload)
        comparison = api.compare_results(
            work,
            chosen,
            bases,
            other,
            link=link or DEFAULT,
            watch=lambda label: watch(f"running {label} on {workload}"),
        )
    if figure is not None:
        from siloom.reports.figure import write_figure

        known = {m: {b: r for b, r in row.items() if r is not None} for m, row in comparison.speedups.items()}
        write_figure(list(comparison.results), figure, known)
    if as_json:
        print_json(comparison.to_dict())
    else:
        from siloom.show import show_comparison

        show_comparison(comparison)


@app.command()
def machines(as_json: Json = False) -> None:
    """List machines: name, kind, operations, fields, source."""
    from siloom.models.registry import machines as every

    rows = [known.describe() for known in every()]
    if as_json:
        print_json(rows)
        return
    from siloom.show import show_rows

    short = [{k: row[k] for k in ("name", "kind", "operations", "summary")} for row in rows]
    show_rows("machines (siloom machines --json lists every field)", short)


@app.command()
def workloads(as_json: Json = False) -> None:
    """List workloads: files that are read and names with their settings."""
    from dataclasses import asdict

    from siloom.workloads.registry import list_workloads

    rows = [asdict(info) for info in list_workloads()]
    if as_json:
        print_json(rows)
        return
    from siloom.show import show_rows

    short = [
        {
            "name": row["name"],
            "operations": row["operations"],
            "settings": ", ".join(f"{f['name']}={f['default']}" for f in row["fields"]),
        }
        for row in rows
    ]
    show_rows("workloads", short)


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Files of run --json or compare --json.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The page to write (.html).")],
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
) -> None:
    """Write one stand-alone page from results."""
    from siloom.reports.page import load_comparison, write_page

    suffix(out, (".html",))
    writable(out)
    loaded, speedups = load_comparison(results)
    print(write_page(loaded, out, title=title, speedups=speedups))


@app.command()
def reproduce(
    papers: Annotated[list[str] | None, typer.Argument(metavar="[PAPER...]", help="Default: all.")] = None,
    matrices: Annotated[
        Path | None, typer.Option(help="Folder of .mtx files (default: ../shared/data/matrices where it is).")
    ] = None,
    figure: Annotated[
        int | None, typer.Option(metavar="N", help="Only the N-th table of each paper, as they are numbered here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print papers' tables and figures: published beside simulated."""
    from siloom.reports import reproduce as experiments
    from siloom.watch import watching

    chosen = experiments.find(papers or [])
    if matrices is not None and not matrices.is_dir():
        raise InputError(f"{matrices}: no such folder")
    with watching("reproducing") as watch:
        tables = [made for paper in chosen for made in experiments.run(paper, matrices, watch, figure)]
    if as_json:
        print_json({table.title: {"rows": [*table.rows], "notes": [*table.notes]} for _, table in tables})
        return
    from siloom.show import show_rows

    for number, table in tables:
        show_rows(f"{number}. {table.title}", table.rows)
        for note in table.notes:
            print(f"  {note}")


@app.command()
def measure(
    target: Annotated[str, typer.Argument(metavar="host|cuda", help="What to measure.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write (.toml); it then serves as a MACHINE.")],
    threads: Annotated[int, typer.Option(min=1, max=4096, help="Threads of the host's dense products.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller operations.")] = False,
    as_json: Json = False,
) -> None:
    """Measure this machine and fit a model to it."""
    from siloom import measure as measuring
    from siloom.watch import watching

    measuring.check(target, out)
    writable(out)
    with watching(f"measuring {target}") as watch:
        content = measuring.measure(target, out, threads=threads, quick=quick, watch=watch)
    if as_json:
        print_json(content.model_dump())
        return
    from siloom.show import show_rows

    show_rows(f"{content.device}: errors of the model in {out}", measuring.rows(content))


@app.command("check-machine")
def check_machine(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Python file with a Machine class.")],
    as_json: Json = False,
) -> None:
    """Put a machine of your own through the conformance tests."""
    from siloom.models.registry import machines_of_file
    from siloom.sim.errors import CheckFailedError
    from siloom.sim.testing import check_conformance

    rows = []
    with contextlib.redirect_stdout(sys.stderr):
        for known in machines_of_file(file):
            rows += [{"machine": known.name, **row} for row in check_conformance(known.make())]
    if as_json:
        print_json(rows)
    else:
        from siloom.show import show_rows

        show_rows(f"conformance of {file}", rows)
    failed = [row for row in rows if not row["passed"]]
    if failed:
        raise CheckFailedError(f"{file}: {len(failed)} of {len(rows)} checks failed")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is installed and what each missing part would add."""
    from siloom.doctor import examine

    found = examine()
    if as_json:
        print_json(found)
        return
    from siloom.show import show_rows

    print(f"siloom {found['siloom']}, Python {found['python']}, kernels cached in {found['kernel_cache']}")
    rows = [
        {"part": p["name"], "found": p["version"] or "missing", "adds": p["adds"], "install": p["install"]}
        for p in found["parts"]
    ]
    show_rows("parts", rows)


app.command()(train)
app.command()(explore)


def main() -> None:
    """Run the command line and leave with the exit code that DESIGN names.

    The work is done in a second thread: an interrupt that came while a kernel returned to Python
    could end the process in the middle of an object. This thread waits and ends it cleanly.
    """
    codes: list[int] = []
    worker = threading.Thread(target=lambda: codes.append(_run(sys.argv[1:])), daemon=True)
    try:
        worker.start()
        worker.join()
    except KeyboardInterrupt:
        from siloom import interrupt

        if interrupt.request():
            worker.join(interrupt.GRACE_S)
        # The cursor that a spinner may have hidden comes back.
        print(("\x1b[?25h" if sys.stderr.isatty() else "") + "siloom: interrupted", file=sys.stderr, flush=True)
        os._exit(130)
    sys.exit(codes[0] if codes else 70)


def _run(arguments: list[str]) -> int:
    os.environ.setdefault("COLUMNS", "140" if not sys.stdout.isatty() else os.environ.get("COLUMNS", ""))
    if not os.environ["COLUMNS"]:
        del os.environ["COLUMNS"]
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode gets its tables all the same
    try:
        code = app(args=arguments, prog_name="siloom", standalone_mode=False)
        sys.stdout.flush()
        if code == 130:
            print("siloom: interrupted", file=sys.stderr)
        return code if isinstance(code, int) else 0
    except SiloomError as error:
        print(f"siloom: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except typer.TyperException as error:
        print(f"siloom: {_usage(error)}", file=sys.stderr)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        print("siloom: interrupted", file=sys.stderr)
        return 130
    except SystemExit as error:
        # The parser turns an interrupt into 130 and a closed pipe into 1: its reader has seen enough.
        if error.code == 130:
            print("siloom: interrupted", file=sys.stderr)
            return 130
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO) or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print(f"siloom: stdout: cannot be written: {error.strerror}", file=sys.stderr)
        return 4
    except MemoryError:
        print("siloom: out of memory; the workload does not fit this machine", file=sys.stderr)
        return 4
    except Exception as error:
        if os.environ.get("SILOOM_TRACEBACK"):
            raise
        said = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"siloom: internal error: {said} (SILOOM_TRACEBACK=1 shows where)", file=sys.stderr)
        return 70


def _usage(error: Any) -> str:
    """One line for a usage error, with the nearest command name."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if message.startswith("No such command") and context is not None:
        word = message.split("'")[1] if "'" in message else ""
        known = getattr(context.command, "commands", {})
        return f"no command '{word}'{did_you_mean(word, known)}"
    # Without arguments the message is the whole help text, which keeps its lines.
    return message if "\n" in message else " ".join(message.split())


if __name__ == "__main__":
    main()
