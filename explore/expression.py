"""Expressions over a point's fields and metrics: ``area_mm2 < 50``, ``tiles * pes_per_tile <= 256``.

A text is parsed by Python's own grammar and kept only where every node is on a short list: numbers, texts, names, the
four operations, powers, ``min``, ``max``, comparisons, ``and``. Nothing is ever evaluated by Python, and nothing of it
can be reached: names are looked up in the mapping given, and nowhere else.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from siloom.sim.errors import InputError

_LONGEST = 500
_DEEPEST = 50

_ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {"min": min, "max": max}
_ORDER = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_HOLDS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}

Known = float | int | str | bool


@dataclass(frozen=True)
class Condition:
    """Comparisons that must all hold, and the names that they read."""

    text: str
    names: frozenset[str]
    _comparisons: tuple[ast.Compare, ...] = field(repr=False, compare=False)

    def violation(self, known: Mapping[str, Known]) -> float:
        """By how much the worst comparison is missed, as a share of its right side; 0 where all hold.

        Infinite where a name has no value, a number is none, or texts differ.
        """
        worst = 0.0
        for comparison in self._comparisons:
            sides = [_value(side, known) for side in (comparison.left, *comparison.comparators)]
            for relation, left, right in zip(comparison.ops, sides, sides[1:], strict=False):
                worst = max(worst, _missed(type(relation), left, right))
        return worst


def condition(where: str, text: str) -> Condition:
    """Parse a constraint.

    Raises:
        InputError: not an expression, one with more in it than is allowed, or without a comparison.
    """
    tree = _parsed(where, text)
    parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    names: set[str] = set()
    comparisons = []
    for part in parts:
        if not isinstance(part, ast.Compare):
            raise InputError(f"{where}: {text!r} must be comparisons, as area_mm2 < 50, joined by 'and'")
        if bad := [op for op in part.ops if type(op) not in _ORDER]:
            raise InputError(f"{where}: {text!r}: compare by {', '.join(_ORDER.values())}, not by {_word(bad[0])}")
        for side in (part.left, *part.comparators):
            _check(where, text, side, names, 0)
        comparisons.append(part)
    if not names:
        raise InputError(f"{where}: {text!r} names no field and no metric")
    return Condition(text, frozenset(names), tuple(comparisons))


def _parsed(where: str, text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise InputError(f"{where}: must be at most {_LONGEST} characters, got {len(text)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python only doubts, as 50and, is no expression either
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(f"{where}: {text!r} is no expression: {' '.join(said.split())[:80]}") from None


def _word(node: ast.AST) -> str:
    return type(node).__name__.lower()


def _check(where: str, text: str, node: ast.expr, names: set[str], depth: int) -> None:
    """Refuse every node that is not on the list; collect names."""
    if depth > _DEEPEST:
        raise InputError(f"{where}: {text!r} is nested too deeply")
    inner: list[ast.expr] = []
    if isinstance(node, ast.Name):
        names.add(node.id)
    elif isinstance(node, ast.Constant):
        if not isinstance(node.value, bool | int | float | str) or _too_large(node.value):
            raise InputError(f"{where}: {text!r}: {node.value!r:.40} is no number")
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        inner = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = [node.operand]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        if node.keywords or not node.args:
            raise InputError(f"{where}: {text!r}: {node.func.id} takes numbers")
        inner = node.args
    else:
        raise InputError(f"{where}: {text!r}: {_word(node)} is not allowed; use names, numbers, + - * / **, min, max")
    for child in inner:
        _check(where, text, child, names, depth + 1)


def _too_large(value: object) -> bool:
    return isinstance(value, int | float) and (not math.isfinite(value) if isinstance(value, float) else value >= 2**63)


def _value(node: ast.expr, known: Mapping[str, Known]) -> Known:
    """The value of a checked node; NaN where it has none."""
    if isinstance(node, ast.Name):
        return known.get(node.id, math.nan)
    if isinstance(node, ast.Constant):
        return node.value  # type: ignore[return-value]
    try:
        if isinstance(node, ast.UnaryOp):
            return -_number(_value(node.operand, known))
        if isinstance(node, ast.BinOp):
            left, right = _number(_value(node.left, known)), _number(_value(node.right, known))
            return float(_ARITHMETIC[type(node.op)](left, right))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return float(_FUNCTIONS[node.func.id](*(_number(_value(argument, known)) for argument in node.args)))
    except (ArithmeticError, ValueError):
        return math.nan
    raise AssertionError(f"{_word(node)} was checked before")


def _number(value: Known) -> float:
    return math.nan if isinstance(value, str) else float(value)


def _missed(relation: type[ast.cmpop], left: Known, right: Known) -> float:
    if isinstance(left, str) or isinstance(right, str):
        equal = relation in (ast.Eq, ast.NotEq) and _HOLDS[relation](left, right)
        return 0.0 if equal else math.inf
    a, b = float(left), float(right)
    if math.isnan(a) or math.isnan(b):
        return math.inf
    if _HOLDS[relation](a, b):
        return 0.0
    # A point on the border of a strict comparison misses it by nothing that can be measured, but does miss it.
    return max(abs(a - b) / (abs(b) or 1.0), math.ulp(1.0))
