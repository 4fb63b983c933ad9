"""On which line of a TOML text a key stands, for messages: tomllib keeps no places."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TABLE = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]")
_KEY = re.compile(r"""^\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(?:=|\.)""")


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """The line (from 1) of the deepest part of ``path`` that begins a line; None where none of it does.

    ``path`` is as pydantic gives it: keys, and positions in lists. A key inside an inline table stands on the line of
    the table's own key.
    """
    best: tuple[int, int] | None = None
    table: list[str | int] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if found := _TABLE.match(line):
            table = [part.strip().strip("\"'") for part in found[2].split(".")]
            if found[1] == "[[":
                seen[found[2]] = seen.get(found[2], -1) + 1
                table.append(seen[found[2]])
            else:
                # A sub-table of an array's last element: [designs.fields] behind [[designs]].
                if table[0] in seen:
                    table.insert(1, seen[str(table[0])])
            here = table
        elif found := _KEY.match(line):
            here = [*table, next(part for part in found.groups() if part is not None)]
        else:
            continue
        if list(path[: len(here)]) == here and (best is None or len(here) > best[0]):
            best = len(here), number
    return best[1] if best else None
