"""Checkpoints on disk: tensors and JSON in a folder of their own, and one pointer file renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from unrolled.data.problems import printable, quoted
from unrolled.errors import RunError

POINTER = "checkpoint.json"
SUMS = "SHA256SUMS"
VERSION = 2
_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors of each file (without its suffix) and what else was saved.

    `remarks` says what had to be passed over to find it.
    """

    name: str
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]
    remarks: tuple[str, ...] = ()


class Checkpoints:
    """The checkpoints of one run folder; the last `keep` are kept.

    A checkpoint counts from the moment the pointer names it, so a process that is killed at any point leaves the one
    before it in force. Each has the checksums of its files, as `sha256sum -c` reads them; where the one in force is
    damaged, the one before it takes its place.
    """

    def __init__(self, run: Path, keep: int = 2) -> None:
        self.run = run
        self.keep = keep

    def current(self) -> str | None:
        """The folder that the pointer names, None before the first; raises RunError where the pointer is damaged."""
        path = self.run / POINTER
        if not path.exists():
            return None
        name = _read_json(path).get("checkpoint")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise RunError(f"{path} names no checkpoint; restore it, or remove it to start the run anew")
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
            _write(partial / SUMS, _sums(partial).encode())
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
        """The checkpoint in force, None before the first, or the newest one before it where that is damaged.

        Raises RunError where none can be used or one is of another version.
        """
        remarks: list[str] = []
        try:
            first = self.current()
        except RunError as error:
            first, remarks = None, [str(error).partition(";")[0]]
        if first is None and not remarks:
            return None
        for name in [*([] if first is None else [first]), *self._others(first)]:
            try:
                found = self._read(name)
            except _Damaged as error:
                remarks.append(str(error))
                continue
            if remarks:
                self._take_back(name)
                remarks[-1] += f"; going on from {name}, the newest that is whole"
            return replace(found, remarks=tuple(remarks))
        raise RunError(f"{'; '.join(remarks)}; no other checkpoint is whole, so start the run again in another folder")

    def _take_back(self, name: str) -> None:
        """An earlier checkpoint is in force again: what came after it is computed once more."""
        try:
            self._point(name)
        except OSError as error:
            raise RunError(
                f"{self.run / POINTER} cannot be written ({error.strerror or error}); allow writing, then go on with "
                "--resume"
            ) from error

    def _read(self, name: str) -> Checkpoint:
        folder = self.run / name
        try:
            state = json.loads((folder / "state.json").read_bytes())
            version = state.get("version") if isinstance(state, dict) else None
            # Version 1 had no checksums.
            sums = (folder / SUMS).read_text(encoding="utf-8") if version != 1 else _sums(folder)
            if sums != _sums(folder):
                raise _Damaged(f"{folder} is damaged (its checksums are other ones)")
            if version != VERSION:
                raise RunError(
                    f"{folder} has version {quoted(version)} and this program reads version {VERSION}; "
                    "resume it with the program that wrote it"
                )
            tensors = {path.stem: safetensors.torch.load_file(path) for path in sorted(folder.glob("*.safetensors"))}
        except (OSError, ValueError, SafetensorError) as error:
            raise _Damaged(f"{folder} is damaged ({printable(error)})") from error
        return Checkpoint(name, tensors, state)

    def _publish(self, partial: Path, name: str) -> None:
        final = self.run / name
        # Left by a process that was killed between its last two renames: complete, but never in force.
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        _flush_folder(self.run)
        self._point(name)

    def _point(self, name: str) -> None:
        pointer = self.run / f".{POINTER}.partial"
        try:
            _write(pointer, json.dumps({"checkpoint": name}).encode())
            pointer.replace(self.run / POINTER)
        except OSError:
            pointer.unlink(missing_ok=True)
            raise
        _flush_folder(self.run)

    def _prune(self, current: str) -> None:
        """Removes what is old, and what a run that went on from before it has left; it harms nothing if it stays."""
        for rest in self.run.glob(".checkpoint-*.partial"):
            shutil.rmtree(rest, ignore_errors=True)
        others = self._others(current)
        earlier = [name for name in others if _step(name) < _step(current)]
        for old in {*others} - {*earlier[: self.keep - 1]}:
            shutil.rmtree(self.run / old, ignore_errors=True)

    def _others(self, current: str | None) -> list[str]:
        """Checkpoint folders apart from `current`, latest step first."""
        names = [entry.name for entry in self.run.iterdir() if _NAME.fullmatch(entry.name)]
        return sorted((name for name in names if name != current), key=_step, reverse=True)


class _Damaged(Exception):
    """A checkpoint that is not what was written."""


def _step(name: str) -> int:
    return int(name.partition("-")[2])


def _sums(folder: Path) -> str:
    """A line for each file of a checkpoint but the one that holds these lines."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


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
