"""Every reader with files to damage; a row here, and the reader is in the tests and in the search."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from fuzzing import runs, seeds
from fuzzing.edits import edit_json
from fuzzing.law import either

Make = Callable[[], list[bytes]]


@dataclass(frozen=True)
class Target:
    """A reader: valid files, what makes a file of damaged bytes (to mend checksums, say), and how it is read."""

    name: str
    suffix: str
    seeds: Make
    read: Callable[[Path], object]
    wrap: Callable[[bytes], bytes] = bytes
    slow: bool = False

    def place(self, folder: Path) -> Path:
        """Where the file lies that is read."""
        return folder / f"fuzz{self.suffix}"


def _both(reader: Callable[..., Any], *args: Any, **named: Any) -> Callable[[Path], object]:
    """Read, and read once more leaving bad rows out: a file that is good the one way is good the other way too."""

    def read(path: Path) -> object:
        from unrolled.errors import UnrolledError

        skipping = None
        try:
            skipping = reader(path, *args, skip_bad=True, **named)
        except UnrolledError as error:
            lenient = error
        found = reader(path, *args, **named)
        if skipping is None:
            raise AssertionError(f"it is read, but with skip_bad refused: {lenient}")
        if getattr(skipping, "skipped", ()):
            raise AssertionError("nothing is wrong with it, but skip_bad leaves rows out")
        return found

    return read


def _late(module: str, name: str) -> Callable[..., Any]:
    """A function that is imported when it is called, so that one target does not load the libraries of all."""

    def call(*args: Any, **named: Any) -> Any:
        from importlib import import_module

        return getattr(import_module(f"unrolled.{module}"), name)(*args, **named)

    return call


def _drained(read: Callable[..., Any]) -> Callable[[Path], object]:
    return lambda path: list(read(path))


def _lines(path: Path) -> Iterator[str]:
    return iter(path.read_text(encoding="utf-8", errors="replace").split("\n"))


def _stream_of_tokens(path: Path) -> object:
    from unrolled.data.conll import token_stream

    return list(token_stream(_lines(path), path))


def _stream_of_steps(path: Path) -> object:
    from unrolled.data.steps import step_stream

    return list(step_stream(_lines(path), ("x", "y"), "id", path, clock="when"))


def _pairs(header: bool) -> Callable[..., Any]:
    def read(path: Path, *, skip_bad: bool = False) -> Any:
        from unrolled.data.pairs import PairColumns, read_pairs, read_sources

        columns = PairColumns(header=header)
        if not skip_bad:
            either(read_sources, path, columns)
        return read_pairs(path, columns, skip_bad=skip_bad)

    return read


def _series(**columns: Any) -> Callable[..., Any]:
    def read(path: Path, *, skip_bad: bool = False) -> Any:
        from unrolled.data.labelled_series import read_labelled_series
        from unrolled.data.series_values import SeriesColumns

        return read_labelled_series(path, SeriesColumns(**columns), skip_bad=skip_bad)

    return read


def _histories(form: str, **columns: Any) -> Callable[..., Any]:
    def read(path: Path, *, skip_bad: bool = False) -> Any:
        from unrolled.data.histories import Layout, read_histories

        found = read_histories(path, Layout(**columns), form=form, skip_bad=skip_bad)
        for history in found.series:  # what a forecast asks of the times
            if found.step is not None and history.times is not None and len(history.times):
                found.step.calendar(history.times)
                after = found.step.after(int(history.times[-1]), 3)
                [found.step.text(int(time)) for time in after]
                _ = found.step.name, found.step.seasons
        return found

    return read


def _recognised(path: Path) -> object:
    from unrolled.tasks.options import ClassifyOptions
    from unrolled.tasks.reading import recognise

    reading = recognise(path, ClassifyOptions(), None)
    return reading.labelled(path), either(reading.unlabelled, path)


def _large(units: str) -> Callable[[Path], object]:
    """Read in small blocks into the cache: the same documents as in memory, or refused as there."""

    def read(path: Path) -> object:
        from unrolled.data import is_table, read_documents
        from unrolled.data.large import Files, blocks, open_texts
        from unrolled.data.large.building import Reading
        from unrolled.errors import UnrolledError

        column = "text" if is_table(path) else None
        found, refusal = None, ""
        try:
            found = read_documents(path, column=column)
        except UnrolledError as error:
            refusal = str(error)
        whole, blocks.BLOCK = blocks.BLOCK, 64
        try:
            texts = open_texts(Files((path,)), Reading(units, text=column), path.parent / "cache")
        finally:
            blocks.BLOCK = whole
            shutil.rmtree(path.parent / "cache", ignore_errors=True)
        if found is None and path.suffix == ".parquet":
            return texts  # in memory all columns are read, here the text alone
        if found is None:
            raise AssertionError(f"it is read through the cache, but in memory refused: {refusal}")
        if (len(texts), texts.characters) != (len(found), sum(map(len, found.texts))):
            raise AssertionError("what is read through the cache is not what is read in memory")
        return texts

    return read


def _film(path: Path) -> object:
    from unrolled.data.film import open_film

    return list(open_film(path, rate=5.0, size=16)[:20].frames())


@cache
def _some_film() -> Any:
    from unrolled.data.film import Film

    return Film(Path("film.mp4"), 5.0, 16, 6, tuple(k / 5 for k in range(6)), 1.2)


def _film_labels(path: Path, *, skip_bad: bool = False) -> Any:
    from unrolled.data.film_labels import read_film_labels

    return read_film_labels(path, _some_film(), skip_bad=skip_bad)


def _strokes(path: Path) -> object:
    from unrolled.data.signals import Strokes

    signal = Strokes()
    return signal.features(signal.read(path))


def _sound(path: Path) -> object:
    from unrolled.data.audio import log_mel, read_sound, sound_rate
    from unrolled.data.voicing import voicing

    either(sound_rate, path)
    samples, rate = read_sound(path, 8000)
    return log_mel(samples[:8000], rate), voicing(samples[:8000], rate)


def _picture(path: Path) -> object:
    from unrolled.data.images import read_image
    from unrolled.data.line_images import read_columns

    return read_image(path, 24), read_columns(path, 16)


def _vectors(path: Path) -> object:
    from unrolled.data import load_vectors

    return load_vectors(path, ["one", "two", "new york"])


def _vocabulary(path: Path) -> object:
    import json

    from unrolled.data import vocabulary_from_json
    from unrolled.errors import DataError

    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise DataError("no JSON", path) from None
    vocabulary = vocabulary_from_json(data, path)
    ids = vocabulary.encode("Ça va? one\ttwo")
    if vocabulary.units != "pair":
        vocabulary.decode(ids)
    return vocabulary.tokens, vocabulary.to_json()


def _vocabulary_json(entropy: bytes) -> bytes:
    made = _vocabularies()
    return edit_json(made[entropy[0] % len(made)] if entropy else made[0], entropy[1:])


@cache
def _vocabularies() -> list[str]:
    return seeds.vocabularies()


_ENTROPY = [b"\0", bytes(range(40, 57)), bytes(range(200, 236))]


def _texts_and_tables() -> Iterator[Target]:
    table, documents = partial(_late, "data.table"), partial(_late, "data.documents")
    yield Target("text", ".txt", seeds.text, _late("data.text", "read_text"))
    yield Target("lines", ".txt", seeds.text, _both(documents("read_lines")))
    yield Target("lines-streamed", ".txt", seeds.text, _drained(_late("data.text", "text_lines")))
    for kind in ("gz", "bz2", "xz", "zst"):
        yield Target(f"packed-{kind}", f".txt.{kind}", seeds.packed(kind), _both(documents("read_documents")))
    yield Target("packed-table", ".csv.zst", seeds.packed("zst"), _both(table("read_table")))
    yield Target("csv", ".csv", seeds.csv, _both(table("read_table")))
    yield Target("csv-gzip", ".csv.gz", seeds.csv, _both(table("read_table")), wrap=partial(gzip.compress, mtime=0))
    yield Target("tsv", ".tsv", seeds.tsv, _both(table("read_table")))
    yield Target("jsonl", ".jsonl", seeds.jsonl, _both(table("read_table")))
    yield Target("parquet", ".parquet", seeds.parquet, _both(table("read_table")))
    yield Target("large-text", ".txt", seeds.text, _large("char"))
    yield Target("large-words", ".txt.gz", seeds.text, _large("word"), wrap=partial(gzip.compress, mtime=0))
    yield Target("large-csv", ".csv", seeds.csv, _large("char"))
    yield Target("large-jsonl", ".jsonl", seeds.jsonl, _large("byte"))
    yield Target("large-parquet", ".parquet", seeds.parquet, _large("char"))
    yield Target("documents", ".csv", seeds.csv, _both(documents("read_documents")))
    yield Target("labelled", ".csv", seeds.csv, _both(_late("data.labelled", "read_labelled"), multilabel=" "))
    yield Target("text-targets", ".csv", seeds.csv, _both(_late("data.targets", "read_text_targets")))
    yield Target("sequences", ".csv", seeds.csv, _both(_late("data.sequences", "read_sequences"), "id", "text"))
    yield Target("steps", ".csv", seeds.csv, _both(_late("data.steps", "read_steps"), sequence="id"))
    yield Target("steps-streamed", ".csv", seeds.csv, _stream_of_steps)
    yield Target("pairs", ".tsv", seeds.tsv, _both(_pairs(header=True)))
    yield Target("pairs-table", ".csv", seeds.csv, _both(_pairs(header=True)))
    yield Target("pairs-lines", ".txt", seeds.tsv, _both(_pairs(header=False)))


def _numbers() -> Iterator[Target]:
    series = _late("data.series", "read_series")
    yield Target("series-long", ".csv", seeds.csv, _both(series, "target", group="id", features=("x", "y")))
    yield Target("series-wide", ".csv", seeds.csv, _both(series, "target"))
    yield Target("series-lists", ".jsonl", seeds.jsonl, _both(series, "target", inputs="inputs"))
    yield Target("series-arrays", ".npz", seeds.npz, _both(series, "y"))
    yield Target(
        "labelled-series-long", ".csv", seeds.csv, _both(_series(sequence="id", time="when", features=("x", "y")))
    )
    yield Target("labelled-series-wide", ".csv", seeds.csv, _both(_series(label="target")))
    yield Target("labelled-series-lists", ".jsonl", seeds.jsonl, _both(_series(inputs="inputs")))
    yield Target("labelled-series-arrays", ".npz", seeds.npz, _both(_series(label="y")))
    yield Target("ts", ".ts", seeds.ts, _both(_series()))
    yield Target("histories", ".csv", seeds.csv, _both(_histories("auto")))
    yield Target("histories-times", ".csv", seeds.csv, _both(_histories("auto", time="month", targets=("value",))))
    yield Target(
        "histories-long", ".csv", seeds.csv, _both(_histories("auto", time="when", targets=("x",), series="id"))
    )
    yield Target("recognised", ".csv", seeds.csv, _recognised)
    yield Target("array-member", ".npz", seeds.npy, _both(series, "y"), wrap=seeds.in_archive)
    yield Target("features", ".npy", seeds.npy, _late("data.signals", "read_features"))
    yield Target("regions", ".npz", seeds.npz, _late("data.images", "read_features"))


def _others() -> Iterator[Target]:
    yield Target("conll", ".conll", seeds.conll, _both(_late("data.conll", "read_conll")))
    yield Target("conllu", ".conllu", seeds.conll, _both(_late("data.conll", "read_conll")))
    yield Target("tokens-streamed", ".conll", seeds.conll, _stream_of_tokens)
    yield Target("dna-fasta", ".fasta", seeds.fasta, _both(_late("data.genome", "read_dna")))
    yield Target("dna-table", ".csv", seeds.csv, _both(_late("data.genome", "read_dna")))
    yield Target(
        "captions", ".csv", seeds.csv, _both(_late("data.images", "read_captions"), "file", "text", group="label")
    )
    yield Target("recordings", ".jsonl", seeds.jsonl, _both(_late("data.recordings", "read_recordings")))
    yield Target("ink", ".inkml", seeds.ink, _strokes)
    yield Target("whiteboard", ".xml", seeds.iam, _strokes)
    yield Target("film-labels", ".csv", seeds.csv, _both(_film_labels))
    yield Target("vectors", ".vec", seeds.vectors, _vectors)
    yield Target("vocabulary", ".json", lambda: [text.encode() for text in seeds.vocabularies()], _vocabulary)
    yield Target("vocabulary-entries", ".json", lambda: _ENTROPY, _vocabulary, wrap=_vocabulary_json)
    yield from (
        Target(f"sound-{kind}", f".{kind}", seeds.sound(kind), _sound)
        for kind in ("wav", "flac", "ogg", "mp3", "aiff", "au")
    )
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"):
        suffix = f".{kind.lower()}"
        yield Target(f"picture-{suffix[1:]}", suffix, seeds.picture(kind), _picture)
    yield Target("picture-png-inside", ".png", seeds.picture("PNG"), _picture, wrap=seeds.with_checksums)
    yield Target("film", ".mkv", seeds.film, _film, slow=True)


def _runs() -> Iterator[Target]:
    for task in runs.TASKS_TRIED:
        yield Target(
            f"run-{task}", ".bin", lambda: _ENTROPY, runs.open_damaged(task), wrap=runs.damage(task), slow=True
        )
    yield Target(
        "resume",
        ".bin",
        lambda: _ENTROPY,
        runs.resume_damaged,
        wrap=runs.damage("language", runs.CHECKPOINT),
        slow=True,
    )
    yield Target(
        "run-bytes", ".json", lambda: [runs.file_of("language", "config.json")], runs.open_with_config, slow=True
    )


_MADE = (_texts_and_tables, _numbers, _others, _runs)
TARGETS: dict[str, Target] = {target.name: target for made in _MADE for target in made()}
