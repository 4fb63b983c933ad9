"""What a space's file may say: pydantic models, strict, from which the JSON Schema for editors comes too."""

from __future__ import annotations

import unicodedata
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, FiniteFloat, Tag, model_validator


def _plain(text: str) -> str:
    """Texts reach terminals, which control characters command."""
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError(f"must not have control characters, got {text[:60]!r}")
    return text


def _template(text: str) -> str:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{text[:60]!r} is no text with fields in braces: {error}") from None
    for _, name, form, conversion in parts:
        if name is not None and (form or conversion or not name.isidentifier()):
            raise ValueError(f"{text[:60]!r}: braces hold the name of a field and nothing else, as {{rows}}")
    return text


Text = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_plain)]
Template = Annotated[Text, AfterValidator(_template)]
"""A text in which ``{field}`` stands for a point's value."""
Level = bool | int | FiniteFloat | str
Number = int | FiniteFloat


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Range(_Strict):
    """Values between two limits: in ``step``s, or ``count`` of them, or the powers of two."""

    low: Number
    high: Number
    step: Number | None = Field(default=None, gt=0)
    count: int | None = Field(default=None, ge=1, le=100_000)
    scale: Literal["linear", "log", "log2"] = "linear"

    @model_validator(mode="after")
    def _holds_together(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"low must be at most high, got {self.low} and {self.high}: the range is empty")
        if self.step is not None and (self.count is not None or self.scale != "linear"):
            raise ValueError("step goes with neither count nor scale")
        if self.scale == "log2" and self.count is not None:
            raise ValueError("scale log2 is every power of two: it takes no count")
        if self.scale != "linear" and self.low <= 0:
            raise ValueError(f"scale {self.scale} begins above 0, got low = {self.low}")
        return self


def _form(given: Any) -> str:
    """Which of several forms a value was written in, so that what is wrong is told of that form alone."""
    return "list" if isinstance(given, list) else "table" if isinstance(given, dict | BaseModel) else "text"


FieldValues = Annotated[
    Annotated[Literal["default"], Tag("text")]
    | Annotated[list[Level], Field(min_length=1, max_length=100_000), Tag("list")]
    | Annotated[Range, Tag("table")],
    Discriminator(_form),
]
"""``"default"``: by the field's own description, :func:`siloom.explore.axis.default_values`."""


class DesignAlternative(_Strict):
    """One machine and the fields that are explored of it."""

    machine: Text
    fields: dict[str, FieldValues] = Field(default_factory=dict, max_length=100)


class WeightedWorkload(_Strict):
    """A workload, and how often it is run."""

    load: Text
    weight: Number = Field(default=1, gt=0, le=1e12)


Workload = Annotated[
    Annotated[Text, Tag("text")] | Annotated[WeightedWorkload, Tag("table")],
    Discriminator(_form),
]


class SearchChoice(_Strict):
    """How points are chosen: by which search, from which seed on, over how many seeds."""

    method: Text = "random"
    baseline: Text = "random"
    seed: int = Field(default=0, ge=0, lt=2**32)
    seeds: int = Field(default=1, ge=1, le=100)
    batch: int = Field(default=32, ge=1, le=10_000)


class Budget(_Strict):
    """When a search ends: behind so many points, or so many seconds of all."""

    points: int = Field(default=200, ge=1, le=10**8)
    seconds: Number | None = Field(default=None, gt=0)


class Limits(_Strict):
    """What one point may take; beyond it the point is given up and told of, and is no row."""

    seconds: Number | None = Field(default=None, gt=0)
    memory_bytes: int | None = Field(default=None, ge=1 << 28)


class Screen(_Strict):
    """Points are drawn and judged by their closed-form bound first; the best go on to the cycle model."""

    points: int = Field(ge=1, le=10**8)
    keep: int = Field(ge=1, le=10**6)


class Finalists(_Strict):
    """The best points whose hardware is synthesised for a part: the clock that it reaches, and what it takes."""

    points: int = Field(ge=1, le=100)
    part: Text = "ecp5-85k"


class Training(_Strict):
    """Accuracy by real training. ``{field}`` in a text stands for the point's value."""

    recipe: Template
    arithmetic: Template = "fp32"
    attention: Template = "exact"
    steps: int | None = Field(default=None, ge=1, le=10**7)
    seeds: int = Field(default=1, ge=1, le=100)
    rest: Text | None = None


class SpaceDocument(_Strict):
    """The whole file."""

    name: Annotated[str, Field(max_length=200), AfterValidator(_plain)] = ""
    machine: Text | None = None
    fields: dict[str, FieldValues] = Field(default_factory=dict, max_length=100)
    designs: list[DesignAlternative] = Field(default_factory=list, max_length=100)
    workloads: list[Workload] = Field(default_factory=list, max_length=1000)
    objectives: list[Text] = Field(min_length=1, max_length=6)
    constraints: list[Text] = Field(default_factory=list, max_length=100)
    fidelity: Literal["cycles", "bound"] = "cycles"
    search: SearchChoice = Field(default_factory=SearchChoice)
    budget: Budget = Field(default_factory=Budget)
    limits: Limits = Field(default_factory=Limits)
    screen: Screen | None = None
    finalists: Finalists | None = None
    training: Training | None = None

    @model_validator(mode="after")
    def _names_its_machines(self) -> SpaceDocument:
        if (self.machine is None) == (not self.designs):
            raise ValueError("name a machine with its [fields], or several [[designs]], and not both")
        if self.designs and self.fields:
            raise ValueError("with [[designs]] each has its own fields; there is none for [fields]")
        if not self.workloads and self.training is None:
            raise ValueError("name at least one of [[workloads]], or a [training]")
        if self.workloads and self.training is not None:
            raise ValueError("with [training] the machine runs the step that was trained: there is none for workloads")
        return self


def schema() -> dict[str, Any]:
    """The JSON Schema of a space's file, which ``explore/space.schema.json`` is."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SpaceDocument.model_json_schema()}
