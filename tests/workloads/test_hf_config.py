"""Hugging Face config.json files: published models by their keys, and one line for anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from siloom.sim.errors import InputError, SiloomError, UsageError
from siloom.sim.ops import Attention, MatMul
from siloom.workloads.registry import load

BERT = {
    "model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "architectures": ["BertForMaskedLM"],
}  # fmt: skip
ROBERTA = {**BERT, "model_type": "roberta", "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}
GPT2 = {
    "model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "n_ctx": 1024,
    "vocab_size": 50257, "activation_function": "gelu_new", "n_inner": None,
}  # fmt: skip
LLAMA2 = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 32000, "max_position_embeddings": 4096,
    "hidden_act": "silu", "tie_word_embeddings": False, "rope_scaling": None,
}  # fmt: skip
LLAMA3 = {
    **LLAMA2, "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
    "max_position_embeddings": 8192, "rope_theta": 500000.0,
}  # fmt: skip
LLAMA32 = {
    **LLAMA3, "hidden_size": 2048, "num_hidden_layers": 16, "intermediate_size": 8192, "head_dim": 64,
    "max_position_embeddings": 131072, "tie_word_embeddings": True,
}  # fmt: skip
VIT = {
    "model_type": "vit", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "image_size": 224, "patch_size": 16, "num_channels": 3, "qkv_bias": True,
    "id2label": {str(i): f"class {i}" for i in range(1000)},
}  # fmt: skip

# Parameters of the released checkpoints (recalled): bert-base-uncased, roberta-base, gpt2, Llama-2-7b,
# Meta-Llama-3-8B, Llama-3.2-1B, vit-base-patch16-224.
PUBLISHED = [
    (BERT, 109_482_240),
    (ROBERTA, 124_645_632),
    (GPT2, 124_439_808),
    (LLAMA2, 6_738_415_616),
    (LLAMA3, 8_030_261_248),
    (LLAMA32, 1_235_814_400),
    (VIT, 86_567_656),
]


def _write(folder: Path, document: Any) -> Path:
    path = folder / "config.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.mark.parametrize(("config", "parameters"), PUBLISHED, ids=lambda v: v["model_type"] if type(v) is dict else "")
def test_parameters_are_those_of_the_released_checkpoint(tmp_path: Path, config: Any, parameters: int) -> None:
    workload = load(_write(tmp_path, config))
    assert workload.provenance["parameters"] == parameters
    assert (workload.name, workload.provenance["file"]) == ("config.json", "config.json")
    assert str(tmp_path) not in json.dumps(workload.provenance)


def test_masked_language_heads_have_their_published_size(tmp_path: Path) -> None:
    """RobertaForMaskedLM has no pooler: 124,697,433 parameters for the base model (recalled)."""
    assert load(f"hf:config={_write(tmp_path, ROBERTA)},head=1").provenance["parameters"] == 124_697_433


@pytest.mark.parametrize(("config", "named"), [(BERT, "bert-base"), (GPT2, "gpt2"), (VIT, "vit-base")])
def test_a_config_gives_the_named_workload(tmp_path: Path, config: Any, named: str) -> None:
    """Layer for layer; only ViT differs, whose library projects q, k and v apart."""
    sizes = "training=1,batch=2" + ("" if config is VIT else ",seq=128")
    ours = load(f"{named}:{sizes}")
    theirs = load(f"hf:config={_write(tmp_path, config)},{sizes}")
    if config is VIT:
        products = [sum(i.op.multiplies * i.repeat for i in w.items) for w in (ours, theirs)]
        assert products[0] == products[1]
    else:
        assert ours.content_hash == theirs.content_hash


def test_llama_has_grouped_queries_a_gate_and_rotary_positions(tmp_path: Path) -> None:
    workload = load(f"hf:config={_write(tmp_path, LLAMA3)},seq=128,batch=2")
    ops = {item.op.name: item for item in workload.items}
    attention = ops["layer.attention"].op
    assert isinstance(attention, Attention) and attention.causal
    assert (attention.heads, attention.kv_heads, attention.dim) == (32, 8, 128)
    keys = ops["layer.key_value"]
    assert isinstance(keys.op, MatMul) and (keys.op.m, keys.op.n, keys.repeat) == (256, 1024, 64)
    assert ops["layer.dense_in"].repeat == 64 and ops["layer.dense_in"].op.n == 14336
    assert ops["layer.activation"].op.function == "silu_gate"
    assert ops["layer.rotary"].op.elements == 256 * (32 + 8) * 128
    assert ops["layer.norm1"].op.function == "rmsnorm"
    assert ops["head.vocabulary"].op.n == 128256
    # Two multiply-adds a weight and token, and the scores: nothing else multiplies.
    weights = workload.provenance["parameters"] - 128256 * 4096 - (2 * 32 + 1) * 4096
    assert sum(i.op.multiplies * i.repeat for i in workload.items if isinstance(i.op, MatMul)) == 256 * weights


def test_heads_of_their_own_width_are_taken(tmp_path: Path) -> None:
    workload = load(_write(tmp_path, {**LLAMA32, "head_dim": 128}))
    ops = {item.op.name: item.op for item in workload.items}
    assert ops["layer.attention"].dim == 128 and ops["layer.query"].n == 32 * 128
    assert ops["layer.attention_output"].k == 32 * 128


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = _write(tmp_path, "\ufeff" + json.dumps(BERT))
    assert load(path).provenance["parameters"] == 109_482_240


def test_sizes_default_to_the_models_own(tmp_path: Path) -> None:
    path = _write(tmp_path, {**BERT, "max_position_embeddings": 64})
    assert any(getattr(item.op, "seq", 0) == 64 for item in load(path).items)
    path = _write(tmp_path, LLAMA3)
    assert any(getattr(item.op, "seq", 0) == 512 for item in load(path).items)
    path = _write(tmp_path, {**VIT, "image_size": 384})
    assert any(getattr(item.op, "seq", 0) == 577 for item in load(path).items)


def test_any_json_path_and_lists_of_operations_take_one(tmp_path: Path) -> None:
    _write(tmp_path, GPT2).rename(tmp_path / "mine.JSON")
    assert load(str(tmp_path / "mine.JSON")).name == "mine.JSON"
    (tmp_path / "list.toml").write_text('[[operation]]\nkind = "hf"\nconfig = "mine.JSON"\nseq = 8\nrepeat = 3\n')
    listed = load(tmp_path / "list.toml")
    assert listed.flops == 3 * load(f"hf:config={tmp_path / 'mine.JSON'},seq=8").flops


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        ("{", "is not JSON"),
        ("", "is empty"),
        ("[1]", "must hold one JSON object, got list"),
        ("{}", "no key 'model_type'"),
        ('{"model_type": "bert", "model_type": "bert"}', "key 'model_type' is given twice"),
        ("[" * 100_000, "is not JSON that can be read: nested too deeply"),
        ('{"model_type": "gpt2", "n_embd": ' + "9" * 5000 + "}", "is not JSON: Exceeds the limit (4300 digits)"),
        ({"model_type": "bart"}, "model_type must be a family that is known, got 'bart' - did you mean 'bert'"),
        ({"model_type": "mamba"}, "model_type must be a family that is known, got 'mamba'"),
        ({"model_type": 3}, "model_type must be a family that is known, got '3'"),
        ({"model_type": "bert"}, "hidden_size: Field required"),
        ({**BERT, "hidden_size": 0}, "hidden_size: Input should be greater than or equal to 1, got 0"),
        ({**BERT, "hidden_size": -768}, "hidden_size: Input should be greater than or equal to 1, got -768"),
        ({**BERT, "hidden_size": "768"}, "hidden_size: Input should be a valid integer, got '768'"),
        ({**BERT, "hidden_size": 768.5}, "hidden_size: Input should be a valid integer"),
        ({**BERT, "hidden_size": True}, "hidden_size: Input should be a valid integer"),
        ({**BERT, "hidden_size": None}, "hidden_size: Input should be a valid integer, got None"),
        ({**BERT, "num_hidden_layers": 10**9}, "num_hidden_layers: Input should be less than or equal to 100000"),
        ({**BERT, "hidden_size": 10**30}, "hidden_size: Input should be less than or equal to 16777216"),
        ({**BERT, "num_attention_heads": 7}, "heads must divide the hidden size, got 7 for 768"),
        ({**BERT, "hidden_act": "quick"}, "hidden_act: Input should be 'gelu'"),
        ({**BERT, "position_embedding_type": "relative_key"}, "position_embedding_type: Input should be 'absolute'"),
        ({**ROBERTA, "max_position_embeddings": 1}, "max_position_embeddings: Input should be greater"),
        ({**LLAMA3, "num_key_value_heads": 5}, "key-value heads must divide heads, got 5 for 32"),
        ({**VIT, "patch_size": 15}, "image must be a multiple of the 15-pixel patches, got 224"),
        ({**VIT, "image_size": 0}, "image_size: Input should be greater than or equal to 1, got 0"),
        ({**GPT2, "n_embd": 12 * 2**20, "n_layer": 10**5}, r"must count below 2^62 multiplies"),
    ],
)
def test_hostile_files_get_one_clear_line(tmp_path: Path, document: Any, rule: str) -> None:
    with pytest.raises(InputError) as caught:
        load(_write(tmp_path, document))
    message = str(caught.value)
    assert rule in message and "config.json" in message
    assert message.isprintable() and len(message) < 700


@pytest.mark.parametrize(
    ("settings", "error", "rule"),
    [
        ("seq=513", InputError, "seq must be at most the model's 512 positions, got 513"),
        ("image=224", InputError, "image must be 0 for a text model, got 224"),
        ("head=2", InputError, "head must be one of auto, 0, 1, got '2'"),
        ("sq=5", UsageError, "hf: no field 'sq' - did you mean 'seq'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, settings: str, error: type[Exception], rule: str) -> None:
    with pytest.raises(error, match=rule):
        load(f"hf:config={_write(tmp_path, BERT)},{settings}")


def test_a_config_must_be_named_and_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="hf: config=PATH must be given"):
        load("hf")
    for text in ("absent.json", "hf:config=absent.json"):
        with pytest.raises(SiloomError, match=r"absent\.json: no such file") as caught:
            load(text)
        assert caught.value.exit_code == 4
    with pytest.raises(InputError, match="seq and head=1 are for text"):
        load(f"hf:config={_write(tmp_path, VIT)},seq=5")
