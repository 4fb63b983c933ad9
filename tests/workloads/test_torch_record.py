"""Is a recorded step complete, counted right, and the same workload after it was saved?"""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from siloom import load, run  # noqa: E402
from siloom.torch import record, save_trace  # noqa: E402


class Counting(TorchDispatchMode):
    """Counts what is dispatched and does nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen[str(func)] += 1
        return func(*args, **(kwargs or {}))


def classify(model: nn.Module) -> None:
    """One step of a classifier, its optimizer made within."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(16, 64, generator=generator), torch.randint(0, 10, (16,), generator=generator)
    optimizer = torch.optim.AdamW(model.parameters())
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def test_every_dispatched_operation_is_recorded_free_or_absorbed_once() -> None:
    model = mlp()
    counting, same = Counting(), copy.deepcopy(model)
    with counting:
        classify(same)
    recording = record(model, classify).provenance["recording"]
    assert recording["dispatched"] == dict(counting.seen)


def test_a_trace_is_the_same_workload_after_saving_and_runs(tmp_path: Path) -> None:
    made = record(mlp(), classify)
    save_trace(made, tmp_path / "step.npz")
    read = load(tmp_path / "step.npz")
    assert read.content_hash == made.content_hash
    assert read.provenance["recording"] == made.provenance["recording"]
    assert run("systolic", read).seconds == run("systolic", made).seconds > 0
    save_trace(read, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "step.npz").read_bytes()
