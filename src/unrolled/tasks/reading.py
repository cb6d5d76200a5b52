"""How a classifier's files are read: what kind of sequences they hold, in which columns, with which features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.data import Origin, is_table, read_inputs, read_labelled, read_table
from unrolled.data.arrays import Numbers
from unrolled.data.audio import WINDOW, is_sound, log_mel, read_sound, resample, sound_rate
from unrolled.data.feeds import SoundFeed
from unrolled.data.genome import is_fasta, looks_like_dna, read_dna
from unrolled.data.labelled_series import read_labelled_series
from unrolled.data.problems import Problems, listed
from unrolled.data.series_values import SeriesColumns
from unrolled.data.table import Table
from unrolled.data.targets import as_number
from unrolled.data.text import is_folder, missing, suffix_of
from unrolled.data.voicing import WINDOW as VOICED_WINDOW
from unrolled.data.voicing import voicing
from unrolled.errors import ArgumentError, DataError, RunError
from unrolled.tasks.options import ClassifyOptions
from unrolled.tasks.options.classify import KINDS

_HIGHEST_RATE = 32_000
# So many rows of a table are looked at to see what a column holds.
_LOOKED_AT = 50


@dataclass(frozen=True)
class Found:
    """What one file holds: inputs as the network's task takes them, labels, the row of each, what was left out."""

    inputs: Sequence[Any] = field(repr=False)
    labels: list[Any] = field(repr=False)
    origins: list[Origin] = field(repr=False)
    skipped: tuple[DataError, ...] = ()
    remarks: tuple[str, ...] = ()
    names: list[str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Reading:
    """What a run remembers of its training file's layout, so that it reads others alike. Plain data.

    `column` holds the text, the DNA or the names of sound files; the rest is as in `ClassifyOptions`.
    """

    kind: str = "text"
    column: str | None = "text"
    label: str = "label"
    separator: str | None = None
    sequence: str | None = None
    time: str | None = None
    inputs: str | None = None
    missing: str | None = None
    features: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    rate: int = 0
    bands: int = 0
    hop: float = 0.01
    pitch: bool = False
    centre: bool = False
    steady: bool = False
    kmer: int = 1
    both_strands: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `from_json` makes an equal one."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> Reading:
        """What `to_json` wrote; raises RunError for anything else.

        An entry may be missing: the run is older than it, and defaults change nothing.
        """
        known = {f.name: f.default for f in fields(cls)}
        if not isinstance(data, Mapping) or not {"kind"} <= set(data) <= set(known) or data["kind"] not in KINDS:
            raise RunError("the data's schema does not say how files are read")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in {**known, **data}.items()
        }
        for name, value in values.items():
            wanted = (str, type(None)) if known[name] is None or name == "column" else (type(known[name]),)
            if not isinstance(value, wanted):
                raise RunError(f"the data's schema has no usable {name!r}")
        return cls(**values)

    def labelled(self, path: Path, *, skip_bad: bool = False) -> Found:
        """The sequences of a file laid out as the training file was, with their labels. Raises DataError."""
        return self._read(path, labels=True, skip_bad=skip_bad)

    def unlabelled(self, path: Path) -> Found:
        """The sequences of a file whose labels, if it has any, are left aside. Raises DataError."""
        return self._read(path, labels=False, skip_bad=False)

    @classmethod
    def of_sounds(cls, files: Sequence[Path], options: ClassifyOptions) -> Reading:
        """The features of sounds: as the options say, at the files' commonest rate where they do not."""
        rate = options.rate or _commonest_rate(files)
        return replace(cls("sound", None), rate=rate, centre=bool(options.centre), **_hearing(options))

    def sounds(self, files: Sequence[Path]) -> list[Numbers]:
        """Log-mel features (T, bands) of each file. Raises DataError."""
        return [self._features(*read_sound(file)) for file in files]

    def feed(self) -> SoundFeed:
        """The features of a sound that is still arriving; raises ArgumentError where they need all of it."""
        if not self.steady:
            raise ArgumentError(
                "this run hears a sound against its own loudest moment, so it needs all of it; train it with "
                "--no-bidirectional for streams"
            )
        if self.centre:
            raise ArgumentError(
                "this run takes the mean off a sound, so it needs all of it; train it without --centre for streams"
            )
        seconds = VOICED_WINDOW if self.pitch else WINDOW
        sizes = round(self.hop * self.rate), round(seconds * self.rate), self.bands + 2 * self.pitch
        return SoundFeed(self.heard, *sizes)

    def _features(self, samples: Numbers, rate: int) -> Numbers:
        return self.heard(resample(samples, rate, self.rate))

    def heard(self, samples: Numbers) -> Numbers:
        """Features (T, F) of samples (N,) at the run's rate."""
        found = log_mel(samples, self.rate, bands=self.bands, hop=self.hop, steady=self.steady)
        if self.centre:
            found -= found.mean(0)
        if not self.pitch:
            return found
        return np.concatenate([found, voicing(samples, self.rate, hop=self.hop, steady=self.steady)], 1)

    def _read(self, path: Path, *, labels: bool, skip_bad: bool) -> Found:
        read = {"text": self._text, "sound": self._sound, "series": self._series, "dna": self._dna}[self.kind]
        return read(path, labels, skip_bad)

    def _text(self, path: Path, labels: bool, skip_bad: bool) -> Found:
        if not labels:
            documents = read_inputs(path, column=self.column if is_table(path) else None)
            return Found(documents.texts, [], documents.origins)
        data = read_labelled(path, str(self.column), self.label, multilabel=self.separator, skip_bad=skip_bad)
        return Found(data.texts, data.labels, data.origins, data.skipped)

    def _dna(self, path: Path, labels: bool, skip_bad: bool) -> Found:
        if not labels and not (is_table(path) or is_fasta(path) or is_folder(path)):
            documents = read_inputs(path)
            return Found(documents.texts, [], documents.origins)
        data = read_dna(path, str(self.column), self.label if labels else None, skip_bad=skip_bad)
        return Found(data.sequences, data.labels, data.origins, data.skipped, names=data.names)

    def _series(self, path: Path, labels: bool, skip_bad: bool) -> Found:
        aside = self.aside if labels else (*self.aside, self.label)
        names = self.features or None
        if is_table(path) and names is None and self.inputs is None:
            taken = {self.label, self.sequence, self.time, *aside}
            names = tuple(name for name in read_table(path, skip_bad=True).columns if name not in taken)
        columns = SeriesColumns(
            self.label if labels else None, self.sequence, self.time, self.inputs, self.missing, names, aside
        )
        data = read_labelled_series(path, columns, skip_bad=skip_bad)
        remarks: tuple[str, ...] = ()
        if data.missing:
            total = sum(sequence.size for sequence in data.sequences)
            remarks = (f"{data.missing:,} of {total:,} numbers are missing; the last one before stands in, marked",)
        return Found(data.sequences, data.labels, data.origins, data.skipped, remarks)

    def _sound(self, path: Path, labels: bool, skip_bad: bool) -> Found:
        problems = Problems(skip_bad)
        inputs, found_labels, names, origins, rates = [], [], [], [], Counter[int]()
        for file, label, origin in sound_files(path, self, labels, problems):
            try:
                samples, rate = read_sound(file)
                rates[rate] += 1
            except DataError as error:
                problems.report(error if origin.row is None else DataError(str(error), origin.path, origin.row))
                continue
            inputs.append(self._features(samples, rate))
            found_labels.append(label)
            names.append(str(file))
            origins.append(origin)
        if not inputs:
            none = "no sound was found here; give at least one WAV, FLAC, OGG or MP3 file"
            raise DataError(problems.instead(none), path)
        other = sum(rates.values()) - rates[self.rate]
        remarks = (f"{other:,} of {len(inputs):,} sounds had another rate and were brought to {self.rate:,} Hz",)
        return Found(
            inputs, found_labels if labels else [], origins, tuple(problems.found), remarks if other else (), names
        )


def recognise(path: Path, options: ClassifyOptions, group: str | None) -> Reading:
    """How to read a training file: as the options say, else by what it is. Raises DataError, ArgumentError."""
    reading = Reading(
        column=options.text,
        label=options.label,
        separator=options.separator,
        sequence=options.sequence,
        time=options.time,
        inputs=options.inputs,
        missing=options.missing,
        aside=() if group is None else (group,),
        kmer=options.kmer,
        both_strands=options.both_strands,
        centre=options.bidirectional and group is not None if options.centre is None else options.centre,
    )
    said = _said(options)
    if is_folder(path):
        reading = replace(reading, kind=said or _kind_of_folder(path))
    elif is_table(path):
        reading = _of_table(path, reading, options, said)
    else:
        reading = replace(reading, kind=said or _kind_of_file(path))
    if reading.kind == "series" and suffix_of(path) == ".npz":
        reading = _of_archive(path, reading)
    if reading.separator is not None and reading.kind != "text":
        raise ArgumentError(f"several labels a row are for text, and the data is {reading.kind}; leave separator out")
    return _with_sound(path, reading, options) if reading.kind == "sound" else reading


def _said(options: ClassifyOptions) -> str | None:
    """The kind that the options name, by `read_as` or by naming a column of it."""
    by_column = {
        "sound": options.file,
        "dna": options.dna,
        "series": options.sequence or options.time or options.inputs,
    }
    named = [kind for kind, column in by_column.items() if column is not None]
    if options.read_as != "auto":
        named.append(options.read_as)
    if len(set(named)) > 1:
        raise ArgumentError(f"the options speak of {' and '.join(sorted(set(named)))}; give those of one kind")
    if options.time is not None and options.sequence is None:
        raise ArgumentError("time names a column of a long table; name its column of series too (sequence)")
    return named[0] if named else None


def _kind_of_file(path: Path) -> str:
    if suffix_of(path) in (".ts", ".npz"):
        return "series"
    return "dna" if is_fasta(path) else "text"


def _kind_of_folder(path: Path) -> str:
    kinds = Counter("sound" if is_sound(file) else "dna" if is_fasta(file) else "text" for file in _files(path))
    if len(kinds) > 1:
        counted = " and ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common())
        raise DataError(f"the folder holds files of {counted}; say which is meant with --read-as", path)
    return next(iter(kinds), "text")


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts):
            yield file


def _of_table(path: Path, reading: Reading, options: ClassifyOptions, said: str | None) -> Reading:
    table = read_table(path, skip_bad=True)
    free = [name for name in table.columns if name not in (reading.label, *reading.aside)]
    files, bases = _first(table, free, _names_sound), _first(table, free, looks_like_dna)
    if said is None:
        said = "text"
        # A column that the user named and that is not there is the reader's to complain of.
        if options.text == ClassifyOptions.text and options.text not in table.columns:
            said = "sound" if files else "dna" if bases else "series" if _mostly_numbers(table, free) else None
        if said is None:
            raise DataError(
                f"there is no column {options.text!r}; say which of {listed(table.columns)} is the text (--text), "
                "or what the rows are (--read-as)",
                path,
            )
    if said == "sound":
        column = options.file or files
        if column is None:
            raise DataError(f"no column names files of sound; say which of {listed(table.columns)} (file)", path)
        return replace(reading, kind=said, column=column)
    if said == "dna":
        return replace(reading, kind=said, column=options.dna or bases or options.text)
    if said == "series":
        used = () if reading.inputs or reading.sequence is None else _numbers_of_long(table, reading)
        return replace(reading, kind=said, column=None, features=used)
    return replace(reading, kind=said)


def _first(table: Table, names: list[str], test: Any) -> str | None:
    """The first column of `names` whose cells pass."""
    return next((name for name in names if test(table.column(name)[:_LOOKED_AT])), None)


def _names_sound(cells: list[str]) -> bool:
    return all(is_sound(cell.strip()) for cell in cells)


def _mostly_numbers(table: Table, names: list[str]) -> bool:
    """Whether the cells that are not empty are numbers, but for some that the reader will name."""
    cells = [cell for name in names for cell in table.column(name)[:_LOOKED_AT] if cell.strip() not in ("", "?")]
    return 2 * sum(not np.isnan(as_number(cell)) for cell in cells) > len(cells)


def _numbers_of_long(table: Table, reading: Reading) -> tuple[str, ...]:
    """The columns of a long table that are numbers, so that a column of words beside them does no harm."""
    taken = {reading.label, reading.sequence, reading.time, *reading.aside}
    free = [name for name in table.columns if name not in taken]
    numbers = tuple(name for name in free if any(np.isfinite(as_number(cell)) for cell in table.column(name)))
    return numbers or tuple(free)


def _of_archive(path: Path, reading: Reading) -> Reading:
    """Arrays "x" and "y", as they are usually called, unless others are named."""
    with_y = reading.label == "label" and "label" not in _arrays(path)
    return replace(reading, inputs=reading.inputs or "x", label="y" if with_y else reading.label)


def _arrays(path: Path) -> list[str]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return list(archive.files)
    except (OSError, ValueError, AttributeError):
        return []  # the reader says what is wrong with it


def _with_sound(path: Path, reading: Reading, options: ClassifyOptions) -> Reading:
    """With the commonest sampling rate and the sizes of the features."""
    named = (file for file, _, _ in sound_files(path, reading, False, Problems(skip=True)))
    return replace(reading, rate=options.rate or _commonest_rate(named), **_hearing(options))


def _hearing(options: ClassifyOptions) -> dict[str, Any]:
    """What of the features of sound the options say; a run that reads forwards alone can do so while it arrives."""
    steady = not options.bidirectional
    return {"bands": options.bands, "hop": options.hop, "pitch": options.pitch, "steady": steady}


def _commonest_rate(files: Iterable[Path]) -> int:
    rates = Counter[int]()
    for file in files:
        try:
            rates[sound_rate(file)] += 1
        except DataError:
            continue  # it is named when it is read
    return min(rates.most_common(1)[0][0], _HIGHEST_RATE) if rates else _HIGHEST_RATE


def sound_files(path: Path, reading: Reading, labels: bool, problems: Problems) -> Iterator[tuple[Path, str, Origin]]:
    """The files of sound that a table, a folder or a single path names, with labels and where each is named."""
    if is_folder(path):
        yield from _sound_folder(path, labels, problems)
    elif is_table(path):
        table = read_table(path, skip_bad=problems.skip)
        problems.found.extend(table.skipped)
        found = table.column(reading.label) if labels else [""] * len(table)
        for cell, label, row in zip(table.column(str(reading.column)), found, table.rows, strict=True):
            if not cell.strip() or (labels and not label.strip()):
                what = f"label in column {reading.label!r}" if cell.strip() else f"file in column {reading.column!r}"
                problems.report(DataError(f"the {what} is empty; write one or take the row out", path, row))
                continue
            yield path.parent / cell.strip(), label.strip(), Origin(path, row)
    elif labels:
        raise DataError("sounds with labels are needed; give a folder for each class, or a table of files", path)
    elif not path.exists():
        raise missing(path)
    else:
        yield path, "", Origin(path, None)


def _sound_folder(path: Path, labels: bool, problems: Problems) -> Iterator[tuple[Path, str, Origin]]:
    for file in _files(path):
        parts = file.relative_to(path).parts
        if not is_sound(file):
            continue
        if labels and len(parts) < 2:
            sentence = "this sound lies outside the folders of the classes; move it into one or take it out"
            problems.report(DataError(sentence, file))
            continue
        yield file, parts[0], Origin(file, None)
