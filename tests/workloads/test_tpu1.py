"""Are the six applications of TPU v1 what was published of them?"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from siloom.sim.errors import InputError
from siloom.sim.ops import Conv, Elementwise, MatMul, Workload
from siloom.workloads.registry import load

PUBLISHED = {  # weights, batch, multiplies a weight: ISCA 2017, table 1
    "mlp0": (20e6, 200, 200),
    "mlp1": (5e6, 168, 168),
    "lstm0": (52e6, 64, 64),
    "lstm1": (34e6, 96, 96),
    "cnn0": (8e6, 8, 2888),
    "cnn1": (100e6, 32, 1750),
}


def _application(name: str) -> Workload:
    return load(f"tpu1-{name}")


def _weights(workload: Workload) -> int:
    """Counted from the operations, not taken from what the workload says of itself."""
    total = 0
    for item in workload.items:
        op = item.op
        if isinstance(op, MatMul):
            total += op.n * op.k * op.batch * item.repeat
        elif isinstance(op, Conv):
            total += op.r * op.s * op.c // op.groups * op.k * item.repeat
    return total


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_and_uses_are_near_the_published(name: str) -> None:
    workload = _application(name)
    weights, batch, uses = PUBLISHED[name]
    assert _weights(workload) == workload.provenance["weights"]
    # One published digit: 8 M may be anything from 7.5 to 8.6 M, and a board's 256 filters make 8.56 M.
    assert _weights(workload) == pytest.approx(weights, rel=0.08)
    multiplies = sum(item.op.multiplies * item.repeat for item in workload.items)
    assert multiplies / _weights(workload) == pytest.approx(uses, rel=0.07)
    assert workload.provenance["settings"] == {"batch": batch}
    assert {item.op.format for item in workload.items} == {"int8"}


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("mlp0", {"matmul": 5}),
        ("mlp1", {"matmul": 4}),
        ("lstm0", {"matmul": 24, "elementwise": 34}),
        ("lstm1", {"matmul": 37, "elementwise": 19}),
        ("cnn0", {"conv": 16}),
        # 72 convolutions were published; BN-Inception has 69. Its 13th pooling layer is the global mean.
        ("cnn1", {"conv": 69, "elementwise": 12, "reduce": 1, "matmul": 4}),
    ],
)
def test_layers_are_those_published(name: str, layers: dict[str, int]) -> None:
    assert Counter(item.op.kind for item in _application(name).items) == layers


def test_lstm1_has_the_matrices_that_were_published() -> None:
    matrices = [item.op for item in _application("lstm1").items if isinstance(item.op, MatMul)]
    assert {(op.k, op.n) for op in matrices} == {(600, 600)}
    assert {op.batch for op in matrices} == {2, 3}
    assert all(op.m == 96 and not op.shared for op in matrices)


def test_vector_layers_come_evenly_between_the_others() -> None:
    for name, most in (("lstm0", 2), ("lstm1", 1)):
        kinds = "".join("v" if isinstance(item.op, Elementwise) else "m" for item in _application(name).items)
        assert max(len(run) for run in kinds.split("m")) == most
        assert kinds[0] == "m"
        assert kinds[-1] == "v"


def test_layers_of_a_network_fit_each_other() -> None:
    """Channels in are channels out before, along every branch of the convolutional ones."""
    boards = [item.op for item in _application("cnn0").items if isinstance(item.op, Conv)]
    assert all(after.c == before.k for before, after in pairwise(boards))
    assert all(op.out_hw == (19, 19) for op in boards)
    by_name = {item.op.name: item.op for item in _application("cnn1").items}
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "5a", "5b"):
        ends = [by_name[f"{name}-{branch}"] for branch in ("1x1", "3x3", "double-b", "project")]
        assert len({op.out_hw for op in ends}) == 1
        follows = {"3a": "3b", "3b": "3c", "4a": "4b", "4b": "4c", "4c": "4d", "4d": "4e", "5a": "5b"}.get(name)
        if follows:
            assert by_name[f"{follows}-3x3-reduce"].c == sum(op.k for op in ends)
    # What the cited network is known for: 1056 and 1024 channels before and after its last stage.
    assert by_name["5a-3x3-reduce"].c == 1056
    assert by_name["pool"].rows == 32 * 1024


def test_the_batch_is_a_setting() -> None:
    small = load("tpu1-mlp0:batch=10")
    assert small.items[0].op.m == 10
    assert small.provenance["weights"] == _application("mlp0").provenance["weights"]
    with pytest.raises(InputError, match="tpu1-mlp0: batch must be at least 1"):
        load("tpu1-mlp0:batch=0")
