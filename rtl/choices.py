"""Choices among several values in Verilog, as conditional expressions.

Yosys writes such a choice as a function with a ``casez`` in it, under a name that a wire of the module may have too.
"""

from __future__ import annotations

import re
from itertools import count

_FUNCTION = re.compile(
    r"^  function (?P<range>\[\d+:0\] )?(?P<name>\S+);\n"
    r"    input (?:\[\d+:0\] )?a;\n"
    r"    input (?P<values>\[\d+:0\] )b;\n"
    r"    input (?P<tests>\[\d+:0\] )s;\n"
    r"    casez \(s\) // synopsys parallel_case\n"
    r"(?P<cases>(?:      [\d'b?]+:\n        \S+ = b\[\d+:\d+\];\n)+)"
    r"      default:\n        \S+ = a;\n"
    r"    endcase\n  endfunction\n"
    r"  assign (?P<target>(?:\\\S++|[^\\=])+) = (?P=name)\((?P<arguments>(?:\\\S++|[^\\;])*)\);\n",
    re.MULTILINE,
)
_CASE = re.compile(r"'b([?01]+):\n\s+\S+ = (b\[\d+:\d+\]);")
_BRACKETS = {"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}


def as_expressions(verilog: str) -> str:
    """The text with its choices written out; the first test that holds decides, and no two ever do."""
    numbers = count()

    def written(found: re.Match[str]) -> str:
        wires = next(stem for number in numbers if f"{(stem := f'choice{number}')}_" not in verilog)
        other, values, tests = _arguments(found["arguments"])
        chosen = "".join(
            f"{wires}_s[{len(mask) - 1 - mask.index('1')}] ? {wires}_{value} : "
            for mask, value in _CASE.findall(found["cases"])
        )
        return (
            f"  wire {found['values']}{wires}_b = {values} ;\n"
            f"  wire {found['tests']}{wires}_s = {tests} ;\n"
            f"  assign {found['target']} = {chosen}{other} ;\n"
        )

    return _FUNCTION.sub(written, verilog)


def _arguments(text: str) -> list[str]:
    """Split at the commas that stand in no brackets; an escaped name ends at a space and may hold anything else."""
    parts, depth, escaped = [""], 0, False
    for letter in text:
        escaped = letter == "\\" or (escaped and not letter.isspace())
        if not escaped:
            depth += _BRACKETS.get(letter, 0)
        if letter == "," and depth == 0 and not escaped:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
