"""Do methods of attention choose what their machines choose, learn what they should, and train under their masks?"""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import siloom.torch as st  # noqa: E402
from siloom.models._attention import Head  # noqa: E402
from siloom.models.a3 import A3  # noqa: E402
from siloom.models.dota import Dota  # noqa: E402
from siloom.models.elsa import Elsa  # noqa: E402
from siloom.models.sanger import Sanger  # noqa: E402
from siloom.sim.approximation import exact_probabilities  # noqa: E402
from siloom.sim.drawn_attention import Clustered, draw  # noqa: E402
from siloom.sim.errors import InputError, UsageError  # noqa: E402
from siloom.sim.selection.hashed_keys import learn_threshold  # noqa: E402
from siloom.sim.units.int4_predictor import shared_scale  # noqa: E402
from siloom.workloads.torch.methods import Scene, method  # noqa: E402

SEQ, DIM = 48, 16
ALL = ("sanger", "elsa", "a3", "dota")


def operands(batch=2, heads=3, kv_heads=3, seq=SEQ, seed=0):
    """Q, K and V in clusters, so that some scores matter and most do not."""
    return [torch.from_numpy(x) for x in draw(Clustered(seed=seed), batch, heads, kv_heads, seq, DIM)]


class Attends(nn.Module):
    """Calls the function on what it is given; ``kept`` is the mask of its last call, from the weights."""

    def __init__(self, **about) -> None:
        super().__init__()
        self.about = about

    def forward(self, q, k, v, mask=None):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, **self.about)


def kept_by(model, q, k, mask=None):
    """The mask of a call: with V the identity, the output is P."""
    eye = torch.eye(k.shape[2]).expand(*k.shape[:2], -1, -1)
    return model(q, k, eye, mask) > 0


def machine_kept(name, q, k, causal):
    """What the machine itself keeps of one head."""
    head = Head(q, k, k, causal, exact_probabilities(q, k, causal))
    if name == "sanger":
        return Sanger(Sanger.design_type())._head(head, (shared_scale(q, 4), shared_scale(k, 4))).kept
    if name == "dota":
        return Dota(Dota.design_type(weights="identity"))._head(head).kept
    kind = {"elsa": Elsa, "a3": A3}[name]
    return kind(kind.design_type())._head(head).kept


@pytest.mark.parametrize("causal", [False, True], ids=["whole", "causal"])
@pytest.mark.parametrize("name", ALL)
def test_the_first_masks_in_training_are_the_machines(name, causal) -> None:
    """Of one head: what a method learns for a layer is then what the machine learns on the same operands."""
    q, k, _ = operands(batch=1, heads=1, kv_heads=1)
    model = st.convert(Attends(is_causal=causal), "fp32", attention=name)
    found = kept_by(model, q, k)[0, 0].numpy()
    expected = machine_kept(name, q[0, 0].numpy(), k[0, 0].numpy(), causal)
    assert np.array_equal(found, expected)
    assert SEQ <= np.count_nonzero(found) < 0.6 * SEQ * SEQ


EACH = ("sanger", "sanger:exponent=exact", "elsa", "elsa:p=4,projection=orthogonal", "a3", "dota:keep=0.3")


@pytest.mark.parametrize("text", EACH)
def test_heads_together_get_the_masks_that_each_gets_alone(text) -> None:
    """Heads that share keys, examples that are padded, and queries that may look nowhere."""
    q, k, _ = operands(heads=4, kv_heads=2)
    q[0, 1, 7] = 0.0
    padded = torch.zeros(2, 1, SEQ, SEQ)
    padded[0, ..., 30:] = padded[1, :, 5] = -torch.inf
    way = method(text)
    learnt = {name: x.detach() for name, x in way.learnt(4, DIM).items()}
    scene = Scene(q, k, padded, True, 0.3)
    way.observe(scene, learnt)
    together = way.select(scene, learnt)
    for batch, head in np.ndindex(2, 4):
        one = {name: x[head : head + 1] if x.ndim > 1 else x for name, x in learnt.items()}
        at, keys = slice(head, head + 1), slice(head // 2, head // 2 + 1)
        alone = Scene(q[batch, at][None], k[batch, keys][None], padded[batch : batch + 1], True, 0.3)
        assert torch.equal(way.select(alone, one)[0, 0], together[batch, head])


def test_the_threshold_of_heads_together_is_the_mean_of_each_ones() -> None:
    q, k, _ = operands()
    way = method("elsa")
    learnt = way.learnt(3, DIM)
    way.observe(Scene(q, k, None, True, DIM**-0.5), learnt)
    pairs = zip(q.flatten(0, 1).numpy(), k.flatten(0, 1).numpy(), strict=True)
    heads = [Head(a, b, b, True, exact_probabilities(a, b, True)) for a, b in pairs]
    alone = [learn_threshold(head.q, head.k, head.above_share(1.0)) for head in heads]
    assert float(learnt["threshold"]) == pytest.approx(np.mean(alone), rel=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_another_scale_is_that_of_longer_queries(name) -> None:
    q, k, _ = operands()
    found = kept_by(st.convert(Attends(scale=0.5), "fp32", attention=name), q, k)
    longer = kept_by(st.convert(Attends(), "fp32", attention=name), q * (0.5 * math.sqrt(DIM)), k)
    assert torch.equal(found, longer)


EVERYTHING = {
    "sanger:threshold=0": None,
    "elsa:p=0": None,
    "a3:iterations_share=0,post_threshold_percent=0": None,
    "dota": 1.0,
}


@pytest.mark.parametrize("text", EVERYTHING)
def test_a_method_that_keeps_all_is_exact_attention_bit_for_bit(text) -> None:
    results = []
    for attention, keep in (("exact", None), (text, EVERYTHING[text])):
        inputs = [x.requires_grad_() for x in operands()]
        model = st.convert(Attends(is_causal=True), "int8:acc=18", attention=attention, keep=keep)
        out = model(*inputs)
        out.square().sum().backward()
        results.append([out.detach(), *(x.grad for x in inputs)])
    for exact, found in zip(*results, strict=True):
        assert torch.equal(exact, found)


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_those_of_softmax_over_the_scores_kept(name) -> None:
    """Against torch in double precision under the same mask, given as one that rests; heads share keys."""
    model = st.convert(Attends(enable_gqa=True), "fp32", attention=name)
    given = operands(heads=4, kv_heads=2)
    kept = kept_by(model, given[0], given[1])
    model.eval()  # what is learnt rests
    found = [x.clone().requires_grad_() for x in given]
    exact = [x.clone().double().requires_grad_() for x in given]
    assert torch.equal(kept_by(model, found[0], found[1]), kept)
    outs = model(*found), F.scaled_dot_product_attention(*exact, attn_mask=kept, enable_gqa=True)
    for out in outs:
        (out * torch.arange(DIM)).sum().backward()
    for x, y in zip((outs[0], *(x.grad for x in found)), (outs[1], *(x.grad for x in exact)), strict=True):
        assert (x.double() - y).norm() <= 1e-6 * y.norm()


@pytest.mark.parametrize("name", ALL)
def test_nobody_looks_where_a_mask_or_causality_forbids(name) -> None:
    q, k, _ = operands()
    padded = torch.ones(2, 1, SEQ, SEQ, dtype=torch.bool)
    padded[0, :, :, 30:] = False
    padded[1, :, 5] = False  # a query that may look nowhere
    for about in ({}, {"is_causal": True}):
        model = st.convert(Attends(**about), "fp32", attention=name)
        kept = kept_by(model, q, k, padded)
        assert not (kept & ~padded).any()
        assert about == {} or not kept.triu(1).any()
        some = kept.any(-1)
        assert not some[1, :, 5].any() and some[0].all() and some[1, :, :5].all()
        low = torch.zeros(padded.shape).masked_fill(~padded, -1e9)
        assert torch.equal(kept_by(st.convert(Attends(**about), "fp32", attention=name), q, k, low) & padded, kept)


@pytest.mark.parametrize("name", ALL)
def test_what_is_kept_is_metered_by_layer(name) -> None:
    q, k, v = operands()
    model = st.convert(nn.ModuleDict({"a": Attends(is_causal=True)}), "fp32", attention=name)
    with st.metered() as meter:
        model.train()["a"](q, k, v)
    ((place, kept),) = meter.kept.items()
    assert place == "a"
    assert kept.allowed == 6 * SEQ * (SEQ + 1) // 2
    assert kept.kept == int(kept_by(model.eval()["a"], q, k).sum())
    assert 0.02 < kept.density < 0.9


def learnt(model):
    return {name: x.clone() for name, x in model.state_dict().items() if "siloom_attention" in name}


@pytest.mark.parametrize("name", ["sanger", "elsa"])
def test_ranges_and_thresholds_are_means_over_training_and_rest_in_evaluation(name) -> None:
    model = st.convert(Attends(), "fp32", attention=name)
    batches = [operands(batch=1, heads=1, kv_heads=1, seed=seed) for seed in range(3)]
    for batch in batches:
        model(*batch)
    before = learnt(model)
    model.eval()(*operands(seed=9))
    assert all(torch.equal(x, before[n]) for n, x in learnt(model).items())
    alone = []
    for batch in batches:
        single = st.convert(Attends(), "fp32", attention=name)
        single(*batch)
        alone.append(learnt(single))
    if name == "elsa":
        mean = torch.stack([x["siloom_attention.threshold"] for x in alone]).mean()
        torch.testing.assert_close(before["siloom_attention.threshold"], mean)
        assert before["siloom_attention.seen"] == 3
    else:
        expected = alone[0]["siloom_attention.reach"]
        for one in alone[1:]:
            expected = 0.9999 * expected + 0.0001 * one["siloom_attention.reach"]
        torch.testing.assert_close(before["siloom_attention.reach"], expected)


def test_a_larger_p_keeps_fewer_keys_and_a_larger_threshold_too() -> None:
    q, k, _ = operands()
    for one, other in (("elsa:p=0.5", "elsa:p=4"), ("sanger:threshold=0.002", "sanger:threshold=0.05")):
        more, fewer = (int(kept_by(st.convert(Attends(), "fp32", attention=t), q, k).sum()) for t in (one, other))
        assert more > 1.3 * fewer


class Block(nn.Module):
    """A layer of attention that is trained on a fixed batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.TransformerEncoderLayer(32, 2, 48, dropout=0.0, batch_first=True)
        self.save_memory = False

    def forward(self, x):
        return checkpoint(self.layer, x, use_reentrant=False) if self.save_memory else self.layer(x)


def tokens():
    q, _, _ = operands(batch=2, heads=2, kv_heads=2, seq=24)
    return q.permute(0, 2, 1, 3).reshape(2, 24, 32)


def test_the_detector_learns_beside_the_network() -> None:
    model = st.convert(Block(), "fp32", attention="dota:keep=0.25")
    own = [name for name, _ in model.named_parameters() if "siloom_attention" in name]
    assert own == [f"layer.self_attn.siloom_attention.{side}" for side in ("query", "key")]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    x, losses = tokens(), []
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), x.flip(1))
        extra = st.attention_loss(model)
        losses.append((loss.item(), extra.item()))
        (loss + extra).backward()
        optimizer.step()
    assert losses[-1][0] < 0.9 * losses[0][0]
    assert losses[-1][1] < 0.5 * losses[0][1]
    assert st.attention_loss(model) == 0  # each is given once


def test_the_detectors_loss_moves_nothing_but_the_detector() -> None:
    model = st.convert(Block(), "fp32", attention="dota")
    model(tokens())
    st.attention_loss(model).backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {f"layer.self_attn.siloom_attention.{side}" for side in ("query", "key")}


@pytest.mark.parametrize("name", ALL)
def test_recomputed_activations_see_the_same_masks(name) -> None:
    grads = []
    for save in (False, True):
        model = st.convert(Block(), "int8:acc=20", attention=name)
        model.save_memory = save
        for seed in (1, 2):
            out = model(tokens() * seed)
            (out.square().sum() + st.attention_loss(model)).backward()
        grads.append({n: p.grad for n, p in model.named_parameters()} | learnt(model))
    assert grads[0].keys() == grads[1].keys()
    for tensor, grad in grads[0].items():
        assert torch.equal(grad, grads[1][tensor]), tensor


@pytest.mark.parametrize("name", ALL)
def test_what_was_learnt_is_saved_and_the_models_own_state_is_apart(name) -> None:
    model = st.convert(Block(), "fp32", attention=name)
    for _ in range(2):
        model(tokens())
    other = st.convert(Block(), "fp32", attention=name)
    other.load_state_dict(model.state_dict())
    x = tokens() * 1.3
    assert torch.equal(model.eval()(x), other.eval()(x))
    assert torch.equal(copy.deepcopy(model)(x), model(x))
    Block().load_state_dict(st.model_state(model))
    other.load_state_dict(Block().state_dict())


def test_room_is_made_for_what_a_checkpoint_had_learnt() -> None:
    """Of a module that calls the function itself, and so has nothing before its first call."""
    for name in ("elsa", "dota"):
        model = st.convert(Attends(), "fp32", attention=name)
        st.attended(model, *operands())
        assert model.training
        model(*operands())
        other = st.convert(Attends(), "fp32", attention=name)
        other.load_state_dict(model.state_dict())
        assert torch.equal(model.eval()(*operands()), other.eval()(*operands()))
        assert {n for n, _ in other.named_parameters()} == {n for n, _ in model.named_parameters()}


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor:UserWarning")  # torch's own copy
@pytest.mark.parametrize("name", ["exact", *ALL])
def test_shapes_alone_go_through_forward_and_backward(name) -> None:
    """Under fake tensors: no number is there to be looked at."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = st.convert(Block(), "int8", attention=name)
        x = torch.empty(2, 24, 32)
        model(x).sum().backward()
        assert model.layer.self_attn.in_proj_weight.grad.shape == (96, 32)


def test_words_for_what_no_method_can_be() -> None:
    for text, keep, kind, words in (
        ("elza", None, UsageError, "no attention 'elza' - did you mean 'elsa'"),
        ("dota:kep=1", None, UsageError, "dota: no field 'kep' - did you mean 'keep'"),
        ("dota:keep=1.5", None, InputError, "keep must be at most 1, got 1.5"),
        ("dota", 0.0, InputError, "keep must be at least 1e-06, got 0"),
        ("exact", 0.5, UsageError, "exact: no field 'keep'"),
        ("sanger:threshold=-1", None, InputError, "threshold must be at least 0, got -1"),
        ("elsa:p=x", None, InputError, "p must be a number, got 'x'"),
    ):
        with pytest.raises(kind, match=words):
            st.convert(nn.Linear(2, 2), "fp32", attention=text, keep=keep)
    with pytest.raises(InputError, match="layer Attends: srp_hash: dim must be a product"):
        st.convert(Attends(), "fp32", attention="elsa")(*(torch.eye(17)[None, None] * 5 for _ in range(3)))
    with pytest.raises(UsageError, match="Linear is not a converted model"):
        st.attention_loss(nn.Linear(2, 2))


def test_a_model_converted_anew_learns_anew() -> None:
    model = st.convert(Block(), "fp32", attention="dota")
    assert "layer.self_attn.siloom_attention.query" in dict(model.named_parameters())
    assert list(st.convert(model, "fp32").state_dict()) == list(Block().state_dict())


@pytest.mark.parametrize("name", ALL)
def test_an_empty_batch_gives_an_empty_one_and_teaches_nothing(name) -> None:
    attends = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True)
    model = st.convert(attends, "int8", attention=name)
    model(torch.ones(2, 5, 16))
    before = copy.deepcopy(model.state_dict())
    made = model(torch.ones(0, 5, 16))
    (made.sum() + st.attention_loss(model)).backward()
    assert made.shape == (0, 5, 16)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
