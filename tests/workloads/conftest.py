"""A small BERT with random weights, written as Hugging Face saves one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

WORDS = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "loom", "weav", "##er", "##es", "##s", "cloth", "of"),
    *("silicon", "thread", "warp", "weft", "and", ".", ",", "a", "b", "c", "##b", "##c", "new", "line"),
)
CONFIG = {
    "model_type": "bert", "hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 20,
    "vocab_size": len(WORDS), "max_position_embeddings": 16, "type_vocab_size": 2, "hidden_act": "gelu",
    "layer_norm_eps": 1e-5, "architectures": ["BertModel"],
}  # fmt: skip
TEXT = "The weaver weaves cloth of silicon, and the loom weaves the thread. A new line of the loom: warp and weft. "
TOKENIZER = {
    "version": "1.0", "truncation": {"max_length": 4}, "padding": {"length": 9}, "post_processor": None,
    "added_tokens": [{"id": 2, "content": "[CLS]"}],
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "strip_accents": None, "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {word: n for n, word in enumerate(WORDS)}},
}  # fmt: skip


class TinyBert:
    """A checkpoint of 3 layers and 27 words; ``changed`` are other keys of ``config.json``."""

    words = WORDS
    config: ClassVar[dict[str, Any]] = CONFIG
    tokenizer: ClassVar[dict[str, Any]] = TOKENIZER
    text = TEXT

    def tensors(self, seed: int = 0, **changed: Any) -> dict[str, np.ndarray]:
        """Random weights of all that the encoder has, by the names of the format."""
        config = self.config | changed
        rng = np.random.default_rng(seed)
        width, inner = config["hidden_size"], config["intermediate_size"]

        def of(*shape: int) -> np.ndarray:
            return (rng.standard_normal(shape) * 1.5 / np.sqrt(shape[-1])).astype(np.float32)

        def norm(name: str) -> dict[str, np.ndarray]:
            return {f"{name}.weight": 1 + 0.1 * of(width), f"{name}.bias": 0.1 * of(width)}

        out = {
            "embeddings.word_embeddings.weight": of(config["vocab_size"], width),
            "embeddings.position_embeddings.weight": of(config["max_position_embeddings"], width),
            "embeddings.token_type_embeddings.weight": of(config["type_vocab_size"], width),
            **norm("embeddings.LayerNorm"),
        }
        for number in range(config["num_hidden_layers"]):
            at = f"encoder.layer.{number}"
            dense = {f"attention.self.{name}": (width, width) for name in ("query", "key", "value")}
            dense |= {"attention.output.dense": (width, width), "intermediate.dense": (inner, width)}
            dense |= {"output.dense": (width, inner)}
            for name, shape in dense.items():
                out |= {f"{at}.{name}.weight": of(*shape), f"{at}.{name}.bias": of(shape[0])}
            out |= norm(f"{at}.attention.output.LayerNorm") | norm(f"{at}.output.LayerNorm")
        return out

    def write(
        self,
        folder: Path,
        weights: dict[str, np.ndarray] | None = None,
        *,
        tokenizer: str = "vocab.txt",
        **changed: Any,
    ) -> Path:
        """The checkpoint's folder, with keys of ``config.json`` changed and a tokenizer of either kind."""
        from safetensors.numpy import save_file

        config = self.config | changed
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        save_file(self.tensors(**changed) if weights is None else weights, str(folder / "model.safetensors"))
        if tokenizer == "vocab.txt":
            (folder / tokenizer).write_text("\n".join(self.words) + "\n")
        else:
            (folder / "tokenizer.json").write_text(json.dumps(self.tokenizer))
        return folder


@pytest.fixture(scope="session")
def tiny_bert() -> TinyBert:
    """Needs siloom[minilm] to be written and read."""
    pytest.importorskip("safetensors", reason="needs siloom[minilm]")
    pytest.importorskip("tokenizers", reason="needs siloom[minilm]")
    return TinyBert()
