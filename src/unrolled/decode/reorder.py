"""The likeliest order of jumbled words: branch and bound over a prefix tree for a proof, a beam where there are many.

An order costs -log p of the units that it is written with. No unit costs less than nothing, so what a beginning costs
is a lower bound for all orders that begin so: one that costs as much as the worst order worth keeping is left, and when
none is open any more, what was kept is proven to be the best. Beginnings are read in batches, each from the state that
its own last unit left, so that no beginning is ever read twice. NumPy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from unrolled.errors import ArgumentError

S = TypeVar("S")
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]
Parts = Sequence[tuple[S, Ids]]

BATCH = 512
# Width of the beam that finds a first order to beat.
_SCOUTS = 16


class Reader(Protocol[S]):
    """`read(units (N,), parts)`: reads units[n] in the n-th of the named rows of all states together.

    Returns log-probabilities (N, V) of what comes next, and the state of N rows.
    """

    def __call__(self, units: Ids, parts: Parts[S], /) -> tuple[Floats, S]:
        """Read one unit a row."""


class Spelling(NamedTuple):
    """How a word is written at some place: its text and its units, the space before it among them."""

    text: str
    units: tuple[int, ...]


@dataclass(frozen=True)
class Jumble:
    """What is put in order: different words, how often each occurs, how each may be written first and later.

    Behind the last word stand the units `mark`; then any of `ends` may end the text, or nothing where there are none.
    Raises ArgumentError for no word at all and for one without a unit.
    """

    counts: tuple[int, ...]
    first: tuple[tuple[Spelling, ...], ...]
    later: tuple[tuple[Spelling, ...], ...]
    mark: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.counts:
            raise ArgumentError("there is no word to put in order; give at least one")
        for spellings in (*self.first, *self.later):
            for spelling in spellings:
                if not spelling.units:
                    raise ArgumentError(f"the word {spelling.text!r} has no unit that the model reads; take it out")

    @property
    def size(self) -> int:
        """How many words there are."""
        return sum(self.counts)


@dataclass(frozen=True)
class Order:
    """Words in an order, as they are written there, and what the order costs in nats; `proven`: none costs less."""

    words: tuple[str, ...]
    nats: float
    proven: bool


class _Open(NamedTuple):
    """Beginnings whose last unit, that of their node, is paid for but not read.

    cost (N,); left (N, D + 1): how often each word is still to come, the mark as the last; node (N,); path (N, n):
    numbers of the spellings so far; done (N,): how many; row (N,): its place in the state before that unit.
    """

    cost: npt.NDArray[np.float64]
    left: npt.NDArray[np.int8]
    node: Ids
    path: npt.NDArray[np.int32]
    done: Ids
    row: Ids

    def take(self, places: Any) -> _Open:
        return _Open._make(column[places] for column in self)

    @staticmethod
    def join(parts: Sequence[_Open]) -> _Open:
        return _Open._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


class _Tree:
    """The spellings as a tree of units with three roots: the first word, a later one, and the mark at the end."""

    def __init__(self, jumble: Jumble) -> None:
        self._kids: list[dict[int, int]] = []
        self._units: list[int] = []
        self._below: list[set[int]] = []
        self._ends: list[list[int]] = []
        self._depths: list[int] = []
        self.words: list[int] = []
        self.texts: list[str] = []
        self.first, self.later, self.last = (self._node(-1, 0) for _ in range(3))
        for root, table in ((self.first, jumble.first), (self.later, jumble.later)):
            for word, spellings in enumerate(table):
                for spelling in spellings:
                    self._ends[self._grow(root, spelling.units, word)].append(len(self.words))
                    self.words.append(word)
                    self.texts.append(spelling.text)
        self.final = self._grow(self.last, jumble.mark, len(jumble.counts))
        self._freeze(len(jumble.counts) + 1)

    def _node(self, unit: int, depth: int) -> int:
        self._kids.append({})
        self._units.append(unit)
        self._below.append(set())
        self._ends.append([])
        self._depths.append(depth)
        return len(self._units) - 1

    def _grow(self, node: int, units: Sequence[int], word: int) -> int:
        for unit in units:
            if unit not in self._kids[node]:
                self._kids[node][unit] = self._node(unit, self._depths[node] + 1)
            node = self._kids[node][unit]
            self._below[node].add(word)
        return node

    def _freeze(self, words: int) -> None:
        """As arrays over the nodes: unit, depth, longest spelling through it, kids and spellings with -1 for none."""
        self.unit: Ids = np.array(self._units)
        self.depth: Ids = np.array(self._depths)
        self.longest: Ids = np.maximum(1, self.depth)
        for node in range(len(self._kids) - 1, -1, -1):  # a node comes before those below it
            self.longest[node] = max(self.longest[node], *(self.longest[kid] for kid in self._kids[node].values()), 1)
        self.kids = _padded([list(kids.values()) for kids in self._kids])
        self.spelled = _padded(self._ends)
        self.word: Ids = np.array(self.words)
        self.below = np.zeros((len(self._units), words), dtype=bool)
        for node, below in enumerate(self._below):
            self.below[node, list(below)] = True


def _padded(rows: Sequence[Sequence[int]]) -> Ids:
    table = np.full((len(rows), max(1, *map(len, rows))), -1, dtype=np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table


@dataclass
class Reorder(Generic[S]):
    """Orders of one jumble under one model: `start` holds log-probabilities (1, V) and the state before the first word.

    `read`: the model. `steps` counts the units read so far.
    """

    jumble: Jumble
    read: Reader[S]
    start: tuple[Floats, S]
    steps: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._tree = _Tree(self.jumble)
        self._found: dict[tuple[int, ...], tuple[float, tuple[str, ...]]] = {}
        self._best = 1

    def exact(self, best: int = 1, most: int = 1_000_000) -> list[Order]:
        """The `best` likeliest orders, likeliest first; not proven if reading `most` units did not settle it."""
        self.beam(best, min(_SCOUTS, most))
        stack = self._begin()
        while stack and self.steps < most:
            at, state, logs = self._advance(stack)
            if at is not None:
                kids = self._grow(at, logs, self._bound)
                _push(stack, kids, state)
        return self._orders(proven=not stack)

    def beam(self, best: int = 1, width: int = 64) -> list[Order]:
        """The same without a proof: `width` beginnings of each number of words go on.

        They are compared by their cost and by what the words that are left cost on average behind another one.
        """
        if best < 1 or width < 1:
            raise ArgumentError(f"best={best} and width={width} find nothing; give at least 1 of each")
        self._best = best
        layer, self._later_cost = self._begin(), np.zeros(len(self.jumble.counts) + 1)
        pairs: dict[tuple[int, ...], float] = {}
        for words in range(self.jumble.size + 1):
            grown: list[tuple[_Open, S]] = []
            while layer:
                at, state, logs = self._advance(layer, np.inf)
                if at is None:
                    break
                kids = self._grow(at, logs, np.inf, pairs if words < 2 else None)
                _push(layer, kids.take(kids.done == words), state)
                _push(grown, kids.take(kids.done > words), state)
            if words == 1:
                self._later_cost = self._average(pairs)
            layer = self._narrow(grown, max(width, best)) if words else grown
        return self._orders(proven=False)

    def _begin(self) -> list[tuple[_Open, S]]:
        """Every first unit of every word."""
        logs, state = self.start
        counts = np.array([[*self.jumble.counts, 1]], dtype=np.int8)
        root, zero = np.array([self._tree.first]), np.zeros(1, dtype=np.int64)
        path = np.full((1, self.jumble.size), -1, dtype=np.int32)
        kids = self._kids(_Open(np.zeros(1), counts, root, path, zero, zero), logs, np.inf)
        return [(kids, state)]

    @property
    def _bound(self) -> float:
        """What an order must cost less than to be worth finding."""
        return max(self._found.values())[0] if len(self._found) >= self._best else float("inf")

    def _advance(self, stack: list[tuple[_Open, S]], bound: float | None = None) -> tuple[_Open | None, S, Floats]:
        """Read a batch from the top of the stack, of what is still below the bound; None where nothing is."""
        bound = self._bound if bound is None else bound
        taken, parts = [], []
        room = BATCH
        while stack and room:
            at, state = stack.pop()
            at = at.take(at.cost < bound)
            if len(at.cost) > room:
                stack.append((at.take(slice(room, None)), state))
                at = at.take(slice(room))
            if len(at.cost):
                taken.append(at)
                parts.append((state, at.row))
                room -= len(at.cost)
        if not taken:
            return None, self.start[1], self.start[0]
        joined = _Open.join(taken)
        logs, state = self.read(self._tree.unit[joined.node], parts)
        self.steps += len(joined.cost)
        return joined._replace(row=np.arange(len(joined.cost))), state, logs

    def _grow(self, at: _Open, logs: Floats, bound: float, costs: dict[tuple[int, ...], float] | None = None) -> _Open:
        """What follows beginnings that are read: further units of a word, or where it ends those of the next.

        Whole orders go into what was found. `costs`, where given, notes what each beginning of whole words costs.
        """
        tree = self._tree
        together = [at]
        for column in tree.spelled.T:
            spelled = column[at.node]
            rows = np.flatnonzero(spelled >= 0)
            rows = rows[at.left[rows, tree.word[spelled[rows]]] > 0]
            if len(rows):
                together.append(self._close(at.take(rows), spelled[rows]))
        if costs is not None:
            for closed in together[1:]:
                words = tree.word[closed.path[:, :2]]
                costs |= {
                    tuple(row[:done]): cost
                    for row, done, cost in zip(words.tolist(), closed.done, closed.cost.tolist(), strict=True)
                }
        everything = _Open.join(together)
        whole = everything.node == tree.final
        self._finish(everything.take(whole), logs)
        return self._kids(everything.take(~whole), logs, bound)

    def _close(self, at: _Open, spelled: Ids) -> _Open:
        """The same with one more word done."""
        rows = np.arange(len(spelled))
        left, path, done = at.left.copy(), at.path.copy(), at.done + 1
        left[rows, self._tree.word[spelled]] -= 1
        path[rows, at.done] = spelled
        node = np.where(done == self.jumble.size, self._tree.last, self._tree.later)
        return _Open(at.cost, left, node, path, done, at.row)

    def _kids(self, at: _Open, logs: Floats, bound: float) -> _Open:
        """The next units that a word which is left begins or goes on with, the cheapest first."""
        tree = self._tree
        kids = tree.kids[at.node]
        possible = (kids >= 0) & ((at.left > 0)[:, None, :] & tree.below[kids]).any(-1)
        cost = at.cost[:, None] - logs[at.row[:, None], tree.unit[kids]]
        rows, columns = np.nonzero(possible & (cost < bound))
        order = np.argsort(cost[rows, columns], kind="stable")
        rows, columns = rows[order], columns[order]
        return at.take(rows)._replace(cost=cost[rows, columns], node=kids[rows, columns])

    def _finish(self, whole: _Open, logs: Floats) -> None:
        """Keep whole orders, each in its cheapest spelling, and no more of them than are asked for."""
        ends = list(self.jumble.ends)
        for row, cost, path in zip(whole.row.tolist(), whole.cost.tolist(), whole.path.tolist(), strict=True):
            total = cost - float(np.logaddexp.reduce(logs[row, ends].astype(np.float64))) if ends else cost
            words = tuple(self._tree.words[spelling] for spelling in path)
            texts = tuple(self._tree.texts[spelling] for spelling in path)
            self._found[words] = min((total, texts), self._found.get(words, (np.inf, ())))
        if len(self._found) > self._best:
            self._found = dict(sorted(self._found.items(), key=lambda item: item[1])[: self._best])

    def _average(self, costs: dict[tuple[int, ...], float]) -> npt.NDArray[np.float64]:
        """What each word costs behind another one, on average; nothing where there is no other."""
        sums = np.zeros((2, len(self.jumble.counts) + 1))
        for words, cost in costs.items():
            if len(words) == 2:
                sums[:, words[1]] += cost - costs[words[:1]], 1
        average: npt.NDArray[np.float64] = sums[0] / np.maximum(1, sums[1])
        return average

    def _narrow(self, layer: list[tuple[_Open, S]], width: int) -> list[tuple[_Open, S]]:
        """The `width` most promising beginnings of a layer."""
        ranks = [self._promise(at) for at, _ in layer]
        if sum(map(len, ranks)) <= width:
            return layer
        limit = np.sort(np.concatenate(ranks))[width - 1]
        return [(at.take(rank <= limit), state) for (at, state), rank in zip(layer, ranks, strict=True)]

    def _promise(self, at: _Open) -> npt.NDArray[np.float64]:
        """Cost so far and an estimate of the rest, the word that is begun counting by how much of it is to come."""
        tree = self._tree
        rest = at.left @ self._later_cost
        below = tree.below[at.node] & (at.left > 0)
        begun = (below @ self._later_cost) / np.maximum(1, below.sum(1))
        promise: npt.NDArray[np.float64] = at.cost + rest - begun * tree.depth[at.node] / tree.longest[at.node]
        return promise

    def _orders(self, *, proven: bool) -> list[Order]:
        return [Order(texts, nats, proven) for nats, texts in sorted(self._found.values())]


def _push(stack: list[tuple[_Open, S]], kids: _Open, state: S) -> None:
    if len(kids.cost):
        stack.append((kids, state))
