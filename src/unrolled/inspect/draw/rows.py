"""What the rolled and the unrolled picture share: boxes, arrows and remarks, and the height of each row."""

from __future__ import annotations

from dataclasses import dataclass, field

from unrolled.inspect.draw.label import Label, Run, symbol, text, width
from unrolled.inspect.draw.picture import Box, Line, Picture, Point, Text
from unrolled.inspect.draw.structure import Block, Chain, Structure

HIGH, BOTH, SPACE, BUS = 32.0, 92.0, 36.0, 26.0
LETTERS, SMALL = 12.5, 11.0
_LOOKS = {"field": "answer", "look": "attention"}


@dataclass
class Sheet:
    """Collects what a picture shows."""

    picture: Picture

    def box(self, x: float, y: float, wide: float, high: float, words: Label, part: str, title: str = "") -> None:
        """A box round its middle with its label."""
        self.picture.items.append(Box(x - wide / 2, y - high / 2, wide, high, part, title=title))
        self.picture.items.append(Text(x, y, words, LETTERS))

    def line(self, *points: Point, part: str = "wire", arrow: bool = True) -> None:
        """A line; points that say nothing new are left out."""
        kept = [p for k, p in enumerate(points) if k == 0 or p != points[k - 1]]
        self.picture.items.append(Line(tuple(kept), part, arrow))

    def word(self, x: float, y: float, label: Label, anchor: str = "middle", part: str = "ink",
             size: float = SMALL) -> None:  # fmt: skip
        """A label without a box."""
        self.picture.items.append(Text(x, y, label, size, anchor, part))

    def remark(self, x: float, y: float, anchor: str, head: Label, below: str) -> None:
        """Two lines beside a row."""
        self.word(x, y - (7 if below else 0), head, anchor)
        if below:
            self.word(x, y + 8, text(below), anchor, "muted", 10.5)


@dataclass(frozen=True)
class Rows:
    """The middle of each row, from the input at the bottom upwards, for both chains alike."""

    middle: tuple[float, ...]
    chain: Chain
    source: Chain | None
    bus: dict[int, float] = field(default_factory=dict)


def rows_of(structure: Structure, tall: float = HIGH) -> Rows:
    """Rows for the input, each block and the answer; below a block that looks at the source there is room for lines."""
    chains = [c for c in (structure.chain, structure.source) if c is not None]
    middle, bus, top = [0.0], {}, -HIGH / 2
    for k in range(1, max(len(c.blocks) for c in chains) + 2):
        here = [c.blocks[k - 1] for c in chains if k <= len(c.blocks)]
        layers = [b for b in here if b.kind == "recurrent"]
        high = max([HIGH, *(BOTH if b.both else tall for b in layers)])
        space = SPACE
        if any(b.kind == "look" for b in here):
            bus[k], space = top - SPACE - BUS / 2 + 6, SPACE + BUS + 6
        middle.append(top - space - high / 2)
        top = middle[-1] - high / 2
    return Rows(tuple(middle), structure.chain, structure.source, bus)


def look_of(block: Block) -> str:
    """How a block is painted; what has no weights is no function that was learnt."""
    return _LOOKS.get(block.kind, "learnt" if block.parameters else "function")


def states(block: Block, index: str) -> Label:
    """The states of a block at a step: h_1, c_1."""
    runs: list[Run] = []
    for name in () if block.program is None else block.program.state:
        runs += [Run(", ")] * bool(runs) + list(symbol(name, index))
    return tuple(runs)


def remark_of(block: Block, *, shared: bool) -> tuple[Label, str]:
    """What stands beside a block's row: its name and sizes, and what it has learnt."""
    head = (Run(block.name, bold=True), *((Run(f"  {block.detail}"),) if block.detail else ()))
    if not block.parameters:
        return head, "" if block.kind == "wide" else "no weights of its own"
    return head, f"{block.parameters:,} weights" + (", the same at every step" if shared else "")


def remarks_of(chain: Chain, *, short: bool = False) -> list[tuple[Label, str]]:
    """The remark of each block; the weights of what comes after a pooling serve one step alone."""
    pooled = [k for k, block in enumerate(chain.blocks) if block.pools]
    end = min([*pooled, len(chain.blocks)])
    return [remark_of(b, shared=k < end and b.kind != "wide" and not short) for k, b in enumerate(chain.blocks)]


def words_of(block: Block) -> Label:
    """What stands in a block's box."""
    return text(block.program.name if block.program is not None else block.name)


def box_width(chain: Chain) -> float:
    """The width that the labels of all boxes of a chain need."""
    named = [b for b in chain.blocks if b.kind != "wide"]
    return max([46.0, *(width(words_of(b), LETTERS) + 14 for b in named)])


def title(sheet: Sheet, structure: Structure, left: float, top: float) -> None:
    """The head line of a picture."""
    head = (Run(structure.name, bold=True), Run(f"   {structure.shape}"))
    sheet.picture.items.append(Text(left, top, head, 14.0, "start"))


def foot(sheet: Sheet, structure: Structure, left: float, bottom: float) -> None:
    """The line below a picture: how many weights there are, and what is fed back."""
    words = f"{structure.parameters:,} weights in all, as many for 10 steps as for 10,000."
    sheet.word(left, bottom, text(words), "start", "muted")
    if structure.fed:
        said = structure.fed[0].upper() + structure.fed[1:] + "."
        sheet.word(left, bottom + 16, text(said), "start", "muted")
