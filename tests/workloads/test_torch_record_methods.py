"""Is a converted model's attention recorded with what its method kept, and run by the machine of that method?"""

from __future__ import annotations

import inspect
from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from siloom import run  # noqa: E402
from siloom.sim.ops import Attention  # noqa: E402
from siloom.torch import convert, record  # noqa: E402

if "attention" not in inspect.signature(convert).parameters:
    pytest.skip("attention is not converted here", allow_module_level=True)


def encoder() -> nn.Module:
    torch.manual_seed(0)
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 64, dropout=0.0, batch_first=True), 1)


def step(model: nn.Module) -> None:
    model(torch.randn(2, 32, 64, generator=torch.Generator().manual_seed(1))).pow(2).mean().backward()


def attentions(method: str, *, shapes_only: bool = False) -> list[Attention]:
    model = convert(encoder(), "int8:acc=24", attention=method)
    made = record(model, step, shapes_only=shapes_only)
    return [item.op for item in made.items if isinstance(item.op, Attention)]


@pytest.mark.parametrize("shapes_only", [False, True])
@pytest.mark.parametrize("method", ["exact", "elsa", "sanger", "dota", "a3"])
def test_both_passes_are_there_with_their_format(method: str, shapes_only: bool) -> None:
    made = attentions(method, shapes_only=shapes_only)
    assert [(op.direction, op.format, op.seq, op.heads, op.dim, op.batch) for op in made] == [
        ("fwd", "int8", 32, 4, 16, 2),
        ("bwd", "int8", 32, 4, 16, 2),
    ]
    assert all((op.q is None) == shapes_only for op in made)
    assert all((op.kept is not None) == (method != "exact" and not shapes_only) for op in made)


@pytest.mark.parametrize("method", ["elsa", "sanger"])
def test_what_was_kept_forward_is_kept_backward(method: str) -> None:
    forward, backward = attentions(method)
    assert np.array_equal(forward.kept, backward.kept)
    assert 0 < forward.kept.mean() < 1
    assert np.array_equal(forward.q, backward.q)


def test_the_machine_of_the_method_runs_it_with_a_gpu_for_the_rest() -> None:
    made = record(convert(encoder(), "int8:acc=24", attention="elsa"), step)
    result = run("elsa", made, rest="h100")
    assert result.coverage == {"operations": 1.0, "flops": 1.0}
    assert Counter(row["machine"] for row in result.rows)["elsa"] == 1
