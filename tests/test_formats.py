"""The examples of docs/data.md are read by the readers as the page says."""

from __future__ import annotations

import re
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.data import read_labelled, read_lines
from unrolled.data.conll import read_conll
from unrolled.data.documents import read_documents
from unrolled.data.film import Film
from unrolled.data.film_labels import read_film_labels
from unrolled.data.genome import read_dna
from unrolled.data.histories import Layout, read_histories
from unrolled.data.images import read_captions
from unrolled.data.labelled_series import read_labelled_series
from unrolled.data.pairs import read_pairs
from unrolled.data.recordings import read_recordings
from unrolled.data.sequences import read_sequences
from unrolled.data.series import read_series
from unrolled.data.series_values import SeriesColumns
from unrolled.data.steps import read_steps
from unrolled.data.strokes import read_strokes
from unrolled.data.vectors import load_vectors

PAGE = Path(__file__).parent.parent / "docs" / "data.md"
ARRAYS = {"waves.npz", "regions.npz"}


def examples() -> dict[str, str]:
    """The text of each example by the file's name."""
    formats = PAGE.read_text(encoding="utf-8").split("\n## ")[0]
    rows = re.findall(r"^\| [a-z, ]+ \| `(\S+)` \| (.+?) \| .+ \|$", formats, re.MULTILINE)
    assert len(rows) == formats.count("\n| ") - 1
    return {
        name: re.sub(r" ?⏎ ?", "\n", text.strip("`")).replace("⇥", "\t") + "\n"
        for name, text in rows
        if name not in ARRAYS
    }


def film(path: Path) -> Film:
    """Three frames, two a second."""
    return Film(path.with_suffix(".mp4"), 2.0, 8, 13, tuple(k / 2 for k in range(3)), 6.5)


def sounds(path: Path) -> Any:
    """The clips of a table, each a moment of silence."""
    pytest.importorskip("soundfile")
    with wave.open(str(path.parent / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(4000))
    return read_recordings(path)


READ: dict[str, tuple[Callable[[Path], Any], Callable[[Any], object], object]] = {
    "story.txt": (read_documents, lambda found: found.texts, ["It was a dark and stormy night.\n"]),
    "poems.csv": (read_documents, lambda found: found.texts, ["Roses are red, violets are blue"]),
    "clicks.csv": (lambda path: read_sequences(path, "user", "page"), len, 2),
    "tunes.txt": (read_lines, lambda found: found.texts, ["c4 e4 g4 e4", "a3 c4 e4"]),
    "sentences.txt": (read_lines, lambda found: found.texts[1], "is love blind"),
    "reviews.csv": (read_labelled, lambda found: (found.texts, found.labels), (["a fine film"], ["good"])),
    "topics.csv": (lambda path: read_labelled(path, multilabel=";"), lambda found: found.labels, [("drama", "war")]),
    "calls.csv": (lambda path: read_labelled(path, "file"), lambda found: found.texts, ["owl.wav"]),
    "moves.ts": (read_labelled_series, lambda found: (found.sequences[0].shape, found.labels), ((3, 2), ["run"])),
    "waves.csv": (read_labelled_series, lambda found: [len(row) for row in found.sequences], [3, 2]),
    "steps.csv": (
        lambda path: read_labelled_series(path, SeriesColumns(sequence="id", time="t")),
        lambda found: (found.sequences[0].shape, found.labels),
        ((2, 3), ["run"]),
    ),
    "genes.csv": (read_dna, lambda found: (found.sequences, found.labels), (["ACGTTGCA"], ["exon"])),
    "genes.fasta": (read_dna, lambda found: (found.sequences, found.labels), (["ACGTTGCA"], ["exon"])),
    "machines.csv": (
        lambda path: read_series(path, "hours_left", group="machine"),
        lambda found: (found.sequences[0].shape, found.targets.tolist()),
        ((2, 1), [[7.0]]),
    ),
    "runs.csv": (lambda path: read_series(path, "target"), lambda found: found.sequences[0].shape, (3, 1)),
    "wines.csv": (lambda path: read_labelled(path, "text", "points"), lambda found: found.labels, ["88"]),
    "words.conll": (read_conll, lambda found: found.labels, [("NOUN", "VERB")] * 2),
    "treebank.conllu": (read_conll, lambda found: (found.tokens, found.labels), ([("Dogs",)], [("NOUN",)])),
    "rooms.csv": (lambda path: read_steps(path, sequence="room"), lambda found: found.labels, [("full", "empty")]),
    "game.csv": (
        lambda path: read_film_labels(path, film(path)),
        lambda found: [*found],
        5 * ["goal"] + 3 * ["none"] + 4 * ["foul"] + ["none"],
    ),
    "match.csv": (lambda path: read_film_labels(path, film(path)), lambda found: found[:3], ("run", "run", "goal")),
    "sales.csv": (
        lambda path: read_histories(path, Layout(targets=("sales",), known=("price",))),
        lambda found: (found.series[0].targets.tolist(), found.layout.time),
        ([[112.0], [118.0]], "month"),
    ),
    "shops.csv": (
        lambda path: read_histories(path, Layout(series="shop", time="day")),
        lambda found: found.series[0].targets.tolist(),
        [[3.0], [5.0]],
    ),
    "hourly.csv": (read_histories, lambda found: [len(one) for one in found.series], [3, 2]),
    "pairs.tsv": (read_pairs, lambda found: (found.sources, found.targets), (["Hola."], ["Hello."])),
    "pictures.csv": (read_captions, lambda found: found.captions, [("a red circle", "a circle")]),
    "pictures.jsonl": (read_captions, lambda found: found.captions, [("a red circle", "a circle")]),
    "clips.csv": (sounds, lambda found: (found.signal.kind, found.texts), ("sound", ["three one four"])),
    "pens.jsonl": (read_recordings, lambda found: found.samples[0].tolist(), [[0, 5, 1], [1, 3, 0], [2, 5, 0]]),
    "line.inkml": (read_strokes, lambda found: found[:, 2].tolist(), [1, 0, 0, 1, 0]),
    "a01-000u-01.xml": (read_strokes, lambda found: found.tolist(), [[0, 5, 1]]),
    "glove.txt": (lambda path: load_vectors(path, ["the"]), lambda found: found[0].shape, (1, 3)),
}


@pytest.mark.parametrize("name", READ)
def test_an_example_of_the_page_is_read_as_it_says(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(examples()[name], encoding="utf-8")
    read, view, expected = READ[name]
    assert view(read(tmp_path / name)) == expected


def test_every_example_of_the_page_is_tried() -> None:
    assert examples().keys() == READ.keys()
