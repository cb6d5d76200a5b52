from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrolled.data import build_vocabulary
from unrolled.data.large import blocks, data_files, open_texts
from unrolled.data.large.building import Reading
from unrolled.data.large.rows import all_rows
from unrolled.errors import ArgumentError, DataError
from unrolled.tasks import TASKS, Common
from unrolled.tasks.events import Duplicates, Event, Split
from unrolled.tasks.training import RunResult

OWN: dict[str, dict[str, Any]] = {"classify": {}, "regress": {"text": "text", "target": ("stars", "other")}}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(90):
        words = rng.choice(["red", "green", "blue", "so,", "grey."], size=rng.integers(2, 9)).tolist()
        label = "warm" if words.count("red") else "cold"
        lines.append(f'"{" ".join(words)}",{label},g{rng.integers(12)},{rng.normal():.4f},{words.count("blue")}\n')
    path = tmp_path / "table.csv"
    path.write_text("text,label,who,stars,other\n" + "".join(lines), encoding="utf-8")
    return path


def train(task: str, path: Path, out: Path | None, events: list[Event] | None = None, **named: Any) -> RunResult:
    options = {"hidden": 5, "embedding": 4, "batch_size": 16, **OWN[task], **named.pop("options", {})}
    common = Common(**{"data": path, "out": out, "epochs": 1, "threads": 1, **named})
    notify = (lambda event: None) if events is None else events.append
    return TASKS[task].train(TASKS[task].options(**options), common, (), notify)


@pytest.mark.parametrize("task", list(OWN))
@pytest.mark.parametrize("units", ["word", "char"])
def test_from_the_cache_a_run_is_the_same_to_the_last_bit(
    table: Path, tmp_path: Path, task: str, units: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 500)
    told: list[list[str]] = []
    for name, cache in (("memory", None), ("large", tmp_path / "cache")):
        events: list[Event] = []
        group = "who" if units == "word" else None
        train(task, table, tmp_path / name, events, cache=cache, group=group, options={"units": units})
        told.append([str(event) for event in events if isinstance(event, Split | Duplicates)])
    for file in ("weights.safetensors", "vocabulary.json"):
        assert (tmp_path / "memory" / file).read_bytes() == (tmp_path / "large" / file).read_bytes()
    assert told[0] == told[1]


def test_tables_are_read_one_after_another(table: Path, tmp_path: Path) -> None:
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "shards").mkdir()
    for number in range(3):
        part = lines[0] + "".join(lines[1 + 30 * number : 31 + 30 * number])
        (tmp_path / "shards" / f"{number}.csv").write_text(part, encoding="utf-8")
    train("classify", table, tmp_path / "memory")
    train("classify", tmp_path / "shards", tmp_path / "large", cache=tmp_path / "cache")
    first, second = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("memory", "large"))
    assert first == second


def test_the_vocabulary_is_that_of_the_chosen_rows_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(["a", "b", "c", "dd", "e"], size=rng.integers(1, 6))) for _ in range(40)]
    texts[7], texts[31] = "rare one", "rarer b b b b b b b b b b b b b b b b b"
    path = tmp_path / "table.csv"
    path.write_text("text\n" + "".join(f"{text}\n" for text in texts), encoding="utf-8")
    rows = all_rows(open_texts(data_files(path), Reading("word"), tmp_path / "cache"))
    chosen = np.delete(rng.permutation(40), [3, 4])
    chosen = chosen[(chosen != 7) & (chosen != 31)]
    known = build_vocabulary("word", [texts[k] for k in chosen])
    found = rows.take(chosen).vocabulary(size=None, minimum=1)
    assert found.to_json() == known.to_json()
    ids = rows.take(chosen).under(found)
    assert [row.tolist() for row in ids] == [known.encode(texts[k]).tolist() for k in chosen]
    assert ids.lengths.tolist() == [len(row) for row in ids]


FAULTS = [
    ("classify", "a b,,g,1,1\n", "row 92: the label in column 'label' is empty"),
    ("classify", "a b,lonely,g,1,1\n", "row 92: the label 'lonely' is seen only here"),
    ("classify", ",warm,g,1,1\n", "row 92: the text in column 'text' is empty"),
    ("regress", "a b,warm,g,x,1\n", "row 92: one of stars, other is no finite number"),
]


@pytest.mark.parametrize(("task", "line", "said"), FAULTS)
def test_faults_are_said_with_their_row(table: Path, tmp_path: Path, task: str, line: str, said: str) -> None:
    with table.open("a", encoding="utf-8") as file:
        file.write(line)
    with pytest.raises(DataError, match=said):
        train(task, table, tmp_path / "run", cache=tmp_path / "cache")
    if "lonely" not in line:
        events: list[Event] = []
        train(task, table, tmp_path / "run", events, cache=tmp_path / "cache", skip_bad=True)
        assert any("90 sequences" in str(event) or "81 sequences" in str(event) for event in events)
        assert any(said.split(": ")[1] in str(event) for event in events)


def test_what_cannot_be_read_through_the_cache_is_said(table: Path, tmp_path: Path) -> None:
    for options in ({"units": "subword"}, {"read_as": "dna"}, {"text": "words"}):
        with pytest.raises(ArgumentError, match="are for tables with a column of text"):
            train("classify", table, None, cache=tmp_path / "cache", options=options)
    one = tmp_path / "one.csv"
    one.write_text("text,label\na,x\nb,x\n", encoding="utf-8")
    with pytest.raises(DataError, match="every text has the label 'x'"):
        train("classify", one, None, cache=tmp_path / "cache")
