from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from unrolled.data import build_vocabulary, vocabulary_from_json
from unrolled.data.pairs import PairColumns, read_pairs
from unrolled.data.vocabulary import PairVocabulary
from unrolled.errors import ArgumentError, DataError

rng = random.Random(5)
WORDS = ["casa", "perro", "«rojo»", 'di"jo', "it's", "¿qué?"]
ROWS = [(" ".join(rng.choices(WORDS, k=rng.randint(1, 6))), " ".join(rng.choices(WORDS, k=4))) for _ in range(20)]


def write(path: Path, lines: list[str]) -> Path:
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["pairs.tsv", "pairs.txt", "pairs.tsv.gz"])
def test_lines_are_cut_at_tabs_and_nowhere_else(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ["spanish\tenglish", *("\t".join(row) for row in ROWS)])
    pairs = read_pairs(path)
    assert list(zip(pairs.sources, pairs.targets, strict=True)) == ROWS
    assert pairs.rows == list(range(2, 22)) and pairs.names == ("spanish", "english")


def test_columns_by_name_and_further_ones_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "p.tsv", ["who\tes\ten", *(f"{i}\t{a}\t{b}" for i, (a, b) in enumerate(ROWS))])
    pairs = read_pairs(path, PairColumns("en", "es"))
    assert pairs.sources == [b for _, b in ROWS] and pairs.targets == [a for a, _ in ROWS]
    with pytest.raises(DataError, match=r"p\.tsv: there is no column 'fr'; the columns are 'who', 'es', 'en'"):
        read_pairs(path, PairColumns("fr"))


def test_a_file_without_names(tmp_path: Path) -> None:
    path = write(tmp_path / "p.tsv", [f"{a}\t{b}\tCC-BY" for a, b in ROWS])
    pairs = read_pairs(path, PairColumns(header=False))
    assert len(pairs) == 20 and pairs.names is None and pairs.rows[0] == 1
    with pytest.raises(DataError, match="columns have names only where the file has a header"):
        read_pairs(path, PairColumns("es", header=False))


def test_csv_and_json_lines(tmp_path: Path) -> None:
    table = write(tmp_path / "p.csv", ["es,en", *(f'"{a.replace(chr(34), chr(34) * 2)}",ok' for a, _ in ROWS)])
    assert read_pairs(table).sources == [a for a, _ in ROWS]
    lines = write(tmp_path / "p.jsonl", ['{"n": 1, "de": "Haus", "en": "house"}'])
    assert read_pairs(lines, PairColumns("de", "en")).targets == ["house"]
    ragged = write(tmp_path / "r.csv", ["es,en", "uno", "dos,two", ",three"])
    assert [error.row for error in read_pairs(ragged, skip_bad=True).skipped] == [2, 4]
    single = write(tmp_path / "q.csv", ["es", "casa"])
    with pytest.raises(DataError, match=r"a pair needs two columns, and there is 'es' alone"):
        read_pairs(single)


BAD = {
    "no tab here": "the line has no tab, and a text and its translation need one between them; add it",
    "\tonly english": "the text of the pair is empty; write it there or take the line out",
    "solo español\t  ": "the translation of the pair is empty; write it there or take the line out",
    "sí\t" + "yes " * 200: "one side has 799 characters and the other 2, so they are hardly translations",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_lines_are_named_or_skipped(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "p.tsv", ["es\ten", "uno\tone", line, "dos\ttwo"])
    with pytest.raises(DataError) as caught:
        read_pairs(path)
    assert str(caught.value).startswith(f"{path}, row 3: {BAD[line]}")
    pairs = read_pairs(path, skip_bad=True)
    assert pairs.targets == ["one", "two"] and pairs.rows == [2, 4]
    assert [error.row for error in pairs.skipped] == [3]


def test_a_ratio_of_zero_allows_any_lengths(tmp_path: Path) -> None:
    path = write(tmp_path / "p.tsv", ["es\ten", "sí\t" + "yes " * 200])
    assert len(read_pairs(path, PairColumns(ratio=0))) == 1


def test_undecodable_bytes(tmp_path: Path) -> None:
    path = tmp_path / "p.tsv"
    path.write_bytes(b"es\ten\nuno\tone\na\xf1o\tyear\r\ndos\ttwo\r\n")
    with pytest.raises(DataError, match=r"p\.tsv, row 3: byte 0xf1 at byte 2 of this line is not UTF-8"):
        read_pairs(path)
    pairs = read_pairs(path, skip_bad=True)
    assert pairs.targets == ["one", "two"]
    assert str(pairs.skipped[0]).startswith(f"{path}, row 3: byte 0xf1")


def test_files_that_hold_no_pairs(tmp_path: Path) -> None:
    for content, sentence in (
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"es\ten\n", "no pair could be used"),
        (b"one name\nuno\tone\n", "the file needs a first line with the names of two columns"),
        ("es\ten".encode("utf-16"), "the text is in UTF-16"),
        (b"\x89PNG\r\n\0", "binary file"),
    ):
        path = tmp_path / "p.tsv"
        path.write_bytes(content)
        for skip in (False, True):
            with pytest.raises(DataError, match=sentence):
                read_pairs(path, skip_bad=skip)
    with pytest.raises(DataError, match="pairs are needed"):
        read_pairs(write(tmp_path / "p.doc", ["es\ten"]))
    with pytest.raises(DataError, match=r"there is no such file; check the path \(nearest: 'p.tsv'\)"):
        read_pairs(tmp_path / "q.tsv")


@pytest.mark.parametrize("joint", [False, True])
def test_a_pair_of_vocabularies_reads_one_and_writes_the_other(joint: bool) -> None:
    sources, targets = ["uno dos tres", "dos"], ["one two three", "two"]
    one = build_vocabulary("word", sources + targets * joint, specials=("<s>",))
    pair = PairVocabulary(one, None if joint else build_vocabulary("char", targets, specials=("<s>",)))
    again = vocabulary_from_json(pair.to_json())
    assert isinstance(again, PairVocabulary) and again.joint == joint
    for made in (pair, again):
        assert made.encode("dos uno").tolist() == one.encode("dos uno").tolist()
        assert made.decode(made.target.encode("two three")) == "two three"
        assert len(made) == len(one) and made.tokens == one.tokens
    decoder = again.decoder()
    assert "".join([*map(decoder.push, pair.target.encode("three").tolist()), decoder.flush()]) == "three"


def test_damaged_pairs_of_vocabularies() -> None:
    one, other = build_vocabulary("char", ["abc"], specials=("<s>",)), build_vocabulary("char", ["abc"])
    with pytest.raises(ArgumentError, match="different special tokens"):
        PairVocabulary(one, other)
    good = PairVocabulary(one).to_json()
    for bad in ({**good, "source": None}, {**good, "target": good}, {**good, "source": good}, {"units": "pair"}):
        with pytest.raises(DataError, match="restore the file"):
            vocabulary_from_json(bad)
