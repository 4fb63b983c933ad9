"""A BERT's checkpoint: a folder with ``config.json``, ``model.safetensors`` and a tokenizer, as Hugging Face saves it.

Only what the encoder needs is taken: pooler, heads and stored position numbers are passed over. Names of tensors may
begin with ``bert.``, as they do in models with a head. RoBERTa and others are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siloom.sim.errors import InputError
from siloom.workloads.bert_forward import Bert, Dense, EncoderLayer, LayerNorm
from siloom.workloads.bounds import check_bytes, place
from siloom.workloads.hf_config import BertConfig, read_hf_config
from siloom.workloads.safetensors_file import Tensors, read_safetensors
from siloom.workloads.word_pieces import WordPieces, read_word_pieces

WEIGHTS = "model.safetensors"
_WORDS = "embeddings.word_embeddings.weight"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a folder holds, before its weights are read: sizes and tokenizer, which agree."""

    folder: Path
    config: BertConfig
    pieces: WordPieces

    @property
    def where(self) -> str:
        """The configuration's place, as messages name it."""
        return place(self.folder / "config.json")

    def read(self) -> tuple[Bert, dict[str, Any]]:
        """The encoder, and what to say of its file.

        Raises:
            InputError: tensors that are absent, of other shapes than the configuration's, or not finite.
        """
        path = self.folder / WEIGHTS
        check_bytes(self.where, 4 * self._least_weights, "its weights")
        tensors = read_safetensors(path)
        about: dict[str, Any] = {"weights": path.name, "weights_sha256": tensors.sha256}
        if self.pieces.size < self.config.vocab_size:
            about["notes"] = [f"the tokenizer has {self.pieces.size} of the model's {self.config.vocab_size} words"]
        return _bert(tensors, self.config), about

    @property
    def _least_weights(self) -> int:
        config = self.config
        tables = config.vocab_size + config.max_position_embeddings + config.type_vocab_size
        layer = 4 * config.hidden_size + 2 * config.intermediate_size
        return config.hidden_size * (tables + config.num_hidden_layers * layer)


def open_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint of a folder, its configuration and tokenizer read.

    Raises:
        MissingPartError: a library is not installed.
        InputError: not a folder, a file that is absent or malformed, another family, or a vocabulary
            larger than the model's.
    """
    where = place(folder)
    try:
        if not folder.is_dir():
            raise InputError(f"{where}: {'is not a folder' if folder.exists() else 'no such folder'}")
    except OSError as error:  # a name too long, a folder above that may not be entered
        raise InputError(f"{where}: cannot be read: {error.strerror}") from None
    path = folder / "config.json"
    family, config = read_hf_config(path)
    if not isinstance(config, BertConfig):
        raise InputError(f"{place(path)}: model_type must be bert, whose forward pass is known, got {family}")
    try:
        config.model()  # refuses sizes that exclude each other
    except InputError as error:
        raise InputError(f"{place(path)}: {error}") from None
    pieces = read_word_pieces(folder)
    if pieces.size > config.vocab_size:
        raise InputError(
            f"{pieces.where}: must number its tokens below config.json's vocab_size {config.vocab_size}, "
            f"got {pieces.size - 1}"
        )
    return Checkpoint(folder, config, pieces)


def _bert(tensors: Tensors, config: BertConfig) -> Bert:
    prefix = "" if _WORDS in tensors else "bert."
    width, inner, epsilon = config.hidden_size, config.intermediate_size, config.layer_norm_eps

    def dense(name: str, out: int, into: int) -> Dense:
        return Dense(tensors.take(f"{name}.weight", out, into), tensors.take(f"{name}.bias", out))

    def norm(name: str) -> LayerNorm:
        return LayerNorm(tensors.take(f"{name}.weight", width), tensors.take(f"{name}.bias", width), epsilon)

    def layer(at: str) -> EncoderLayer:
        return EncoderLayer(
            query=dense(f"{at}.attention.self.query", width, width),
            key=dense(f"{at}.attention.self.key", width, width),
            value=dense(f"{at}.attention.self.value", width, width),
            attention_output=dense(f"{at}.attention.output.dense", width, width),
            attention_norm=norm(f"{at}.attention.output.LayerNorm"),
            dense_in=dense(f"{at}.intermediate.dense", inner, width),
            dense_out=dense(f"{at}.output.dense", width, inner),
            output_norm=norm(f"{at}.output.LayerNorm"),
        )

    embeddings = f"{prefix}embeddings"
    return Bert(
        words_VH=tensors.take(prefix + _WORDS, config.vocab_size, width),
        positions_SH=tensors.take(f"{embeddings}.position_embeddings.weight", config.max_position_embeddings, width),
        type0_H=tensors.take(f"{embeddings}.token_type_embeddings.weight", config.type_vocab_size, width)[0],
        norm=norm(f"{embeddings}.LayerNorm"),
        layers=tuple(layer(f"{prefix}encoder.layer.{n}") for n in range(config.num_hidden_layers)),
        heads=config.num_attention_heads,
        activation=config.activation,
    )
