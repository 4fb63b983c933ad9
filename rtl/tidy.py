"""Verilog in which linters find nothing: what Yosys leaves unsaid about a design is said in its text.

A part that stands in several places has ports that some of them need and others do not; a choice by index is a
shift of which the lowest bits are meant; an instance may bear the name of a wire inside. All of it is as meant,
and each place is marked where it arises rather than excused for a whole file:

- what nobody reads is led to a wire ``unused_bits`` of its module, the form that Verilator's manual asks for;
  bits that nobody drives either are zero;
- of a shift wider than what it is assigned to, the low bits are taken by name;
- an instance whose name is a wire's in its own module gets another.

Works on what Yosys writes after ``proc``: declarations, assignments, clocked blocks and instances.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, count

_NAME = r"\\\S+(?=\s)|[A-Za-z_][\w$]*"
_TOKEN = re.compile(
    r"(?P<constant>(?P<size>\d+)'s?[bdh][0-9a-fxz?]+)|\$\w+"
    rf"|(?P<name>{_NAME})\s*(?:\[(?P<high>\d+)(?::(?P<low>\d+))?\])?|(?P<bracket>[\[\]])"
)
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_DECLARED = re.compile(
    rf"\s*(?P<kind>input|output|inout|wire|reg)\s+(?:signed\s+)?(?:\[(?P<high>\d+):0\]\s*)?(?P<name>{_NAME})"
    r"\s*(?P<memory>\[\d+:\d+\])?"
)
_MODULE = re.compile(rf"module\s+(?P<name>{_NAME})")
_INSTANCE = re.compile(rf"\s*(?P<module>{_NAME})\s+(?P<name>{_NAME})\s*\(")
_PIN = re.compile(rf"\.(?P<name>{_NAME})\s*\(")
_CLAUSE = re.compile(r"\s*(?:always\s*@|if)\s*\(")
_WORD = re.compile(r"\s*(?:begin|end|else|initial|assign)\b")
_OPERAND = rf"\{{[^{{}};]*\}}|(?:{_NAME})\s*(?:\[\d+(?::\d+)?\])?"
_SHIFT = re.compile(rf"^  assign (?P<target>[^=;]+?) = (?P<value>{_OPERAND})\s*>> (?P<by>{_OPERAND})\s*;", re.MULTILINE)
_UNUSED = re.compile("unused", re.IGNORECASE)


@dataclass
class _Module:
    text: str
    name: str
    widths: dict[str, int] = field(default_factory=dict)
    memories: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    read: dict[str, int] = field(default_factory=dict)
    driven: dict[str, int] = field(default_factory=dict)

    def new_name(self, stem: str) -> Iterator[str]:
        """Names that are not declared yet, one after the other."""
        return (name for number in count() if (name := f"{stem}{number}") not in self.widths)


def tidy(verilog: str) -> str:
    """The same design, as said above."""
    *texts, rest = verilog.split("endmodule")
    modules = {module.name: module for module in map(_declarations, texts)}
    for module in modules.values():
        module.text = _renamed_instances(_named_shifts(module), module, modules)
    written = (_with_unused(module, modules) for module in modules.values())
    return "endmodule".join([*written, rest])


def _declarations(text: str) -> _Module:
    plain = _COMMENT.sub("", text)
    found = _MODULE.search(plain)
    assert found is not None, text[:80]
    module = _Module(text, _key(found["name"]))
    for piece in plain[found.end() :].split(";")[1:]:
        if (said := _DECLARED.match(piece)) is None:
            continue
        name = _key(said["name"])
        module.widths[name] = int(said["high"] or 0) + 1
        if said["memory"]:
            module.memories.add(name)
        if said["kind"] in ("input", "inout"):
            module.inputs.add(name)
        elif said["kind"] == "output":
            module.outputs.add(name)
    return module


def _named_shifts(module: _Module) -> str:
    names = module.new_name("shifted")

    def written(found: re.Match[str]) -> str:
        of, into = _width(found["value"], module), _width(found["target"], module)
        if of is None or into is None or of <= into:
            return found[0]
        name = next(names)
        low = f"{name}[{into - 1}:0]" if into > 1 else f"{name}[0]"
        shift = found[0].partition(" = ")[2]
        return f"  wire [{of - 1}:0] {name} = {shift}\n  assign {found['target']} = {low} ;"

    return _SHIFT.sub(written, module.text)


def _width(expression: str, module: _Module) -> int | None:
    """Bits of a name, a part of one, or several in braces; None of what is anything else."""
    width = 0
    for token in _TOKEN.finditer(expression):
        if token["size"]:
            width += int(token["size"])
        elif token["name"] and _key(token["name"]) in module.widths:
            high, low = _range(token, module)
            width += high - low + 1
        else:
            return None
    return width


def _renamed_instances(text: str, module: _Module, modules: dict[str, _Module]) -> str:
    def written(found: re.Match[str]) -> str:
        of = modules.get(_key(found["module"]))
        if of is None or _key(found["name"]) not in of.widths:
            return found[0]
        return f"{found['head']}{next(module.new_name(_key(found['name']).strip(chr(92)) + '_part'))} ("

    return re.sub(rf"^(?P<head>  (?P<module>{_NAME})\s+)(?P<name>{_NAME})\s*\(", written, text, flags=re.MULTILINE)


def _with_unused(module: _Module, modules: dict[str, _Module]) -> str:
    again = _declarations(module.text)  # with the wires of shifts
    module.widths = again.widths
    for name in again.inputs:
        module.driven[name] = -1
    plain = _COMMENT.sub("", module.text)
    for piece in plain.split(";")[1:]:
        _look(piece, module, modules)

    unread: list[tuple[str, int]] = []
    undriven: list[tuple[str, int]] = []
    for name, width in module.widths.items():
        if name in module.outputs or name in module.memories or _UNUSED.search(name):
            continue
        left = ~module.read.get(name, 0) & ((1 << width) - 1)
        unread += _parts(name, width, left)
        undriven += _parts(name, width, left & ~module.driven.get(name, 0))
    if not unread:
        return module.text
    lines = "".join(f"  assign {part} = {size}'h0 ;\n" for part, size in undriven)
    bits = sum(size for _, size in unread)
    wire = next(chain(({"unused_bits"} - module.widths.keys()), module.new_name("unused_bits")))
    listed = ", ".join(part for part, _ in unread)
    return f"{module.text}{lines}  wire {f'[{bits - 1}:0] ' if bits > 1 else ''}{wire} = {{ {listed} }} ;\n"


def _look(piece: str, module: _Module, modules: dict[str, _Module]) -> None:
    """Note what a statement reads and drives."""
    if (said := _DECLARED.match(piece)) is not None:
        name = _key(said["name"])
        if "=" in piece or name in module.memories:
            module.driven[name] = -1
        if said["kind"] == "wire":
            _reads([piece[said.end() :]], module)
        return
    while True:
        if clause := _CLAUSE.match(piece):
            inside, piece = _balanced(piece[clause.end() :])
            _reads([inside], module)
        elif word := _WORD.match(piece):
            piece = piece[word.end() :]
        else:
            break
    instance = _INSTANCE.match(piece)
    if instance is not None and (of := modules.get(_key(instance["module"]))) is not None:
        rest = piece[instance.end() :]
        while pin := _PIN.search(rest):
            inside, rest = _balanced(rest[pin.end() :])
            if _key(pin["name"]) in of.outputs:
                _drives(inside, module)
            else:
                _reads([inside], module)
        return
    target, assigned, value = re.split(r"(<?=)", piece, maxsplit=1) if "=" in piece else ("", "", piece)
    if assigned:
        _drives(target, module)
    _reads([value], module)


def _drives(target: str, module: _Module) -> None:
    """Note a target's names as driven, those that say which word of a memory as read."""
    inside = 0
    for token in _TOKEN.finditer(target):
        if token["bracket"]:
            inside += 1 if token["bracket"] == "[" else -1
        elif token["name"]:
            _note(module.read if inside else module.driven, token, module)


def _reads(expressions: Iterable[str], module: _Module) -> None:
    for expression in expressions:
        for token in _TOKEN.finditer(expression):
            if token["name"]:
                _note(module.read, token, module)


def _note(bits: dict[str, int], token: re.Match[str], module: _Module) -> None:
    name = _key(token["name"])
    if name in module.widths:
        high, low = _range(token, module)
        bits[name] = bits.get(name, 0) | ((2 << high) - (1 << low))


def _range(token: re.Match[str], module: _Module) -> tuple[int, int]:
    name = _key(token["name"])
    if token["high"] is None or name in module.memories:
        return module.widths[name] - 1, 0
    return int(token["high"]), int(token["low"] or token["high"])


def _parts(name: str, width: int, bits: int) -> Iterator[tuple[str, int]]:
    """The runs of a mask of a name's bits, from the highest down, as Verilog, and how many bits each has."""
    text = f"{name} " if name.startswith("\\") else name
    high = width - 1
    while bits:
        high = bits.bit_length() - 1
        low = (~bits & ((1 << high) - 1)).bit_length()
        bits &= (1 << low) - 1
        size = high - low + 1
        whole = size == width
        yield text if whole else f"{text}[{high}]" if size == 1 else f"{text}[{high}:{low}]", size


def _balanced(text: str) -> tuple[str, str]:
    """What stands before the bracket that closes, and what after; the one that opens has been passed."""
    depth = 1
    for found in re.finditer(r"\\\S+|[()]", text):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return text[: found.start()], text[found.end() :]
    return text, ""


def _key(name: str) -> str:
    return name.strip()
