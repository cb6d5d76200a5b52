"""Checkpoints that are complete or not there: full disks, killed writers, damaged and strange files."""

from __future__ import annotations

import errno
import json
import signal
from pathlib import Path

import pytest
import torch

from train.toy import Recorder, Source, Toy, equal, settings, weights
from unrolled.errors import RunError
from unrolled.train import POINTER, Checkpoints, Trainer
from unrolled.train import checkpoint as module


def tensors(seed: int) -> dict:
    rng = torch.Generator().manual_seed(seed)
    return {"weights": {"a": torch.randn(30, 40, generator=rng)}, "carry": {"0": torch.randn(3, generator=rng)}}


def same(run: Path, seed: int, step: int) -> bool:
    saved = Checkpoints(run).load()
    fresh = tensors(seed)
    return (
        saved.name == f"checkpoint-{step}"
        and saved.state["step"] == step
        and all(equal(dict(saved.tensors[file]), fresh[file]) for file in fresh)
    )


def no_leftovers(run: Path, *names: str) -> bool:
    return sorted(entry.name for entry in run.iterdir()) == sorted((POINTER, *names))


def test_round_trip_and_the_last_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run")
    assert checkpoints.current() is None
    assert checkpoints.load() is None
    for step in (3, 9, 12, 100):
        checkpoints.save(step, tensors(step), {"step": step})
        assert same(tmp_path / "run", step, step)
    assert no_leftovers(tmp_path / "run", "checkpoint-12", "checkpoint-100")


def test_the_checkpoint_in_force_is_never_touched(tmp_path):
    Checkpoints(tmp_path).save(4, tensors(4), {"step": 4})
    Checkpoints(tmp_path).save(4, tensors(5), {"step": 4})
    assert same(tmp_path, 4, 4)


def test_shared_and_strided_tensors_survive(tmp_path):
    base = torch.randn(6, 5)
    Checkpoints(tmp_path).save(1, {"weights": {"a": base, "b": base.T, "c": base[2:]}}, {})
    saved = Checkpoints(tmp_path).load().tensors["weights"]
    assert equal(dict(saved), {"a": base, "b": base.T, "c": base[2:]})


@pytest.mark.parametrize("failing", ["weights.safetensors", "carry.safetensors", "state.json", f".{POINTER}.partial"])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch, failing):
    Checkpoints(tmp_path).save(4, tensors(4), {"step": 4})
    plain = module._write

    def full(path: Path, content: bytes) -> None:
        if path.name == failing:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(path, content)

    monkeypatch.setattr(module, "_write", full)
    sentence = r"checkpoint-8 cannot be written \(No space left on device\) and checkpoint-4 is intact; make room"
    with pytest.raises(RunError, match=sentence) as caught:
        Checkpoints(tmp_path).save(8, tensors(8), {"step": 8})
    assert "\n" not in str(caught.value)
    assert no_leftovers(tmp_path, "checkpoint-4")
    assert same(tmp_path, 4, 4)
    monkeypatch.undo()
    Checkpoints(tmp_path).save(8, tensors(8), {"step": 8})
    assert same(tmp_path, 8, 8)


def test_training_on_a_disk_that_fills_up_ends_in_one_sentence_and_goes_on_later(tmp_path):
    whole, toy = Toy(), Toy()
    Trainer(whole, Source(), settings()).fit()

    # Files may be no longer than this, as on a disk with little room; a checkpoint of the toy needs more.
    resource = pytest.importorskip("resource", reason="this system has no limit on the size of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = lambda step: step.step == 6 and resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))  # noqa: E731
    try:
        with pytest.raises(RunError, match=r"checkpoint-10 cannot be written \(File too large\) and checkpoint-5 is"):
            Trainer(toy, Source(), settings(checkpoint_steps=5), tmp_path, [Recorder(limit)]).fit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert no_leftovers(tmp_path, "checkpoint-5")

    again = Toy(seed=4)
    assert Trainer(again, Source(), settings(), tmp_path).fit(resume=True).resumed_from == 5
    assert equal(weights(whole.module), weights(again.module))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"checkpoint-1 cannot be written \(Not a directory\) and there is no earlier"):
        Checkpoints(tmp_path / "file" / "run").save(1, tensors(1), {})


class Killed(BaseException):
    """Stands for SIGKILL: nothing is cleaned up."""


@pytest.mark.parametrize("moment", range(8))
def test_a_writer_killed_at_any_moment_confuses_nobody(tmp_path, monkeypatch, moment):
    Checkpoints(tmp_path).save(4, tensors(4), {"step": 4})
    count = 0

    def deadly(name, plain):
        def call(*arguments):
            nonlocal count
            count += 1
            if count > moment:
                raise Killed(name)
            return plain(*arguments)

        return call

    for name in ("_write", "_flush_folder"):
        monkeypatch.setattr(module, name, deadly(name, getattr(module, name)))
    monkeypatch.setattr(Path, "rename", deadly("rename", Path.rename))
    monkeypatch.setattr(Path, "replace", deadly("replace", Path.replace))
    with pytest.raises(Killed):
        Checkpoints(tmp_path).save(8, tensors(8), {"step": 8})
    monkeypatch.undo()
    assert same(tmp_path, 4, 4) or same(tmp_path, 8, 8)
    Checkpoints(tmp_path).save(8, tensors(8), {"step": 8})
    assert same(tmp_path, 8, 8)
    Checkpoints(tmp_path).save(9, tensors(9), {"step": 9})
    assert same(tmp_path, 9, 9)
    assert not list(tmp_path.glob(".checkpoint-*"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "cannot be read"),
        ("[]", "holds no object"),
        ('{"checkpoint": "../elsewhere"}', 'names no checkpoint; write {"checkpoint": "checkpoint-8"} into'),
        ('{"checkpoint": 7}', "names no checkpoint"),
        ('{"checkpoint": "checkpoint-5"}', "checkpoint-5/state.json cannot be read"),
    ],
)
def test_a_damaged_pointer(tmp_path, content, sentence):
    Checkpoints(tmp_path).save(8, tensors(8), {})
    (tmp_path / POINTER).write_text(content)
    with pytest.raises(RunError, match=sentence):
        Checkpoints(tmp_path).load()


def test_a_cut_file_names_the_checkpoint_before(tmp_path):
    for step in (4, 8):
        Checkpoints(tmp_path).save(step, tensors(step), {"step": step})
    path = tmp_path / "checkpoint-8" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    sentence = r'checkpoint-8 is damaged .* write {"checkpoint": "checkpoint-4"} into'
    with pytest.raises(RunError, match=sentence) as caught:
        Checkpoints(tmp_path).load()
    assert "\n" not in str(caught.value)
    (tmp_path / POINTER).write_text('{"checkpoint": "checkpoint-4"}')
    assert same(tmp_path, 4, 4)


def test_another_version_is_refused(tmp_path):
    Checkpoints(tmp_path).save(8, tensors(8), {})
    path = tmp_path / "checkpoint-8" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    with pytest.raises(RunError, match="version 99 and this program reads version 1; resume it with the program"):
        Checkpoints(tmp_path).load()


def interrupted_run(run: Path) -> None:
    stop = Recorder(lambda step: step.step == 7 and signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        Trainer(Toy(), Source(), settings(), run, [stop]).fit()


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("weights", r"weight output.bias is missing in the checkpoint and \(7,\) in the network; resume with the"),
        ("carry", r"checkpoint-7 does not fit this run .*; start the run again in another folder"),
        ("optimiser", "checkpoint-7 does not fit this run"),
        ("random", "checkpoint-7 does not fit this run"),
    ],
)
def test_a_file_of_another_network_is_refused(tmp_path, file, sentence):
    import safetensors.torch

    interrupted_run(tmp_path)
    path = tmp_path / "checkpoint-7" / f"{file}.safetensors"
    named = safetensors.torch.load_file(path)
    changed = {"unknown/x": torch.rand(2)} if file == "optimiser" else dict(sorted(named.items())[1:])
    if file == "weights":
        changed = {name: tensor for name, tensor in named.items() if name != "output.bias"}
    path.write_bytes(safetensors.torch.save(changed))
    with pytest.raises(RunError, match=sentence):
        Trainer(Toy(), Source(), settings(), tmp_path).fit(resume=True)


def test_a_position_that_is_not_one_is_refused(tmp_path):
    interrupted_run(tmp_path)
    path = tmp_path / "checkpoint-7" / "state.json"
    path.write_text(path.read_text().replace('"stale"', '"stall"'))
    with pytest.raises(RunError, match="does not describe a training"):
        Trainer(Toy(), Source(), settings(), tmp_path).fit(resume=True)
