"""Hugging Face ``config.json`` files of the families that are known, as models.

Keys are those of the library's configuration classes; the ones that shape a network must be there,
the others are passed over. A key that may be left out stands for the library's own default, and one
whose every other value would make another network is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from siloom.sim.errors import InputError, did_you_mean
from siloom.workloads import families
from siloom.workloads.bounds import place
from siloom.workloads.json_object import read_json_object
from siloom.workloads.transformer import ImageModel, TextModel

Layers = Annotated[int, Field(ge=1, le=100_000)]
Width = Annotated[int, Field(ge=1, le=2**24)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]

_Function = Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu", "silu", "swish"]
_ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "swish": "silu",
}


class _Config(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Encoder(_Config):
    """What BERT, RoBERTa and ViT call alike."""

    hidden_size: Width
    num_hidden_layers: Layers
    num_attention_heads: Width
    intermediate_size: Width
    hidden_act: _Function = "gelu"

    @property
    def shape(self) -> dict[str, Any]:
        """The arguments that the families share."""
        return {
            "layers": self.num_hidden_layers,
            "hidden": self.hidden_size,
            "heads": self.num_attention_heads,
            "inner": self.intermediate_size,
            "activation": self.activation,
        }

    @property
    def activation(self) -> str:
        """As :class:`siloom.workloads.transformer.Transformer` calls it."""
        return _ACTIVATIONS.get(self.hidden_act, self.hidden_act)


class BertConfig(_Encoder):
    """``model_type`` bert; ``layer_norm_eps`` matters where its values are computed."""

    vocab_size: Count
    max_position_embeddings: Count
    type_vocab_size: Count = 2
    layer_norm_eps: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] = 1e-12
    position_embedding_type: Literal["absolute"] = "absolute"
    is_decoder: Literal[False] = False
    tie_word_embeddings: Literal[True] = True

    def model(self) -> TextModel:
        """The network's numbers."""
        return families.bert(
            **self.shape,
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
            types=self.type_vocab_size,
        )


class RobertaConfig(_Encoder):
    """``model_type`` roberta, xlm-roberta or camembert; positions start after the padding token's number."""

    vocab_size: Count
    max_position_embeddings: Annotated[int, Field(ge=3, le=2**31 - 1)]
    type_vocab_size: Count = 2
    pad_token_id: Literal[0, 1] = 1
    position_embedding_type: Literal["absolute"] = "absolute"
    is_decoder: Literal[False] = False
    tie_word_embeddings: Literal[True] = True

    def model(self) -> TextModel:
        """The network's numbers."""
        return families.roberta(
            **self.shape,
            vocabulary=self.vocab_size,
            entries=self.max_position_embeddings,
            padding=self.pad_token_id,
            types=self.type_vocab_size,
        )


class Gpt2Config(_Config):
    """``model_type`` gpt2."""

    n_embd: Width
    n_layer: Layers
    n_head: Width
    n_positions: Count
    vocab_size: Count
    n_inner: Width | None = None
    activation_function: _Function = "gelu_new"
    add_cross_attention: Literal[False] = False
    tie_word_embeddings: Literal[True] = True

    def model(self) -> TextModel:
        """The network's numbers."""
        return families.gpt2(
            layers=self.n_layer,
            hidden=self.n_embd,
            heads=self.n_head,
            inner=self.n_inner or 0,
            vocabulary=self.vocab_size,
            positions=self.n_positions,
            activation=_ACTIVATIONS.get(self.activation_function, self.activation_function),
        )


class LlamaConfig(_Config):
    """``model_type`` llama."""

    hidden_size: Width
    num_hidden_layers: Layers
    num_attention_heads: Width
    intermediate_size: Width
    vocab_size: Count
    max_position_embeddings: Count
    num_key_value_heads: Width | None = None
    head_dim: Width | None = None
    hidden_act: _Function = "silu"
    attention_bias: bool = False
    mlp_bias: bool = False
    tie_word_embeddings: bool = False

    def model(self) -> TextModel:
        """The network's numbers."""
        return families.llama(
            layers=self.num_hidden_layers,
            hidden=self.hidden_size,
            heads=self.num_attention_heads,
            kv_heads=self.num_key_value_heads or self.num_attention_heads,
            inner=self.intermediate_size,
            vocabulary=self.vocab_size,
            positions=self.max_position_embeddings,
            dim=self.head_dim or 0,
            activation=_ACTIVATIONS.get(self.hidden_act, self.hidden_act),
            attention_bias=self.attention_bias,
            dense_bias=self.mlp_bias,
            tied=self.tie_word_embeddings,
        )


class VitConfig(_Encoder):
    """``model_type`` vit; two classes where neither ``num_labels`` nor ``id2label`` says otherwise."""

    image_size: Annotated[int, Field(ge=1, le=2**16)]
    patch_size: Annotated[int, Field(ge=1, le=2**16)]
    num_channels: Annotated[int, Field(ge=1, le=2**16)] = 3
    qkv_bias: bool = True
    num_labels: Count | None = None
    id2label: dict[str, Any] | None = None

    def model(self) -> ImageModel:
        """The network's numbers."""
        return families.vit(
            **self.shape,
            patch=self.patch_size,
            channels=self.num_channels,
            classes=self.num_labels or len(self.id2label or ()) or 2,
            image=self.image_size,
            qkv_bias=self.qkv_bias,
            fused_qkv=False,
        )


KnownConfig = BertConfig | RobertaConfig | Gpt2Config | LlamaConfig | VitConfig

FAMILIES: Mapping[str, type[KnownConfig]] = {
    "bert": BertConfig,
    "roberta": RobertaConfig,
    "xlm-roberta": RobertaConfig,
    "camembert": RobertaConfig,
    "gpt2": Gpt2Config,
    "llama": LlamaConfig,
    "vit": VitConfig,
}
"""The configuration of each ``model_type``."""


def read_hf_config(path: Path) -> tuple[str, KnownConfig]:
    """The ``model_type`` of a file and its configuration, checked.

    Raises:
        InputError: absent, not a JSON object, an unknown family, a key missing or out of its range.
    """
    where = place(path)
    document = read_json_object(path)
    family = document.get("model_type")
    if family is None:
        raise InputError(f"{where}: no key 'model_type': not a Hugging Face config.json")
    if not isinstance(family, str) or family not in FAMILIES:
        shown = place(family if isinstance(family, str) else repr(family))
        hint = did_you_mean(shown[:60], FAMILIES)
        raise InputError(f"{where}: model_type must be a family that is known, got '{shown}'{hint}")
    try:
        return family, FAMILIES[family].model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    key = ".".join(place(str(part)) for part in first["loc"])
    got = "" if first["type"] == "missing" else f", got {place(repr(first['input'])[:60])}"
    raise InputError(f"{where}: {key}: {first['msg']}{got}")
