"""CXXRTL's C++ with its one long function cut into many: a compiler's time grows faster than a function's length."""

from __future__ import annotations

import re

_BEGIN = "bool p_top::eval(performer *performer) {\n"
_CLASS = "struct p_top : public module {\n"
_LOCAL = re.compile(r"\tvalue<\d+> \w+;\n")
_EDGE = re.compile(r"\tbool (\w+edge_\w+) = .*\n")
_WHOLE = re.compile(r"\b(converged|performer)\b")
_LINES = 200
"""Of a piece, about: long enough for the compiler to find what is common, short enough to be fast."""


def cut_eval(text: str) -> str:
    """The same class, whose ``eval`` calls its pieces one after the other; what they share are members.

    A text in which that cannot be done is left as it is.
    """
    begin = text.index(_BEGIN)
    end = text.index("\n}\n", begin) + 1
    lines = text[begin + len(_BEGIN) : end].splitlines(keepends=True)
    shared = [line for line in lines if _LOCAL.fullmatch(line)]
    first, *rest, last = (line for line in lines if not _LOCAL.fullmatch(line))
    edges = [line for line in rest if _EDGE.fullmatch(line)]
    statements = [line for line in rest if not _EDGE.fullmatch(line)]
    if any(_WHOLE.search(line) for line in statements if not line.startswith("\t//")):
        return text
    names = [_EDGE.sub(r"\1", line) for line in edges]
    taken = ", ".join(f"bool {name}" for name in names)
    pieces = _pieces(statements)
    bodies = "".join(f"void p_top::piece{k}({taken}) {{\n{piece}}}\n" for k, piece in enumerate(pieces))
    calls = "".join(f"\tpiece{k}({', '.join(names)});\n" for k in range(len(pieces)))
    members = [f"\t__attribute__((noinline)) void piece{k}({taken});\n" for k in range(len(pieces))]
    evaluates = "".join([_BEGIN, first, *edges, calls, last])
    text = text[:begin] + bodies + evaluates + text[end:]
    return text.replace(_CLASS, _CLASS + "".join(shared + members), 1)


def _pieces(statements: list[str]) -> list[str]:
    """Statements together as they belong: each group begins with a comment at the function's own level."""
    pieces: list[list[str]] = [[]]
    for line in statements:
        if line.startswith("\t//") and len(pieces[-1]) >= _LINES:
            pieces.append([])
        pieces[-1].append(line)
    return ["".join(piece) for piece in pieces]
