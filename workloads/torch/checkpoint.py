"""Checkpoints: all of a run's state in one safetensors file, written whole or not at all.

Tensors are ``model/NAME``, ``optimizer/NUMBER/NAME`` and ``generator`` (torch's); everything else is one JSON text in
the file's metadata. There is no pickle, and the same state gives the same bytes. A digest of all of it is part of the
text, so that a run never goes on from numbers that changed on a disk.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from siloom.sim.errors import InputError
from siloom.workloads.torch.history import History

if TYPE_CHECKING:
    from siloom.workloads.torch.training import Training

_KEY = "siloom_checkpoint"
_DIGEST = "digest"


def save(training: Training, path: Path) -> None:
    """Write the state; a reader never sees half a file.

    Raises:
        InputError: the file cannot be written.
    """
    from safetensors.torch import save as pack

    optimizer = training.optimizer.state_dict()
    tensors = {f"model/{name}": value for name, value in training.model.state_dict().items()}
    others: dict[str, dict[str, Any]] = {}
    for number, state in optimizer["state"].items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer/{number}/{name}"] = value
            else:
                others.setdefault(str(number), {})[name] = value
    tensors["generator"] = torch.get_rng_state()
    about = {
        "identity": training.plan.identity(training.steps),
        "data": training.data.content_hash(),
        "step": training.step,
        "history": training.history.to_dict(),
        "groups": [{k: v for k, v in group.items() if k != "params"} for group in optimizer["param_groups"]],
        "state": others,
        "loss_scale": training.scale.state_dict(),
    }
    # Copies, because two names of one weight may share memory, which the format does not know.
    copies = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    about[_DIGEST] = _digest(copies, about)
    content = pack(copies, {_KEY: json.dumps(about, sort_keys=True)})
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def load(training: Training, path: Path) -> None:
    """Put the state of a file into a run that has not begun.

    Raises:
        InputError: the file is absent or no checkpoint, or is one of another run; names what differs.
    """
    tensors, about = _read(path)
    _check_same(training, about, path)
    for technique in training.plan.techniques:
        technique.restore(training.model, training.optimizer, about["step"], training.steps)
    try:
        training.model.load_state_dict(_below(tensors, "model/"))
        state: dict[int, dict[str, Any]] = {int(n): dict(values) for n, values in about["state"].items()}
        for name, value in _below(tensors, "optimizer/").items():
            number, _, key = name.partition("/")
            state.setdefault(int(number), {})[key] = value
        groups = training.optimizer.state_dict()["param_groups"]
        merged = [{**kept, "params": own["params"]} for kept, own in zip(about["groups"], groups, strict=True)]
        training.optimizer.load_state_dict({"state": state, "param_groups": merged})
        torch.set_rng_state(tensors["generator"])
        training.scale.load_state_dict(about["loss_scale"])
        training.step = about["step"]
        training.history = History.from_dict(about["history"])
    except (AttributeError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is a damaged checkpoint: {' '.join(str(error).split())[:200]}") from None


def network_of(path: Path) -> dict[str, torch.Tensor]:
    """The network's state in a checkpoint of any run.

    Raises:
        InputError: the file is absent or no checkpoint.
    """
    return _below(_read(path)[0], "model/")


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            if not isinstance(about, dict) or not isinstance(about.get("identity"), dict):
                raise KeyError(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError):
        raise InputError(f"{path}: is no checkpoint of siloom train") from None
    if about.pop(_DIGEST, None) != _digest(tensors, about):
        raise InputError(f"{path}: is a damaged checkpoint: its content is not what its digest says")
    return tensors, about


def _digest(tensors: dict[str, torch.Tensor], about: dict[str, Any]) -> str:
    """Hash of all that a checkpoint holds but this (16 hex digits)."""
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=8)
    for name, value in sorted(tensors.items()):
        digest.update(str((name, tuple(value.shape), value.dtype)).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_same(training: Training, about: dict[str, Any], path: Path) -> None:
    own = training.plan.identity(training.steps)
    kept = about["identity"]
    for field in sorted(own.keys() | kept.keys()):
        if own.get(field) != kept.get(field):
            raise InputError(f"{path}: was made with {field} {kept.get(field)}, not with {own.get(field)}")
    if about.get("data") != training.data.content_hash():
        raise InputError(f"{path}: was made from other data than are here now")
    if about["step"] > training.steps:
        raise InputError(f"{path}: was made after {about['step']} steps, more than the {training.steps} asked for")


def _below(tensors: dict[str, torch.Tensor], start: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
