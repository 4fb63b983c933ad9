"""Transformers of five families as networks: BERT, RoBERTa, GPT-2, LLaMA and ViT.

A :class:`Transformer` holds the numbers of a published configuration; :func:`text_network` and
:func:`image_network` make the layers of it, for as many sequences and tokens as are asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from siloom.sim.errors import InputError
from siloom.workloads.convolution import Convolution
from siloom.workloads.layers import (
    Activation,
    CrossEntropy,
    Embedding,
    Fork,
    Linear,
    Norm,
    Residual,
    Rotary,
    SelfAttention,
)
from siloom.workloads.network import Block, Layer, Network


@dataclass(frozen=True)
class Transformer:
    """What the families share. ``dim`` is elements a head, ``inner`` the width between the two dense layers.

    ``pre_norm`` normalises before attention and dense layers (and once at the end), else after
    each sum. ``fused_qkv`` projects q, k and v in one product. ``gated`` doubles the first dense layer,
    one half multiplying the activated other.
    """

    layers: int
    hidden: int
    heads: int
    inner: int
    activation: str = "gelu"
    dim: int = 0
    kv_heads: int = 0
    norm: str = "layernorm"
    pre_norm: bool = True
    causal: bool = False
    fused_qkv: bool = True
    gated: bool = False
    rotary: bool = False
    attention_bias: bool = True
    output_bias: bool = True
    dense_bias: bool = True

    def __post_init__(self) -> None:
        """Refuse heads that do not divide what they share."""
        if not self.dim and self.hidden % self.heads:
            raise InputError(f"heads must divide the hidden size, got {self.heads} for {self.hidden}")
        if self.heads % (self.kv_heads or self.heads):
            raise InputError(f"key-value heads must divide heads, got {self.kv_heads} for {self.heads}")

    @property
    def head_dim(self) -> int:
        """Elements a head."""
        return self.dim or self.hidden // self.heads


@dataclass(frozen=True)
class TextModel:
    """A transformer over tokens. ``positions`` is the longest sequence, ``position_entries`` the rows learned for it.

    ``head`` is the vocabulary head: ``tied`` to the token table, ``untied``, or ``masked`` (a dense layer,
    activation and norm before a tied, biased decoder). ``pooler`` is the dense layer on the first
    token; beside a head it stays only for ``next_sentence``, BERT's second task.
    """

    body: Transformer
    vocabulary: int
    positions: int
    position_entries: int = 0
    types: int = 0
    pooler: bool = False
    next_sentence: bool = False
    head: str = "tied"


@dataclass(frozen=True)
class ImageModel:
    """A transformer over the patches of an image and one class token, with a classifier."""

    body: Transformer
    patch: int = 16
    channels: int = 3
    classes: int = 1000
    image: int = 224


def text_network(name: str, model: TextModel, batch: int, seq: int, *, head: bool) -> Network:
    """The network on ``batch`` sequences of ``seq`` tokens; ``head`` adds vocabulary head and loss, on all tokens.

    Raises:
        InputError: a sequence longer than the model's positions.
    """
    if seq > model.positions:
        raise InputError(f"{name}: seq must be at most the model's {model.positions} positions, got {seq}")
    body, rows = model.body, batch * seq
    tables = (model.vocabulary, *(n for n in (model.position_entries, model.types) if n))
    entrance: list[Layer] = [Embedding(rows, body.hidden, tables)]
    if not body.pre_norm:
        entrance.append(Norm("norm", rows, body.hidden, body.norm))
    blocks = [Block("embeddings", tuple(entrance)), _body(body, batch, seq)]
    if body.pre_norm:
        blocks.append(Block("final", (Norm("norm", rows, body.hidden, body.norm),)))
    if model.pooler and (model.next_sentence or not head):
        pooled = (Linear("dense", batch, body.hidden, body.hidden), Activation(batch * body.hidden, "tanh"))
        blocks.append(Block("pooler", pooled))
    if head:
        blocks.append(Block("head", tuple(_text_head(model, batch, rows))))
    return Network(name, tuple(blocks))


def _text_head(model: TextModel, batch: int, rows: int) -> Iterator[Layer]:
    width = model.body.hidden
    if model.head == "masked":
        yield Linear("dense", rows, width, width)
        yield Activation(rows * width, model.body.activation)
        yield Norm("norm", rows, width)
    tied, biased = model.head != "untied", model.head == "masked"
    yield Linear("vocabulary", rows, width, model.vocabulary, bias=biased, tied=tied)
    yield CrossEntropy(rows, model.vocabulary)
    if model.next_sentence:
        yield Linear("next_sentence", batch, width, 2)
        yield CrossEntropy(batch, 2, name="next_sentence_loss")


def image_network(name: str, model: ImageModel, batch: int, image: int) -> Network:
    """The network on ``batch`` square images of ``image`` pixels a side.

    Raises:
        InputError: an image that its patches do not tile.
    """
    if image % model.patch:
        raise InputError(f"{name}: image must be a multiple of the {model.patch}-pixel patches, got {image}")
    body, seq = model.body, (image // model.patch) ** 2 + 1
    patches = Convolution(
        "patches",
        h=image,
        w=image,
        c=model.channels,
        k=body.hidden,
        r=model.patch,
        s=model.patch,
        stride=model.patch,
        bias=True,
        first=True,
        batch=batch,
    )
    positions = Embedding(batch * seq, body.hidden, (seq,), given=True, tokens=1, name="positions")
    blocks = [
        Block("embeddings", (patches, positions)),
        _body(body, batch, seq),
        Block("final", (Norm("norm", batch * seq, body.hidden, body.norm),)),
        Block("head", (Linear("classes", batch, body.hidden, model.classes), CrossEntropy(batch, model.classes))),
    ]
    return Network(name, tuple(blocks))


def _body(body: Transformer, batch: int, seq: int) -> Block:
    rows = batch * seq
    attention, dense = list(_attention(body, batch, seq)), list(_dense(body, rows))
    layers: list[Layer] = []
    for number, part in enumerate((attention, dense), start=1):
        norm = Norm(f"norm{number}", rows, body.hidden, body.norm)
        residual = Residual(rows * body.hidden, f"residual{number}")
        layers += [norm, *part, residual] if body.pre_norm else [*part, residual, norm]
    return Block("layer", tuple(layers), body.layers, recomputable=True)


def _attention(body: Transformer, batch: int, seq: int) -> Iterator[Layer]:
    rows, width = batch * seq, body.hidden
    q = body.heads * body.head_dim
    kv_heads = body.kv_heads or body.heads
    kv = kv_heads * body.head_dim
    if body.fused_qkv:
        yield Linear("qkv", rows, width, q + 2 * kv, body.attention_bias)
    elif q == kv:
        yield Fork(rows * width, 3, "qkv_fork")
        yield Linear("qkv", rows, width, q, body.attention_bias, repeat=3)
    else:
        yield Fork(rows * width, 3, "qkv_fork")
        yield Linear("query", rows, width, q, body.attention_bias)
        yield Linear("key_value", rows, width, kv, body.attention_bias, repeat=2)
    if body.rotary:
        yield Rotary(rows * (q + kv))
    yield SelfAttention(seq, body.heads, body.head_dim, batch, body.causal, kv_heads)
    yield Linear("attention_output", rows, q, width, body.output_bias)


def _dense(body: Transformer, rows: int) -> Iterator[Layer]:
    if body.gated:
        yield Fork(rows * body.hidden, 2, "dense_fork")
    yield Linear("dense_in", rows, body.hidden, body.inner, body.dense_bias, repeat=2 if body.gated else 1)
    yield Activation(rows * body.inner, body.activation, body.gated)
    yield Linear("dense_out", rows, body.inner, body.hidden, body.dense_bias)
