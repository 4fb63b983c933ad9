"""A converted model stays the user's model: its states, ties, hooks and copies; and what it does not reach is named."""

from __future__ import annotations

import copy
import doctest
import inspect
import pickle
import warnings
from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load, save  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.nn.utils import prune  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import siloom.torch as st  # noqa: E402
from siloom.sim.arithmetic.fp32 import Fp32  # noqa: E402
from siloom.sim.arithmetic.int8 import Int8  # noqa: E402
from siloom.sim.design import parameter  # noqa: E402
from siloom.sim.errors import InputError, UsageError  # noqa: E402
from siloom.workloads.torch.products import key_for  # noqa: E402


def drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Tied(nn.Module):
    """A language model whose last layer shares the embedding's weights, with a convolution and attention in between."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(11, 8)
        self.mix = nn.Conv1d(8, 8, 3, padding=1)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight
        self.save_memory = False

    def forward(self, tokens):
        x = self.embed(tokens)
        x = x + self.mix(x.mT).mT
        x = checkpoint(self.layer, x, use_reentrant=False) if self.save_memory else self.layer(x)
        return self.head(x)


TOKENS = torch.arange(12).reshape(2, 6) % 11


def loss_of(model, tokens=TOKENS):
    return F.cross_entropy(model(tokens).flatten(0, 1), tokens.roll(-1, 1).flatten())


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def test_keys_parameters_and_classes_are_the_originals() -> None:
    model = Tied()
    made = st.convert(model, "int8")
    assert list(made.state_dict()) == list(model.state_dict())
    assert made.head.weight is made.embed.weight
    assert len(list(made.parameters())) == len(list(model.parameters()))
    assert made.head.weight is not model.head.weight
    assert isinstance(made, Tied) and isinstance(made.head, nn.Linear)
    assert type(model) is Tied and type(model.head) is nn.Linear


def test_checkpoints_go_both_ways() -> None:
    model, made = Tied(), st.convert(Tied(), "int8")
    loss_of(made).backward()
    torch.optim.SGD(made.parameters(), 0.1).step()
    model.load_state_dict(made.state_dict())
    assert torch.equal(model.mix.weight, made.mix.weight)
    plain = {name: x.clone() for name, x in Tied().state_dict().items()}
    made.load_state_dict(load(save(plain)))
    assert torch.equal(made.mix.weight, Tied().mix.weight)


@pytest.mark.parametrize("arithmetic", ["fp32", "int8:acc=18"])
def test_a_copy_computes_the_same_and_trains_by_itself(arithmetic) -> None:
    made = st.convert(Tied(), arithmetic)
    twin = copy.deepcopy(made)
    assert torch.equal(made(TOKENS), twin(TOKENS))
    loss_of(twin).backward()
    assert made.head.weight.grad is None and twin.head.weight.grad is not None
    assert twin.head.weight is twin.embed.weight


def test_a_whole_model_goes_to_another_process_and_back() -> None:
    made = st.convert(Tied(), "int8:acc=18", attention="elsa")
    loss_of(made)
    twin = pickle.loads(pickle.dumps(made))
    assert torch.equal(made.eval()(TOKENS), twin.eval()(TOKENS))
    assert twin.head.weight is twin.embed.weight and type(twin.head) is type(made.head)


@pytest.mark.parametrize("arithmetic", ["int8:acc=18", "int8:rounding=stochastic"])
def test_recomputed_activations_give_the_same_gradients(arithmetic) -> None:
    """Also where products are rounded by chance: what is computed again is rounded as before."""
    made = st.convert(Tied(), arithmetic)
    saving = copy.deepcopy(made)
    saving.save_memory = True
    for model in (made, saving):
        torch.manual_seed(7)
        loss_of(model).backward()
    for name, grad in gradients(made).items():
        assert torch.equal(grad, gradients(saving)[name]), name


def test_gradients_accumulate_over_two_batches() -> None:
    made = st.convert(Tied(), "int8:acc=18")
    parts = []
    for tokens in (TOKENS, TOKENS.flip(1)):
        made.zero_grad()
        loss_of(made, tokens).backward()
        parts.append(gradients(made))
    made.zero_grad()
    for tokens in (TOKENS, TOKENS.flip(1)):
        loss_of(made, tokens).backward()
    for name, grad in gradients(made).items():
        # Gradients of tied weights come from two layers, and are added in another order.
        torch.testing.assert_close(grad, parts[0][name] + parts[1][name], rtol=1e-5, atol=1e-7)


def test_dropout_draws_what_torch_draws_and_rests_in_evaluation() -> None:
    class Drops(nn.Module):
        def forward(self, q):
            return F.scaled_dot_product_attention(q, q, q, dropout_p=0.5 if self.training else 0.0)

    made = st.convert(Drops(), "fp32")
    q = drawn(1, 2, 64, 8)
    assert torch.allclose(made.eval()(q), F.scaled_dot_product_attention(q, q, q), atol=1e-6)
    outs = torch.stack([made.train()(q) for _ in range(300)])
    assert outs.std(0).mean() > 0.1
    # A mean over 300 draws lies within 6 deviations of the exact output, which dropout does not bias.
    assert ((outs.mean(0) - made.eval()(q)).abs() < 6 * outs.std(0) / 300**0.5 + 1e-5).all()


def test_torchs_fast_path_does_not_pass_by() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    made = st.convert(nn.TransformerEncoder(layer, 2), "int8").eval()
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    with torch.no_grad(), st.metered() as meter:
        made(drawn(2, 5, 8), src_key_padding_mask=padding)
    assert {f"layers.{i}.self_attn.{p}" for i in (0, 1) for p in ("in_proj", "qk", "pv", "out_proj")} <= {
        place for place, _ in meter.counts
    }


def test_pruned_weights_are_masked_before_and_after_conversion() -> None:
    model = nn.Sequential(nn.Linear(6, 4))
    before = st.convert(prune.l1_unstructured(model[0], "weight", 0.5) and model, "fp32")
    after = st.convert(nn.Sequential(nn.Linear(6, 4)), "fp32")
    after.load_state_dict({"0.weight": model[0].weight_orig, "0.bias": model[0].bias})
    prune.l1_unstructured(after[0], "weight", 0.5)
    x = drawn(3, 6)
    assert torch.allclose(before(x), model(x), atol=1e-6)
    assert torch.equal(after(x), before(x))
    before(x).sum().backward()
    assert (before[0].weight_orig.grad[before[0].weight_mask == 0] == 0).all()


def test_parts_may_have_arithmetics_of_their_own() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = st.convert(nn.Linear(4, 4), "int8"), nn.Linear(4, 4)

        def forward(self, x):
            return self.b(self.a(x))

    x = drawn(3, 4)
    with st.metered() as meter:
        Both()(x)
    assert list(meter.counts) == [("Linear", "forward")]
    whole = st.convert(Both(), "fp32")
    model = Both()
    model.load_state_dict(whole.state_dict())
    with st.metered() as meter:
        assert torch.allclose(whole(x), model.b(F.linear(x, model.a.weight, model.a.bias)), atol=1e-6)
    assert set(meter.counts) == {("a", "forward"), ("b", "forward")}


def test_forward_called_by_itself_is_the_models_call() -> None:
    class Calls(nn.Module):
        def forward(self, x, *, twice=False):
            return F.linear(x, x) * (2 if twice else 1)

    made = st.convert(Calls(), "int8:acc=16")
    x = drawn(3, 4)
    with st.metered() as meter:
        assert torch.equal(made.forward(x, twice=True), made(x) * 2)
    assert meter.counts["Calls", "forward"].sums == 2 * 9
    assert list(inspect.signature(made.forward).parameters) == ["x", "twice"]


class Others(nn.Module):
    """Layers and functions that no arithmetic is applied to."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 4, batch_first=True)
        self.bilinear = nn.Bilinear(4, 4, 4)
        self.up = nn.ConvTranspose1d(4, 4, 3)
        self.last = nn.Linear(4, 4)

    def forward(self, x):
        y, _ = self.lstm(x)
        y = self.up(self.bilinear(x, y).mT).mT
        return self.last(y @ torch.einsum("bnd,bne->bde", y, y))


@pytest.mark.parametrize("way", ["fp32", "int8", "int8:scaling=block", "fp8", "approximate"])
def test_shapes_that_do_not_fit_are_refused_with_the_layer_s_name(way: str) -> None:
    layer, grouped = st.convert(nn.Linear(4, 4), way), st.convert(nn.Conv2d(8, 4, 3, groups=2), way)
    for width in (3, 5):
        with pytest.raises(InputError, match=r"layer Linear, forward: shapes of a product must be \(s, m, k\)"):
            layer(drawn(2, width))
    for channels in (4, 16):
        with pytest.raises(InputError, match=r"layer Conv2d, forward: shapes of a product must be"):
            grouped(drawn(2, channels, 5, 5))


@pytest.mark.parametrize(
    "settings",
    [{"stride": 0}, {"stride": (1, -1)}, {"padding": -1}, {"padding": (0, -1)}, {"padding": "same", "stride": 2}],
)
def test_convolutions_that_torch_refuses_are_refused(settings) -> None:
    class Own(nn.Module):
        def forward(self, x):
            return nn.functional.conv2d(x, torch.ones(4, 4, 3, 3), **settings)

    with pytest.raises(RuntimeError):
        Own()(drawn(1, 4, 9, 9))
    with pytest.raises(InputError, match="layer Own: stride must be at least 1"):
        st.convert(Own(), "int8")(drawn(1, 4, 9, 9))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_axes_of_no_length_give_what_torch_gives() -> None:
    class Own(nn.Module):
        def forward(self, q, k):
            return nn.functional.scaled_dot_product_attention(q, k, k)

    for model, inputs in ((nn.Linear(0, 4), (drawn(3, 0),)), (Own(), (drawn(1, 2, 3, 4), drawn(1, 2, 0, 4)))):
        for way in ("fp32", "int8", "fp8"):
            assert torch.equal(st.convert(model, way)(*inputs), model(*inputs))


def test_what_is_left_in_float32_is_named_once() -> None:
    with pytest.warns(st.LeftInFp32Warning) as told:
        made = st.convert(Others(), "int8")
    assert [str(w.message) for w in told] == [
        "left in float32, no arithmetic is applied there: bilinear (Bilinear), lstm (LSTM), up (ConvTranspose1d)"
    ]
    with pytest.warns(st.LeftInFp32Warning) as told:
        made(drawn(2, 5, 4)).sum().backward()
    assert [str(w.message).split(": ")[1] for w in told] == ["Others (einsum and matmul)"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(drawn(2, 5, 4))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda x: torch.linalg.matmul(x, x), "matmul"),
        (lambda x: torch.ger(x[0], x[1]), "ger"),
        (lambda x: torch.zeros(4, 4).addmm_(x, x), "addmm"),
        (lambda x: torch.sparse.mm(x.to_sparse(), x), "mm"),
    ],
)
def test_products_under_their_other_names_are_named_too(call, told) -> None:
    class Own(nn.Module):
        def forward(self, x):
            return call(x)

    with pytest.warns(st.LeftInFp32Warning, match=rf"Own \({told}\)"):
        st.convert(Own(), "int8")(drawn(4, 4))


def test_a_sum_too_narrow_for_one_product_is_told_in_one_line_where_convert_is_called() -> None:
    said = "int8:acc=14: one product of two codes comes to 16129 and needs 15 bits, sums end at 8191"
    with pytest.warns(st.CautionWarning) as told:
        st.convert(nn.Linear(4, 4), "int8:acc=14")
    assert [(str(w.message), w.filename) for w in told] == [(said, __file__)]
    with pytest.warns(st.CautionWarning) as told:
        st.convert(nn.Linear(4, 4), "int8:acc=15", grad_input="int8:acc=14", grad_weight="int8:acc=13")
    assert [str(w.message).count("one product") for w in told] == [2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        st.convert(nn.Linear(4, 4), "int8:acc=15")


def test_an_operand_that_is_no_number_names_layer_and_direction() -> None:
    made = st.convert(Tied(), "fp32")
    with torch.no_grad():
        made.layer.linear1.weight[2, 3] = torch.nan
    with pytest.raises(
        st.NotFiniteError, match=r"layer layer\.linear1, forward: its weights .* must be finite, got NaN"
    ):
        made(TOKENS)
    made = st.convert(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)), "int8")
    with pytest.raises(st.NotFiniteError, match=r"layer 0, forward: its input must be finite, got infinity"):
        made(torch.full((2, 3), torch.inf))
    with pytest.raises(st.NotFiniteError, match=r"layer 2, grad_input: its gradient must be finite, got infinity"):
        (made(drawn(2, 3)) * torch.inf).sum().backward()
    made(torch.full((2, 3), 3e38))  # sums of all elements overflow, each is finite


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_scores_that_overflow_are_no_silent_zeros() -> None:
    class Attends(nn.Module):
        def forward(self, q):
            return F.scaled_dot_product_attention(q, q, q)

    with pytest.raises(st.NotFiniteError, match=r"layer Attends\.pv, forward: its input must be finite, got NaN"):
        st.convert(Attends(), "fp32")(torch.full((1, 1, 2, 4), 1e30))


def test_other_types_are_refused() -> None:
    with pytest.raises(InputError, match=r"layer Linear, forward: its input must be float32, got torch.float64"):
        st.convert(nn.Linear(3, 3).double(), "int8")(torch.ones(2, 3, dtype=torch.float64))
    with pytest.raises(UsageError, match="no arithmetic 'int9' - did you mean 'int8'"):
        st.convert(nn.Linear(3, 3), "int9")


@pytest.mark.parametrize("arithmetic", ["fp32", "int8"])
def test_a_batch_of_nothing_gives_nothing(arithmetic) -> None:
    class Attends(nn.Module):
        def forward(self, q):
            return F.scaled_dot_product_attention(q, q, q)

    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    cases = ((nn.Linear(3, 2), (0, 3)), (nn.Conv2d(2, 4, 3, groups=2), (0, 2, 5, 5)), (layer, (0, 4, 8)))
    for model, shape in (*cases, (Attends(), (0, 2, 4, 8))):
        x = torch.zeros(shape, requires_grad=True)
        made = st.convert(model, arithmetic)
        out = made(x)
        assert out.shape == model(x).shape
        out.sum().backward()
        assert x.grad.shape == shape
        assert all((p.grad == 0).all() for p in made.parameters())


def test_an_arithmetic_that_no_text_names_is_refused() -> None:
    class Own(Fp32):
        name = "own"

    with pytest.raises(UsageError, match="no arithmetic 'own'"):
        st.convert(nn.Linear(3, 3), Own())
    made = st.convert(nn.Linear(3, 3), Fp32(), Int8(acc=20))
    assert str(made.siloom.conversion.ways.grad_weight) == "int8:acc=20"


def test_two_calls_are_rounded_apart_where_chance_rounds() -> None:
    made = st.convert(nn.Linear(16, 16), "int8:rounding=stochastic")
    x = drawn(4, 16)
    torch.manual_seed(1)
    first, second = made(x), made(x)
    torch.manual_seed(1)
    assert torch.equal(first, made(x)) and not torch.equal(first, second)


def test_keys_of_chance_come_from_torchs_generator_and_only_where_they_matter() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Chance(Fp32):
        rounding: str = parameter("stochastic", unit="", source="here", choices=("nearest", "stochastic"))

    torch.manual_seed(3)
    state = torch.get_rng_state()
    assert key_for(Fp32()) == key_for(Chance(rounding="nearest")) == 0
    assert torch.equal(state, torch.get_rng_state())
    keys = [key_for(Chance()) for _ in range(20)]
    assert len(set(keys)) == 20
    torch.set_rng_state(state)
    assert [key_for(Chance()) for _ in range(20)] == keys


def test_operations_keep_their_schemas_and_shapes() -> None:
    """Torch's own check: nothing given is changed or given back, and the fakes have the shapes of results."""
    q, k, v = (drawn(2, 4, 5, 6, seed=at) for at in range(3))
    mask, drop, learnt = drawn(5, 5), torch.ones(2, 4, 5, 5), [torch.tensor(0.1), torch.tensor(1)]
    product = torch.ops.siloom.product.default
    forward, backward = torch.ops.siloom.attention.default, torch.ops.siloom.attention_backward.default
    calls = [(product, (q[0], k[0].mT, "int8", "forward", "a", 0))]
    for method, state in (("exact", []), ("elsa", learnt)):
        given = (q, k[:, :2], v[:, :2], mask, drop, state, 0.5, True, method, "fp32", "a", 0)
        out, kept, saved = forward(*given)
        calls += [
            (forward, given),
            (backward, (out, saved, q, k[:, :2], v[:, :2], kept, saved, None, 0.5, True, method, "fp32", "a", 0)),
        ]
    for operation, given in calls:
        torch.library.opcheck(operation, given, test_utils=("test_schema", "test_faketensor"))


def test_the_front_doors_example_runs() -> None:
    found = doctest.testmod(st)
    assert found.attempted > 5 and not found.failed


@pytest.mark.parametrize("arithmetic", ["int8:acc=24", "fp8", "bf16"])
def test_an_encoder_that_is_not_ours_trains(arithmetic) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, batch_first=True)
    made = st.convert(nn.TransformerEncoder(layer, 2), arithmetic)
    x, y = drawn(4, 6, 16), drawn(4, 6, 16, seed=2)
    optimizer = torch.optim.AdamW(made.parameters(), 3e-3)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.mse_loss(made(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
