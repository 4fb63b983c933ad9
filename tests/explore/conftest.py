"""A small space that every executor and search is tried on, and machines that misbehave on purpose."""

import subprocess
import sys
import textwrap

import pytest

from siloom.explore.row import Row

SMALL = """
machine = "outerspace"
workloads = ["uniform:n=60,density=0.05,seed=0", { load = "uniform:n=40,density=0.05,seed=1", weight = 2 }]
objectives = ["time", "area"]
constraints = ["area_mm2 < 60", "tiles * pes_per_tile <= 128"]

[fields]
tiles = [1, 2, 4, 8, 16]
pes_per_tile = [4, 8, 16]
l0_bytes = { low = 4096, high = 65536, scale = "log2" }
"""

WILD = '''
"""A machine whose temper is a field: for tests of what becomes of points that do harm."""

import os
import time
from dataclasses import dataclass

from siloom.sim.design import Design, parameter
from siloom.sim.errors import InfeasibleError, MissingPartError
from siloom.sim.machine import Machine
from siloom.sim.ops import MatMul
from siloom.sim.result import Result


@dataclass(frozen=True)
class WildDesign(Design):
    number: int = parameter(0, unit="", source="test", low=0, high=1_000_000)
    temper: str = parameter(
        "calm",
        unit="",
        source="test",
        choices=("calm", "die", "hang", "raise", "eat", "impossible", "print", "leave", "swell", "lack"),
    )
    die_at: int = parameter(-1, unit="", source="test", low=-1, high=1_000_000)
    hang_at: int = parameter(-1, unit="", source="test", low=-1, high=1_000_000)
    wait_s: float = parameter(0.0, unit="s", source="test", low=0.0, high=100.0)


class Wild(Machine):
    name = "wild"
    kind = "accelerator"
    summary = "misbehaves"
    operations = (MatMul,)
    design_type = WildDesign

    def run(self, op, *, values=False):
        d = self.design
        # By the environment where a test kills: the same points can then be computed without waiting too.
        time.sleep(d.wait_s + float(os.environ.get("WILD_WAIT_S", "0")))
        if d.temper == "die" or d.number == d.die_at:
            os._exit(7)
        if d.temper == "hang" or d.number == d.hang_at:
            time.sleep(600)
        if d.temper == "raise":
            raise ZeroDivisionError("on purpose")
        if d.temper == "eat":
            held = bytearray(8 << 30)
            held[::4096] = b"x" * len(held[::4096])
        if d.temper == "leave":
            raise SystemExit(3)
        if d.temper == "swell":
            raise MemoryError
        if d.temper == "lack":
            raise MissingPartError("wild needs wool: pip install wool")
        if d.temper == "impossible":
            raise InfeasibleError("wild: cannot be built")
        if d.temper == "print":
            print("words of a user")
        n = d.number
        return Result(machine=self.label, workload=op.name or "mm", seconds=1.0 + n % 17, area_mm2=1.0 + n // 17,
                      area_parts={"all": 1.0 + n // 17}, cycles=100, clock_hz=1e9, stalls={"compute": 60, "hash": 40})
'''


@pytest.fixture
def small(tmp_path):
    """The file of the small space."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def wild(tmp_path):
    """Makes a space over the wild machine: ``wild(fields, more)`` gives its file."""

    def make(fields, more="", name="wild"):
        (tmp_path / "wild.py").write_text(WILD)
        path = tmp_path / f"{name}.toml"
        body = f'machine = "./wild.py"\nworkloads = ["gemm:m=4,n=4,k=4"]\nobjectives = ["time", "area"]\n{more}\n'
        path.write_text(textwrap.dedent(body) + "[fields]\n" + fields)
        return path

    return make


def row(number, **about):
    how = {
        "key": number.to_bytes(16, "big"),
        "machine": "outerspace",
        "settings": {"tiles": number % 7, "dataflow": "ws", "clock_hz": 1e9},
        "workload": "w",
        "fidelity": "cycles",
        "status": "ok",
        "metrics": {"seconds": 1.0 / (number + 1), "area_mm2": float(number), "recall": 0.5},
        "bottleneck": "compute",
        "details": '{"workloads":[]}',
    }
    return Row(**{**how, **about})


def python(program, *arguments, before=()):
    """What a program prints; all that it says otherwise fails the test."""
    command = [*before, sys.executable, "-c", program, *map(str, arguments)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert said.returncode == 0, said.stderr
    return said.stdout


@pytest.fixture(name="row")
def row_of_a_number():
    """``row(number, **about)``: the row of a point that nobody evaluated."""
    return row


@pytest.fixture(name="python")
def python_program():
    """``python(program, *arguments, before=())``: run a program in a process of its own."""
    return python
