"""Is a checkpoint on a text cut, run and masked as it says, and does a bad one get one line?"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siloom.sim.approximation import exact_probabilities
from siloom.sim.errors import InputError, MissingPartError, SiloomError, UsageError
from siloom.workloads.bert_checkpoint import open_checkpoint
from siloom.workloads.registry import load

QUERY = "encoder.layer.1.attention.self.query.weight"


@pytest.fixture
def folder(tiny_bert, tmp_path: Path) -> Path:
    """A tiny checkpoint with a text beside its files."""
    written = tiny_bert.write(tmp_path / "tiny")
    (written / "text.txt").write_text(tiny_bert.text * 3)
    return written


def _text(folder: Path, settings: str = "") -> str:
    return f"bert:checkpoint={folder},text={folder / 'text.txt'}{settings and ','}{settings}"


def _refusal(folder: Path, settings: str = "") -> str:
    with pytest.raises(SiloomError) as caught:
        load(_text(folder, settings))
    message = str(caught.value)
    assert caught.value.exit_code == 4 and message.isprintable() and len(message) < 500
    return message


def _word_pieces(words: tuple[str, ...], text: str) -> list[int]:
    """The longest piece first, as the paper on WordPiece has it; punctuation stands alone."""
    out = []
    for mark in ".,:":
        text = text.replace(mark, f" {mark} ")
    for word in text.lower().split():
        start, found = 0, []
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in words:
                    found.append(words.index(piece))
                    break
            else:
                found = [1]
                break
            start = end
        out += found
    return out


@pytest.mark.parametrize("tokenizer", ["vocab.txt", "tokenizer.json"])
def test_text_is_cut_into_full_sequences(tiny_bert, folder: Path, tokenizer: str) -> None:
    (folder / "vocab.txt").unlink()
    tiny_bert.write(folder, tokenizer=tokenizer)
    expected = _word_pieces(tiny_bert.words, tiny_bert.text * 3)
    pieces = open_checkpoint(folder).pieces
    ids = pieces.chunks("text", tiny_bert.text * 3, 9, 4)
    assert ids.shape == (4, 9)
    assert (ids[:, 0] == 2).all() and (ids[:, -1] == 3).all()
    assert ids[:, 1:-1].ravel().tolist() == expected[: 4 * 7]
    assert pieces.chunks("text", tiny_bert.text * 3, 100, 1)[0, 1:-1].tolist() == expected[:98]
    assert pieces.chunks("text", "the loom", 9, 1).tolist() == [[2, 5, 6, 3]]


def test_long_texts_are_cut_between_words(tiny_bert, folder: Path) -> None:
    """The text is given to the library in parts; no word may come apart."""
    text = "weavers " * 30_000
    ids = open_checkpoint(folder).pieces.chunks("text", text, 60_002, 1)[0, 1:-1]
    assert len(text) > 3 << 16
    assert ids.reshape(-1, 3).tolist() == [[7, 8, 10]] * 20_000


def test_each_layer_is_one_operation_with_its_operands(folder: Path) -> None:
    workload = load(_text(folder, "seq=8,batch=2"))
    ops = [item.op for item in workload.items]
    assert [op.name for op in ops] == ["layer0", "layer1", "layer2"]
    checkpoint = open_checkpoint(folder)
    bert, _ = checkpoint.read()
    ids = checkpoint.pieces.chunks("text", (folder / "text.txt").read_text(), 8, 2)
    for op, values in zip(ops, bert.forward(ids), strict=True):
        assert (op.batch, op.heads, op.seq, op.dim, op.causal, op.format) == (2, 3, 8, 4, False, "fp16")
        assert op.kept.shape == (2, 3, 8, 8)
        operands = op.operands()
        for name in "qkv":
            assert np.array_equal(getattr(operands, name), getattr(values, name))
    (one,) = load(_text(folder, "seq=8,batch=2,layer=1,format=int8")).items
    assert (one.op.name, one.op.format) == ("layer1", "int8")
    assert np.array_equal(one.op.q, ops[1].q)
    assert workload.content_hash == load(_text(folder, "seq=8,batch=2")).content_hash


def test_sizes_default_to_the_models_and_the_texts_own(folder: Path) -> None:
    assert load(_text(folder)).items[0].op.seq == 16, "the model's positions"
    (folder / "text.txt").write_text("\ufeffThe loom weaves.", encoding="utf-8")
    workload = load(_text(folder))
    assert workload.items[0].op.seq == 7, "[CLS] the loom weav ##es . [SEP]"
    assert workload.provenance["tokens"] == 7
    assert load(_text(folder, "seq=4")).items[0].op.seq == 4


def test_a_threshold_gives_the_mask_of_exact_probabilities(folder: Path) -> None:
    for item in load(_text(folder, "seq=12,batch=2,threshold=0.1")).items:
        op = item.op
        assert op.kept.shape == (2, 3, 12, 12) and op.kept.dtype == bool
        for head in np.ndindex(2, 3):
            scores = op.q[head].astype(np.float64) @ op.k[head].T.astype(np.float64) / 2.0
            exact = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            clear = np.abs(exact - 0.1) > 1e-6
            assert np.array_equal(op.kept[head][clear], (exact > 0.1)[clear])
            assert np.array_equal(op.kept[head], exact_probabilities(op.q[head], op.k[head]) > np.float32(0.1))
        assert 0 < op.kept.mean() < 1


def test_provenance_names_files_sizes_and_the_weights_hash(folder: Path) -> None:
    workload = load(_text(folder, "seq=8,batch=2"))
    said = dict(workload.provenance)
    assert workload.name == "bert:checkpoint=tiny,text=text.txt,seq=8,batch=2"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert said["weights_sha256"] == digest
    assert (said["checkpoint"], said["weights"], said["text"]) == ("tiny", "model.safetensors", "text.txt")
    assert (said["tokens"], said["seq"], said["batch"]) == (16, 8, 2)
    assert said["notes"][0].startswith("attention alone")
    assert str(folder.parent) not in json.dumps(said)


def test_a_list_of_operations_reads_from_its_own_folder(folder: Path) -> None:
    lines = '[[operation]]\nkind = "bert"\ncheckpoint = "tiny"\ntext = "tiny/text.txt"\nseq = 8\n'
    (folder.parent / "list.toml").write_text(lines)
    assert [item.op.name for item in load(folder.parent / "list.toml").items] == ["layer0", "layer1", "layer2"]


def test_prefixes_and_half_precision_are_taken(tiny_bert, folder: Path) -> None:
    """Weights that 8 bits of fraction hold are the same numbers in every format."""
    rounded = {
        name: (value.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        for name, value in tiny_bert.tensors().items()
    }
    rounded = {name: np.where(np.abs(value) < 1e-3, 0, value) for name, value in rounded.items()}
    tiny_bert.write(folder, rounded)
    expected = load(_text(folder)).content_hash
    prefixed = {f"bert.{name}": value for name, value in rounded.items()}
    tiny_bert.write(folder, prefixed | {"cls.predictions.bias": np.zeros(27, np.float32)})
    assert load(_text(folder)).content_hash == expected
    tiny_bert.write(folder, {name: value.astype(np.float16) for name, value in rounded.items()})
    assert load(_text(folder)).content_hash == expected
    _write_bfloat16(folder / "model.safetensors", rounded)
    assert load(_text(folder)).content_hash == expected


def _write_bfloat16(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """By the format's description: 8 bytes of length, JSON, data. numpy has no such type."""
    header, data = {}, b""
    for name, value in tensors.items():
        upper = (value.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": value.shape, "data_offsets": [len(data), len(data) + len(upper)]}
        data += upper
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def _changed(name: str, value: Any) -> Any:
    def change(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return tensors | {name: value(tensors[name])}

    return change


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (_changed(QUERY, lambda t: t[:, :-1]), f"{QUERY} must be 12 x 12, as in config.json, got 12 x 11"),
        (_changed(QUERY, np.ravel), f"{QUERY} must be 12 x 12, as in config.json, got 144"),
        (_changed(QUERY, lambda t: t.astype(np.float64)), f"{QUERY} must hold F32, F16 or BF16 numbers, got F64"),
        (_changed(QUERY, lambda t: t.astype(np.int8)), f"{QUERY} must hold F32, F16 or BF16 numbers, got I8"),
        (_changed(QUERY, lambda t: np.where(t == t[3, 4], np.nan, t)), f"{QUERY}[3, 4] must be finite, got nan"),
        (_changed(QUERY, lambda t: t * np.inf), f"{QUERY}[0, 0] must be finite, got"),
        (
            _changed(QUERY, lambda t: t * np.float32(1e38)),
            "layer 1: its values must be finite in float32, but overflow",
        ),
        (
            _changed("embeddings.LayerNorm.weight", lambda t: t * np.float32(1e38)),
            "layer 0: its values must be finite in float32, but overflow",
        ),
        (
            _changed("embeddings.word_embeddings.weight", lambda t: t[:-1]),
            "embeddings.word_embeddings.weight must be 27 x 12, as in config.json, got 26 x 12",
        ),
        (
            lambda tensors: {name: t for name, t in tensors.items() if name != QUERY},
            f"has no tensor '{QUERY}' of 12 x 12",
        ),
        (
            lambda tensors: {name.replace("LayerNorm.weight", "LayerNorm.gamma"): t for name, t in tensors.items()},
            "has no tensor 'embeddings.LayerNorm.weight' of 12",
        ),
        (lambda tensors: {"x": tensors[QUERY]}, "has no tensor 'bert.embeddings.word_embeddings.weight' of 27 x 12"),
    ],
)
def test_weights_that_are_not_the_configurations_are_refused(tiny_bert, folder: Path, change: Any, rule: str) -> None:
    with np.errstate(invalid="ignore", over="ignore"):
        tiny_bert.write(folder, {name: np.ascontiguousarray(t) for name, t in change(tiny_bert.tensors()).items()})
    assert rule in _refusal(folder)


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda whole: whole[:-4], "is not a sound .safetensors file"),
        (lambda whole: whole + b"more", "is not a sound .safetensors file"),
        (lambda whole: whole[:20], "is not a sound .safetensors file"),
        (lambda whole: whole[:5], "is not a sound .safetensors file"),
        (lambda whole: b"", "is empty"),
        (lambda whole: struct.pack("<Q", 2**63) + whole[8:], "header must be at most 4194304 bytes"),
        (lambda whole: struct.pack("<Q", 10_000) + b"[" * 10_000, "is not a sound .safetensors file"),
        (lambda whole: whole.replace(b"[12,12]", b"[12,99]"), "is not a sound .safetensors file"),
        (lambda whole: whole.replace(b'"F32"', b'"F99"'), "is not a sound .safetensors file"),
        (lambda whole: whole.replace(b'"F32"', b"\xff\xfe\xfd\xfc\xfb"), "is not a sound .safetensors file"),
    ],
)
def test_damaged_weights_get_one_clear_line(folder: Path, damage: Any, rule: str) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    message = _refusal(folder)
    assert message.startswith(f"{path}: ") and rule in message


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"hidden_size": 24}, "must be 27 x 24, as in config.json, got 27 x 12"),
        ({"num_hidden_layers": 4}, "has no tensor 'encoder.layer.3.attention.self.query.weight'"),
        ({"num_hidden_layers": 100_000}, "has no tensor 'encoder.layer.3.attention.self.query.weight'"),
        ({"num_attention_heads": 5}, "heads must divide the hidden size, got 5 for 12"),
        ({"vocab_size": 26}, "must number its tokens below config.json's vocab_size 26, got 26"),
        ({"vocab_size": 30}, "embeddings.word_embeddings.weight must be 30 x 12"),
        ({"vocab_size": 2**31 - 1}, "its weights would take"),
        ({"layer_norm_eps": -1.0}, "layer_norm_eps: Input should be greater than 0"),
        ({"layer_norm_eps": "1e-5"}, "layer_norm_eps: Input should be a valid number"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type: Input should be 'absolute'"),
        ({"model_type": "roberta"}, "model_type must be bert, whose forward pass is known, got roberta"),
        ({"model_type": "distilbert"}, "model_type must be a family that is known, got 'distilbert'"),
    ],
)
def test_configurations_that_are_not_the_weights_are_refused(
    tiny_bert, folder: Path, changed: dict[str, Any], rule: str
) -> None:
    (folder / "config.json").write_text(json.dumps(tiny_bert.config | changed))
    assert rule in _refusal(folder)


def test_a_larger_vocabulary_of_the_model_is_noted(tiny_bert, folder: Path) -> None:
    tiny_bert.write(folder, vocab_size=32)
    assert "the tokenizer has 27 of the model's 32 words" in load(_text(folder)).provenance["notes"]


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("vocab.txt", b"the\nloom\n", "is not a BERT's vocabulary"),
        ("vocab.txt", b"\xff\xfe\n[UNK]\n", "is not a BERT's vocabulary"),
        ("vocab.txt", b"[CLS]\n[SEP]\nthe\n", "into tokens (WordPiece error: Missing [UNK] token"),
        ("vocab.txt", b"", "is empty"),
        ("tokenizer.json", b"{", "is not JSON"),
        ("tokenizer.json", b"{}", "model must be a WordPiece, as BERT's is, got None"),
        ("tokenizer.json", {"model": {"type": "BPE"}}, "model must be a WordPiece, as BERT's is, got 'BPE'"),
        ("tokenizer.json", {"normalizer": {"type": "Lowercase"}}, "normalizer must be a BertNormalizer"),
        ("tokenizer.json", {"pre_tokenizer": None}, "pre_tokenizer must be a BertPreTokenizer"),
        ("tokenizer.json", {"model": {"type": "WordPiece", "vocab": {"a": -1}}}, "a whole number from 0"),
        ("tokenizer.json", {"model": {"type": "WordPiece", "vocab": {"a": True}}}, "a whole number from 0"),
        ("tokenizer.json", {"model": {"type": "WordPiece", "vocab": ["a"]}}, "a whole number from 0"),
        ("tokenizer.json", {"model": {"type": "WordPiece", "vocab": {"a": 2**40}}}, "a whole number from 0"),
        ("tokenizer.json", {"model": {"type": "WordPiece", "vocab": {"[CLS]": 2}}}, "is not a BERT's vocabulary"),
        (
            "tokenizer.json",
            {"added_tokens": [{"content": "new"}, {"content": "x"}]},
            "must be words of the vocabulary, got 'x'",
        ),
        ("tokenizer.json", {"added_tokens": 5}, "must be words of the vocabulary, got 5"),
        (
            "tokenizer.json",
            {"normalizer": {"type": "BertNormalizer", "lowercase": 1}},
            "lowercase must be true or false",
        ),
        ("tokenizer_config.json", b'{"do_lower_case": "yes"}', "do_lower_case must be true or false, got 'yes'"),
        ("tokenizer_config.json", b"[]", "must hold one JSON object"),
    ],
)
def test_hostile_tokenizers_get_one_clear_line(tiny_bert, folder: Path, name: str, content: Any, rule: str) -> None:
    if isinstance(content, dict):
        content = json.dumps(tiny_bert.tokenizer | content).encode()
    (folder / name).write_bytes(content)
    assert rule in _refusal(folder)


def test_case_is_kept_where_the_checkpoint_says_so(tiny_bert, folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert open_checkpoint(folder).pieces.chunks("text", "The the", 9, 1).tolist() == [[2, 1, 5, 3]]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "text.txt: is empty"),
        (b" \n\t\n", "text.txt: must hold text, got no token"),
        (b"\xef\xbb\xbf", "text.txt: must hold text, got no token"),
        (b"the \xff loom", "text.txt: must be UTF-8 text, got byte 4 of another kind"),
        (b"a" * (4 << 20) + b"b", "text.txt: must be at most 4194304 bytes of text, got 4194305"),
    ],
)
def test_texts_that_cannot_be_read_are_refused(folder: Path, content: bytes, rule: str) -> None:
    (folder / "text.txt").write_bytes(content)
    assert rule in _refusal(folder)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ("seq=17", "config.json: seq must be at most the model's 16 positions, got 17"),
        ("seq=2", "bert: seq must be at least 3, [CLS] and [SEP] being two of them, got 2"),
        ("seq=-1", "bert: seq must be at least 0 tokens; 0: 512 or what the model has, got -1"),
        ("layer=3", "config.json: layer must be below the model's 3 layers, got 3"),
        ("layer=-2", "bert: layer must be at least -1 (-1: all), got -2"),
        ("batch=0", "bert: batch must be at least 1 sequences, got 0"),
        ("batch=99", "text.txt: batch must be at most its 6 sequences of 16 tokens, got 99"),
        ("threshold=1.5", "bert: threshold must be at most 1, got 1.5"),
        ("threshold=nan", "bert: threshold must be"),
    ],
)
def test_settings_that_do_not_fit_are_refused(folder: Path, settings: str, rule: str) -> None:
    assert rule in _refusal(folder, settings)


def test_folders_that_are_none_are_refused(folder: Path) -> None:
    for checkpoint, rule in (
        (folder / "absent", "no such folder"),
        (folder / "text.txt", "is not a folder"),
        (folder / ("x" * 300), "cannot be read: File name too long"),
        (folder.parent, "config.json: no such file"),
    ):
        with pytest.raises(InputError, match=rule):
            load(f"bert:checkpoint={checkpoint},text={folder / 'text.txt'}")
    with pytest.raises(UsageError, match="bert: checkpoint=PATH must be given"):
        load("bert:text=x")
    with pytest.raises(UsageError, match="bert: text=PATH must be given"):
        load(f"bert:checkpoint={folder.parent / 'tiny'}")
    for name, rule in (("model.safetensors", "no such file"), ("vocab.txt", "must hold tokenizer.json or vocab.txt")):
        (folder / name).unlink()
        assert rule in _refusal(folder)


def test_sizes_are_held_against_the_memory_budget(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for budget, settings, rule in (
        (50_000, "batch=5", "config.json: 5 sequences of 16 tokens would take"),
        (12_000, "seq=8", "config.json: its weights would take"),
        (30_000, "seq=8", "model.safetensors: its tensors would take"),
    ):
        monkeypatch.setenv("SILOOM_MEMORY_BYTES", str(budget))
        assert rule in _refusal(folder, settings)


@pytest.mark.parametrize("missing", ["safetensors", "tokenizers"])
def test_a_missing_library_names_the_install_line(folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingPartError, match=rf"needs {missing}: pip install 'siloom\[minilm\]'") as caught:
        load(_text(folder))
    assert caught.value.exit_code == 5
