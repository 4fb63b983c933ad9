"""Named transformers: published sizes, products by hand, and what each family is known for."""

from __future__ import annotations

import pytest

from siloom.sim.errors import InputError, UsageError
from siloom.sim.ops import Attention, Conv, Elementwise, MatMul, Reduce, Workload
from siloom.workloads.registry import load

# The sizes of the released checkpoints, as their publishers state them; pooler and classifier included,
# tied weights counted once.
PUBLISHED = {
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "deit-tiny": 5_717_416,
    "deit-small": 22_050_664,
    "deit-base": 86_567_656,
    "vit-base": 86_567_656,
}

# Multiply-adds of one 224 x 224 image in billions: Touvron et al. 2021 and Dosovitskiy et al. 2021 as counted by timm.
PUBLISHED_GMACS = {"deit-tiny": 1.26, "deit-small": 4.61, "deit-base": 17.58, "vit-base": 17.58}


def _multiplies(workload: Workload, *kinds: type) -> int:
    return sum(i.op.multiplies * i.repeat for i in workload.items if not kinds or isinstance(i.op, kinds))


def _named(workload: Workload) -> dict[str, tuple[object, int]]:
    named = {item.op.name: (item.op, item.repeat) for item in workload.items}
    assert len(named) == len(workload.items), "names are unique"
    return named


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_parameters_are_those_of_the_released_checkpoint(name: str, parameters: int) -> None:
    assert load(name).provenance["parameters"] == parameters


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_of_the_operations_are_the_parameters(name: str) -> None:
    """By the other road: what the operations read as weights, plus what no product reads."""
    workload = load(name)
    width = next(item.op for item in workload.items if isinstance(item.op, Reduce)).length
    total = 0
    for item in workload.items:
        op = item.op
        if isinstance(op, MatMul) and op.name != "head.vocabulary":  # tied
            assert op.shared and op.batch == 1
            biased = 1  # in these families every dense layer has a bias
            total += item.repeat * (op.k * op.n + biased * op.n)
        elif isinstance(op, Conv):
            total += op.k * op.c * op.r * op.s + op.k
        elif isinstance(op, Reduce) and op.function == "layernorm":
            total += item.repeat * 2 * op.length
    if name.startswith("bert"):
        total += (30522 + 512 + 2) * width
    elif name.startswith("gpt2"):
        total += (50257 + 1024) * width
    else:
        total += (197 + 1) * width
    assert total == PUBLISHED[name]


@pytest.mark.parametrize(("name", "gmacs"), PUBLISHED_GMACS.items())
def test_images_cost_the_published_multiplies(name: str, gmacs: float) -> None:
    assert _multiplies(load(name)) / 1e9 == pytest.approx(gmacs, rel=6e-3)


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("seq", [1, 128, 384])
def test_bert_large_counts_its_products_in_closed_form(seq: int, batch: int) -> None:
    workload = load(f"bert-large:seq={seq},batch={batch}")
    layer = 4 * 1024 * 1024 + 2 * 1024 * 4096
    assert _multiplies(workload, MatMul) == 24 * batch * seq * layer + batch * 1024 * 1024
    assert _multiplies(workload, Attention) == 24 * 2 * batch * seq * seq * 1024


def test_a_bert_layer_is_the_papers() -> None:
    ops = _named(load("bert-base:seq=384,batch=2,format=bf16"))
    layer = {name.removeprefix("layer."): at for name, at in ops.items() if name.startswith("layer.")}
    assert list(layer) == [
        "qkv", "attention", "attention_output", "residual1", "norm1",
        "dense_in", "activation", "dense_out", "residual2", "norm2",
    ]  # fmt: skip
    qkv, repeat = layer["qkv"]
    assert isinstance(qkv, MatMul) and (qkv.m, qkv.n, qkv.k, repeat) == (768, 768, 768, 36)
    attention, repeat = layer["attention"]
    assert isinstance(attention, Attention)
    assert (attention.seq, attention.heads, attention.dim, attention.batch, repeat) == (384, 12, 64, 2, 12)
    assert not attention.causal and attention.direction == "fwd"
    residual, _ = layer["residual1"]
    assert isinstance(residual, Elementwise)
    assert (residual.read_bytes, residual.write_bytes) == (2 * 2 * 768 * 768, 2 * 768 * 768)
    norm, _ = layer["norm2"]
    assert isinstance(norm, Reduce) and (norm.rows, norm.length, norm.function) == (768, 768, "layernorm")
    gelu, _ = layer["activation"]
    assert isinstance(gelu, Elementwise) and gelu.elements == 768 * 3072
    embedding, repeat = ops["embeddings.embedding"]
    assert isinstance(embedding, Elementwise) and (embedding.reads, embedding.writes, repeat) == (3, 1, 1)
    assert {item.op.format for item in load("bert-base:format=bf16").items} == {"bf16"}


def test_gpt2_is_causal_fused_and_normalised_before() -> None:
    workload = load("gpt2:seq=256,batch=3")
    ops = _named(workload)
    names = [name for name in ops if name.startswith("layer.")]
    assert names[0] == "layer.norm1" and "final.norm" in ops
    qkv, repeat = ops["layer.qkv"]
    assert isinstance(qkv, MatMul) and (qkv.m, qkv.n, qkv.k, repeat) == (768, 2304, 768, 12)
    attention, _ = ops["layer.attention"]
    assert isinstance(attention, Attention) and attention.causal
    head, _ = ops["head.vocabulary"]
    assert isinstance(head, MatMul) and (head.m, head.n, head.k) == (768, 50257, 768)
    assert ops["layer.activation"][0].function == "gelu_tanh"
    assert "head.vocabulary" not in _named(load("gpt2:head=0"))


def test_berts_pretraining_heads_have_their_published_size() -> None:
    """BertForPreTraining: 110,106,428 parameters for the base model."""
    workload = load("bert-base:head=1")
    assert workload.provenance["parameters"] == 110_106_428
    assert load("gpt2:head=0").provenance["parameters"] == PUBLISHED["gpt2"], "GPT-2's head is tied"


def test_vision_transformers_have_a_class_token_and_a_classifier() -> None:
    ops = _named(load("deit-small:batch=5"))
    patches, _ = ops["embeddings.patches"]
    assert isinstance(patches, Conv) and patches.out_hw == (14, 14) and (patches.c, patches.k) == (3, 384)
    attention, repeat = ops["layer.attention"]
    assert isinstance(attention, Attention) and (attention.seq, attention.heads, repeat) == (197, 6, 12)
    classes, _ = ops["head.classes"]
    assert isinstance(classes, MatMul) and (classes.m, classes.n, classes.k) == (5, 1000, 384)
    larger = load("deit-small:image=384")
    assert _named(larger)["layer.attention"][0].seq == 577
    grown = (577 - 197) * 384
    assert larger.provenance["parameters"] == PUBLISHED["deit-small"] + grown


def test_batches_scale_everything_but_the_weights() -> None:
    one, eight = load("gpt2:seq=64"), load("gpt2:seq=64,batch=8")
    assert eight.flops == 8 * one.flops
    assert eight.provenance["parameters"] == one.provenance["parameters"]


@pytest.mark.parametrize(
    ("text", "error", "rule"),
    [
        ("bert-base:seq=513", InputError, "bert-base: seq must be at most the model's 512 positions, got 513"),
        ("bert-base:seq=0", InputError, "bert-base: seq must be at least 1 tokens, got 0"),
        ("bert-base:batch=-1", InputError, "bert-base: batch must be at least 1 samples, got -1"),
        ("gpt2:batch=2147483647", InputError, r"gpt2: layer.dense_in: gemm: m\*n\*k\*batch must be below 2\^62"),
        ("gpt2:head=0,batch=200000000", InputError, r"layer.dense_in: must count below 2\^62 multiplies"),
        ("vit-base:image=0", InputError, "vit-base: image must be at least 1 pixels a side, got 0"),
        ("vit-base:image=100", InputError, "vit-base: image must be a multiple of the 16-pixel patches, got 100"),
        ("vit-base:image=1000000000", InputError, "vit-base: .* must "),
        ("bert-base:optimizer=adamm", InputError, "optimizer must be one of .* did you mean 'adam"),
        ("bert-base:training=2", InputError, "training must be 0 or 1, got '2'"),
        ("bert-base:sequence=5", UsageError, "bert-base: no field 'sequence'"),
        ("bert-bass", UsageError, "unknown workload 'bert-bass' - did you mean 'bert-base'"),
        ("deit-tiny:head=1", UsageError, "deit-tiny: no field 'head'"),
    ],
)
def test_wrong_sizes_get_one_line(text: str, error: type[Exception], rule: str) -> None:
    with pytest.raises(error, match=rule) as caught:
        load(text)
    assert str(caught.value).isprintable()
