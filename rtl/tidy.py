"""Verilog in which linters find nothing: what Yosys leaves unsaid about a design is said in its text.

A part that stands in several places has ports that some of them need and others do not; a choice by index is a
shift of which the lowest bits are meant; an instance may bear the name of a wire inside. All of it is as meant,
and each place is marked where it arises rather than excused for a whole file:

- what nobody reads is led to a wire ``unused_bits`` of its module, the form that Verilator's manual asks for;
  bits that nobody drives either are zero;
- of a shift wider than what it is assigned to, the low bits are taken by name;
- an instance that bears the name of a wire inside the module it is of gets another.

Works on what Yosys writes after ``proc``: declarations, assignments, clocked blocks and instances, no functions. What
it does not know, as an instance of a module that is not in the text, it takes as read and leaves as it is.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from itertools import count

_NAME = r"\\\S+(?=\s)|[A-Za-z_][\w$]*"
_TOKEN = re.compile(
    r"(?P<constant>(?P<size>\d+)'s?[bdh][0-9a-fxz?]+)|\$\w+"
    rf"|(?P<name>{_NAME})\s*(?:\[(?P<high>\d+)(?::(?P<low>\d+))?\])?|(?P<bracket>[\[\]])"
)
_COMMENT = re.compile(r"(?P<escaped>\\\S+)|/\*.*?\*/|//[^\n]*", re.DOTALL)
_STATEMENT = re.compile(r"(?:\\\S++|[^\\;]++)*+;")
_ASSIGNED = re.compile(r"(?P<target>(?:\\\S++|[^\\=<]++|<(?!=))*+)<?=")
_END = re.compile(r"^endmodule\b", re.MULTILINE)
_DECLARED = re.compile(
    rf"\s*(?P<kind>input|output|inout|wire|reg)\s+(?:signed\s+)?(?:\[(?P<high>\d+):0\]\s*)?(?P<name>{_NAME})"
    r"\s*(?P<memory>\[\d+:\d+\])?"
)
_MODULE = re.compile(rf"module\s+(?P<name>{_NAME})")
_INSTANCE = re.compile(rf"\s*(?P<module>{_NAME})\s+(?P<name>{_NAME})\s*\(")
_PIN = re.compile(rf"\.(?P<name>{_NAME})\s*\(")
_CLAUSE = re.compile(r"\s*(?:always\s*@|if)\s*\(")
_WORD = re.compile(r"\s*(?:begin|end|else|initial|assign)\b")
_OPERAND = rf"\{{(?:\\\S++|[^{{}}\\;]++)*+\}}|(?:{_NAME})\s*(?:\[\d+(?::\d+)?\])?|\d+'s?[bdh][0-9a-fxz?]+"
_SHIFT = re.compile(
    rf"^  assign (?P<target>(?:\\\S++|[^\\=;])+?) = (?P<signed>\$signed\()?(?P<value>{_OPERAND})\s*(?(signed)\))\s*"
    rf"(?:>>>?|<<) (?P<by>{_OPERAND})\s*;",
    re.MULTILINE,
)
_UNUSED = re.compile("unused", re.IGNORECASE)


@dataclass
class _Module:
    """A module's text, what it declares, and masks of the bits of each name that are read and driven (-1: all)."""

    text: str
    name: str
    widths: dict[str, int] = field(default_factory=dict)
    memories: set[str] = field(default_factory=set)
    registers: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    read: dict[str, int] = field(default_factory=dict)
    driven: dict[str, int] = field(default_factory=dict)

    def new_names(self, stem: str, taken: Container[str] = ()) -> Iterator[str]:
        """Names that stand nowhere in the text and are not ``taken``, one after the other."""
        numbered = (f"{stem}{number}" for number in count())
        return (name for name in numbered if name not in self.text and name not in taken)


def tidy(verilog: str) -> str:
    """The same design as Yosys wrote it, marked as said above; a text without modules stays as it is."""
    *texts, rest = _END.split(verilog)
    modules = {module.name: module for module in map(_declared, texts)}
    for name, module in modules.items():
        renamed = _renamed_instances(_named_shifts(module), module, modules)
        modules[name] = _declared(renamed)
    return "endmodule".join([*(_with_unused(module, modules) for module in modules.values()), rest])


def _declared(text: str) -> _Module:
    """A module with what it declares."""
    plain = _plain(text)
    found = _MODULE.search(plain)
    if found is None:
        raise ValueError(f"what stands before 'endmodule' must begin with 'module', got {text[:80]!r}")
    module = _Module(text, found["name"])
    for piece in _STATEMENT.findall(plain[found.end() :])[1:]:
        if (said := _DECLARED.match(_behind_words(piece))) is None:
            continue
        name = said["name"]
        module.widths[name] = int(said["high"] or 0) + 1
        for kinds, names in (
            (("reg",), module.registers),
            (("input", "inout"), module.inputs),
            (("output",), module.outputs),
        ):
            if said["kind"] in kinds:
                names.add(name)
        if said["memory"]:
            module.memories.add(name)
    return module


def _plain(text: str) -> str:
    """The text without comments; what looks like one inside an escaped name is none."""
    return _COMMENT.sub(lambda found: found["escaped"] or "", text)


def _behind_words(piece: str) -> str:
    """A statement without ``begin``, ``end`` and the like before it."""
    while word := _WORD.match(piece):
        piece = piece[word.end() :]
    return piece


def _named_shifts(module: _Module) -> str:
    """The module's text, in which a shift that is wider than its target has a wire."""
    names = module.new_names("shifted")

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
        elif token["name"] in module.widths:
            high, low = _range(token, module)
            width += high - low + 1
        else:
            return None
    return width


def _renamed_instances(text: str, module: _Module, modules: dict[str, _Module]) -> str:
    """``text``, in which no instance bears the name of a wire of the module it is of."""

    def written(found: re.Match[str]) -> str:
        of = modules.get(found["module"])
        if of is None or found["name"] not in of.widths:
            return found[0]
        escape = " " if found["name"].startswith("\\") else ""
        return f"{found['head']}{next(module.new_names(found['name'] + '_part', of.widths))}{escape} ("

    return re.sub(rf"^(?P<head>  (?P<module>{_NAME})\s+)(?P<name>{_NAME})\s*\(", written, text, flags=re.MULTILINE)


def _with_unused(module: _Module, modules: dict[str, _Module]) -> str:
    """The module's text with a wire for what nobody reads; notes in the module what is read and driven."""
    module.driven.update(dict.fromkeys(module.inputs, -1))
    for piece in _STATEMENT.findall(_plain(module.text))[1:]:
        _look(piece, module, modules)

    unread: list[tuple[str, int]] = []
    undriven: list[tuple[str, int]] = []
    for name, width in module.widths.items():
        if name in module.outputs or name in module.memories or _UNUSED.search(name):
            continue
        left = ~module.read.get(name, 0) & ((1 << width) - 1)
        unread += _parts(name, width, left)
        if name not in module.registers:  # which no assignment may drive
            undriven += _parts(name, width, left & ~module.driven.get(name, 0))
    if not unread:
        return module.text
    lines = "".join(f"  assign {part} = {size}'h0 ;\n" for part, size in undriven)
    bits = sum(size for _, size in unread)
    wire = "unused_bits" if "unused_bits" not in module.text else next(module.new_names("unused_bits"))
    listed = ", ".join(part for part, _ in unread)
    return f"{module.text}{lines}  wire {f'[{bits - 1}:0] ' if bits > 1 else ''}{wire} = {{ {listed} }} ;\n"


def _look(piece: str, module: _Module, modules: dict[str, _Module]) -> None:
    """Note what a statement reads and drives."""
    piece = _behind_words(piece)
    if (said := _DECLARED.match(piece)) is not None:
        if "=" in piece[said.end() :]:
            module.driven[said["name"]] = -1
        if said["kind"] == "wire":
            _reads(piece[said.end() :], module)
        return
    while clause := _CLAUSE.match(piece):
        inside, piece = _balanced(piece[clause.end() :])
        _reads(inside, module)
        piece = _behind_words(piece)
    instance = _INSTANCE.match(piece)
    if instance is not None and (of := modules.get(instance["module"])) is not None and _PIN.search(piece):
        rest = piece[instance.end() :]
        while pin := _PIN.search(rest):
            inside, rest = _balanced(rest[pin.end() :])
            if pin["name"] in of.outputs:
                _drives(inside, module)
            else:
                _reads(inside, module)
        return
    if assigned := _ASSIGNED.match(piece):
        _drives(assigned["target"], module)
    _reads(piece[assigned.end() if assigned else 0 :], module)


def _drives(target: str, module: _Module) -> None:
    """Note a target's names as driven, those that say which word of a memory as read."""
    inside = 0
    for token in _TOKEN.finditer(target):
        if token["bracket"]:
            inside += 1 if token["bracket"] == "[" else -1
        elif token["name"]:
            _note(module.read if inside else module.driven, token, module)


def _reads(expression: str, module: _Module) -> None:
    for token in _TOKEN.finditer(expression):
        if token["name"]:
            _note(module.read, token, module)


def _note(bits: dict[str, int], token: re.Match[str], module: _Module) -> None:
    """Add what a token names to a mask by name."""
    name = token["name"]
    if name in module.widths:
        high, low = _range(token, module)
        bits[name] = bits.get(name, 0) | ((2 << high) - (1 << low))


def _range(token: re.Match[str], module: _Module) -> tuple[int, int]:
    """The highest and the lowest bit that a token names; of a memory those of its words."""
    name = token["name"]
    if token["high"] is None or name in module.memories:
        return module.widths[name] - 1, 0
    return int(token["high"]), int(token["low"] or token["high"])


def _parts(name: str, width: int, bits: int) -> Iterator[tuple[str, int]]:
    """The runs of a mask of a name's bits, from the highest down, as Verilog, and how many bits each has."""
    text = f"{name} " if name.startswith("\\") else name
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
