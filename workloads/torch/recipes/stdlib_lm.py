"""A model of the Python standard library's own source, character by character.

The files are those of the Python that runs: every ``.py`` file of the library's folder without packages of others and
without tests, sorted by path. Every twentieth file is held out whole. They change with Python's version, which
is stated together with their hash. The vocabulary is fixed: line feed, the 95 printable characters of ASCII, and one
symbol for everything else (a tab becomes four spaces, a carriage return is dropped).
"""

from __future__ import annotations

import hashlib
import platform
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from siloom.sim.design import parameter
from siloom.sim.errors import InputError
from siloom.workloads.torch.data import Data, Split
from siloom.workloads.torch.named import CHOICE
from siloom.workloads.torch.networks.transformer import Decoder
from siloom.workloads.torch.recipe import Recipe

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
OTHER = len(CHARACTERS)
VOCABULARY = OTHER + 1
_NOT_READ = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
_HELD_OUT = 20
"""One file of so many is held out."""
_TABLE = np.full(256, OTHER, np.uint8)
_TABLE[list(CHARACTERS.encode())] = np.arange(len(CHARACTERS))


@dataclass(frozen=True, kw_only=True)
class StdlibLm(Recipe):
    """A decoder; an example is ``length`` characters and, one place on, what follows each."""

    name = "stdlib-lm"
    summary = "the source of Python's standard library, by characters; a decoder"
    optimizer = "adamw:lr=0.003"
    schedule = "cosine:warmup=100,floor=0.1"
    judged = False

    steps: int = parameter(1000, unit="", source=CHOICE, status="assumed", low=1, high=10**9)
    batch: int = parameter(16, unit="examples", source=CHOICE, status="assumed", low=1, high=65536)
    length: int = parameter(128, unit="characters", source=CHOICE, status="assumed", low=2, high=8192)
    width: int = parameter(128, unit="", source=CHOICE, status="assumed", low=4, high=8192)
    layers: int = parameter(4, unit="", source=CHOICE, status="assumed", low=1, high=128)
    heads: int = parameter(4, unit="", source=CHOICE, status="assumed", low=1, high=128)
    judged_on: int = parameter(512, unit="examples", source=CHOICE, status="assumed", low=1, high=10**6)

    def __post_init__(self) -> None:
        """Refuse fields that exclude each other."""
        super().__post_init__()
        if self.width % self.heads:
            raise InputError(f"stdlib-lm: width must be a multiple of heads, {self.heads}, got {self.width}")

    def data(self) -> Data:
        """All files read; what is judged on is spread evenly over the held-out files."""
        files = library_files(Path(sysconfig.get_path("stdlib")))
        learned = [file for number, file in enumerate(files) if number % _HELD_OUT != _HELD_OUT - 1]
        held = files[_HELD_OUT - 1 :: _HELD_OUT]
        digest = hashlib.blake2b(digest_size=8)
        train, held_out = _text(learned, digest), _text(held, digest)
        judged = _examples(held_out, self.length)
        spread = np.linspace(0, len(judged) - 1, min(self.judged_on, len(judged))).astype(np.int64)
        return Data(
            _examples(train, self.length),
            Split(judged.inputs[spread], judged.targets[spread]),
            {
                "python": platform.python_version(),
                "text_hash": digest.hexdigest(),
                "files": len(learned),
                "held_out_files": len(held),
                "characters": len(train),
                "held_out_characters": len(held_out),
                "vocabulary": VOCABULARY,
                "other_share": float((train == OTHER).mean()),
            },
        )

    def step_count(self, data: Data) -> int:
        """Stated, and no epochs: there is more text than a run of minutes reads once."""
        return self.steps

    def network(self, data: Data) -> nn.Module:
        """Drawn from torch's generator."""
        return Decoder(
            VOCABULARY, self.length, width=self.width, layers=self.layers, heads=self.heads, remat=self.remat
        )


def library_files(folder: Path) -> list[Path]:
    """Every source file below ``folder`` that is the library's own and no test, sorted by its path in it.

    Raises:
        InputError: there are too few to hold one out.
    """
    found = [path for path in folder.rglob("*.py") if _NOT_READ.isdisjoint(path.relative_to(folder).parts[:-1])]
    if len(found) < _HELD_OUT:
        raise InputError(f"stdlib-lm: {folder} must hold at least {_HELD_OUT} Python files, got {len(found)}")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _text(files: Iterable[Path], digest: hashlib.blake2b) -> npt.NDArray[np.uint8]:
    """The files' characters as codes, one file behind the other."""
    parts = []
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace").expandtabs(4).replace("\r", "")
        digest.update(text.encode())
        # Latin-1 holds each character of the vocabulary in one byte; "?" would stand for all others.
        single = text.translate(_NOT_ASCII).encode("latin-1")
        parts.append(_TABLE[np.frombuffer(single, np.uint8)])
    return np.concatenate(parts)


class _Other(dict[int, int]):
    """Maps every character behind ASCII to one code that the vocabulary lacks."""

    def __missing__(self, code: int) -> int:
        return code if code < 128 else 255


_NOT_ASCII = _Other()


def _examples(text: npt.NDArray[np.uint8], length: int) -> Split:
    """The text in pieces that do not overlap; their targets lie one character on.

    Raises:
        InputError: the text is shorter than one piece.
    """
    count = (len(text) - 1) // length
    if count < 1:
        raise InputError(f"stdlib-lm: length must be below {len(text)}, the characters there are, got {length}")
    inputs = torch.from_numpy(text[: count * length].reshape(count, length))
    targets = torch.from_numpy(text[1 : count * length + 1].reshape(count, length))
    return Split(inputs, targets)
