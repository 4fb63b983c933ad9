"""Is training in an arithmetic the unit's, bit for bit? Three steps through plain loops of Python's whole numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import siloom.torch as st  # noqa: E402
from siloom.sim.arithmetic import Counts, Product  # noqa: E402
from siloom.sim.arithmetic.int8 import Int8  # noqa: E402

ACC = 15


def plain_product(self, a, b, direction, key=0) -> Product:
    """A product of ``int8:acc=15`` as ``sim.arithmetic`` says it, one step of one sum after another."""
    high = 2 ** (ACC - 1) - 1
    (x, x_scale), (y, y_scale) = plain_codes(a), plain_codes(b)
    stacks, rows, depth = a.shape
    out = np.zeros((stacks, rows, b.shape[2]), np.float32)
    saturated = 0
    for s, i, j in np.ndindex(out.shape):
        other = s if b.shape[0] > 1 else 0
        total, beyond = 0, False
        for k in range(depth):
            total += x[s][i][k] * y[other][k][j]
            if not -high - 1 <= total <= high:
                beyond, total = True, max(-high - 1, min(high, total))
        # Both factors have 24 bits and their product 48: binary64 rounds the result once, float32 once more.
        out[s, i, j] = np.float32(total * (float(x_scale) * float(y_scale)))
        saturated += beyond
    return Product(out, Counts(out.size, saturated, a.size + b.size))


def plain_codes(x) -> tuple[list, np.float32]:
    largest = max(abs(float(value)) for value in x.ravel())
    scale = np.float32(largest) / np.float32(127) if largest else np.float32(1)
    # Python's round takes ties to even.
    codes = [[[round(float(np.float32(value) / scale)) for value in row] for row in stack] for stack in x]
    return codes, scale


class Small(nn.Module):
    """One of each kind of product."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv = nn.Conv2d(1, 4, 3, stride=2, padding=1, groups=1)
        self.deep = nn.Conv2d(4, 4, 2, groups=4)
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        x = self.deep(F.relu(self.conv(images)))
        return self.head(self.layer(x.flatten(2).mT).mean(1))


def trained(make, attention="exact") -> tuple[dict[str, torch.Tensor], st.Meter]:
    model = st.convert(Small(), f"int8:acc={ACC}", attention=attention)
    optimizer = make(model.parameters())
    images = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    with st.metered() as meter:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(images * 3), torch.tensor([0, 1, 2])).backward()
            optimizer.step()
    return model.state_dict(), meter


@pytest.mark.parametrize(
    "make",
    [lambda p: torch.optim.SGD(p, 0.05, momentum=0.9), lambda p: torch.optim.AdamW(p, 1e-2)],
    ids=["momentum", "adamw"],
)
@pytest.mark.parametrize("attention", ["exact", "sanger:threshold=0.25"])
def test_three_steps_give_the_bits_of_plain_loops(make, attention, monkeypatch) -> None:
    found, counted = trained(make, attention)
    monkeypatch.setattr(Int8, "product", plain_product)
    exact, plain = trained(make, attention)
    for name, weights in exact.items():
        assert torch.equal(found[name], weights), name
    assert counted.counts == plain.counts and counted.kept == plain.kept
    assert attention == "exact" or 0.2 < counted.kept["layer.self_attn"].density < 0.8
    assert not all(torch.equal(found[name], start) for name, start in Small().state_dict().items())
    assert {place.split(".")[0] for place, _ in counted.counts} == {"conv", "deep", "layer", "head"}


def test_a_wrong_rule_is_found(monkeypatch) -> None:
    """The same steps with sums that are cut off a step too late."""
    found, counted = trained(lambda p: torch.optim.SGD(p, 0.05))
    assert sum(counts.saturated for counts in counted.counts.values()) > 0

    def late(self, a, b, direction, key=0) -> Product:
        (x, x_scale), (y, y_scale) = ((np.array(codes), scale) for codes, scale in (plain_codes(a), plain_codes(b)))
        high = 2 ** (ACC - 1) - 1
        factor = float(x_scale) * float(y_scale)
        return Product((np.clip(x @ y, -high - 1, high) * factor).astype(np.float32), Counts())

    monkeypatch.setattr(Int8, "product", late)
    other, _ = trained(lambda p: torch.optim.SGD(p, 0.05))
    assert not all(torch.equal(found[name], weights) for name, weights in other.items())


def test_a_layers_operands_give_the_same_sums_in_the_hardware(monkeypatch) -> None:
    """All operands of a dense layer's three products, through the ``mac`` unit's twin, one sum after another."""
    pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")
    from siloom.rtl.registry import UnitBlock, find_unit
    from siloom.rtl.testing import conform
    from siloom.sim.units.mac import Mac

    torch.manual_seed(0)
    model = st.convert(nn.Sequential(nn.Linear(9, 4)), f"int8:acc={ACC}")
    fast, products = Int8.product, []

    def watched(self, a, b, direction, key=0):
        made = fast(self, a, b, direction, key)
        products.append((np.ascontiguousarray(a), np.ascontiguousarray(b), made.values))
        return made

    monkeypatch.setattr(Int8, "product", watched)
    x = torch.randn(5, 9, generator=torch.Generator().manual_seed(1)).requires_grad_()
    model(x).square().sum().backward()
    assert len(products) == 3

    unit, size = find_unit("mac"), Mac(acc_bits=ACC, overflow="saturate")
    contract = unit.contract(size)
    beats, scales = [], []
    for a, b, _ in products:
        (left, left_scale), (right, right_scale) = plain_codes(a), plain_codes(b)
        depth = a.shape[2]
        for i, j in np.ndindex(a.shape[1], b.shape[2]):
            for k in range(depth):
                beats.append((left[0][i][k], right[0][k][j], int(k == 0), int(k == depth - 1)))
            scales.append(float(left_scale) * float(right_scale))
    given = np.array(beats, np.int64)
    verdict = conform(
        dataclasses.replace(contract, legal=lambda _: given), UnitBlock(unit, size).make, vectors=64, seed=1
    )
    assert verdict.passed, verdict
    # The twin has given its Contract's sums for these operands: they are the layer's.
    sums = contract.answer(given).beats[:, 0]
    assert (sums.min(), sums.max()) == (-(2 ** (ACC - 1)), 2 ** (ACC - 1) - 1)
    found = np.concatenate([values.ravel() for _, _, values in products])
    assert np.array_equal((sums * np.array(scales)).astype(np.float32), found)
