"""Word order: proverbs that the model has read, and English sentences that it has not.

The words of each sentence are shuffled, and `reorder` is given them with its defaults; a sentence counts if it comes
back letter by letter. Of the unseen sentences 600 are drawn; their model reads subwords, of which a short training sees
five times as much text as of characters. Beside it: how often chance alone restores a sentence, and
the best order, of all orders, under counts of neighbouring words in the same training text (add 0.1), capitals and the
final mark being no help there.
"""

from __future__ import annotations

import csv
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, pairwise
from pathlib import Path

from row import Measured, Row, Target, Work

from unrolled.data import read_table
from unrolled.tasks import open_run
from unrolled.tasks.order import reorder

LANGUAGE = Path("language")
PROVERBS = LANGUAGE / "proverbs.txt"
OTHERS = ("plato_republic.txt", "shakespeare.txt")
ENGLISH = {part: Path("translate", f"spa-eng-{part}.tsv") for part in ("train", "dev", "test")}
LONGEST_PROVERB, LONGEST_SENTENCE = 9, 8
ADDED = 0.1
MOST = 600
BASE_SECONDS, AGAIN_SECONDS, ENGLISH_SECONDS = 240, 90, 300
COMMANDS = (
    f"unrolled train language language --max-time {BASE_SECONDS}s --out base; "
    f"unrolled train language {PROVERBS} --from base --validation 0 --max-time {AGAIN_SECONDS}s"
)


def proverbs(work: Work) -> Measured:
    """Plato, Shakespeare and the proverbs together; then the proverbs once more, to know them by heart."""
    corpus = work.folder / "corpus"
    corpus.mkdir()
    for name in (*OTHERS, PROVERBS.name):
        (corpus / name).write_bytes((work.data / LANGUAGE / name).read_bytes())
    small = ("--hidden", 8, "--embedding", 8) if work.quick else ()
    base = work.train("language", corpus, "base", *small, *work.limit(BASE_SECONDS))["run"]
    again = ("--from", base, "--validation", 0)
    run = Path(work.train("language", corpus / PROVERBS.name, "proverbs", *again, *work.limit(AGAIN_SECONDS))["run"])
    lines = [line.strip() for line in (work.data / PROVERBS).read_text(encoding="utf-8").splitlines()]
    texts = [line for line in lines if 2 <= len(line.split()) <= LONGEST_PROVERB]
    read = [*(line for name in OTHERS for line in (corpus / name).read_text(encoding="utf-8").splitlines()), *lines]
    return measured(work, run, texts, read)


def english(work: Work) -> Measured:
    """Sentences of a test part none of which is in the training part, in lower case and without a full stop."""
    parts = {name: sentences(work.data / path) for name, path in ENGLISH.items()}
    files = {name: work.folder / f"english-{name}.csv" for name in ("train", "dev")}
    for name, path in files.items():
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text",), *((text,) for text in parts[name])])
    units = ("--units", "subword", "--vocabulary-size", 3000, "--embedding", 256)
    small = ("--units", "word", "--hidden", 8, "--embedding", 8)
    options = ("--valid", files["dev"], *(small if work.quick else units), *work.limit(ENGLISH_SECONDS))
    found = work.train("language", files["train"], "english", *options)
    texts = [text for text in parts["test"] if 2 <= len(text.split()) <= LONGEST_SENTENCE]
    return measured(work, Path(found["run"]), texts, parts["train"])


def sentences(path: Path) -> list[str]:
    """The English side, each sentence once."""
    column = read_table(path).column("english")
    return list(dict.fromkeys(text.lower().strip().removesuffix(".").strip() for text in column))


def measured(work: Work, run: Path, texts: Sequence[str], read: Iterable[str]) -> Measured:
    """Share of the texts, of which up to 600 are drawn, that come back exactly; a trial looks at its share of them."""
    chance = random.Random(0)
    texts = chance.sample(list(texts), math.ceil(min(MOST, len(texts)) * min(1.0, work.share)))
    jumbles = [" ".join(chance.sample(text.split(), len(text.split()))) for text in texts]
    model = open_run(run)
    exact = share(texts, (reorder(model, jumble)[0].text for jumble in jumbles))  # type: ignore[arg-type]
    counts = neighbours(read)
    bigrams = share([plain(text) for text in texts], (by_neighbours(plain(jumble), counts) for jumble in jumbles))
    luck = sum(1 / math.factorial(len(text.split())) for text in texts) / len(texts)
    return Measured({"exact": exact, "sentences": len(texts)}, {"chance": luck, "neighbouring words": bigrams})


def share(wanted: Sequence[str], found: Iterable[str]) -> float:
    """How many are equal."""
    return sum(a == b for a, b in zip(wanted, found, strict=True)) / len(wanted)


def plain(text: str) -> str:
    """In lower case without marks that may end a sentence."""
    return " ".join(word.rstrip(".!?") or word for word in text.lower().split())


def neighbours(texts: Iterable[str]) -> Counter[tuple[str, ...]]:
    """How often each word stands, and each behind another one; the empty word stands around each text."""
    counts: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = ["", *plain(text).split(), ""]
        counts.update((word,) for word in words[:-1])
        counts.update(pairwise(words))
    return counts


def by_neighbours(text: str, counts: Counter[tuple[str, ...]]) -> str:
    """The order with the largest product of P(word | word before), by dynamic programming over sets of words."""
    words = text.split()
    cost = _costs(["", *words], counts)
    everyone = range(1, len(words) + 1)
    best: dict[tuple[frozenset[int], int], tuple[float, tuple[int, ...]]]
    best = {(frozenset([last]), last): (cost(0, last), (last,)) for last in everyone}
    for size in range(2, len(words) + 1):
        for chosen in map(frozenset, combinations(everyone, size)):
            for last in chosen:
                rest = chosen - {last}
                before = ((best[rest, one], cost(one, last)) for one in rest)
                best[chosen, last] = min((nats + more, (*path, last)) for (nats, path), more in before)
    ends = ((best[frozenset(everyone), last], cost(last, 0)) for last in everyone)
    _, path = min((nats + more, path) for (nats, path), more in ends)
    return " ".join(words[place - 1] for place in path)


def _costs(words: Sequence[str], counts: Counter[tuple[str, ...]]) -> Callable[[int, int], float]:
    kinds = len(counts)

    def cost(first: int, second: int) -> float:
        pair, one = counts[words[first], words[second]], counts[words[first],]
        return math.log(one + ADDED * kinds) - math.log(pair + ADDED)

    return cost


def make(folder: Path) -> None:
    """Sentences of one pattern, under the names of the real files."""
    chance = random.Random(0)
    (folder / LANGUAGE).mkdir()
    (folder / "translate").mkdir()

    def sentence() -> str:
        who, what, where = (chance.choice(words) for words in (("Tom", "She"), ("sees", "buys"), ("here", "today")))
        return f"{who} {what} it {where}."

    for name, count in ((OTHERS[0], 200), (OTHERS[1], 200), (PROVERBS.name, 12)):
        (folder / LANGUAGE / name).write_text("\n".join(sentence() for _ in range(count)) + "\n", encoding="utf-8")
    for part, count in (("train", 200), ("dev", 20), ("test", 20)):
        rows = [f"{place}\t{sentence()}" for place in range(count)]
        (folder / ENGLISH[part]).write_text("\n".join(["spanish\tenglish", *rows, ""]), encoding="utf-8")


ROWS = (
    Row("proverbs in order", str(LANGUAGE), (Target("exact", 0.9),), proverbs, make, COMMANDS),
    Row("unseen sentences in order", str(ENGLISH["test"]), (Target("exact", 0.5),), english, make),
)
