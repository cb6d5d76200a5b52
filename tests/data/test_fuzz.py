"""A little of what `make fuzz` searches for in minutes, and every fault that it has found."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from fuzzing import TARGETS, check
from fuzzing.edits import damaged
from unrolled.cell import Program, trace
from unrolled.cells import LSTM
from unrolled.errors import CellError, RunError
from unrolled.runtime import weights
from unrolled.tasks import run

FILM = bytes.fromhex(
    "1a45dfa3a34286810142f7810142f2810442f381084282886d6174726f736b614287810442858102321254c367debf84deb0"
    "a6587373a0c08067c89a45a387454e434f44455244878793001f43b6754452bf84"
)
# (target, bytes of the file)
FOUND: list[tuple[str, bytes]] = [
    ("features", b"\x93NUMPY\x02\x00\x8a\xff\x84\xd8"),  # a header of 3.6 GB
    ("features", b"PK\x03\x04"),
    ("features", b"\x93NUMPY\x01\x00v\x00{'desc', 'fortran_order': True,\x93NUMPY\x01\x00v\x00{'descr': '<f2',"),
    ("array-member", b""),
    ("array-member", b"\x93NUMPY\x01\x00v\x00'', 'foan_order': True, 'shape': (3, 2), }" + b" " * 90),
    ("ts", b"@\n@classLabel true \n@data\nb"),
    ("packed-xz", b"\x1c" + b"\xff" * 12),  # a dictionary of 4 GB
    ("ts", b"@\n@classLabel true " + b"[" * 1400 + b"\n@data\n1,2:b"),
    ("film", FILM),
    ("ts", b"@\n@timeStamps true\n@classLabel true \n@data\nb"),
    ("sound-flac", b'fLaC\x00\x00\x00"\x10\x00\x0f\x00\x00\x03\x0f\x00\x03\x0f\x01\xf4\x00\xf0' + b"\x00" * 18),
    (
        "picture-png",
        (
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x0e\x00\x00\x00\t\x08\x00\x00\x00\x00'&B\xb5"
            b'\xe1\x00\x00\x92IDATx\xc5"'
        ),
    ),
]


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if not target.slow])
def test_damaged_files_are_read_or_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    path = target.place(tmp_path)

    @hypothesis.settings(max_examples=15, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(damaged(target.seeds()))
    def holds(data: bytes) -> None:
        path.write_bytes(target.wrap(data))
        check(target.read, path)

    holds()


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if not target.slow])
def test_one_whole_file_at_least_is_read(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    path = target.place(tmp_path)
    said = set()
    for data in target.seeds():
        path.write_bytes(target.wrap(data))
        said.add(check(target.read, path))
    assert "read" in said


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_stays_mended(name: str, data: bytes, tmp_path: Path) -> None:
    path = TARGETS[name].place(tmp_path)
    path.write_bytes(TARGETS[name].wrap(data))
    assert str(path) in check(TARGETS[name].read, path)


@pytest.mark.parametrize(
    ("entry", "value"),
    [("name", {"a": 1}), ("gates", [["i"]]), ("nodes", [["gate", [], ["i"], None]]), ("labels", [[{}, "i"]])],
)
def test_what_was_found_in_programs_of_runs_stays_mended(entry: str, value: object) -> None:
    data = trace(LSTM()).to_json() | {entry: value}
    with pytest.raises(CellError) as caught:
        Program.from_json(data)
    assert len(str(caught.value)) < 200


def test_what_was_found_in_weights_stays_mended(tmp_path: Path) -> None:
    header = b'{"x": {"dtype": "\\u2028", "shape": [1], "data_offsets": [0, 4]}}'
    (tmp_path / "weights.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    for read in (run.read_weights, weights.read_weights):
        with pytest.raises(RunError) as caught:
            read(tmp_path)
        assert str(caught.value).isprintable() and "is cut short or damaged" in str(caught.value)


@hypothesis.settings(max_examples=40, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(entropy=st.binary(min_size=5, max_size=20))
def test_a_damaged_run_opens_or_is_refused_in_a_sentence(entropy: bytes, tmp_path: Path) -> None:
    target = TARGETS["run-classify"]
    path = target.place(tmp_path)
    path.write_bytes(target.wrap(entropy))
    check(target.read, path)
