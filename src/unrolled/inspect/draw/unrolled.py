"""The network without its loop: a copy for each step, handing a message on to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from unrolled.errors import ArgumentError
from unrolled.inspect.draw.label import Label, Run, symbol, text, width
from unrolled.inspect.draw.picture import Picture, Point, extent
from unrolled.inspect.draw.rows import (
    BOTH,
    HIGH,
    SMALL,
    Rows,
    Sheet,
    box_width,
    foot,
    look_of,
    remarks_of,
    rows_of,
    states,
    title,
    words_of,
)
from unrolled.inspect.draw.structure import Block, Chain, Structure

MOST_STEPS = 12
_SIDE, _STUB = 26.0, 22.0


def unrolled_picture(structure: Structure, steps: int | None = None) -> Picture:
    """Copies of the network side by side; `steps` of them, or the first, a gap and the last.

    Raises ArgumentError for more steps than a picture can show.
    """
    steps = structure.steps if steps is None and (structure.steps or 99) <= MOST_STEPS else steps
    if steps is not None and not 1 <= steps <= MOST_STEPS:
        raise ArgumentError(
            f"{steps} steps do not fit a picture; give 1 to {MOST_STEPS}, or none for the first and last."
        )
    sheet = Sheet(Picture(f"{structure.name}, unrolled", f"{structure.shape}; each step passes a message to the next."))
    rows = rows_of(structure)
    source = None
    if structure.source is not None:
        source = Strip(sheet, rows, structure.source, 0.0, None)
        source.draw()
        source.keep(min(rows.bus))
    left = 0.0 if source is None else source.right + 118.0
    main = Strip(sheet, rows, structure.chain, left, steps, source, bool(structure.start))
    main.draw()
    main.finish()
    extents = [extent(item) for item in sheet.picture.items]
    main.remarks("start", max(e[2] for e in extents) + 26.0)
    if source is not None:
        source.remarks("end", min(e[0] for e in extents) - 26.0)
    extents = [extent(item) for item in sheet.picture.items]
    edge = min(e[0] for e in extents)
    title(sheet, structure, edge, min(e[1] for e in extents) - 22)
    foot(sheet, structure, edge, max(e[3] for e in extents) + 22)
    return sheet.picture.fit()


@dataclass(frozen=True)
class Column:
    """A step that is shown; index None stands for those left out. `ahead`: after the input."""

    x: float
    index: str | None
    top: float = 0.0
    ahead: bool = False


@dataclass
class Strip:
    """One chain, step after step."""

    sheet: Sheet
    rows: Rows
    chain: Chain
    left: float
    steps: int | None
    source: Strip | None = None
    start: bool = False
    columns: list[Column] = field(default_factory=list)
    held: Point = (0.0, 0.0)
    lasts: dict[int, Point] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wide = box_width(self.chain)
        recurrent = [b for b in self.chain.blocks if b.kind == "recurrent"]
        self.both = any(b.both for b in recurrent)
        messages = max([0.0, *(width(states(b, "t−1"), SMALL) for b in recurrent)])
        reach = self.wide + (_SIDE + 6 if self.both else 0.0)
        self.reach = reach / 2 + (_SIDE - 6 if self.both else 0)
        gap = max(38.0, messages + 20.0)
        names = _names(self.chain, self.steps, single=not recurrent, pair=self.rows.source is not None)
        at = self.left
        for index, ahead in names:
            half = self.reach if index is not None else self.reach - self.wide / 2 + 14
            self.columns.append(Column(at + half, index, ahead=ahead))
            at += 2 * half + gap
        self.right = self.columns[-1].x + self.reach

    # ---- row by row

    def draw(self) -> None:
        """The inputs and all blocks, from below."""
        self.inputs()
        for k, block in enumerate(self.chain.blocks, 1):
            if block.joins > 1:
                self.join()
            y = self.rows.middle[k]
            if block.kind == "wide":
                self.over_all(block, y)
            elif block.kind == "recurrent":
                self.recurrent(block, y, k)
            else:
                self.each(block, y, k)

    def inputs(self) -> None:
        """A box for what each step reads."""
        y = self.rows.middle[0]
        for k, column in enumerate(self.columns):
            if column.index is None:
                self.sheet.word(column.x, y, text("…"), size=16.0)
                continue
            words: Label = symbol(self.chain.symbol, column.index) if self.chain.symbol else text(self.chain.reads)
            if column.ahead:
                words = text("place ", italic=False) + symbol("", column.index)
            self.sheet.box(column.x, y, max(38.0, width(words, 12.5) + 14), HIGH, words, "data")
            self.columns[k] = replace(column, top=y - HIGH / 2)

    def each(self, block: Block, y: float, k: int) -> None:
        """The same box at every step."""
        shown = [c for c in self.columns if c.index is not None and _stands(block, c)]
        for column in shown:
            self.sheet.line((column.x, column.top), (column.x, y + HIGH / 2))
            self.sheet.box(column.x, y, self.wide, HIGH, words_of(block), look_of(block), block.detail)
        if block.kind == "field":
            for a, b in pairwise(shown):
                self.sheet.line((a.x + self.wide / 2, y), (b.x - self.wide / 2, y), part="look", arrow=False)
        if block.kind == "look" and self.source is not None:
            self.look(shown, y, k)
        kept = [c for c in self.columns if block.kind != "ahead" or c.ahead]
        self.columns = [replace(c, top=y - HIGH / 2) if c in shown else c for c in kept]

    def look(self, shown: Sequence[Column], y: float, k: int) -> None:
        """Lines from what the source holds to every step."""
        bus = self.rows.bus[k]
        x, at = self.source.held if self.source is not None else (0.0, 0.0)
        start = ((x, at),) if abs(at - bus) < 0.1 else ((x - 14, at - HIGH / 2), (x - 14, bus))
        for column in shown:
            foot_x = column.x - 0.32 * self.wide
            self.sheet.line(*start, (foot_x, bus), (foot_x, y + HIGH / 2), part="look")

    def over_all(self, block: Block, y: float) -> None:
        """One box over all steps; after a pooling there is one column."""
        first, last = self.columns[0], self.columns[-1]
        middle, wide = (first.x + last.x) / 2, max(last.x - first.x + self.wide, width(words_of(block), 12.5) + 18)
        read = [c for c in self.columns if c.index is not None]
        if block.last:
            read = [first, last] if block.both and len(self.columns) > 1 else [last]
        for column in read:
            self.sheet.line((column.x, column.top), (column.x, y + HIGH / 2))
        self.sheet.box(middle, y, wide, HIGH, words_of(block), look_of(block), block.detail)
        over = [Column(middle, "")] if block.pools else self.columns
        self.columns = [replace(c, top=y - HIGH / 2) for c in over]

    def join(self) -> None:
        """Neighbouring steps become one; the line of each goes up to the middle of them."""
        groups: list[list[Column]] = []
        for column in self.columns:
            fits = groups and len(groups[-1]) < 2 and None not in (column.index, groups[-1][0].index)
            if fits:
                groups[-1].append(column)
            else:
                groups.append([column])
        found = []
        for k, group in enumerate(groups):
            x, top = sum(c.x for c in group) / len(group), group[0].top
            index = None if group[0].index is None else self.chain.end if k == len(groups) - 1 else str(k + 1)
            for column in group if len(group) > 1 else ():
                self.sheet.line((column.x, top), (column.x, top - 12), (x, top - 12), arrow=False)
            found.append(Column(x, index, top - 12 if len(group) > 1 else top))
        self.columns = found

    # ---- messages

    def recurrent(self, block: Block, y: float, k: int) -> None:
        """A copy of the layer for each step, and the message between them."""
        if not block.both:
            for column in self.columns:
                self.copy(column, column.x, y, block, "forward")
            self.messages(block, y, 0.0, back=False)
            self.begin(block, y, k)
            self.columns = [replace(c, top=y - HIGH / 2) for c in self.columns]
            self.lasts[k] = (self.columns[-1].x + self.wide / 2, y)
            return
        low, high = y + (BOTH - HIGH) / 2, y - (BOTH - HIGH) / 2
        side = self.wide / 2 - 6
        top = high - HIGH / 2 - 9
        for column in self.columns:
            for at, level, look in ((column.x - side, low, "forward"), (column.x + side, high, "backward")):
                self.copy(replace(column, x=column.x, top=column.top), at, level, block, look)
            if column.index is not None:
                for at, level in ((column.x - side - 8, low), (column.x + side, high)):
                    self.sheet.line((at, level - HIGH / 2), (at, top), (column.x, top), arrow=False)
        self.messages(block, low, -side, back=False)
        self.messages(block, high, side, back=True)
        self.begin(block, low, k, -side)
        self.columns = [replace(c, top=top) for c in self.columns]
        self.lasts[k] = (self.columns[-1].x - side + self.wide / 2, low)

    def copy(self, column: Column, at: float, y: float, block: Block, look: str) -> None:
        """One step's copy; its input comes straight up, or round the other direction's copy."""
        if column.index is None:
            self.sheet.word(at, y, text("…"), size=16.0)
            return
        fork = column.top - 8
        down = y + HIGH / 2
        enters = at if at == column.x or look == "forward" else at + 8
        points = ((column.x, column.top), (column.x, fork), (enters, fork), (enters, down))
        self.sheet.line(*(points if at != column.x else (points[0], points[-1])))
        self.sheet.box(at, y, self.wide, HIGH, words_of(block), look, block.detail)

    def messages(self, block: Block, y: float, shift: float, *, back: bool) -> None:
        """Arrows from each copy to the next one in the direction of reading."""
        part = "message-back" if back else "message"
        for a, b in pairwise(self.columns):
            left = a.x + shift + (self.wide / 2 if a.index is not None else 12)
            right = b.x + shift - (self.wide / 2 if b.index is not None else 12)
            self.sheet.line(*(((right, y), (left, y)) if back else ((left, y), (right, y))), part=part)
            index = self.state_index(b if back else a)
            if index:
                self.sheet.word((left + right) / 2, y - 10, states(block, index))

    def state_index(self, column: Column) -> str:
        """The name of the state that a step hands on: the input y_0 leads to h_1, those ahead are after the last."""
        index = column.index or ""
        if column.ahead and index:
            return f"{self.chain.end}+{index}"
        return _next(index) if index and self.chain.symbol == "y" else index

    def begin(self, block: Block, y: float, k: int, shift: float = 0.0) -> None:
        """What the first copy starts from, and what the last one hands out."""
        first, last = self.columns[0].x + shift - self.wide / 2, self.columns[-1].x + shift + self.wide / 2
        handed = self.source.lasts.get(k) if self.source is not None and self.start else None
        if handed is not None:
            middle = first - 24
            self.sheet.line(handed, (middle, handed[1]), (middle, y), (first, y), part="message")
            self.hand_over(block, k, handed[1])
        else:
            self.sheet.line((self.left - _STUB, y), (first, y), part="message")
            self.sheet.word(self.left - _STUB - 4, y, states(block, "0"), "end")
        if not self.hands_on:
            self.sheet.line((last, y), (self.right + _STUB, y), part="message")
            self.sheet.word(self.right + _STUB + 4, y, states(block, self.state_index(self.columns[-1])), "start")
        if block.both:
            self.back(block, y - BOTH + HIGH, -shift)

    def hand_over(self, block: Block, k: int, y: float) -> None:
        """Name the states that come from the source; the ones of its way back start at its first step."""
        if self.source is None:
            return
        x = self.source.right + 6
        self.sheet.word(x, y - 10, states(block, self.source.chain.end), "start")
        if self.source.chain.blocks[k - 1].both:
            self.sheet.word(x, y + 11, (Run("with "), *states(block, "1")), "start")

    @property
    def hands_on(self) -> bool:
        """Whether the last states go into another chain."""
        return self.source is None and self.rows.source is self.chain

    def back(self, block: Block, y: float, shift: float) -> None:
        """Begin and end of the direction that reads backwards."""
        first, last = self.columns[0].x + shift - self.wide / 2, self.columns[-1].x + shift + self.wide / 2
        self.sheet.line((self.right + _STUB, y), (last, y), part="message-back")
        index = _next(self.columns[-1].index or "")
        self.sheet.word(self.right + _STUB + 4, y, states(block, index), "start")
        self.sheet.line((first, y), (self.left - _STUB, y), part="message-back")
        self.sheet.word(self.left - _STUB - 4, y, states(block, self.columns[0].index or ""), "end")

    # ---- above the blocks

    def keep(self, k: int) -> None:
        """What the other chain looks at: all outputs in one box, at the height of its lines."""
        y = self.rows.bus[k]
        letter = "m" if self.chain.symbol else "v"
        words: tuple[Run, ...] = (*symbol(letter, "1"), Run("  …  "), *symbol(letter, self.chain.end))
        first, last = self.columns[0], self.columns[-1]
        middle, wide = (first.x + last.x) / 2, max(last.x - first.x + self.wide, 110.0)
        for column in self.columns:
            if column.index is not None:
                self.sheet.line((column.x, column.top), (column.x, y + HIGH / 2))
        self.sheet.box(middle, y, wide, HIGH, words, "data")
        self.held = (middle + wide / 2, y)
        self.right = max(self.right, middle + wide / 2)
        self.left = min(self.left, middle - wide / 2)

    def finish(self) -> None:
        """The answers."""
        y = self.rows.middle[len(self.chain.blocks) + 1]
        for k, column in enumerate(self.columns):
            if column.index is None:
                self.sheet.word(column.x, y, text("…"), size=16.0)
                continue
            words = self.answer(column.index)
            self.sheet.line((column.x, column.top), (column.x, y + HIGH / 2))
            self.sheet.box(column.x, y, max(38.0, width(words, 12.5) + 14), HIGH, words, "answer")
            self.columns[k] = replace(column, top=y - HIGH / 2)

    def answer(self, index: str) -> Label:
        """What is answered at a step."""
        if self.chain.answers == "text":
            return (*symbol("y", "1"), Run("  "), *symbol("y", "2"), Run("  …  "), *symbol("y", "U"))
        if self.chain.answers == "next":
            return Run("p(", italic=True), *symbol(self.chain.symbol, _next(index)), Run(")", italic=True)
        return symbol(self.chain.answer, index)

    def remarks(self, anchor: str, x: float) -> None:
        """What each row is, at the side."""
        self.sheet.remark(x, self.rows.middle[0], anchor, (Run("input", bold=True), Run(f"  {self.chain.reads}")), "")
        for k, remark in enumerate(remarks_of(self.chain, short=self.rows.source is not None), 1):
            self.sheet.remark(x, self.rows.middle[k], anchor, *remark)
        if self.rows.source is not self.chain:
            y = self.rows.middle[len(self.chain.blocks) + 1]
            self.sheet.remark(x, y, anchor, (Run("answer", bold=True), Run(f"  {self.chain.says}")), "")


def _stands(block: Block, column: Column) -> bool:
    """Whether a block is at a step at all."""
    return column.ahead if block.kind == "ahead" else not column.ahead if block.kind == "past" else True


def _names(chain: Chain, steps: int | None, *, single: bool, pair: bool) -> list[tuple[str | None, bool]]:
    """The steps that are shown, None for those left out, and whether each is after the input."""
    if single:
        return [("", False)]
    if chain.answers == "ahead":
        past = [("1", False), ("2", False), (None, False), (chain.end, False)]
        return [*past, ("1", True), (None, True), ("A", True)]
    first, shown = (0 if chain.symbol == "y" else 1), 2 if pair else 3
    if steps is not None:
        return _plain(range(first, first + steps))
    last = f"{chain.end}−1" if chain.symbol == "y" else chain.end
    if any(block.joins > 1 for block in chain.blocks):
        return [*_plain(range(1, 5)), (None, False), (f"{chain.end}−1", False), (chain.end, False)]
    return [*_plain(range(first, first + shown)), (None, False), (last, False)]


def _plain(numbers: range) -> list[tuple[str | None, bool]]:
    return [(str(k), False) for k in numbers]


def _next(index: str) -> str:
    """The name of the step after: 2 after 1, T after T−1, T+1 after T."""
    if index.isdigit():
        return str(int(index) + 1)
    return index.removesuffix("−1") if index.endswith("−1") else f"{index}+1"
