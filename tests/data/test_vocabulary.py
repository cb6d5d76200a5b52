from __future__ import annotations

import builtins
import copy
import json
import pickle
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unrolled.data import UNITS, SubwordVocabulary, Vocabulary, WordVocabulary, build_vocabulary, vocabulary_from_json
from unrolled.errors import ArgumentError, DataError, EngineError
from unrolled.tasks.run import read_vocabulary

TEXTS = [
    "The cat sat on the mat, and the dog (a big one) didn't mind.\n\nWhy? Nobody knows; it cost $5 or 1,000.50!",
    "Ça va, l'ami ? Æther, naïve café, 日本語 and 😀 emoji — done.\nthe end … the end",
    "the cat the cat the cat, the dog the dog the dog.",
]
WHOLE = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NOISY = st.text(st.sampled_from("the catdog,.!?'\n é日😀$("), max_size=40) | WHOLE


def build(units: str, **options: Any) -> Vocabulary:
    return build_vocabulary(units, TEXTS, **options)


@pytest.fixture(scope="module", params=UNITS)
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    return build(request.param, specials=("<start>", "<end>"))


def test_reserved_ids_come_first(vocabulary: Vocabulary) -> None:
    assert (vocabulary.pad, vocabulary.unknown) == (0, 1)
    assert vocabulary.tokens[:4] == ["<pad>", "<unk>", "<start>", "<end>"]
    assert vocabulary.special("<end>") == 3
    assert len(vocabulary.tokens) == len(vocabulary)
    assert vocabulary.decode([0, 2, 3]) == ""
    with pytest.raises(ArgumentError, match="no special token '<stop>'; this vocabulary has '<start>', '<end>'"):
        vocabulary.special("<stop>")


def test_text_never_becomes_padding_or_a_special_token(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode("<pad><start> <end> <unk> the cat")
    assert ids.dtype == np.int64
    assert ids.ndim == 1
    assert not np.isin(ids, [0, 2, 3]).any()


@given(text=NOISY)
def test_pushed_pieces_are_the_decoded_text(vocabulary: Vocabulary, text: str) -> None:
    ids = vocabulary.encode(text)
    decoder = vocabulary.decoder()
    assert "".join([*(decoder.push(int(index)) for index in ids), decoder.flush()]) == vocabulary.decode(ids)


@given(data=st.data())
def test_any_ids_can_be_decoded_and_streamed(vocabulary: Vocabulary, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, len(vocabulary) - 1), max_size=20))
    decoder = vocabulary.decoder()
    assert "".join([*map(decoder.push, ids), decoder.flush()]) == vocabulary.decode(np.array(ids, dtype=np.int32))


@given(texts=st.lists(NOISY, max_size=4))
def test_encode_all_is_encode_of_each(vocabulary: Vocabulary, texts: list[str]) -> None:
    for together, alone in zip(vocabulary.encode_all(texts), map(vocabulary.encode, texts), strict=True):
        np.testing.assert_array_equal(together, alone)


@given(text=NOISY)
def test_json_makes_an_equal_vocabulary(vocabulary: Vocabulary, text: str) -> None:
    again = vocabulary_from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert type(again) is type(vocabulary)
    assert again.to_json() == vocabulary.to_json()
    np.testing.assert_array_equal(again.encode(text), vocabulary.encode(text))


def test_a_copy_is_equal(vocabulary: Vocabulary) -> None:
    for again in (copy.deepcopy(vocabulary), pickle.loads(pickle.dumps(vocabulary))):
        assert again.to_json() == vocabulary.to_json()
        np.testing.assert_array_equal(again.encode(TEXTS[0]), vocabulary.encode(TEXTS[0]))


@pytest.mark.parametrize("wrong", [-1, 10**6])
def test_an_id_outside_is_refused(vocabulary: Vocabulary, wrong: int) -> None:
    for use in (vocabulary.decode, lambda ids: vocabulary.decoder().push(ids[1])):
        with pytest.raises(ArgumentError, match=f"id {wrong} is outside this vocabulary of {len(vocabulary)} tokens"):
            use([2, wrong])


@pytest.mark.parametrize("units", ["byte", "subword"])
@given(text=WHOLE)
def test_bytes_and_subwords_lose_nothing(units: str, text: str) -> None:
    vocabulary = VOCABULARIES[units]
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert vocabulary.unknown not in vocabulary.encode(text)


VOCABULARIES = {units: build(units) for units in UNITS}


@given(text=st.text(st.sampled_from("".join(TEXTS)), max_size=30))
def test_known_characters_lose_nothing(text: str) -> None:
    vocabulary = VOCABULARIES["char"]
    assert vocabulary.decode(vocabulary.encode(text)) == text


@given(text=WHOLE)
def test_unknown_characters_are_one_token_each(text: str) -> None:
    known = set("".join(TEXTS))
    ids = VOCABULARIES["char"].encode(text)
    assert (ids == 1).tolist() == [letter not in known for letter in text]
    assert VOCABULARIES["char"].decode(ids) == "".join(letter if letter in known else "\ufffd" for letter in text)


def test_common_tokens_come_first_and_rare_ones_are_dropped() -> None:
    vocabulary = build_vocabulary("char", ["aabbbc", "b"])
    assert vocabulary.tokens[2:] == ["b", "a", "c"]
    assert build_vocabulary("char", ["aabbbc", "b"], minimum=2).tokens[2:] == ["b", "a"]
    assert build_vocabulary("char", ["aabbbc", "b"], size=3).tokens[2:] == ["b"]
    assert build_vocabulary("word", ["a b b c , c c"], size=4).tokens[2:] == ["c", "b"]


@pytest.mark.parametrize("units", ["char", "word"])
def test_lower_case(units: str) -> None:
    vocabulary = build_vocabulary(units, ["The THE the"], lowercase=True)
    again = vocabulary_from_json(vocabulary.to_json())
    for known in (vocabulary, again):
        assert 1 not in known.encode("tHE")
        assert known.decode(known.encode("THE")) == "the"


@pytest.mark.parametrize("units", UNITS)
def test_the_order_of_texts_changes_nothing(units: str) -> None:
    shuffled = random.Random(3).sample(TEXTS, len(TEXTS))
    assert build_vocabulary(units, shuffled).to_json() == build(units).to_json()


def test_words_and_marks() -> None:
    vocabulary = VOCABULARIES["word"]
    assert isinstance(vocabulary, WordVocabulary)
    for word in ("didn't", "l'ami", "1,000.50", "日本語", "café", "…", "—", "(", "\n"):
        assert word in vocabulary.tokens
    assert {"(￭", "￭)", "￭,", "—", "$￭"} <= set(vocabulary.words)
    assert vocabulary.decode(vocabulary.encode("the mat zebra")) == "the mat <unk>"


def test_an_english_ending_that_stands_apart_is_one_token() -> None:
    vocabulary = build_vocabulary("word", ["it 's n't 'so' she 'll"])
    assert sorted(vocabulary.words) == ["'ll", "'s", "'￭", "it", "n't", "she", "so", "￭'"]


@given(NOISY)
@example("'Tis \"so\", o' the (big) half-moon: 'go' -- it 's n't ... 1,000.50!?\n\n'em\u00a0x_y")
def test_known_words_come_back_with_their_spacing(text: str) -> None:
    lines = (" ".join(line.replace("\uffed", " ").split()) for line in text.split("\n"))
    spaced = "a\n" + "\n".join(lines)
    vocabulary = build_vocabulary("word", [spaced])
    assert vocabulary.decode(vocabulary.encode(spaced)) == spaced


def test_a_mark_joined_as_never_before_is_still_known() -> None:
    vocabulary = build_vocabulary("word", ["so , so good ! good !", "(so) so)"])
    ids = vocabulary.encode("good, so ) !")
    assert [vocabulary.token(index) for index in ids] == ["good", ",", "so", ")", "!"]
    assert vocabulary.decode(ids) == "good , so) !"
    vocabulary = build_vocabulary("word", ["a, b, c ,d"])
    assert vocabulary.decode(vocabulary.encode("a , b")) == "a, b"


def test_vowel_signs_stay_in_their_word() -> None:
    vocabulary = build_vocabulary("word", ["हिन्दी भाषा"])
    assert vocabulary.tokens[2:] == sorted(["हिन्दी", "भाषा"])


def test_a_character_cut_between_ids_waits_for_its_end() -> None:
    vocabulary = build("byte")
    decoder = vocabulary.decoder()
    pieces = [decoder.push(int(index)) for index in vocabulary.encode("é😀")]
    assert pieces == ["", "é", "", "", "", "😀"]
    assert decoder.push(2 + 0xC3) == ""
    assert decoder.flush() == "\ufffd"


def test_subwords_are_learnt_to_size() -> None:
    vocabulary = build_vocabulary("subword", ["low lower lowest newest widest"] * 20, size=270)
    assert len(vocabulary) == 270
    assert len(vocabulary.encode("lowest")) < len("lowest")
    assert "est" in "".join(vocabulary.tokens)


def test_subwords_without_their_library_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "tokenizers":
            raise ImportError(name)
        return real(name, *rest)

    stored = build("subword").to_json()
    (tmp_path / "vocabulary.json").write_text(json.dumps(stored))
    monkeypatch.setattr(builtins, "__import__", refuse)
    for use in (lambda: build("subword"), lambda: vocabulary_from_json(stored), lambda: read_vocabulary(tmp_path)):
        with pytest.raises(EngineError, match="subwords need tokenizers, which is not installed; run"):
            use()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"units": "words"}, r"units='words' is not known; give one of .* \(nearest: 'word'\)"),
        ({"units": "char", "minimum": 0}, "minimum=0 and size=None leave no room for a token; give at least 1 and 3"),
        ({"units": "char", "size": 3, "specials": ["<end>"]}, "minimum=1 and size=3 leave no room .* 1 and 4"),
        ({"units": "byte", "lowercase": True}, "lowercase is for char and word units, and 'byte' keeps the text"),
        ({"units": "word", "minimum": 99}, "no token of the texts is seen 99 times or more"),
        ({"units": "subword", "size": 200}, "a subword vocabulary of 200 tokens has no room for the 256 bytes"),
        ({"units": "char", "specials": ["<pad>"]}, "the special tokens '<pad>', '<unk>', '<pad>' must all differ"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        build(**arguments)


@pytest.mark.parametrize("units", ["byte", "subword"])
def test_half_a_surrogate_pair_is_refused(units: str) -> None:
    with pytest.raises(ArgumentError, match="character 3 of the text is half of a surrogate pair"):
        VOCABULARIES[units].encode("ab\ud83d")
    assert VOCABULARIES["char"].encode("ab\ud83d")[2] == 1


def test_half_a_surrogate_pair_is_refused_in_training() -> None:
    with pytest.raises(ArgumentError, match="half of a surrogate pair"):
        build_vocabulary("subword", ["ab\ud83d"])


@pytest.mark.parametrize(
    ("units", "change", "sentence"),
    [
        (
            "char",
            {"units": "pickle"},
            "units are 'pickle', and one of 'char', 'byte', 'word', 'subword', 'symbol' is needed",
        ),
        ("char", {"units": ["char"]}, "units are"),
        ("char", {"tokens": ["a", "b", "a"]}, "'tokens' has 'a' twice"),
        ("char", {"tokens": ["a", "bc"]}, "not one character"),
        ("char", {"tokens": ["a", 3]}, "'tokens' must be a list of texts"),
        ("char", {"tokens": "abc"}, "'tokens' must be a list of texts"),
        ("char", {"lowercase": 1}, "'lowercase' must be true or false"),
        ("char", {"specials": None}, "'specials' must be a list of texts"),
        ("byte", {"specials": ["<unk>"]}, "must all differ"),
        ("word", {"tokens": ["a", ""]}, "'tokens' must be a list of texts"),
        ("subword", {"tokenizer": None}, "it cannot be read"),
        ("subword", {"tokenizer": {"model": {"type": "BPE"}}}, "it cannot be read"),
    ],
)
def test_a_tampered_vocabulary_is_refused(units: str, change: dict[str, Any], sentence: str) -> None:
    stored = {**VOCABULARIES[units].to_json(), **change}
    with pytest.raises(DataError, match=sentence) as caught:
        vocabulary_from_json(stored, "run/vocabulary.json")
    assert str(caught.value).startswith("run/vocabulary.json: ")


@pytest.mark.parametrize("data", [None, [], "char", 3, {}])
def test_what_is_no_vocabulary_is_refused(data: object) -> None:
    with pytest.raises(DataError, match="restore the file"):
        vocabulary_from_json(data)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("normalizer",), {"type": "Lowercase"}, "not plain byte-level BPE"),
        (("model", "dropout"), 0.5, "not plain byte-level BPE"),
        (("pre_tokenizer", "add_prefix_space"), True, "not plain byte-level BPE"),
        (
            ("truncation",),
            {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
            "not plain",
        ),
        (("pre_tokenizer",), None, "not plain byte-level BPE"),
        (("pre_tokenizer",), {"type": "Whitespace"}, "not plain byte-level BPE"),
        (("model", "vocab", "a"), 2**31, "its ids have gaps"),
        (("model", "vocab", "日"), 256, "its tokens are not made of the 256 bytes"),
    ],
)
def test_a_tampered_tokenizer_is_refused(path: tuple[str, ...], value: object, sentence: str) -> None:
    plain = build_vocabulary("subword", ["a"], size=258)
    assert isinstance(plain, SubwordVocabulary)
    stored = copy.deepcopy(plain.to_json())
    part: Any = stored["tokenizer"]
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    with pytest.raises(DataError, match=sentence):
        vocabulary_from_json(stored)


def test_a_tokenizer_without_all_bytes_is_refused() -> None:
    stored = build_vocabulary("subword", ["a"], size=258).to_json()
    learnt = stored["tokenizer"]["model"]["vocab"]
    del learnt[max(learnt, key=learnt.get)]
    with pytest.raises(DataError, match="its tokens are not made of the 256 bytes"):
        vocabulary_from_json(stored)


@settings(max_examples=40)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5), st.data())
def test_any_change_of_json_is_refused_or_harmless(value: Any, data: st.DataObject) -> None:
    units = data.draw(st.sampled_from(UNITS))
    stored = VOCABULARIES[units].to_json()
    stored[data.draw(st.sampled_from(sorted(stored)))] = value
    try:
        vocabulary = vocabulary_from_json(stored)
    except DataError:
        return
    vocabulary.decode(vocabulary.encode(TEXTS[0]))


@pytest.mark.parametrize(("units", "seconds"), [("char", 0.1), ("byte", 0.1), ("word", 1.0)])
def test_a_megabyte_is_encoded_quickly(units: str, seconds: float) -> None:
    letters = np.random.default_rng(0).choice(list("abcdefgh     \n,."), 1_000_000)
    text = "".join(letters.tolist())
    vocabulary = build_vocabulary(units, [text[:10_000]])
    for _ in range(5):
        start = time.perf_counter()
        vocabulary.encode(text)
        if time.perf_counter() - start < seconds:
            return
    pytest.fail(f"five times more than {seconds} s for a million characters")
