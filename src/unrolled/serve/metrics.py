"""Counters in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate

SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


class Counter:
    """A number that only grows, for each set of labels."""

    kind = "counter"

    def __init__(self) -> None:
        self._values: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, amount: float = 1, **labels: str) -> None:
        """Let it grow."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            self._values[key] = self._values.get(key, 0.0) + amount

    def lines(self, name: str) -> list[str]:
        """Its samples."""
        return [f"{name}{_shown(labels)} {value:.17g}" for labels, value in sorted(self._values.items())]


class Gauge:
    """A number that is asked for when it is read."""

    kind = "gauge"

    def __init__(self, value: Callable[[], float]) -> None:
        self._value = value

    def lines(self, name: str) -> list[str]:
        """Its sample."""
        return [f"{name} {self._value():.17g}"]


class Histogram:
    """How often a measurement was at most each of `edges`, for each set of labels."""

    kind = "histogram"

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def observe(self, value: float, **labels: str) -> None:
        """Count one measurement."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            counts = self._counts.setdefault(key, [0] * (len(self.edges) + 1))
            counts[bisect_left(self.edges, value)] += 1
            self._sums[key] = self._sums.get(key, 0.0) + value

    def lines(self, name: str) -> list[str]:
        """Its samples."""
        found = []
        for labels, counts in sorted(self._counts.items()):
            so_far = list(accumulate(counts))
            for edge, count in zip([*map(str, self.edges), "+Inf"], so_far, strict=True):
                found.append(f"{name}_bucket{_shown((*labels, ('le', edge)))} {count}")
            found.append(f"{name}_sum{_shown(labels)} {self._sums[labels]:.17g}")
            found.append(f"{name}_count{_shown(labels)} {so_far[-1]}")
        return found


def _shown(labels: Labels) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels) + "}" if labels else ""


class Metrics:
    """All that the server counts."""

    def __init__(self, sessions: Callable[[], float], waiting: Callable[[], float]) -> None:
        self.requests = Counter()
        self.seconds = Histogram(SECONDS)
        self.batch_rows = Histogram(ROWS)
        self.compute_seconds = Histogram(SECONDS)
        self.steps = Counter()
        self.pushes = Counter()
        self.ended = Counter()
        self._table: list[tuple[str, str, Counter | Gauge | Histogram]] = [
            ("requests_total", "Requests by route, method and status.", self.requests),
            ("request_seconds", "Time from the head of a request to the end of its answer.", self.seconds),
            ("batch_rows", "Inputs that were computed together.", self.batch_rows),
            ("compute_seconds", "Time that a model computed, by what for.", self.compute_seconds),
            ("steps_total", "Steps of inputs that were read.", self.steps),
            ("pushes_total", "Parts that streams were sent.", self.pushes),
            ("sessions_ended_total", "Streams that ended, by how.", self.ended),
            ("sessions", "Streams that are open.", Gauge(sessions)),
            ("waiting", "Requests that wait for an answer.", Gauge(waiting)),
        ]

    def text(self) -> str:
        """All of them, as Prometheus reads them."""
        found = []
        for name, told, metric in self._table:
            name = f"unrolled_{name}"
            found += [f"# HELP {name} {told}", f"# TYPE {name} {metric.kind}", *metric.lines(name)]
        return "\n".join(found) + "\n"
