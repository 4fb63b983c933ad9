"""Putting stores together: shards of a job array, or the work of several machines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from siloom.explore.row import Row
from siloom.explore.store import Store
from siloom.sim.errors import InputError

_BLOCK = 1000


def merge(into: Path, sources: Sequence[Path]) -> int:
    """Add the rows of ``sources`` to ``into``; the number that was new. Once or often, in any order, is the same.

    Raises:
        InputError: one is no store, or two have unequal rows for one key; then ``into`` is as it was.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(Store.open(source, read_only=True)) for source in sources]
        for one, other in itertools.combinations(opened, 2):
            _compare(one, other)
        target = stack.enter_context(Store.open(into))  # not before: it may be made here
        for source in opened:
            _compare(target, source)
        before = sum(target.counts().values())
        for source in opened:
            for name, document in source.spaces():
                target.note_space(name, document)
            rows = source.rows()
            while block := list(itertools.islice(rows, _BLOCK)):
                target.add(block)
        return sum(target.counts().values()) - before


def _result(row: Row) -> tuple[object, ...]:
    """What a row says of its point, without the names that its space gave to design and workload."""
    return row.fidelity, row.status, row.reason, row.metrics, row.bottleneck


def _compare(one: Store, other: Store) -> None:
    """Refuse two stores that say different things of one point."""
    rows = other.rows()
    while block := {row.key: row for row in itertools.islice(rows, _BLOCK)}:
        for row in one.rows(list(block)):
            if _result(row) != _result(block[row.key]):
                raise InputError(
                    f"{other.path}: point {row.key.hex()} ({row.design}) differs from that of {one.path}: "
                    "a point's result depends on its key alone, so one of the two is not to be trusted"
                )
