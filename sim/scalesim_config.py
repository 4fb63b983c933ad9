"""Configuration files of SCALE-Sim (``.cfg``), as settings of a systolic array.

::

    [architecture_presets]
    ArrayHeight: 32          rows
    ArrayWidth: 32           cols
    IfmapSramSzkB: 64        ifmap_sram_bytes, in units of 1024 bytes (IfmapSramSz in version 1)
    FilterSramSzkB: 64       filter_sram_bytes
    OfmapSramSzkB: 64        ofmap_sram_bytes
    Dataflow: os             dataflow: os, ws or is
    Bandwidth: 10            words_per_cycle: each operand's own, used where InterfaceBandwidth is USER;
                             of several SCALE-Sim takes the first, and so does this

    [run_presets]
    InterfaceBandwidth: CALC  CALC: memory never makes the array wait

Addresses, bank layouts, Ramulator traces and sparsity are not read: they do not change what a
stall-free run costs.
"""

from __future__ import annotations

import configparser
import stat
from pathlib import Path

from siloom.sim.errors import InputError

_MAX_BYTES = 1 << 20
_ARCHITECTURE = "architecture_presets"
_KILOBYTE = 1024

_SIZES = (
    ("rows", ("ArrayHeight",), 1, 2**16),
    ("cols", ("ArrayWidth",), 1, 2**16),
    ("ifmap_sram_bytes", ("IfmapSramSzkB", "IfmapSramSz"), _KILOBYTE, 2**30),
    ("filter_sram_bytes", ("FilterSramSzkB", "FilterSramSz"), _KILOBYTE, 2**30),
    ("ofmap_sram_bytes", ("OfmapSramSzkB", "OfmapSramSz"), _KILOBYTE, 2**30),
)
"""Setting, its keys, bytes or cells for each unit of the file, and the largest value taken."""


def systolic_settings(path: Path) -> dict[str, int | str]:
    """``rows``, ``cols``, ``dataflow`` and the three ``*_sram_bytes``: fields of a systolic array's design.

    Raises:
        InputError: absent, not such a file, a key missing or out of its range.
    """
    presets = _Presets(path)
    out: dict[str, int | str] = {
        setting: unit * presets.whole(_ARCHITECTURE, keys, most) for setting, keys, unit, most in _SIZES
    }
    out["dataflow"] = presets.word(_ARCHITECTURE, "Dataflow", ("os", "ws", "is"))
    return out


def words_per_cycle(path: Path) -> int | None:
    """Words a cycle of each operand's own memory port; None where memory never makes the array wait.

    Raises:
        InputError: as :func:`systolic_settings`.
    """
    presets = _Presets(path)
    if not presets.has("run_presets") or presets.word("run_presets", "InterfaceBandwidth", ("calc", "user")) == "calc":
        return None
    return presets.whole(_ARCHITECTURE, ("Bandwidth",), 2**20)


class _Presets:
    """A parsed file, asked by key; every refusal names file, section, key, rule and value."""

    def __init__(self, path: Path) -> None:
        self._where = _shown(path)
        self._parser = _parsed(path, self._where)

    def has(self, section: str) -> bool:
        return self._parser.has_section(section)

    def text(self, section: str, keys: tuple[str, ...]) -> str:
        for key in keys:
            if self._parser.has_option(section, key):
                return self._parser.get(section, key).strip()
        raise InputError(f"{self._where}: [{section}] has no key '{keys[0]}'")

    def whole(self, section: str, keys: tuple[str, ...], most: int) -> int:
        text = self.text(section, keys).partition(",")[0].strip()
        if not text.isascii() or not text.isdecimal() or len(text) > 12 or not 1 <= int(text) <= most:
            rule = f"[{section}] {keys[0]} must be a whole number from 1 to {most}"
            raise InputError(f"{self._where}: {rule}, got '{_shown(text)}'")
        return int(text)

    def word(self, section: str, key: str, words: tuple[str, ...]) -> str:
        text = self.text(section, (key,)).lower()
        if text not in words:
            rule = f"[{section}] {key} must be one of {', '.join(words)}"
            raise InputError(f"{self._where}: {rule}, got '{_shown(text)}'")
        return text


def _parsed(path: Path, where: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#", ";"))
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or not 0 < found.st_size <= _MAX_BYTES:
            raise InputError(f"{where}: must be a file of 1 to {_MAX_BYTES} bytes")
        parser.read_string(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: must be UTF-8 text, got byte {error.start} of another kind") from None
    except configparser.Error as error:
        raise InputError(f"{where}: is not a .cfg: {_shown(' '.join(str(error).split()))}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return parser


def _shown(value: Path | str) -> str:
    """One line of bounded length."""
    text = str(value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-100:]}"
