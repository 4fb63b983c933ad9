"""A training step: the gradients' products, recomputation, the optimizer's traffic, and the known rules of thumb."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from siloom.api import run
from siloom.sim.errors import InputError
from siloom.sim.ops import Attention, Conv, Elementwise, Item, MatMul, Workload, format_bytes
from siloom.workloads.convolution import Convolution
from siloom.workloads.layers import Activation
from siloom.workloads.network import Block, Formats, Network, training_step
from siloom.workloads.registry import load

TRANSFORMERS = ("bert-base", "gpt2", "deit-tiny", "vit-base")
NETWORKS = (*TRANSFORMERS, "resnet50", "mobilenet-v2", "levit-128")


def _multiplies(workload: Workload, *kinds: type) -> int:
    return sum(i.op.multiplies * i.repeat for i in workload.items if not kinds or isinstance(i.op, kinds))


def _optimizer(workload: Workload) -> list[Elementwise]:
    ops = [item.op for item in workload.items if item.op.name.startswith("optimizer.")]
    assert all(isinstance(op, Elementwise) for op in ops)
    return ops


def _with(text: str, more: str) -> str:
    return text + (":" if ":" not in text else ",") + more


@pytest.mark.parametrize("name", NETWORKS)
def test_products_cost_three_times_the_forward_pass_but_for_the_first_layer(name: str) -> None:
    forward, step = load(name), load(_with(name, "training=1"))
    products = (MatMul, Conv)
    first = forward.items[0].op
    spared = first.multiplies if isinstance(first, Conv) else 0  # an image needs no gradient
    assert _multiplies(step, *products) == 3 * _multiplies(forward, *products) - spared
    # FlashAttention recomputes the scores: 2.5 times the forward pass, Dao et al. 2022.
    assert 2 * _multiplies(step, Attention) == 7 * _multiplies(forward, Attention)


def test_a_step_tells_what_is_wanted_again_and_what_was_made_long_before() -> None:
    plain, again = (load(f"gpt2:training=1,batch=2{more}") for more in ("", ",recompute=1"))
    saved = {item.op.name: item.saved for item in plain.items}
    recalled = {item.op.name: item.recalled for item in plain.items}
    assert all(saved[item.op.name] for item in load("gpt2:batch=2").items)
    assert {name for name, count in recalled.items() if count} == {
        *(f"layer.{of}.dw" for of in ("qkv", "attention_output", "dense_in", "dense_out")),
        *(f"layer.{of}.dx" for of in ("norm1", "norm2", "attention", "activation")),
        "final.norm.dx",
        "head.vocabulary.dw",
    }
    assert set(recalled.values()) == {0, 1}
    wanted = {name for name, kept in saved.items() if kept and "." in name and name.rsplit(".", 1)[1] in ("dw", "db")}
    assert wanted == {name for name in saved if name.endswith((".dw", ".db"))}
    assert not any(kept for name, kept in saved.items() if name.endswith(".dx"))
    # Run again, a block keeps what leaves it alone; then all that its gradients want.
    inside = {item.op.name: item.saved for item in again.items if item.op.name.startswith("layer.")}
    assert [name for name, kept in inside.items() if kept and not name.endswith((".dw", ".db"))] == ["layer.residual2"]
    assert all(item.saved for item in again.items if item.op.name.startswith("recompute."))
    assert not any(item.saved or item.recalled for item in load("gpt2").items)
    assert plain.content_hash != replace(plain, items=tuple(Item(i.op, i.repeat) for i in plain.items)).content_hash


def test_a_gated_activation_recalls_both_of_its_inputs() -> None:
    gate = Activation(64, "silu", gated=True)
    plain = Activation(64, "silu")
    network = Network("n", (Block("b", (gate, replace(plain, name="plain"))),))
    step = training_step(network, Formats("fp16", "fp32"), "none", recompute=False)
    assert {item.op.name: item.recalled for item in step if item.recalled} == {"b.activation.dx": 2, "b.plain.dx": 1}


@pytest.mark.parametrize("name", ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"])
def test_gpt2_obeys_six_n_d(name: str) -> None:
    """6 N D floating-point operations a step (Kaplan et al. 2020), attention's products apart."""
    step = load(f"{name}:seq=1024,batch=2,training=1,optimizer=none")
    six_n_d = 6 * step.provenance["parameters"] * 2 * 1024
    assert 2 * _multiplies(step, MatMul) == pytest.approx(six_n_d, rel=0.01)
    assert step.flops == pytest.approx(six_n_d, rel=0.2), "with attention and all elementwise work"


@pytest.mark.parametrize("name", NETWORKS)
def test_every_gradient_has_the_shape_of_what_it_is_the_gradient_of(name: str) -> None:
    step = load(_with(name, "training=1,batch=3"))
    ops = {item.op.name: item for item in step.items}
    assert len(ops) == len(step.items)
    checked = 0
    for item in step.items:
        op = item.op
        if isinstance(op, MatMul) and (dw := ops.get(f"{op.name}.dw")) is not None and op.shared:
            assert isinstance(dw.op, MatMul) and dw.repeat == item.repeat
            assert (dw.op.m, dw.op.n, dw.op.k) == (op.k, op.n, op.m)
            if (dx := ops.get(f"{op.name}.dx")) is not None:
                assert isinstance(dx.op, MatMul) and (dx.op.m, dx.op.n, dx.op.k) == (op.m, op.k, op.n)
            checked += 1
    assert checked


def test_backward_comes_in_reverse_and_the_optimizer_last() -> None:
    names = [item.op.name for item in load("gpt2:training=1").items]
    backward = [name for name in names if name.endswith((".dx", ".dw", ".db"))]
    assert names.index("head.loss") < names.index("head.loss.dx") < names.index("head.vocabulary.dx")
    assert backward[0] == "head.loss.dx" and backward[-1] == "embeddings.embedding.dw"
    assert names.index("layer.dense_out.dx") < names.index("layer.attention.dx") < names.index("layer.qkv.dx")
    assert [name for name in names if name.startswith("optimizer")] == names[-2:]


@pytest.mark.parametrize("name", NETWORKS)
def test_recomputation_is_one_more_forward_pass_of_the_blocks(name: str) -> None:
    kept, again = load(_with(name, "training=1")), load(_with(name, "training=1,recompute=1"))
    extra = [item for item in again.items if item.op.name.startswith("recompute.")]
    assert len(again.items) == len(kept.items) + len(extra)
    forward = {item.op.name: item for item in kept.items}
    for item in extra:
        same = forward[item.op.name.removeprefix("recompute.")]
        assert {**item.op.describe(), "name": ""} == {**same.op.describe(), "name": ""}
        assert item.repeat == same.repeat
    if name in TRANSFORMERS:
        layers = sum(i.op.flops * i.repeat for i in load(name).items if i.op.name.startswith("layer."))
        assert again.flops - kept.flops == layers


@pytest.mark.parametrize(
    ("optimizer", "reads", "writes"),
    [("adamw", 4, 3), ("adam", 4, 3), ("momentum", 3, 2), ("sgd", 2, 1)],
)
def test_the_optimizer_moves_weights_gradients_and_state(optimizer: str, reads: int, writes: int) -> None:
    count = 109_482_240
    plain = _optimizer(load(f"bert-base:training=1,format=fp32,optimizer={optimizer}"))
    assert [(op.read_bytes, op.write_bytes) for op in plain] == [(4 * reads * count, 4 * writes * count)]
    # Mixed: the gradient is read in 16 bits, and the copy that the next forward pass reads is written in 16 bits.
    mixed = _optimizer(load(f"bert-base:training=1,format=bf16,optimizer={optimizer}"))
    assert sum(op.read_bytes for op in mixed) == (4 * (reads - 1) + 2) * count
    assert sum(op.write_bytes for op in mixed) == (4 * writes + 2) * count
    assert [op.format for op in mixed] == ["fp32", "bf16"]
    assert not _optimizer(load("bert-base:training=1,optimizer=none"))


def test_adamw_counts_what_a_plain_update_does() -> None:
    """One element of the update, with every operation counted as it is done."""
    done = 0

    class Counted(float):
        def _op(self, value: float) -> Counted:
            nonlocal done
            done += 1
            return Counted(value)

        def __add__(self, other: float) -> Counted:  # type: ignore[override]
            return self._op(float(self) + float(other))

        def __sub__(self, other: float) -> Counted:  # type: ignore[override]
            return self._op(float(self) - float(other))

        def __mul__(self, other: float) -> Counted:  # type: ignore[override]
            return self._op(float(self) * float(other))

        def __truediv__(self, other: float) -> Counted:  # type: ignore[override]
            return self._op(float(self) / float(other))

        def root(self) -> Counted:
            return self._op(float(self) ** 0.5)

    w, g, m, v = (Counted(x) for x in (0.5, 0.1, 0.01, 0.001))
    m = m * 0.9 + g * 0.1
    v = v * 0.999 + g * g * 0.001
    w = w * (1 - 1e-4 * 0.01)
    w = w - m / 0.9 * 1e-4 / ((v / 0.999).root() + 1e-8)
    assert done == next(iter(_optimizer(load("bert-base:training=1")))).flops_each


def test_mixed_precision_keeps_loss_weights_and_state_in_fp32() -> None:
    mixed = load("gpt2:training=1,format=fp16")
    wide = {item.op.name for item in mixed.items if item.op.format == "fp32"}
    assert wide == {"head.loss", "head.loss.dx", "optimizer.update"}
    uniform = load("gpt2:training=1,format=fp16,precision=uniform")
    assert {item.op.format for item in uniform.items} == {"fp16"}
    with pytest.raises(InputError, match="precision=uniform needs a format with a point, got int8"):
        load("gpt2:training=1,format=int8,precision=uniform")


def test_a_step_without_a_head_says_that_it_has_no_loss() -> None:
    assert "no loss" in load("bert-base:training=1").provenance["notes"][0]
    assert load("bert-base:training=1,head=1").provenance["notes"] == []
    assert load("bert-base").provenance["notes"] == []


def test_siblings_on_one_input_add_their_gradients() -> None:
    fork = next(i for i in load("bert-base:training=1,seq=128").items if i.op.name == "layer.qkv_fork.dx")
    assert isinstance(fork.op, Elementwise) and fork.repeat == 12
    assert fork.op.read_bytes == 3 * format_bytes("fp16", 128 * 768)
    assert not any("fork" in i.op.name for i in load("gpt2:training=1").items), "one fused product, one gradient"


def _convolve(x_bchw: np.ndarray, w_kcrs: np.ndarray, op: Conv) -> np.ndarray:
    """Convolution by its definition, with an operation's own stride, padding and groups."""
    assert x_bchw.shape == (op.batch, op.c, op.h, op.w) and w_kcrs.shape == (op.k, op.c // op.groups, op.r, op.s)
    x = np.pad(x_bchw, ((0, 0), (0, 0), (op.pad, op.pad), (op.pad, op.pad)))
    rows, cols = op.out_hw
    out = np.zeros((op.batch, op.k, rows, cols))
    inside, filters = op.c // op.groups, op.k // op.groups
    for k in range(op.k):
        first = k // filters * inside
        for i in range(rows):
            for j in range(cols):
                y, z = i * op.stride, j * op.stride
                patch = x[:, first : first + inside, y : y + op.r, z : z + op.s]
                out[:, k, i, j] = (patch * w_kcrs[k]).sum(axis=(1, 2, 3))
    return out


@pytest.mark.parametrize(("c", "k", "groups", "side"), [(2, 3, 1, 3), (4, 6, 2, 3), (3, 3, 3, 3), (2, 2, 1, 5)])
def test_the_gradients_of_a_convolution_are_the_convolutions_they_are_said_to_be(
    c: int, k: int, groups: int, side: int
) -> None:
    """dx and dw computed as the operations say, against the gradients of the definition."""
    batch = 2
    layer = Convolution("conv", h=5, w=4, c=c, k=k, r=side, s=side, pad=side // 2, groups=groups, batch=batch)
    formats = Formats("fp32", "fp32")
    (forward,) = layer.forward(formats, training=True)
    dw_op, dx_op = layer.backward(formats)
    assert isinstance(forward, Conv) and isinstance(dw_op, Conv) and isinstance(dx_op, Conv)
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(batch, c, 5, 4)), rng.normal(size=(k, c // groups, side, side))
    dy = rng.normal(size=_convolve(x, w, forward).shape)

    def slope(of: np.ndarray) -> np.ndarray:
        """The gradient of sum(dy y), which is linear in x and in w: one difference an element is exact."""
        out = np.zeros_like(of)
        for at in np.ndindex(of.shape):
            of[at] += 1
            above = (dy * _convolve(x, w, forward)).sum()
            of[at] -= 1
            out[at] = above - (dy * _convolve(x, w, forward)).sum()
        return out

    inside, filters = c // groups, k // groups
    # dx: filters turned by half a turn, channels and filters in each other's place within a group.
    turned = w[:, :, ::-1, ::-1].reshape(groups, filters, inside, side, side).swapaxes(1, 2)
    dx = _convolve(dy, turned.reshape(c, filters, side, side), dx_op)
    assert np.allclose(dx, slope(x))
    # dw: [batch, group, channel] becomes [channel, group, batch], and dy is the filter.
    swapped = x.reshape(batch, groups, inside, 5, 4).transpose(2, 1, 0, 3, 4).reshape(inside, groups * batch, 5, 4)
    dw = _convolve(swapped, dy.swapaxes(0, 1), dw_op)
    assert np.allclose(dw.swapaxes(0, 1), slope(w))
    assert forward.multiplies == dw_op.multiplies == dx_op.multiplies


def test_strided_gradients_are_products_of_the_same_multiplies() -> None:
    layer = Convolution("conv", h=9, w=9, c=8, k=12, r=3, s=3, stride=2, pad=1, groups=4, batch=2)
    formats = Formats("fp16", "fp32")
    (forward,) = layer.forward(formats, training=True)
    gradients = list(layer.backward(formats))
    assert [type(op) for op in gradients] == [MatMul, MatMul]
    assert {op.multiplies for op in gradients} == {forward.multiplies}


def test_items_repeat_as_often_as_their_layers() -> None:
    items: tuple[Item, ...] = load("gpt2-medium:training=1").items
    assert {item.repeat for item in items if item.op.name.startswith("layer.")} == {24}
    assert {item.repeat for item in items if not item.op.name.startswith("layer.")} == {1}


def test_weights_that_exceed_a_board_s_memory_are_noted() -> None:
    (note,) = [n for n in run("k40", "gpt2-xl:format=fp64").notes if n.startswith("weights and their state")]
    assert "12,460,889,600 bytes, memory holds" in note  # 8 B x 1,557,611,200 parameters
    assert not [n for n in run("k40", "gpt2").notes if n.startswith("weights and")]


def test_a_training_step_keeps_16_bytes_a_parameter() -> None:
    """ZeRO, section 3.1: 2 for the weights, 2 for the gradients, 12 for the master copy and Adam's state."""
    step = load("gpt2:training=1").provenance
    assert step["resident_bytes"] == 16 * step["parameters"]
