"""Ten million pushes: a stream does not grow.

A language model (LSTM, characters), a tagger and a classifier (GRU, rows of eight numbers, the classifier with the mean
of its outputs), each of 256 units with chance weights, are read through `model.stream()` on one thread, one step a
push; a classifier of sound ten milliseconds a push. The language model is asked for its surprise alone (`next=0`) and
reads ten million steps; in a row of its own it is asked for five likely next units too. The pushes of the others are in
the table. First the answers are checked equal to those of the whole sequence over 2,000 steps. Resident memory is read
a thousand times on the way; after the first twentieth, in which caches fill, the largest may lie 1 MB above the
smallest. The time is the median of the last million pushes at most, each taken by itself from Python, the answer
included; that of the ten million was taken on a machine that was busy with other things.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reporting import Claim, Table, parse, parser, report

from unrolled.streams import Stream
from unrolled.tasks import ClassifyOptions, LanguageOptions, TagOptions
from unrolled.tasks.classify import ClassifyTask
from unrolled.tasks.language import LanguageTask
from unrolled.tasks.model import Parts
from unrolled.tasks.reading import Reading
from unrolled.tasks.sequences import Examples
from unrolled.tasks.tag import TagTask
from unrolled.tasks.tag_parts import Layout, TagExamples

PUSHES = 10_000_000
CHECKED = 2000
WARM = 0.05
SAMPLES = 1000
MOST_GROWTH = 1.0
_TIMED = 1_000_000


@dataclass(frozen=True)
class Subject:
    """A stream to be opened, what is pushed to it again and again, and whether the answers are those of the whole.

    `share` of the ten million pushes.
    """

    name: str
    start: Callable[[], Stream]
    parts: Sequence[Any]
    check: Callable[[], float]
    share: float


@dataclass(frozen=True)
class Course:
    """Resident memory in MB on the way, microseconds of a push, and bytes of the state in the end."""

    pushes: int
    memory: np.ndarray
    times: np.ndarray
    state: int

    @property
    def growth(self) -> float:
        """The largest above the smallest after the first twentieth."""
        later = self.memory[round(WARM * len(self.memory)) :]
        return float(later.max() - later.min())

    def row(self, name: str) -> tuple[str | float | int, ...]:
        """A line of the table."""
        return name, self.pushes, round(self.growth, 3), round(float(np.median(self.times)), 1), self.state


def subjects(hidden: int, steps: int) -> list[Subject]:
    """The streams."""
    rng = np.random.default_rng(0)
    letters = [chr(code) for code in (*range(32, 91), *range(97, 123))]
    text = "".join(rng.choice(letters, steps))
    rows = rng.normal(size=(steps, 8)).astype(np.float32)
    torch.manual_seed(0)
    options = LanguageOptions(hidden=hidden, embedding=hidden // 2, units="char", cell="lstm")
    language = LanguageTask.build(Parts([text]), options)
    layout = Layout("numbers", "label", features=tuple("abcdefgh"))
    labels = [[("on", "off")[int(x > 0)] for x in rows[:, 0]]]
    tagger = TagTask.build(
        Parts(TagExamples([rows], labels, layout)),
        TagOptions(hidden=hidden, causal=True, cell="gru", layers=1),
    )
    classifier = ClassifyTask.build(
        Parts(Examples([rows, -rows], ["up", "down"])),
        ClassifyOptions(hidden=hidden, bidirectional=False, convolutions=0, pooling="mean", cell="gru"),
    )

    def off_language() -> float:
        found = -through(language.stream(), text)["log_probability"]
        return float(abs(found / language.score([text])[0].nats - 1))

    def off_tagger() -> float:
        stream = tagger.stream()
        found = [tag["probabilities"]["on"] for row in rows for tag in stream.push(row)["tags"]]
        return float(np.abs(found - tagger.probabilities([rows])[0][:, tagger.classes.index("on")]).max())

    def off_classifier() -> float:
        found = through(classifier.stream(), list(rows))["probabilities"]
        return float(np.abs(list(found.values()) - classifier.probabilities([rows])[0]).max())

    return [
        Subject("language", lambda: language.stream(next=0), text, off_language, 1.0),
        Subject("language, next 5", language.stream, text, off_language, 0.04),
        Subject("tag", tagger.stream, list(rows), off_tagger, 0.03),
        Subject("classify", classifier.stream, list(rows), off_classifier, 0.04),
        _sound(hidden, steps),
    ]


def _sound(hidden: int, steps: int) -> Subject:
    """A classifier that hears ten milliseconds a push."""
    options = ClassifyOptions(hidden=hidden, bidirectional=False, rate=8000, cell="gru")
    reading = Reading.of_sounds([], options)
    clips = (0.1 * np.random.default_rng(1).normal(size=(2, 80 * steps))).astype(np.float32)
    examples = Examples([reading.heard(clip) for clip in clips], ["up", "down"], None, reading)
    model = ClassifyTask.build(Parts(examples), options)
    parts = np.split(clips[0], steps)

    def off() -> float:
        found = through(model.stream(), parts)["probabilities"]
        return float(np.abs(list(found.values()) - model.probabilities([reading.heard(clips[0])])[0]).max())

    return Subject("classify sound", model.stream, parts, off, 0.004)


def through(stream: Stream, parts: Sequence[Any]) -> dict[str, Any]:
    """The last answer to all parts."""
    for part in parts:
        stream.push(part)
    return stream.finish()


def follow(subject: Subject, pushes: int) -> Course:
    """Push so often, and watch."""
    stream, parts = subject.start(), subject.parts
    timed = min(pushes, _TIMED)
    times = np.full(timed, -1, np.int64)
    memory = np.full(SAMPLES, -1.0)
    every = max(1, pushes // SAMPLES)
    gc.collect()
    clock = time.perf_counter_ns
    for number in range(pushes):
        part = parts[number % len(parts)]
        begin = clock()
        stream.push(part)
        times[number % timed] = clock() - begin
        if number % every == 0 and number // every < SAMPLES:
            memory[number // every] = resident()
    return Course(pushes, memory[memory >= 0], times / 1000, len(stream.state()))


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, push, report."""
    begin = time.perf_counter()
    found: argparse.ArgumentParser = parser("Ten million pushes.")
    found.add_argument("--share", type=float, default=1.0, help="of the pushes, for a trial")
    found.add_argument("--only", help="the stream of this name alone; the rows of the others stay as they were")
    options = parse(found, arguments)
    torch.set_num_threads(1)
    hidden, pushes, steps = (32, 300, 50) if options.quick else (256, round(PUSHES * options.share), CHECKED)
    rows, seconds = ({}, 0.0) if options.only is None else earlier(options.results)
    streams = subjects(hidden, steps)
    for subject in streams:
        if options.only not in (None, subject.name):
            continue
        off = subject.check()
        if not off < 1e-4:
            raise SystemExit(f"stream: {subject.name} answers otherwise than the whole sequence (by {off:.2g})")
        rows[subject.name] = follow(subject, max(1, round(pushes * subject.share))).row(subject.name)
        print(f"stream: {rows[subject.name]}", flush=True)
    table = tuple(rows[subject.name] for subject in streams if subject.name in rows)
    claims = [
        Claim(f"MB that {pushed:,} pushes add, {name}", growth, MOST_GROWTH, most=True)
        for name, pushed, growth, *_ in table
    ]
    columns = ("stream", "pushes", "MB added", "microseconds p50", "bytes of its state")
    remarks = str(__doc__)
    if options.share != 1 and not options.quick:
        remarks += f"\nThis was a trial with {pushes:,} pushes at most.\n"
    return report("stream", options, claims, table=Table(columns, table), begin=begin - seconds, remarks=remarks)


def earlier(results: Path | None) -> tuple[dict[str, tuple[Any, ...]], float]:
    """The rows by name that were measured before, and how long that took."""
    if results is None or not (results / "stream.json").exists():
        return {}, 0.0
    found = json.loads((results / "stream.json").read_text())
    return {row[0]: tuple(row) for row in found["table"]["rows"]}, found["seconds"]


if __name__ == "__main__":
    raise SystemExit(main())
