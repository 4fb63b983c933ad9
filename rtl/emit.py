"""A unit or machine as a folder of files that stands alone: its Verilog, and what checks and explains it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from siloom.rtl.bundle import bundle
from siloom.rtl.registry import Block
from siloom.rtl.verilog import verilog
from siloom.sim.errors import InputError


def make_files(block: Block, seed: int = 0) -> dict[str, str]:
    """File name, with its folder, -> text of everything that is emitted for a unit or machine of this size.

    Raises:
        MissingPartError: Amaranth or its Yosys is not installed or does not work.
    """
    component = block.make()
    return {f"{block.name}.v": verilog(component, block.name)} | bundle(block, component, seed)


def write_files(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Put files into ``folder``, made if absent; all of them or, on any failure, none of them.

    Raises:
        InputError: the folder cannot be made or written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".siloom-", dir=folder if folder.is_dir() else folder.parent))
        try:
            for name, text in files.items():
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                (draft / name).write_text(text, encoding="utf-8")
            if folder.is_dir():
                for name in files:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (draft / name).replace(folder / name)
            else:
                draft.chmod(0o755)
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from None
    return [folder / name for name in files]
