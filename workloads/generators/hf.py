"""Any model of a known family, by its Hugging Face ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from siloom.sim.errors import InputError
from siloom.workloads.bounds import place
from siloom.workloads.generator import file_path, input_file, size
from siloom.workloads.model_settings import NetworkGenerator, headless, one_of
from siloom.workloads.network import Network
from siloom.workloads.transformer import ImageModel, TextModel, image_network, text_network

_DEFAULT_SEQ = 512


@dataclass(frozen=True)
class Hf(NetworkGenerator):
    """The model of ``config`` on ``batch`` sequences of ``seq`` tokens, or images of its own size.

    ``seq`` 0 stands for 512, or the model's positions where they are fewer. ``head`` ``auto`` adds the
    vocabulary head to GPT-2 and LLaMA, not to BERT and RoBERTa.
    """

    name: ClassVar[str] = "hf"
    summary: ClassVar[str] = "a config.json of BERT, RoBERTa, GPT-2, LLaMA or ViT"
    source: ClassVar[str] = "Hugging Face transformers' configuration keys"
    kinds: ClassVar[tuple[str, ...]] = ("conv", "matmul", "attention", "elementwise", "reduce")

    config: str = input_file()
    seq: int = size(0, "tokens; 0: 512 or what the model has", low=0)
    image: int = size(0, "pixels a side; 0: the model's", low=0, high=2**16)
    head: str = one_of("auto", ("auto", "0", "1"), "1: the vocabulary head on all tokens, and in training its loss")

    def network(self) -> tuple[Network, dict[str, Any]]:
        """The model at these sizes, its file and family."""
        from siloom.workloads.hf_config import read_hf_config

        path = file_path(self.name, "config", self.config)
        family, config = read_hf_config(path)
        where = place(path)
        try:
            network, about = self._sized(where, config.model())
        except InputError as error:
            message = str(error)
            raise InputError(message if message.startswith(where) else f"{where}: {message}") from None
        return network, {"file": path.name, "family": family, **about}

    def _sized(self, where: str, model: TextModel | ImageModel) -> tuple[Network, dict[str, Any]]:
        if isinstance(model, ImageModel):
            if self.seq or self.head == "1":
                raise InputError(f"seq and head=1 are for text, got seq={self.seq}, head={self.head} for images")
            return image_network(where, model, self.batch, self.image or model.image), {}
        if self.image:
            raise InputError(f"image must be 0 for a text model, got {self.image}")
        seq = self.seq or min(_DEFAULT_SEQ, model.positions)
        head = model.body.causal if self.head == "auto" else self.head == "1"
        return text_network(where, model, self.batch, seq, head=head), headless(head, self.training)
