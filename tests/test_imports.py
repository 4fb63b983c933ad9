"""Do imports only point downwards, and never at a bare part? Read from the source, nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

BELOW = {
    "sim": (),
    "workloads": ("sim",),
    "models": ("sim",),
    "rtl": ("sim", "workloads", "models"),
    "explore": ("sim", "workloads", "models", "rtl"),
    "reports": ("sim", "workloads", "models", "rtl", "explore"),
}
"""Part -> what it may import besides itself; the front door (siloom/*.py) may import them all."""

NOT_IN_SIM = ("amaranth", "torch", "pandas", "matplotlib")
READERS = ("siloom", "tests", "benchmarks", "examples", "scripts")
"""Folders beside the parts whose files must not import a bare part either."""


def imported(source: str, package: str = "") -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported; ``package`` is what relative names start from."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            start = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{start}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            # importlib.import_module("..."), __import__("..."), find_spec("...")
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0]
            if called in ("import_module", "__import__") and isinstance(name, ast.Constant):
                yield node.lineno, str(name.value)


def faults(source: str, part: str, package: str = "") -> list[str]:
    """What a file of ``part`` (empty: of no part) imports against the rules, as ``line: why``."""
    found = []
    for line, name in imported(source, package):
        top, _, rest = name.partition(".")
        owner = rest.partition(".")[0]
        if top in BELOW:
            found.append(f"{line}: imports bare '{name}', say 'siloom.{name}'")
        elif part == "sim" and top in NOT_IN_SIM:
            found.append(f"{line}: sim imports {top}")
        elif part and top == "siloom" and owner in BELOW and owner not in (part, *BELOW[part]):
            found.append(f"{line}: {part} imports {owner}")
        elif part and top == "siloom" and owner not in BELOW and owner != "__version__":
            found.append(f"{line}: {part} imports the front door ({name})")
    return found


def python_files(folder: Path) -> list[Path]:
    """Its files; links to the parts are not followed."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


@pytest.mark.parametrize("part", BELOW)
def test_a_part_imports_only_what_lies_below_it(repository: Path, part: str) -> None:
    files = python_files(repository / part)
    assert files
    wrong = []
    for path in files:
        package = ".".join(["siloom", *path.relative_to(repository).parent.parts])
        wrong += [f"{path.relative_to(repository)}:{fault}" for fault in faults(path.read_text(), part, package)]
    assert wrong == []


@pytest.mark.parametrize("folder", READERS)
def test_nobody_imports_a_bare_part(repository: Path, folder: str) -> None:
    if folder == "siloom":  # the parts are links in it
        here = sorted([*(repository / folder).glob("*.py"), *(repository / folder).glob("commands/*.py")])
    else:
        here = python_files(repository / folder)
    wrong = [f"{path.relative_to(repository)}:{fault}" for path in here for fault in faults(path.read_text(), "")]
    assert wrong == []


def test_every_part_has_a_rule(repository: Path) -> None:
    assert set(BELOW) == {path.name for path in (repository / "siloom").iterdir() if path.is_symlink()}


PLANTED = [
    ("sim", "import siloom.models.host", "1: sim imports models"),
    ("sim", "from siloom import workloads", "1: sim imports workloads"),
    ("sim", "def f():\n    import torch.nn", "2: sim imports torch"),
    ("sim", "from pandas import DataFrame", "1: sim imports pandas"),
    ("sim", "if TYPE_CHECKING:\n    from amaranth.hdl import Value", "2: sim imports amaranth"),
    ("sim", "import importlib\nimportlib.import_module('matplotlib')", "2: sim imports matplotlib"),
    ("models", "from siloom.workloads.product import product", "1: models imports workloads"),
    ("workloads", "import siloom.models as m", "1: workloads imports models"),
    ("workloads", "from ..models import host", "1: workloads imports models"),
    ("workloads", "from .. import models", "1: workloads imports models"),
    ("rtl", "from siloom.explore import space", "1: rtl imports explore"),
    ("explore", "from siloom.reports.page import write", "1: explore imports reports"),
    ("reports", "from siloom.cli import main", "1: reports imports the front door (siloom.cli.main)"),
    ("sim", "import siloom", "1: sim imports the front door (siloom)"),
    ("models", "from sim import ops", "1: imports bare 'sim.ops', say 'siloom.sim.ops'"),
    ("", "import models", "1: imports bare 'models', say 'siloom.models'"),
    ("", "__import__('rtl.twin')", "1: imports bare 'rtl.twin', say 'siloom.rtl.twin'"),
]


@pytest.mark.parametrize(("part", "source", "fault"), PLANTED)
def test_a_planted_fault_is_found(part: str, source: str, fault: str) -> None:
    assert faults(source, part, f"siloom.{part}") == [fault]


def test_what_the_rules_allow_is_not_reported() -> None:
    fine = (
        "import numpy\nfrom siloom import __version__\nfrom siloom.sim import ops\nfrom . import product\nimport simpy"
    )
    assert faults(fine, "workloads", "siloom.workloads") == []
    assert faults("import siloom\nfrom siloom.reports import page\nimport torch", "") == []
