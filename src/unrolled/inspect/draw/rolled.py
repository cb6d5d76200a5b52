"""The network as it is written: one copy whose state comes back to it, with the sizes of what flows."""

from __future__ import annotations

from dataclasses import dataclass, field

from unrolled.inspect.draw.label import Run, symbol, text, width
from unrolled.inspect.draw.picture import Box, Picture, extent
from unrolled.inspect.draw.rows import (
    HIGH,
    LETTERS,
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

_TALL = 44.0
_LOOP, _PAD = 24.0, 6.0


def rolled_picture(structure: Structure) -> Picture:
    """One copy of the network; the loop of each layer carries its state from one step to the next."""
    sheet = Sheet(Picture(f"{structure.name}, rolled", f"{structure.shape}; each layer's state returns to it."))
    rows = _level(rows_of(structure, _TALL), structure)
    source = None
    if structure.source is not None:
        source = Column(sheet, rows, structure.source, 0.0)
        source.draw()
    main = Column(sheet, rows, structure.chain, 0.0 if source is None else source.reach + 230.0, source)
    if source is not None:
        main.read(structure.start)
    main.draw()
    main.answer(structure)
    extents = [extent(item) for item in sheet.picture.items]
    main.remarks("start", max(e[2] for e in extents) + 26.0)
    if source is not None:
        source.remarks("end", min(e[0] for e in extents) - 26.0)
    extents = [extent(item) for item in sheet.picture.items]
    edge = min(e[0] for e in extents)
    title(sheet, structure, edge, min(e[1] for e in extents) - 22)
    foot(sheet, structure, edge, max(e[3] for e in extents) + 22)
    return sheet.picture.fit()


def _level(rows: Rows, structure: Structure) -> Rows:
    """The rows of an unrolled picture, closer: both directions stand beside each other here."""
    middle, bus, top = [0.0], {}, -HIGH / 2
    chains = [c for c in (structure.chain, structure.source) if c is not None]
    for k in range(1, len(rows.middle)):
        here = [c.blocks[k - 1] for c in chains if k <= len(c.blocks)]
        high = _TALL if any(b.kind == "recurrent" for b in here) else HIGH
        space = 34.0 + (2 * _PAD if any(b.both for b in here) else 0)
        if k in rows.bus:
            bus[k], space = top - 20.0, 46.0
        middle.append(top - space - high / 2)
        top = middle[-1] - high / 2
    return Rows(tuple(middle), rows.chain, rows.source, bus)


@dataclass
class Column:
    """One chain from its input upwards."""

    sheet: Sheet
    rows: Rows
    chain: Chain
    x: float
    source: Column | None = None
    reach: float = field(init=False)

    def __post_init__(self) -> None:
        named = [width(words_of(b), LETTERS) + 18 for b in self.chain.blocks]
        self.wide = max([box_width(self.chain), 96.0, *named])
        both = any(b.both for b in self.chain.blocks if b.kind == "recurrent")
        self.half = max(self.wide / 2, box_width(self.chain)) if both else self.wide / 2
        self.reach = self.half + (_LOOP + 30.0 if any(b.kind == "recurrent" for b in self.chain.blocks) else 0.0)

    def draw(self) -> None:
        """The input and all blocks, each with the number of features that it hands up."""
        words = symbol(self.chain.symbol, "t") if self.chain.symbol else text(self.chain.reads)
        wide = max(46.0, width(words, LETTERS) + 16)
        self.sheet.box(self.x, self.rows.middle[0], wide, HIGH, words, "data")
        top, carried = self.rows.middle[0] - HIGH / 2, 0
        for k, block in enumerate(self.chain.blocks, 1):
            y = self.rows.middle[k]
            high = _TALL if block.kind == "recurrent" else HIGH
            pad = _PAD if block.both and block.kind == "recurrent" else 0.0
            self.sheet.line((self.x, top), (self.x, y + high / 2 + pad))
            if carried:
                self.sheet.word(self.x + 7, top - 11, text(f"{carried:,}"), "start", "muted", 10.5)
            if block.kind == "recurrent":
                self.loop(block, y)
            else:
                self.sheet.box(self.x, y, self.wide, HIGH, words_of(block), look_of(block), block.detail)
            top, carried = y - high / 2 - pad, block.width
        self.top, self.carried = top, carried

    def loop(self, block: Block, y: float) -> None:
        """A layer and its state, which comes back a step later; two boxes side by side where it reads both ways."""
        if not block.both:
            self.sheet.box(self.x, y, self.wide, _TALL, words_of(block), "forward", block.detail)
            self.turn(block, y, self.x + self.wide / 2, 1, "message", "t−1")
            return
        half = self.half
        frame = Box(self.x - half - _PAD, y - _TALL / 2 - _PAD, 2 * (half + _PAD), _TALL + 2 * _PAD, "frame", 9.0)
        self.sheet.picture.items.append(frame)
        for side, look, part, index in ((-1, "forward", "message", "t−1"), (1, "backward", "message-back", "t+1")):
            middle = self.x + side * (half / 2 + 3)
            self.sheet.box(middle, y, half - 6, _TALL, words_of(block), look, block.detail)
            self.turn(block, y, middle + side * (half - 6) / 2, side, part, index)

    def turn(self, block: Block, y: float, edge: float, side: int, part: str, index: str) -> None:
        """The loop at one side of a box."""
        out = edge + side * _LOOP
        self.sheet.line((edge, y - 12), (out, y - 12), (out, y + 12), (edge, y + 12), part=part)
        self.sheet.word(out + side * 6, y, states(block, index), "start" if side > 0 else "end")

    def read(self, start: str) -> None:
        """Lines from the source: what is looked at, and the states that the reading begins with."""
        if self.source is None:
            return
        edge = self.x - self.wide / 2
        top = (self.source.x, self.source.top)
        looks = [self.rows.middle[k] for k in self.rows.bus]
        for y in looks:
            self.sheet.line(top, (top[0], y), (edge, y), part="look")
        letter, end = "m" if self.source.chain.symbol else "v", self.source.chain.end
        words = (*symbol(letter, "1"), Run(" … "), *symbol(letter, end), Run(f"   {self.source.carried:,} each"))
        self.sheet.word(top[0] + 8, min(looks) - 10, words, "start")
        pairs = zip(self.chain.blocks, self.source.chain.blocks, self.rows.middle[1:], strict=False)
        for mine, theirs, y in pairs if start else ():
            if mine.kind == theirs.kind == "recurrent":
                begin = self.source.x + (self.source.half + _PAD if theirs.both else self.source.wide / 2)
                self.sheet.line((begin, y + 17), (edge, y + 17), part="message")
                self.sheet.word(edge - 16, y + 28, text(start), "end", "muted")

    def answer(self, structure: Structure) -> None:
        """The answer at the top, and the way back where it is the next input."""
        y = self.rows.middle[len(self.chain.blocks) + 1]
        index = {"one": "", "text": "u", "ahead": "t"}.get(self.chain.answers, "t")
        words = symbol(self.chain.answer, index)
        if self.chain.answers == "next":
            words = (Run("p(", italic=True), *symbol(self.chain.symbol, "t+1"), Run(")", italic=True))
        self.sheet.line((self.x, self.top), (self.x, y + HIGH / 2))
        self.sheet.word(self.x + 7, self.top - 11, text(f"{self.carried:,}"), "start", "muted", 10.5)
        wide = max(46.0, width(words, LETTERS) + 16)
        self.sheet.box(self.x, y, wide, HIGH, words, "answer")
        if structure.fed:
            below = self.rows.middle[0]
            message = max([0.0, *(width(states(b, "t−1"), SMALL) for b in self.chain.blocks if b.kind == "recurrent")])
            out = self.x + self.wide / 2 + _LOOP + message + 22
            self.sheet.line((self.x + wide / 2, y), (out, y), (out, below), (self.x + 23, below), part="feedback")

    def remarks(self, anchor: str, x: float) -> None:
        """What each row is, at the side."""
        self.sheet.remark(x, self.rows.middle[0], anchor, (Run("input", bold=True), Run(f"  {self.chain.reads}")), "")
        for k, remark in enumerate(remarks_of(self.chain, short=self.rows.source is not None), 1):
            self.sheet.remark(x, self.rows.middle[k], anchor, *remark)
        if self.rows.source is not self.chain:
            y = self.rows.middle[len(self.chain.blocks) + 1]
            self.sheet.remark(x, y, anchor, (Run("answer", bold=True), Run(f"  {self.chain.says}")), "")
