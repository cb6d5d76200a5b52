from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from unrolled import cells
from unrolled.cell import trace
from unrolled.engine.cpu import cache, compiler
from unrolled.engine.cpu.target import named, processor

KEY = "a" * 64


class Maker:
    def __init__(self, code: bytes = b"machine code") -> None:
        self.code, self.calls = code, 0

    def __call__(self) -> bytes:
        self.calls += 1
        return self.code


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "kernels"))
    cache._tell_once.cache_clear()
    return tmp_path / "kernels"


def test_made_once_and_kept_for_the_user_alone(place: Path) -> None:
    make = Maker()
    assert [cache.load_or_make(KEY, make) for _ in range(3)] == [b"machine code"] * 3
    assert make.calls == 1
    assert [p.name for p in place.iterdir()] == [KEY]
    if os.name == "posix":
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert stat.S_IMODE((place / KEY).stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")
def test_an_open_folder_is_closed(place: Path) -> None:
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    cache.load_or_make(KEY, Maker())
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "renamed", "foreign text"])
def test_a_broken_entry_is_made_anew(place: Path, damage: str) -> None:
    cache.load_or_make(KEY, Maker())
    entry = place / KEY
    whole = entry.read_bytes()
    if damage == "renamed":
        cache.load_or_make("b" * 64, Maker(b"another kernel"))
        (place / ("b" * 64)).replace(entry)
    else:
        texts = {"empty": b"", "cut": whole[:-5], "changed": b"M" + whole[1:], "foreign text": b"#!/bin/sh\n" * 9}
        entry.write_bytes(texts[damage])
    make = Maker()
    assert cache.load_or_make(KEY, make) == b"machine code"
    assert make.calls == 1
    assert entry.read_bytes() == whole


@pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")
def test_what_belongs_to_another_user_is_not_read(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache.load_or_make(KEY, Maker(b"planted"))
    real = os.fstat
    monkeypatch.setattr(os, "fstat", lambda handle: _of_another_user(real(handle)))
    assert cache._read(place / KEY) is None
    monkeypatch.undo()
    monkeypatch.setenv("UNROLLED_CACHE", str(place))
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert cache.load_or_make(KEY, Maker()) == b"machine code"
    assert "belongs to another user" in caplog.text


def _of_another_user(facts: os.stat_result) -> os.stat_result:
    changed = list(facts)
    changed[4] = facts.st_uid + 1
    return os.stat_result(changed)


def test_without_a_folder_every_process_compiles_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "file" / "kernels"))
    make = Maker()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert cache.load_or_make(KEY, make) == b"machine code"
    assert make.calls == 3
    assert caplog.text.count("compiled kernels are not kept") == 1


def test_without_a_home(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("UNROLLED_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache.load_or_make(KEY, Maker()) == b"machine code"
    assert "home directory" in caplog.text


def test_a_read_only_folder_and_a_full_disk(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert cache.load_or_make(KEY, Maker()) == b"machine code"
    assert list(place.iterdir()) == []
    monkeypatch.setattr(tempfile, "mkstemp", full)
    assert cache.load_or_make(KEY, Maker()) == b"machine code"
    assert caplog.text.count("No space left") == 1


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache.folder() == tmp_path / "kernels"
    monkeypatch.delenv("UNROLLED_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache.folder() == tmp_path / "cache" / "unrolled" / "kernels"


def test_the_key_is_all_that_the_code_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    gru, lstm = trace(cells.GRU()), trace(cells.LSTM())
    turned = replace(lstm, state=dict(reversed(lstm.state.items())))
    keys = {
        compiler._key(gru, "float32", processor(), "train"),
        compiler._key(trace(cells.GRUResetBefore()), "float32", processor(), "train"),
        compiler._key(lstm, "float32", processor(), "train"),
        compiler._key(turned, "float32", processor(), "train"),
        compiler._key(gru, "float32", processor(), "back"),
        compiler._key(gru, "float64", processor(), "train"),
        compiler._key(gru, "float32", named("sse2"), "train"),
        compiler._key(gru, "float32", named("neon"), "train"),
    }
    monkeypatch.setattr(compiler, "_SOURCES", "other sources")
    keys.add(compiler._key(gru, "float32", processor(), "train"))
    monkeypatch.setattr(compiler.llvmlite, "__version__", "0.0")
    keys.add(compiler._key(gru, "float32", processor(), "train"))
    assert len(keys) == 10
    assert compiler._key(trace(cells.GRU()), "float32", processor(), "train") in keys


# The module alone, by its file: torch would make six starts slow.
START = """
import runpy, sys, types
cache = types.SimpleNamespace(**runpy.run_path(sys.argv[1]))
cache.load_or_make("a" * 64, lambda: bytes(2_000_000) + b"end")
code = cache.load_or_make("a" * 64, lambda: sys.exit("made twice in one process"))
assert code == bytes(2_000_000) + b"end"
"""


def test_processes_that_start_together(place: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", START, cache.__file__], env={**os.environ}) for _ in range(6)]
    assert [p.wait(60) for p in running] == [0] * 6
    assert [p.name for p in place.iterdir()] == [KEY]
