"""Checkpoints that are complete or not there: full disks, killed writers, damaged and strange files."""

from __future__ import annotations

import errno
import json
import re
import shutil
import signal
import subprocess
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


def seal(folder: Path) -> None:
    """Checksums of the files as they are now."""
    (folder / module.SUMS).write_text(module._sums(folder))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "holds no object"),
        ('{"checkpoint": "../elsewhere"}', "names no checkpoint; going on from checkpoint-8"),
        ('{"checkpoint": 7}', "names no checkpoint"),
        ('{"checkpoint": "checkpoint-9"}', "checkpoint-9 is damaged .*No such file.*; going on from checkpoint-8"),
    ],
)
def test_a_damaged_pointer_is_set_right(tmp_path, content, words):
    Checkpoints(tmp_path).save(8, tensors(8), {"step": 8})
    (tmp_path / POINTER).write_text(content)
    (remark,) = Checkpoints(tmp_path).load().remarks
    assert re.search(words, remark)
    assert same(tmp_path, 8, 8)
    assert Checkpoints(tmp_path).load().remarks == ()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("file", ["weights.safetensors", "carry.safetensors", "state.json", "SHA256SUMS"])
def test_where_the_newest_is_damaged_the_one_before_is_used(tmp_path, file, damage):
    for step in (4, 8):
        Checkpoints(tmp_path).save(step, tensors(step), {"step": step})
    damage(tmp_path / "checkpoint-8" / file)
    (remark,) = Checkpoints(tmp_path).load().remarks
    assert re.search("checkpoint-8 is damaged .*; going on from checkpoint-4, the newest that is whole", remark)
    assert "\n" not in remark
    assert same(tmp_path, 4, 4)
    # the damaged one does not count among those that are kept
    Checkpoints(tmp_path).save(6, tensors(6), {"step": 6})
    assert no_leftovers(tmp_path, "checkpoint-4", "checkpoint-6")
    Checkpoints(tmp_path).save(8, tensors(8), {"step": 8})
    assert same(tmp_path, 8, 8)


def test_where_all_are_damaged_it_says_so(tmp_path):
    for step in (4, 8):
        Checkpoints(tmp_path).save(step, tensors(step), {"step": step})
        flip(tmp_path / f"checkpoint-{step}" / "weights.safetensors")
    with pytest.raises(
        RunError, match=r"checkpoint-8 is damaged .*; .*checkpoint-4 is damaged .*; no other checkpoint"
    ):
        Checkpoints(tmp_path).load()


def test_as_many_as_asked_for_are_kept(tmp_path):
    for step in (3, 9, 12, 100):
        Checkpoints(tmp_path, keep=3).save(step, tensors(step), {})
    assert no_leftovers(tmp_path, "checkpoint-9", "checkpoint-12", "checkpoint-100")


def test_sha256sum_reads_the_checksums(tmp_path):
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("sha256sum is not installed")
    Checkpoints(tmp_path).save(8, tensors(8), {})
    folder = tmp_path / "checkpoint-8"
    subprocess.run([tool, "-c", "--quiet", module.SUMS], cwd=folder, check=True)


def test_a_folder_that_became_read_only_while_a_damaged_one_was_passed_over(tmp_path, monkeypatch):
    for step in (4, 8):
        Checkpoints(tmp_path).save(step, tensors(step), {})
    flip(tmp_path / "checkpoint-8" / "weights.safetensors")

    def refuse(path: Path, content: bytes) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(module, "_write", refuse)
    with pytest.raises(RunError, match=r"checkpoint.json cannot be written \(Read-only file system\); allow writing"):
        Checkpoints(tmp_path).load()


def test_another_version_is_refused(tmp_path):
    Checkpoints(tmp_path).save(8, tensors(8), {})
    path = tmp_path / "checkpoint-8" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    seal(path.parent)
    with pytest.raises(RunError, match="version 99 and this program reads version 2; resume it with the program"):
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
    seal(path.parent)
    with pytest.raises(RunError, match=sentence):
        Trainer(Toy(), Source(), settings(), tmp_path).fit(resume=True)


@pytest.mark.parametrize(
    ("file", "name", "change", "sentence"),
    [
        ("optimiser", "exp_avg/output.bias", lambda t: t[1:], r"exp_avg of output.bias is \(6,\) of torch.float32"),
        ("optimiser", "step/output.bias", lambda t: t[None], r"step of output.bias is \(1,\)"),
        ("optimiser", "exp_avg_sq/output.bias", None, "averages of the optimiser are not step, exp_avg, exp_avg_sq of"),
        ("random", "cpu", lambda t: t[:9], "the random state is none of torch's"),
        ("random", "cpu", None, "it has no 'cpu'"),
        ("carry", "0", lambda t: t[:-1], "a state of .* rows does not fit batches of"),
        ("carry", "0", lambda t: t.double(), "a state of .* does not fit a network that carries"),
        ("carry", "0", lambda t: t[0, 0], "a state of .* rows does not fit batches of"),
        ("best", "output.bias", lambda t: t[1:], r"weight output.bias is \(6,\) in the checkpoint and \(7,\)"),
    ],
)
def test_numbers_of_another_form_are_refused(tmp_path, file, name, change, sentence):
    import safetensors.torch

    interrupted_run(tmp_path)
    path = tmp_path / "checkpoint-7" / f"{file}.safetensors"
    named = safetensors.torch.load_file(path)
    tensor = named.pop(name)
    if change is not None:
        named[name] = change(tensor).contiguous()
    path.write_bytes(safetensors.torch.save(named))
    seal(path.parent)
    with pytest.raises(RunError, match=sentence):
        Trainer(Toy(), Source(), settings(), tmp_path).fit(resume=True)


def strange(entry: str, value: object):
    return lambda state: state["position"].update({entry: value})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: state["position"].pop("stale") or state["position"].update(stall=0), "not describe a training"),
        (strange("step", 2.5), "does not describe a training .step is 2.5.; start the run again elsewhere"),
        (strange("index", -1), "index is -1"),
        (strange("seconds", float("nan")), "seconds is nan"),
        (strange("best_metrics", {"loss": "low"}), "best_metrics is "),
        (strange("best_step", "x"), "best_step is 'x'"),
        (strange("stopped", 3), "stopped is 3"),
        (strange("plan", [1]), "does not describe a training"),
        (lambda state: state["position"]["plan"].update(evaluate_every=0), "plan is "),
        (lambda state: state.update(position=None), "does not describe a training"),
        (lambda state: state.update(settings=0.5), "does not say how the run was started"),
        (lambda state: state["settings"].update(metric="\ud800"), r"started with metric='\\ud800' and is resumed"),
        (lambda state: state.update(version="\u2028"), r"has version '\\u2028' and this program"),
    ],
)
def test_a_position_that_is_not_one_is_refused(tmp_path, change, sentence):
    interrupted_run(tmp_path)
    path = tmp_path / "checkpoint-7" / "state.json"
    state = json.loads(path.read_text())
    change(state)
    path.write_text(json.dumps(state))
    seal(path.parent)
    with pytest.raises(RunError, match=sentence) as caught:
        Trainer(Toy(), Source(), settings(), tmp_path).fit(resume=True)
    assert str(caught.value).isprintable()
