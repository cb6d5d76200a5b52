"""Labels: runs of upright, italic and lowered text, and how wide they are."""

from __future__ import annotations

from dataclasses import dataclass

# Advance widths of the characters from space to tilde in DejaVu Sans, in thousandths of the size. It is wider than the
# faces that a reader is likely to have, so a label that fits its box here fits it everywhere.
_WIDTHS = (
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863,
    748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635,
    615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636,
    337, 636, 838,
)  # fmt: skip
_OTHER, _WIDE = 0.84, 1.0
LOWERED = 0.72
DROP = 0.28


@dataclass(frozen=True)
class Run:
    """A piece of a label in one style."""

    text: str
    italic: bool = False
    bold: bool = False
    lowered: bool = False

    def width(self, size: float) -> float:
        """How far it reaches at a font size, in the same unit."""
        size *= (LOWERED if self.lowered else 1.0) * (1.15 if self.bold else 1.0)
        return sum(_advance(letter) for letter in self.text) * size


Label = tuple[Run, ...]


def _advance(letter: str) -> float:
    place = ord(letter) - 32
    if 0 <= place < len(_WIDTHS):
        return _WIDTHS[place] / 1000
    return _WIDE if ord(letter) >= 0x1100 else _OTHER


def text(words: str, *, bold: bool = False, italic: bool = False) -> Label:
    """Words as they are."""
    return (Run(words, bold=bold, italic=italic),)


def symbol(name: str, index: str = "") -> Label:
    """A letter of an equation with its index: `symbol("h", "t-1")`."""
    stem, _, rest = name.partition("_")
    lower = ",".join(part for part in (rest, index) if part)
    return (Run(stem, italic=True), *((Run(lower.replace("-", "−"), lowered=True),) if lower else ()))


def width(label: Label, size: float) -> float:
    """How wide a label is at a font size."""
    return sum(run.width(size) for run in label)


def said(label: Label) -> str:
    """The label as plain text: `h_t-1`."""
    return "".join(("_" if run.lowered else "") + run.text for run in label)


def shortened(words: str, most: int) -> str:
    """Words of at most so many letters; the last of a longer one is a dot-dot-dot."""
    return words if len(words) <= most else words[: most - 1] + "…"
