"""What stops a training, as a user meets it: signals, disks, lost files, numbers that are not finite."""

from __future__ import annotations

import errno
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from unrolled.cli.main import main
from unrolled.train import checkpoint
from unrolled.train.learner import Learner

SMALL = ["--hidden", "8", "--embedding", "4", "--epochs", "2", "--threads", "1", "--batch-size", "8", "--quiet"]


def train(files: Path, run: Path, *more: str) -> int:
    return main(["train", "language", str(files / "story.txt"), "--out", str(run), *SMALL, *more])


def checkpoints(run: Path) -> list[int]:
    return sorted(int(path.name.partition("-")[2]) for path in run.glob("checkpoint-*"))


def at_step(monkeypatch: pytest.MonkeyPatch, number: int, happens: Callable[[], Any]) -> None:
    """Let something happen in the middle of a training step."""
    plain = Learner.step

    def step(self: Learner, batch: Any, count: int, rate: float) -> Any:
        if count == number:
            happens()
        return plain(self, batch, count, rate)

    monkeypatch.setattr(Learner, "step", step)


@pytest.fixture(scope="module")
def whole(files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Weights of a run that nothing happened to."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(files, run) == 0
    return load_file(run / "weights.safetensors")


def equal(run: Path, whole: dict[str, torch.Tensor]) -> bool:
    found = load_file(run / "weights.safetensors")
    return all(torch.equal(found[name], tensor) for name, tensor in whole.items())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_ends_with_its_code(
    files: Path, tmp_path: Path, whole: dict[str, torch.Tensor], number: int, code: int,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = tmp_path / "run"
    at_step(monkeypatch, 7, lambda: signal.raise_signal(number))
    assert train(files, run) == code
    assert capsys.readouterr().err == (
        f"unrolled: interrupted after step 8 and saved in {run}; go on with --resume --out {run}.\n"
    )
    assert checkpoints(run) == [8]
    monkeypatch.undo()
    assert main(["train", "language", "--resume", "--out", str(run), "--quiet"]) == 0
    assert equal(run, whole)


def test_checkpoints_by_steps_and_how_many_are_kept(files: Path, tmp_path: Path, capsys: Any) -> None:
    run = tmp_path / "run"
    assert train(files, run, "--checkpoint-every", "4steps", "--keep", "3") == 0
    last = json.loads((run / "config.json").read_text())["total_steps"]
    assert checkpoints(run) == sorted({last, *range(4, last, 4)})[-3:]
    capsys.readouterr()
    for wrong in ("0steps", "often", "-3m"):
        assert train(files, tmp_path / "other", f"--checkpoint-every={wrong}") == 2
        assert f"'{wrong}' says not how often to save" in capsys.readouterr().err
    assert train(files, tmp_path / "other", "--keep", "0") == 1
    assert "keep=0 would keep no checkpoint; give at least 1." in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_lost_data_file_costs_nothing(
    files: Path, tmp_path: Path, whole: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run, moved = tmp_path / "run", tmp_path / "moved.txt"
    text = tmp_path / "text.txt"
    text.write_bytes((files / "story.txt").read_bytes())
    at_step(monkeypatch, 5, lambda: signal.raise_signal(signal.SIGTERM))
    assert main(["train", "language", str(text), "--out", str(run), *SMALL]) == 143
    monkeypatch.undo()
    text.rename(moved)
    capsys.readouterr()
    assert main(["train", "language", "--resume", "--out", str(run), "--quiet"]) == 1
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"unrolled: {text}: there is no such file; ")
    assert "moved to: `unrolled train language FILE --resume --out " in complaint
    assert complaint.count("\n") == 1
    assert main(["train", "language", str(moved), "--resume", "--out", str(run), "--quiet"]) == 0
    assert equal(run, whole)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_a_disk_that_fills_up(
    files: Path, tmp_path: Path, whole: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import resource

    run, before = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)
    at_step(monkeypatch, 9, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1])))
    try:
        assert train(files, run, "--checkpoint-every", "3steps") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    complaint = capsys.readouterr().err
    assert "cannot be written (File too large)" in complaint
    assert "then go on with --resume" in complaint
    assert complaint.count("\n") == 1
    monkeypatch.undo()
    assert checkpoints(run)[-1] >= 9
    assert main(["train", "language", "--resume", "--out", str(run), "--quiet"]) == 0
    assert equal(run, whole)


def test_a_folder_that_becomes_read_only(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = checkpoint._write

    def write(path: Path, content: bytes) -> None:
        if "checkpoint-8" in str(path):
            raise OSError(errno.EROFS, "Read-only file system")
        plain(path, content)

    monkeypatch.setattr(checkpoint, "_write", write)
    run = tmp_path / "run"
    assert train(files, run, "--checkpoint-every", "4steps") == 1
    assert capsys.readouterr().err == (
        f"unrolled: {run}: checkpoint-8 cannot be written (Read-only file system) and checkpoint-4 is intact; "
        "make room or allow writing, then go on with --resume.\n"
    )


def test_a_damaged_checkpoint_is_told_and_passed_over(
    files: Path, tmp_path: Path, whole: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = tmp_path / "run"
    at_step(monkeypatch, 9, lambda: signal.raise_signal(signal.SIGTERM))
    assert train(files, run, "--checkpoint-every", "4steps") == 143
    monkeypatch.undo()
    path = run / "checkpoint-10" / "optimiser.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    capsys.readouterr()
    assert main(["train", "language", "--resume", "--out", str(run)]) == 0
    assert "checkpoint-10 is damaged (its checksums are other ones); going on from checkpoint-8" in (
        capsys.readouterr().err
    )
    assert equal(run, whole)


def test_numbers_that_are_not_finite_are_told_passed_over_and_counted(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = Learner.step
    run = tmp_path / "run"

    def step(self: Learner, batch: Any, count: int, rate: float) -> Any:
        W = self.module.recurrent.stack[0].forwards.W
        kept = W[2, 0].item()
        with torch.no_grad():
            W[2, 0] = torch.inf if count in bad else kept
            try:
                with torch.enable_grad():
                    return plain(self, batch, count, rate)
            finally:
                if count in bad:
                    W[2, 0] = kept

    monkeypatch.setattr(Learner, "step", step)
    bad: Any = (3, 5)
    assert main(["train", "language", str(files / "story.txt"), "--json", "--out", str(run), *SMALL[:-1]]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["bad_steps"] == 2
    assert "step 4 is passed over: the " in told.err
    assert "(weight recurrent.layers.0.forwards.W is not finite; 1 in a row, at most 5)" in told.err
    bad = range(4, 100)
    assert train(files, tmp_path / "other", "--bad-steps", "2") == 1
    assert "step 7: the " in (complaint := capsys.readouterr().err)
    assert "after 2 such steps in a row and the weights of step" in complaint


def test_little_memory_and_other_precisions(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for memory in ("full", "low"):
        assert train(files, tmp_path / memory, "--window", "300", "--memory", memory, "--stride", "200") == 0
    full, low = (load_file(tmp_path / name / "weights.safetensors") for name in ("full", "low"))
    for name in full:
        torch.testing.assert_close(full[name], low[name], rtol=1e-3, atol=1e-3)
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unrolled.train.precision.supported", lambda name, device: name == "float32")
        assert train(files, tmp_path / "none", "--precision", "bfloat16") == 1
    assert "precision is bfloat16, but this cpu device has no such products; give float32" in capsys.readouterr().err


def test_a_run_in_half_the_room(runs: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", str(runs / "classify"), "--to", "bfloat16", "--out", str(tmp_path / "half")]
    assert main([*words, "--json", "--data", str(files / "moods.csv")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bytes_bfloat16"] < 0.7 * found["bytes_float32"]
    assert found["float32"]["loss"] == pytest.approx(found["bfloat16"]["loss"], rel=0.05)
    assert load_file(tmp_path / "half" / "weights.safetensors")["output.weight"].dtype == torch.bfloat16
    answers = []
    for run in (runs / "classify", tmp_path / "half"):
        assert main(["predict", str(run), "--literal", "it is bad 3", "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out)["predictions"][0]["probabilities"])
    assert answers[0] == pytest.approx(answers[1], abs=0.02)
    from unrolled import runtime

    loaded = runtime.load(tmp_path / "half")
    assert loaded.task == "classify"
    assert main([*words]) == 1
    assert "is there and not empty" in capsys.readouterr().err
    assert main([*words[:-1], str(tmp_path / "more"), "--int8"]) == 2
    assert "--int8 is a form of ONNX models" in capsys.readouterr().err
