"""Texts with labels, from a table or from a folder with one subfolder a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from unrolled.data.documents import Origin, empty_text, folder_texts
from unrolled.data.problems import Problems, nearest
from unrolled.data.table import read_table
from unrolled.data.text import is_folder
from unrolled.errors import DataError

Label: TypeAlias = "str | tuple[str, ...]"


@dataclass(frozen=True)
class Labelled:
    """Texts with their labels: one a text, or a sorted tuple of any number a text where there may be several.

    `groups` are the keys of the column that was named as the group, of which none may be in two parts of a split.
    """

    path: Path
    texts: list[str] = field(repr=False)
    labels: list[Label] = field(repr=False)
    origins: list[Origin] = field(repr=False)
    groups: list[str] | None = field(default=None, repr=False)
    skipped: tuple[DataError, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def rows(self) -> list[int | None]:
        """The row of each text in its file; None where the text is a whole file."""
        return [origin.row for origin in self.origins]

    @property
    def classes(self) -> list[str]:
        """Every label once, sorted."""
        return sorted(_counts(self.labels))

    def take(self, indices: Iterable[int]) -> Labelled:
        """The texts at these places, in this order."""
        places = [int(index) for index in indices]
        return Labelled(
            self.path,
            [self.texts[place] for place in places],
            [self.labels[place] for place in places],
            [self.origins[place] for place in places],
            None if self.groups is None else [self.groups[place] for place in places],
            self.skipped,
        )

    def distinct(self) -> Labelled:
        """Each pair of text and label once, where it stands first."""
        first: dict[tuple[str, Label], int] = {}
        for place, pair in enumerate(zip(self.texts, self.labels, strict=True)):
            first.setdefault(pair, place)
        return self.take(first.values())


def read_labelled(
    path: str | Path,
    text: str = "text",
    label: str = "label",
    *,
    multilabel: str | None = None,
    group: str | None = None,
    skip_bad: bool = False,
) -> Labelled:
    """Read texts with labels from a table's columns, or from a folder whose subfolders are the classes.

    With `multilabel` a cell holds any number of labels with that separator between them, none included. Raises
    DataError, with the row, for an empty text or an empty label.
    """
    path = Path(path)
    problems = Problems(skip_bad)
    if is_folder(path):
        data = _read_class_folders(path, problems)
    else:
        data = _read_rows(path, (text, label, group), multilabel, problems)
    if not data.texts:
        raise DataError("no labelled text was found here; give at least two texts with their labels", path)
    return replace(data, skipped=tuple(problems.found))


def check_labels(data: Labelled) -> None:
    """Refuse to learn from fewer than two classes, or from a label seen once, which no split can share out.

    Raises DataError, which names the label with its file and row.
    """
    counts = _counts(data.labels)
    if not counts or (len(counts) == 1 and all(isinstance(label, str) for label in data.labels)):
        only = f"every text has the label {next(iter(counts))!r}" if counts else "no text has a label"
        raise DataError(f"{only}, and a classifier needs at least two classes; add texts of another", data.path)
    for label, origin in zip(data.labels, data.origins, strict=True):
        for name in (label,) if isinstance(label, str) else label:
            if counts[name] == 1:
                others = [other for other in counts if other != name]
                raise DataError(
                    f"the label {name!r} is seen only here{nearest(name, others)}, and at least two texts are needed; "
                    "add a text with it, correct it, or take this one out",
                    origin.path,
                    origin.row,
                )


def _read_rows(path: Path, columns: tuple[str, str, str | None], separator: str | None, problems: Problems) -> Labelled:
    table = read_table(path, skip_bad=problems.skip)
    problems.found.extend(table.skipped)
    text_name, label_name, group_name = columns
    texts = table.column(text_name)
    labels: list[Label] = [
        cell.strip() if separator is None else _several(cell, separator) for cell in table.column(label_name)
    ]
    kept = []
    for place, (text, label, row) in enumerate(zip(texts, labels, table.rows, strict=True)):
        if not text.strip():
            problems.report(empty_text(text_name, path, row))
        elif label == "":
            sentence = f"the label in column {label_name!r} is empty; write one there or take the row out"
            problems.report(DataError(sentence, path, row))
        else:
            kept.append(place)
    groups = None if group_name is None else table.column(group_name)
    return Labelled(path, texts, labels, [Origin(path, row) for row in table.rows], groups).take(kept)


def _several(cell: str, separator: str) -> tuple[str, ...]:
    return tuple(sorted({name.strip() for name in cell.split(separator)} - {""}))


def _read_class_folders(path: Path, problems: Problems) -> Labelled:
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(folders) < 2:
        raise DataError(
            f"{len(folders)} subfolders, and one for each of at least two classes is needed; "
            "sort the texts into subfolders named after their labels",
            path,
        )
    found = [(file, text, folder.name) for folder in folders for file, text in folder_texts(folder, problems)]
    return Labelled(
        path,
        [text for _, text, _ in found],
        [name for _, _, name in found],
        [Origin(file, None) for file, _, _ in found],
    )


def _counts(labels: Iterable[Label]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for label in labels:
        counts.update((label,) if isinstance(label, str) else label)
    return counts
