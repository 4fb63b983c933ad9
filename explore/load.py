"""A space from its file, or from the same document in Python; every fault is one line with its place.

Raises (everything here):
    InputError: not TOML, an unknown key, a value of the wrong type or out of range, an empty range, an unknown machine,
        field, metric or search, each with the nearest that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from string import Formatter
from typing import Any

from pydantic import ValidationError

from siloom.explore.axis import Axis
from siloom.explore.document import (
    DesignAlternative,
    Finalists,
    Range,
    Screen,
    SpaceDocument,
    Training,
    WeightedWorkload,
)
from siloom.explore.expression import condition
from siloom.explore.metrics import METRICS, metric
from siloom.explore.search import searches
from siloom.explore.space import Alternative, Fits, Space, Weighted
from siloom.explore.toml_lines import line_of
from siloom.explore.values import values_of_field
from siloom.models.registry import machine as machine_by_text
from siloom.sim.errors import InputError, SiloomError, UsageError, did_you_mean
from siloom.sim.machine import Machine
from siloom.sim.settings import Named, parse_named
from siloom.workloads.bounds import place
from siloom.workloads.toml_document import toml_document

Loc = Sequence[str | int]
Blame = Callable[[Loc, str], InputError]
"""Makes the error for a place in the document."""


def space_of_file(path: Path) -> Space:
    """The space that a ``.toml`` file describes; paths in it are seen from its folder, then from here."""
    text, document = toml_document(path)

    def blame(loc: Loc, message: str) -> InputError:
        line = line_of(text, loc)
        return InputError(": ".join((place(path), *([f"line {line}"] if line else []), *_dotted(loc), message)))

    return _space(document, path.parent, path.stem, blame)


def space_of(document: Mapping[str, Any], machine: Machine | None = None) -> Space:
    """The space of a document as the file's, in Python; ``machine`` may be an object in place of its name."""

    def blame(loc: Loc, message: str) -> InputError:
        return InputError(": ".join(("space", *_dotted(loc), message)))

    filled = {**document, "machine": machine.label} if machine is not None else document
    return _space(filled, Path(), "space", blame, machine)


def _dotted(loc: Loc) -> list[str]:
    text = ".".join(str(part + 1) if isinstance(part, int) else place(part) for part in loc)
    return [text] if text else []


def _space(document: Mapping[str, Any], folder: Path, name: str, blame: Blame, machine: Machine | None = None) -> Space:
    said = _validated(document, blame)
    alternatives = said.designs or [DesignAlternative(machine=said.machine or "", fields=said.fields)]
    in_list = bool(said.designs)
    made = tuple(
        _alternative(each, ("designs", number) if in_list else (), folder, said.training, blame, machine)
        for number, each in enumerate(alternatives)
    )
    objectives = []
    for number, text in enumerate(said.objectives):
        try:
            objectives.append(metric(text))
        except UsageError as error:
            raise blame(("objectives", number), str(error)) from None
    if len({m.name for m in objectives}) < len(objectives):
        raise blame(("objectives",), "names a metric twice")
    conditions, fits = [], []
    known = {*METRICS, *(f for alternative in made for f in _fields_of(alternative))}
    for number, text in enumerate(said.constraints):
        loc = ("constraints", number)
        if text.split()[:1] == ["fits"]:
            fits.append(_fits(text, partial(blame, loc)))
            continue
        try:
            conditions.append(condition("", text))
        except InputError as error:
            raise blame(loc, str(error).removeprefix(": ")) from None
        for unknown in sorted(conditions[-1].names - known):
            raise blame(loc, f"no field or metric '{unknown}'{did_you_mean(unknown, known)}")
    for key, search in (("method", said.search.method), ("baseline", said.search.baseline)):
        if search not in searches() and not (key == "baseline" and search == "none"):
            raise blame(("search", key), f"no search '{search}'{did_you_mean(search, searches())}")
    return Space(
        name=said.name or name,
        alternatives=made,
        workloads=tuple(_workload(w, folder) for w in said.workloads),
        objectives=tuple(objectives),
        constraints=tuple(conditions),
        fits=tuple(fits),
        fidelity="training" if said.training else said.fidelity,
        search=said.search,
        budget=said.budget,
        limits=said.limits,
        screen=said.screen,
        finalists=said.finalists,
        training=said.training,
    )


def _validated(document: Mapping[str, Any], blame: Blame) -> SpaceDocument:
    try:
        return SpaceDocument.model_validate(dict(document))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
    # What was misspelled is also missing: the word that stands there helps more.
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    # Where a value has several forms, pydantic names the form too; a reader has not written it.
    loc = [part for part in first["loc"] if part not in ("text", "table", "list")]
    if first["type"] == "extra_forbidden":
        model: Any = SpaceDocument
        for part in loc[:-1]:
            model = _inner(model, part)
        raise blame(
            loc, f"no key '{place(str(loc[-1]))}'{did_you_mean(str(loc[-1]), getattr(model, 'model_fields', ()))}"
        )
    message = first["msg"].removeprefix("Value error, ")
    kinds = {one["loc"][-1] for one in errors if one["loc"][:-1] == first["loc"][:-1]} if loc else set()
    if len(kinds) > 1 and kinds <= _KINDS:
        loc.pop()
        message = "must be a finite number" if "str" not in kinds else "must be a finite number, a text, true or false"
    got = "" if first["type"] in ("missing", "value_error") else f", got {place(repr(first['input'])[:60])}"
    raise blame(loc, f"{message}{got}")


_KINDS = frozenset(("bool", "int", "float", "str"))
"""The kinds of a value that may be of several; pydantic tells of each that it is not this one."""
_TABLES: Mapping[str, Any] = {
    "search": SpaceDocument.model_fields["search"].annotation,
    "budget": SpaceDocument.model_fields["budget"].annotation,
    "limits": SpaceDocument.model_fields["limits"].annotation,
    "screen": Screen,
    "finalists": Finalists,
    "training": Training,
    "designs": DesignAlternative,
    "workloads": WeightedWorkload,
    "fields": Range,
}


def _inner(model: Any, part: str | int) -> Any:
    """The model of a table inside another, for a hint; the outer one where it is a list or a map."""
    return _TABLES.get(str(part), model)


def _resolved(text: str, folder: Path) -> str:
    """Paths as seen from the space's own folder, where there is such a file; any other text as it is.

    A path is the whole text, a name before the settings (``./my_machine.py:rows=8``) or a setting's value
    (``minilm:text=notes.txt``).
    """
    if _is_file(folder, text):
        return _seen(folder, text)
    name, colon, settings = text.partition(":")
    if _is_file(folder, name) and "." in name:
        name = _seen(folder, name)
    parts = []
    for part in settings.split(",") if colon else []:
        key, equals, value = part.partition("=")
        parts.append(f"{key}={_seen(folder, value)}" if equals and _is_file(folder, value) else part)
    return f"{name}{colon}{','.join(parts)}"


def _is_file(folder: Path, name: str) -> bool:
    try:
        return bool(name) and (folder / name).is_file()
    except (OSError, ValueError):  # a name too long for a file, or with a zero in it
        return False


def _seen(folder: Path, name: str) -> str:
    path = str(folder / name)
    return path if "/" in path else f"./{path}"


def _workload(said: str | WeightedWorkload, folder: Path) -> Weighted:
    if isinstance(said, str):
        return Weighted(said, _resolved(said, folder), 1.0)
    return Weighted(said.load, _resolved(said.load, folder), float(said.weight))


def _fits(text: str, blame: Callable[[str], InputError]) -> Fits:
    part = text.split(maxsplit=1)[1].strip().removeprefix("fpga:") if len(text.split()) == 2 else ""
    if not part:
        raise blame("must have the form 'fits fpga:PART'")
    try:
        found = machine_by_text(part)
    except SiloomError as error:
        raise blame(str(error)) from None
    if found.kind != "fpga":
        raise blame(f"'{part}' is of kind {found.kind}, not an FPGA")
    return Fits(text, part)


def _fields_of(alternative: Alternative) -> set[str]:
    """Every name of a field that a constraint may read."""
    source = alternative.source
    made = source if isinstance(source, Machine) else machine_by_text(source)
    return {*made.design.parameters(), *(axis.name for axis in alternative.axes)}


def _alternative(
    said: DesignAlternative, loc: Loc, folder: Path, training: Training | None, blame: Blame, given: Machine | None
) -> Alternative:
    source: str | Machine = given if given is not None else _resolved(said.machine, folder)
    try:
        made = source if isinstance(source, Machine) else machine_by_text(source)
    except SiloomError as error:
        raise blame((*loc, "machine"), str(error)) from None
    known = made.design.parameters()
    trained = placeholders(training)
    fixed = parse_named(said.machine).settings if given is None else {}
    axes = []
    for name, values in said.fields.items():
        at = (*loc, "fields", name)
        if name not in known and name not in trained:
            raise blame(at, f"{said.machine} has no field '{name}'{did_you_mean(name, [*known, *trained])}")
        if name in fixed:
            raise blame(at, f"is fixed by the machine's own text, {Named(said.machine, {}).name!r}")
        kind = made.design._kind(name) if name in known else None
        axes.append(Axis(name, values_of_field(values, made.label, name, known.get(name), kind, partial(blame, at))))
    for name in sorted(trained - {axis.name for axis in axes} - set(known)):
        raise blame(("training",), f"{{{name}}} stands for a field, and [fields] names none of that name")
    return Alternative(said.machine, source, tuple(axes))


def placeholders(training: Training | None) -> set[str]:
    """The fields that a training's texts name in braces."""
    if training is None:
        return set()
    texts = (training.recipe, training.arithmetic, training.attention)
    return {name for text in texts for _, name, _, _ in Formatter().parse(text) if name}
