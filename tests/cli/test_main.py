from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

import unrolled.cli.main
from unrolled.cli.commands import COMMANDS
from unrolled.cli.main import build_app, main
from unrolled.errors import DataError, UsageError
from unrolled.tasks import TASKS


def run(*arguments: str, **surroundings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "unrolled", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **surroundings}, check=False)


def test_help_answers_within_half_a_second() -> None:
    # Processor time of the child, because the clock on the wall also counts what else the machine is doing.
    seconds = []
    for _ in range(3):
        before = os.times()
        done = run("--help")
        after = os.times()
        seconds.append(sum(after[2:4]) - sum(before[2:4]))
        assert done.returncode == 0
        assert all(command in done.stdout for command in COMMANDS)
    assert min(seconds) < 0.5, f"--help took {min(seconds):.2f} s"


def test_no_help_loads_anything_heavy() -> None:
    pages = [[name] for name in COMMANDS] + [["train", name] for name in TASKS]
    code = (
        "import sys; from unrolled.cli.main import main; "
        f"codes = [main([*page, '--help']) for page in {pages}]; "
        "heavy = {'torch', 'sklearn', 'pyarrow', 'tokenizers', 'matplotlib', 'tensorboard'} & set(sys.modules); "
        "sys.exit(f'{codes} {heavy}' if heavy or any(codes) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: unrolled") == len(pages)


def test_import_adds_little_to_torch() -> None:
    code = (
        "import time, torch; begin = time.process_time(); import unrolled; "
        "[getattr(unrolled, name) for name in ('Recurrent', 'scan', 'cells', 'nn', 'accelerate')]; "
        "print(time.process_time() - begin)"
    )
    seconds = [float(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(3)]
    assert min(seconds) < 0.3, f"import unrolled took {min(seconds):.2f} s"


def test_every_help_ends_with_command_lines_that_parse(capsys: pytest.CaptureFixture[str]) -> None:
    pages = [[name] for name in COMMANDS] + [[verb, name] for verb in ("train", "tune") for name in TASKS]
    for page in pages:
        assert main([*page, "--help"]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"Usage: unrolled {' '.join(page)}")
        assert "None" not in shown and "[default: ()]" not in shown
        examples = [line.strip() for line in shown.split("For example:")[1].strip().splitlines()]
        assert examples and all("unrolled " in line for line in examples), page
        for line in examples:
            words = shlex.split(line.split("| ")[-1])[1:]
            if words[-1] != "--help":
                build_app().parse_args(words, exit_on_error=False, print_error=False)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == unrolled.__version__


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], 'Unknown command "frobnicate"'),
        (["trian"], 'Did you mean "train"?'),
        (["cells", "--hiden", "3"], "Did you mean --hidden?"),
        (["predict", "runs/x", "--literl", "good"], "Unknown option: --literl. Did you mean --literal?"),
        (["complete", "runs/x", "--cuont=3"], "Did you mean --count?"),
        (["stream", "runs/x", "--frobnicate"], "Unknown option: --frobnicate."),
        (["cells", "--hidden", "many"], 'unable to convert "many" into int'),
        (["train", "language", "x.txt", "--max-time", "3x"], "'3x' is no length of time"),
        (["train", "language", "x.txt", "--units", "letter"], '"char", "byte", "word", "subword"'),
        (["train", "language"], "unrolled train language needs a file"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.startswith("unrolled: ") and captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("fault", "code", "sentence"),
    [
        (DataError("the file is empty", "x.txt"), 1, "unrolled: x.txt: the file is empty.\n"),
        (UsageError("that is not\nhow it is said."), 2, "unrolled: that is not how it is said.\n"),
        (KeyboardInterrupt(), 130, "unrolled: Interrupted.\n"),
        (OSError(28, "No space left on device", "out.csv"), 1, "unrolled: out.csv: No space left on device.\n"),
        (OSError("odd"), 1, "unrolled: odd.\n"),
    ],
)
def test_every_fault_becomes_one_sentence(
    fault: BaseException, code: int, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unrolled.cli.main, "build_app", lambda: _raising(fault))
    assert main([]) == code
    assert capsys.readouterr().err == sentence


def test_a_fault_of_our_own_is_admitted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("UNROLLED_TRACEBACK", raising=False)
    monkeypatch.setattr(unrolled.cli.main, "build_app", lambda: _raising(ZeroDivisionError("1/0")))
    assert main([]) == 1
    error = capsys.readouterr().err
    assert "a fault of unrolled itself (ZeroDivisionError: 1/0)" in error and "Traceback" not in error
    monkeypatch.setenv("UNROLLED_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        main([])


def test_a_reader_that_goes_away_is_no_fault() -> None:
    command = f"{sys.executable} -m unrolled cells | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("cell ") and done.stderr == ""


def test_a_terminal_without_the_letters_still_shows_the_equations() -> None:
    done = run("cells", "GRU", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "\\u03c3(W_r x[t]" in done.stdout


def _raising(fault: BaseException):
    def app(*_: object, **__: object) -> None:
        raise fault

    return app
