"""The workloads there are: named ones found by folder, and the kinds of file that are read."""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from siloom.sim.design import Design, Value
from siloom.sim.errors import UsageError, did_you_mean
from siloom.workloads.bounds import place
from siloom.workloads.generator import MatrixGenerator, OperationGenerator
from siloom.workloads.matrix_files import MATRIX_SUFFIXES

Generator = type[MatrixGenerator] | type[OperationGenerator]

FILE_SUFFIXES = (*MATRIX_SUFFIXES, ".toml", ".json", ".csv", ".onnx")
_FOLDER = Path(__file__).resolve().parent / "generators"


@dataclass(frozen=True)
class FieldInfo:
    """One setting: its default, range or choices, unit, and how far the default may be trusted."""

    name: str
    default: Value
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    source: str
    status: str


@dataclass(frozen=True)
class WorkloadInfo:
    """What ``siloom workloads`` lists. ``kind`` is ``matrix``, ``operation`` or ``file``."""

    name: str
    kind: str
    operations: tuple[str, ...]
    summary: str
    source: str
    fields: tuple[FieldInfo, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


_FILES = (
    WorkloadInfo("PATH.mtx", "file", ("spgemm",), "Matrix Market coordinate file: A*A, or A*A^T if not square", "NIST"),
    WorkloadInfo("PATH.mtx.gz", "file", ("spgemm",), "the same, gzip", "NIST"),
    WorkloadInfo("PATH.npz", "file", ("spgemm",), "scipy.sparse.save_npz (csr, csc, coo, bsr, dia)", "scipy"),
    WorkloadInfo(
        "PATH.npz", "file", ("sddmm", "spmm"), "array 'kept' [..., rows, cols]: masked attention, dim 64", "numpy"
    ),
    WorkloadInfo(
        "PATH.npz", "file", ("attention",), "arrays 'q', 'k', 'v' [..., seq, dim], optionally 'causal', 'kept'", "numpy"
    ),
    WorkloadInfo("PATH.npz", "file", ("any",), "a training step recorded by siloom.torch.record", "ours"),
    WorkloadInfo("PATH.toml", "file", ("any",), "list of operations: [[operation]] kind, repeat, settings", "ours"),
    WorkloadInfo(
        "PATH.json",
        "file",
        ("conv", "matmul", "attention", "elementwise", "reduce"),
        "config.json of a BERT, RoBERTa, GPT-2, LLaMA or ViT",
        "Hugging Face",
    ),
    WorkloadInfo("PATH.csv", "file", ("conv", "matmul"), "topology of SCALE-Sim: GEMMs or convolutions", "SCALE-Sim"),
    WorkloadInfo(
        "PATH.onnx",
        "file",
        ("conv", "matmul", "attention", "elementwise", "reduce"),
        "ONNX model, by its shapes",
        "ONNX",
    ),
    WorkloadInfo("PATH@PATH", "file", ("spgemm",), "A*B of two matrix files, or of drawn matrices", "ours"),
)


@cache
def generator_names() -> tuple[str, ...]:
    """The named workloads, by their files, in order."""
    return tuple(sorted(p.stem.replace("_", "-") for p in _FOLDER.glob("[!_]*.py")))


@cache
def find_generator(name: str) -> Generator:
    """The class of a named workload; only its own file is imported.

    Raises:
        UsageError: no such name, with the nearest one.
    """
    known = generator_names()
    if name not in known:
        hint = did_you_mean(name[:60], known)
        raise UsageError(f"unknown workload '{place(name)}'{hint}; or a file: {', '.join(FILE_SUFFIXES)}")
    module = importlib.import_module(f"siloom.workloads.generators.{name.replace('-', '_')}")
    for found in vars(module).values():
        if isinstance(found, type) and issubclass(found, Design) and found.__module__ == module.__name__:
            return found  # type: ignore[return-value]
    raise TypeError(f"{module.__name__}: defines no workload")


def list_workloads() -> tuple[WorkloadInfo, ...]:
    """Everything that :func:`siloom.workloads.registry.load` takes: named workloads in order of name, then files."""
    return (*(_described(find_generator(name)) for name in generator_names()), *_FILES)


def _described(generator: Generator) -> WorkloadInfo:
    defaults = generator().as_dict()
    fields = tuple(
        FieldInfo(
            name.rstrip("_"),
            defaults[name],
            about.unit,
            about.low,
            about.high,
            about.choices,
            about.source,
            about.status,
        )
        for name, about in generator.parameters().items()
    )
    operations = ("spgemm",) if issubclass(generator, MatrixGenerator) else generator.kinds
    kind = "matrix" if issubclass(generator, MatrixGenerator) else "operation"
    return WorkloadInfo(generator.name, kind, operations, generator.summary, generator.source, fields)
