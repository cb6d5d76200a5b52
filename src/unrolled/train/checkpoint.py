"""Checkpoints on disk: tensors and JSON in a folder of their own, and one pointer file renamed into place."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from unrolled.errors import RunError

POINTER = "checkpoint.json"
VERSION = 1
_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors of each file (without its suffix) and what else was saved."""

    name: str
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run folder; the last `keep` are kept.

    A checkpoint counts from the moment the pointer names it, so a process that is killed at any point leaves the one
    before it in force.
    """

    def __init__(self, run: Path, keep: int = 2) -> None:
        self.run = run
        self.keep = keep

    def current(self) -> str | None:
        """The folder that the pointer names, None before the first; raises RunError where the pointer is damaged."""
        path = self.run / POINTER
        if not path.exists():
            return None
        content = _read_json(path)
        name = content.get("checkpoint")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise RunError(f"{path} names no checkpoint; {self._advice(None)}")
        return name

    def save(self, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
        """Writes checkpoint-STEP and points at it; where it cannot, leaves nothing of it and raises RunError."""
        before = self.current()
        name = f"checkpoint-{step}"
        if name == before:
            return  # Everything saved is a function of the step.
        partial = self.run / f".{name}.partial"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for file, named in tensors.items():
                _write(partial / f"{file}.safetensors", safetensors.torch.save(_for_disk(named)))
            _write(partial / "state.json", json.dumps({"version": VERSION, **state}, indent=1).encode())
            _flush_folder(partial)
            self._publish(partial, name)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(self.run / name, ignore_errors=True)
            kept = f"{before} is intact" if before is not None else "there is no earlier one"
            raise RunError(
                f"{self.run}: {name} cannot be written ({error.strerror or error}) and {kept}; "
                "make room or allow writing, then go on with --resume"
            ) from error
        self._prune(name)

    def load(self) -> Checkpoint | None:
        """The checkpoint in force, None before the first; raises RunError where it is damaged or of another version."""
        name = self.current()
        if name is None:
            return None
        folder = self.run / name
        state = _read_json(folder / "state.json")
        if state.get("version") != VERSION:
            raise RunError(
                f"{folder} has version {state.get('version')} and this program reads version {VERSION}; "
                "resume it with the program that wrote it"
            )
        try:
            tensors = {path.stem: safetensors.torch.load_file(path) for path in sorted(folder.glob("*.safetensors"))}
        except (OSError, SafetensorError) as error:
            raise RunError(f"{folder} is damaged ({error}); {self._advice(name)}") from error
        return Checkpoint(name, tensors, state)

    def _publish(self, partial: Path, name: str) -> None:
        final = self.run / name
        # Left by a process that was killed between its last two renames: complete, but never in force.
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        _flush_folder(self.run)
        pointer = self.run / f".{POINTER}.partial"
        try:
            _write(pointer, json.dumps({"checkpoint": name}).encode())
            pointer.replace(self.run / POINTER)
        except OSError:
            pointer.unlink(missing_ok=True)
            raise
        _flush_folder(self.run)

    def _prune(self, current: str) -> None:
        """Removes what is not in force and old; a folder that cannot be removed harms nothing."""
        for rest in self.run.glob(".checkpoint-*.partial"):
            shutil.rmtree(rest, ignore_errors=True)
        for old in self._others(current)[max(0, self.keep - 1) :]:
            shutil.rmtree(self.run / old, ignore_errors=True)

    def _others(self, current: str | None) -> list[str]:
        """Checkpoint folders apart from `current`, latest step first."""
        names = [entry.name for entry in self.run.iterdir() if _NAME.fullmatch(entry.name)]
        return sorted((name for name in names if name != current), key=lambda name: -int(name.split("-")[1]))

    def _advice(self, damaged: str | None) -> str:
        others = self._others(damaged)
        if others:
            return f'write {{"checkpoint": "{others[0]}"}} into {self.run / POINTER} to go on from the one before it'
        return "start the run again in another folder"


def _for_disk(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in memory of their own, because safetensors refuses tensors that share it."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in named.items()}


def _write(path: Path, content: bytes) -> None:
    """On the disk when it returns, so that a rename never becomes visible before what it names."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    """Names in a folder reach the disk too (Windows has no such call)."""
    if os.name == "posix":
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read ({error}); restore it or start the run again in another folder"
        ) from error
    if not isinstance(content, dict):
        raise RunError(f"{path} holds no object; restore it or start the run again in another folder")
    return content
