from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from unrolled.data.genome import clean, is_fasta, kmers, looks_like_dna, read_dna, reverse_complement
from unrolled.errors import ArgumentError, DataError


def bases(seed: int, length: int = 30) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), size=length))


def test_fasta_over_several_lines_with_labels(tmp_path: Path) -> None:
    a, b, c = bases(0), bases(1), bases(2)
    path = tmp_path / "x.fa"
    path.write_text(
        f">one human exon\n{a[:20]}\n{a[20:].lower()}\n\n;a remark\n>two label=intron of a mouse\n{b}\n>3 exon\n{c}"
    )
    found = read_dna(path)
    assert found.sequences == [a, b, c]
    assert found.labels == ["exon", "intron", "exon"]
    assert found.names == ["one", "two", "3"]
    assert [origin.row for origin in found.origins] == [1, 6, 8]
    assert read_dna(path, label=None).labels == []
    packed = tmp_path / "x.fasta.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert is_fasta(packed) and read_dna(packed).sequences == found.sequences


def test_a_folder_of_fasta_files_and_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    (folder / "tail").mkdir(parents=True)
    (folder / "head.fa").write_text(f">a\n{bases(1)}\n>b\n{bases(2)}\n")
    (folder / "tail" / "anything.fna").write_text(f">c\n{bases(3)}\n")
    found = read_dna(folder)
    assert found.labels == ["head", "head", "tail"]
    table = tmp_path / "t.csv"
    table.write_text(f"label,bases\nx,{bases(1)}\ny, {bases(2).lower()}\n")
    assert read_dna(table, "bases").sequences == [bases(1), bases(2)]
    with pytest.raises(DataError, match="there is no column 'sequence'"):
        read_dna(table)


def test_the_other_strand_and_words() -> None:
    assert reverse_complement("AACGTN-R") == "Y-NACGTT"
    text = bases(5, 200) + "NRYSWKMBDHV"
    assert reverse_complement(reverse_complement(text)) == text
    assert kmers("ACGTA", 3) == "ACG CGT GTA"
    assert kmers("AC", 3) == "AC"
    assert clean(" ac gu\nN") == "ACGTN"
    with pytest.raises(ArgumentError, match="kmer=0 must be at least 1"):
        kmers("ACG", 0)


def test_what_looks_like_dna() -> None:
    assert looks_like_dna(["ACGTACGT", "acgguuaan"])
    assert not looks_like_dna(["ACGTACGT", "the cat"])
    assert not looks_like_dna(["A", "T"])
    assert not looks_like_dna([])


FAULTS = [
    (">a exon\nACGT\nACXGT\n", "x.fa, row 3: 'X' at place 3 of this sequence is no base; write one of ACGT"),
    (">a exon\n>b exon\nACGT\n", "x.fa, row 1: the sequence has no bases; write some or take it out"),
    (">a\nACGT\n", "x.fa, row 1: the sequence has no label; write one or take it out"),
    ("ACGT\n>a exon\nACGT\n", "x.fa, row 1: the file does not begin with a line '> name'"),
]


@pytest.mark.parametrize(("text", "sentence"), FAULTS)
def test_bad_fasta_is_named_by_file_and_row(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "x.fa").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_dna(tmp_path / "x.fa")


def test_bad_rows_are_skipped_on_request(tmp_path: Path) -> None:
    (tmp_path / "x.fa").write_text(f">a exon\n{bases(0)}\n>b exon\nAC!GT\n>c exon\n{bases(1)}\n")
    found = read_dna(tmp_path / "x.fa", skip_bad=True)
    assert (found.names, len(found.skipped)) == (["a", "c"], 1)
    assert "row 4: '!' at place 3" in str(found.skipped[0])
    (tmp_path / "t.csv").write_text("sequence,label\nACGT,a\nAC9T,b\nACGT,\n")
    with pytest.raises(DataError, match=r"t.csv, row 3: '9' at place 3"):
        read_dna(tmp_path / "t.csv")
    assert len(read_dna(tmp_path / "t.csv", skip_bad=True).skipped) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder holds no FASTA file"):
        read_dna(tmp_path / "empty")
