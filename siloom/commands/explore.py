"""``siloom explore``: search a space of designs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from siloom.commands.given import Json, drawable, print_json, suffix, writable
from siloom.sim.errors import InfeasibleError, UsageError

if TYPE_CHECKING:
    from siloom.explore.outcome import Progress
    from siloom.explore.space import Space
    from siloom.exploring import Exploration

_LINE_S = 30.0
"""Without a terminal, progress is a line this often."""


def explore(
    space: Annotated[Path, typer.Argument(metavar="SPACE.toml", help="Machine, fields, workloads, objectives.")],
    planned: Annotated[bool, typer.Option("--plan", help="Say what a run would take.")] = False,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=1024, help="Processes; 0: none but this. Default: one a core.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="A Dask scheduler, tcp://host:8786, or slurm:jobs=8,cores=16,memory=32GB."
        ),
    ] = None,
    shard: Annotated[str | None, typer.Option(metavar="i/N", help="Only the i-th of N parts, for job arrays.")] = None,
    store: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: SPACE.siloom.db beside it.")] = None,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a stand-alone page (.html).")] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the front (.pdf, .svg, .png), and its data (.csv).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search the designs of SPACE.toml, from one design to the frontier."""
    from siloom import exploring, interrupt
    from siloom.explore.document import Limits

    if workers is not None and cluster is not None:
        raise UsageError("--workers and --cluster: name one of them")
    chosen = exploring.load_space(space)
    if figure is not None and len(chosen.objectives) < 2:
        raise UsageError(f"--figure: draws two objectives, and {chosen.name} has one")
    if planned:
        if shard is not None:
            raise UsageError("--plan and --shard: name one of them; a plan is of all parts together")
        from siloom.explore.forecast import forecast

        foreseen = forecast(chosen, exploring.usable_cores() if workers is None else workers)
        if as_json:
            print_json(foreseen)
        else:
            from siloom.show_exploration import show_forecast

            show_forecast(foreseen)
        return
    kept = store or exploring.default_store(space)
    _check(space, page, figure, kept)
    if (workers == 0 or cluster is not None) and chosen.limits != Limits():
        print("siloom: [limits] are kept by worker processes alone; here they are not", file=sys.stderr)
    with interrupt.listening(), _Said(chosen) as said:
        found = exploring.run(
            chosen,
            store=kept,
            workers=workers,
            cluster=cluster,
            shard=shard,
            watch=said,
            stopped=interrupt.requested,
        )
    if page is not None and found.rows:
        _write_page(found, page)
    if figure is not None and found.front:
        from siloom.reports.exploration_figure import write_front_figure

        write_front_figure(found.rows, figure, [metric.name for metric in chosen.objectives])
    document = found.to_dict()
    if as_json:
        print_json(document)
    else:
        from siloom.show_exploration import show_exploration

        show_exploration(document)
    if found.explored.ended == "interrupted":
        raise KeyboardInterrupt
    if why := found.why_none:
        raise InfeasibleError(why)


def _check(space: Path, page: Path | None, figure: Path | None, store: Path) -> None:
    """Refuse files that could not be written, or that would overwrite each other, before any work is done.

    Raises:
        UsageError: another suffix, or one file for two things.
        InputError: a folder is absent or not writable.
    """
    if page is not None:
        suffix(page, (".html",))
        writable(page)
    drawable(figure)
    writable(store)
    named = [path for path in (space, store, page, figure, figure and figure.with_suffix(".csv")) if path is not None]
    for number, path in enumerate(named):
        if path.resolve() in (other.resolve() for other in named[:number]):
            raise UsageError(f"{path}: is named for two things: the space, the store, --page, --figure and its .csv")


def _write_page(found: Exploration, page: Path) -> None:
    from siloom.reports.exploration_page import write_exploration_page

    notes = []
    if found.explored.ended != "complete":
        why = "it was interrupted" if found.explored.ended == "interrupted" else "its seconds were over"
        notes.append(f"The exploration did not come to its end: {why}.")
    if said := found.explored.correlation:
        notes.append(
            f"The closed-form bound orders {said['points']:,} points as the cycle model's time does, with a rank "
            f"correlation (Spearman) of {said['rank_correlation']:.3f}."
        )
    write_exploration_page(
        [*found.rows, *found.explored.finalists],
        page,
        title=found.space.name,
        objectives=[metric.name for metric in found.space.objectives],
        history=found.history,
        notes=notes,
    )


class _Said:
    """Progress on stderr: one line that changes on a terminal, else a line every half minute."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._status: Any = None
        self._last = time.monotonic()

    def __enter__(self) -> _Said:
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(f"exploring {self._space.size:,} points")
            self._status.start()
        return self

    def __exit__(self, *about: object) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, progress: Progress) -> None:
        text = self._text(progress)
        if self._status is not None:
            from rich.text import Text

            self._status.update(Text(text))
        elif time.monotonic() - self._last > _LINE_S:
            self._last = time.monotonic()
            print(f"siloom: {text}", file=sys.stderr, flush=True)

    def _text(self, progress: Progress) -> str:
        counts = progress.counts
        failed = counts.get("failed", 0) + counts.get("crashed", 0) + progress.limits_hit
        parts = [
            f"{progress.done:,} of {progress.total:,} points: {counts.get('ok', 0):,} valid, "
            f"{counts.get('infeasible', 0):,} infeasible, {failed:,} failed"
        ]
        if progress.best is not None:
            metric = self._space.objectives[0]
            parts.append(f"best {metric.short} {progress.best.metrics[metric.name]:.4g} {metric.unit}".rstrip())
        if progress.seconds_left is not None:
            parts.append(f"about {progress.seconds_left:,.0f} s left")
        return "; ".join(parts)
