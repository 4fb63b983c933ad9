"""What low-discrepancy searches share: points of the unit cube as points of a space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from siloom.explore.space import Space


def dimensions(space: Space) -> int:
    """Coordinates that a point needs: one for the machine where there are several, one for each field of the widest."""
    fields = max(len(alternative.axes) for alternative in space.alternatives)
    return max(1, fields + (len(space.alternatives) > 1))


def index_of(space: Space, point: Sequence[float]) -> int:
    """The space's point in whose cell of the unit cube ``point`` lies; a machine's share of the cube is its size's."""
    coordinates = list(point)
    number = 0
    if len(space.alternatives) > 1:
        number, _ = space.place(min(space.size - 1, int(coordinates.pop(0) * space.size)))
    axes = space.alternatives[number].axes
    levels = [min(len(axis) - 1, int(u * len(axis))) for axis, u in zip(axes, coordinates, strict=False)]
    return space.index(number, levels)


def distinct(space: Space, points: Iterator[Sequence[float]], patience: int) -> Iterator[int]:
    """The points' indices, each once; ends where ``patience`` in a row brought nothing new."""
    seen: set[int] = set()
    idle = 0
    for point in points:
        index = index_of(space, point)
        if index in seen:
            idle += 1
            if idle >= patience or len(seen) == space.size:
                return
            continue
        idle = 0
        seen.add(index)
        yield index
