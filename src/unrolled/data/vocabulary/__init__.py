"""Vocabularies: text to token ids and back."""

from __future__ import annotations

from unrolled.data.vocabulary.base import Decoder, Vocabulary
from unrolled.data.vocabulary.build import UNITS, build_vocabulary, vocabulary_from_json, vocabulary_of_words
from unrolled.data.vocabulary.byte import ByteVocabulary
from unrolled.data.vocabulary.character import CharVocabulary
from unrolled.data.vocabulary.pair import PairVocabulary
from unrolled.data.vocabulary.subword import SubwordVocabulary
from unrolled.data.vocabulary.symbol import SymbolVocabulary, join_symbols, split_symbols
from unrolled.data.vocabulary.word import WordVocabulary

__all__ = [
    "UNITS",
    "ByteVocabulary",
    "CharVocabulary",
    "Decoder",
    "PairVocabulary",
    "SubwordVocabulary",
    "SymbolVocabulary",
    "Vocabulary",
    "WordVocabulary",
    "build_vocabulary",
    "join_symbols",
    "split_symbols",
    "vocabulary_from_json",
    "vocabulary_of_words",
]
