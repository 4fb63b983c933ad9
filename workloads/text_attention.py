"""Attention of a checkpoint on a text: the encoder is run, and each layer's operands become an operation.

The projections, dense products and norms around them are run to get the values and are no part of the workload;
``hf:config=...`` has them, by their sizes.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from siloom.sim.approximation import Mask, exact_probabilities
from siloom.sim.design import parameter
from siloom.sim.errors import InputError
from siloom.sim.ops import Attention, Item
from siloom.workloads.bert_checkpoint import Checkpoint, open_checkpoint
from siloom.workloads.bert_forward import Ids, LayerValues
from siloom.workloads.bounds import check_bytes, place
from siloom.workloads.generator import OperationGenerator, file_path, input_file, number_format, size
from siloom.workloads.word_pieces import read_text

_LONGEST_SEQ = 512
_NOTE = "attention alone: the layers around it were run to have its operands, and are not in the workload"


@dataclass(frozen=True)
class TextAttention(OperationGenerator):
    """The attention of each layer on ``batch`` consecutive sequences of ``seq`` tokens of a text.

    ``seq`` counts [CLS] and [SEP], between which every sequence stands; 0 stands for 512, or the model's positions
    where they are fewer, and a text shorter than that is one shorter sequence. Nothing is padded. ``layer`` -1 is
    all of them, else one, from 0. The operations carry the mask of the exact probabilities above ``threshold``, for
    machines that are given one; a row may keep nothing where it is larger than 1/seq. ``format`` is what machines
    compute in: the operands are float32, unrounded.
    """

    kinds: ClassVar[tuple[str, ...]] = ("attention",)

    text: str = input_file()
    seq: int = size(0, "tokens; 0: 512 or what the model has", low=0)
    batch: int = size(1, "sequences")
    layer: int = size(-1, "(-1: all)", low=-1)
    threshold: float = parameter(
        2e-3,
        unit="",
        low=0.0,
        high=1.0,
        source="probability that a kept score exceeds; 0: no mask; Sanger's value for SQuAD",
        status="assumed",
    )
    format: str = number_format()

    @abstractmethod
    def folder(self) -> Path:
        """The checkpoint's folder.

        Raises:
            UsageError: a setting that names it was left out.
            MissingPartError: it belongs to a package that is not installed.
        """

    def build(self) -> tuple[tuple[Item, ...], dict[str, Any]]:
        """An operation ``layer0``, ``layer1``, ... for each layer, with its operands."""
        path = file_path(self.name, "text", self.text)
        checkpoint = open_checkpoint(self.folder())
        ids = self._tokens(checkpoint, path)
        layers = self._layers(checkpoint)
        self._check_memory(checkpoint, ids, len(layers))
        bert, about = checkpoint.read()
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes of it is checked, layer by layer
            found = zip(range(layers.stop), bert.forward(ids), strict=False)
            items = tuple(Item(self._operation(checkpoint, n, values)) for n, values in found if n in layers)
        batch, seq = ids.shape
        return items, {
            "checkpoint": checkpoint.folder.resolve().name,
            **about,
            "text": path.name,
            "tokens": ids.size,
            "seq": seq,
            "batch": batch,
            "notes": [_NOTE, *about.get("notes", ())],
        }

    def _tokens(self, checkpoint: Checkpoint, path: Path) -> Ids:
        positions = checkpoint.config.max_position_embeddings
        seq = self.seq or min(_LONGEST_SEQ, positions)
        if seq > positions:
            raise InputError(f"{checkpoint.where}: seq must be at most the model's {positions} positions, got {seq}")
        if seq < 3:
            raise InputError(f"{self.name}: seq must be at least 3, [CLS] and [SEP] being two of them, got {seq}")
        return checkpoint.pieces.chunks(place(path), read_text(path), seq, self.batch)

    def _layers(self, checkpoint: Checkpoint) -> range:
        there = checkpoint.config.num_hidden_layers
        if self.layer >= there:
            raise InputError(f"{checkpoint.where}: layer must be below the model's {there} layers, got {self.layer}")
        return range(there) if self.layer < 0 else range(self.layer, self.layer + 1)

    def _check_memory(self, checkpoint: Checkpoint, ids: Ids, layers: int) -> None:
        """Activations of one layer while it is computed, and what stays of those asked for."""
        config, (batch, seq) = checkpoint.config, ids.shape
        scores = config.num_attention_heads * batch * seq * seq
        passing = 4 * batch * seq * (8 * config.hidden_size + 4 * config.intermediate_size) + 8 * scores
        staying = layers * (12 * batch * seq * config.hidden_size + (scores if self.threshold else 0))
        check_bytes(checkpoint.where, passing + staying, f"{batch} sequences of {seq} tokens")

    def _operation(self, checkpoint: Checkpoint, number: int, values: LayerValues) -> Attention:
        batch, heads, seq, dim = values.q.shape
        if not all(np.isfinite(array).all() for array in (values.q, values.k, values.v, values.hidden)):
            raise InputError(f"{checkpoint.where}: layer {number}: its values must be finite in float32, but overflow")
        return Attention(
            name=f"layer{number}",
            seq=seq,
            heads=heads,
            dim=dim,
            batch=batch,
            format=self.format,
            q=values.q,
            k=values.k,
            v=values.v,
            kept=self._kept(values) if self.threshold else None,
        )

    def _kept(self, values: LayerValues) -> Mask:
        out = np.empty((*values.q.shape[:3], values.q.shape[2]), np.bool_)
        for head in np.ndindex(*values.q.shape[:2]):
            out[head] = exact_probabilities(values.q[head], values.k[head]) > np.float32(self.threshold)
        return out
