"""Does the loss's factor find the range of the format, and leave steps as they were?"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import siloom.torch as st  # noqa: E402
from siloom.sim.errors import InputError  # noqa: E402


def one_weight(grad: float):
    weight = nn.Parameter(torch.ones(()))
    return weight, torch.optim.SGD([weight], 1.0), lambda: weight * grad


def test_steps_are_those_without_it() -> None:
    weight, optimizer, loss = one_weight(0.25)
    scale = st.LossScale(patience=2)
    for _ in range(3):
        optimizer.zero_grad()
        scale.backward(loss())
        assert scale.step(optimizer)
    assert weight.item() == 1 - 3 * 0.25
    assert (scale.factor, scale.good, scale.overflows) == (2.0**17, 1, 0)


def test_an_overflow_halves_it_and_takes_no_step() -> None:
    weight, optimizer, loss = one_weight(2.0**100)
    scale = st.LossScale(2.0**30)
    for expected in (2.0**29, 2.0**28, 2.0**27):
        scale.backward(loss())
        assert not scale.step(optimizer)
        assert scale.factor == expected and weight.item() == 1 and weight.grad is None
    scale.backward(loss())
    assert scale.step(optimizer)
    assert scale.overflows == 3


def test_a_product_that_overflows_in_the_backward_pass_counts() -> None:
    torch.manual_seed(0)
    model = st.convert(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), "fp32")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scale = st.LossScale(2.0**20)
    before = model[0].weight.clone()
    scale.backward((model(torch.ones(1, 4)) * 1e35).sum())
    assert not scale.step(optimizer)
    assert scale.factor == 2.0**19 and torch.equal(before, model[0].weight)


def test_a_saved_state_goes_on() -> None:
    scale, other = st.LossScale(2.0**3, patience=2), st.LossScale(2.0**9, patience=2)
    _, optimizer, loss = one_weight(1.0)
    scale.backward(loss())
    scale.step(optimizer)
    other.load_state_dict(scale.state_dict())
    other.backward(loss())
    other.step(optimizer)
    assert other.factor == 2.0**4


def test_what_no_factor_mends_is_an_error() -> None:
    _, optimizer, loss = one_weight(float("inf"))
    scale = st.LossScale(2.0**-23)
    weight, _, _ = one_weight(1.0)
    with pytest.raises(st.NotFiniteError, match="its loss must be finite, got inf"):
        scale.backward(loss())
    weight.register_hook(lambda grad: grad * float("inf"))
    optimizer = torch.optim.SGD([weight], 1.0)
    for _ in range(1):
        scale.backward(weight * 1.0)
        scale.step(optimizer)
    scale.backward(weight * 1.0)
    with pytest.raises(InputError, match=r"not finite at any factor down to 2\^-24"):
        scale.step(optimizer)
    with pytest.raises(InputError, match=r"start must be a power of two from 2\^-24 to 2\^40, got 3.0"):
        st.LossScale(3.0)
    with pytest.raises(InputError, match="patience must be at least 1, got 0"):
        st.LossScale(patience=0)
