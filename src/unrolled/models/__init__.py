"""Networks made of layers, shared by the tasks."""

from __future__ import annotations

from unrolled.models.crf import ConditionalRandomField
from unrolled.models.drift import Drift
from unrolled.models.embedding import Embedding
from unrolled.models.frames import FrameEncoder
from unrolled.models.image import ImageEncoder
from unrolled.models.language import LanguageNetwork
from unrolled.models.sequence import SequenceNetwork
from unrolled.models.tagger import TagNetwork
from unrolled.models.translation import TranslationNetwork
from unrolled.models.words import WordEncoder, Words

__all__ = [
    "ConditionalRandomField",
    "Drift",
    "Embedding",
    "FrameEncoder",
    "ImageEncoder",
    "LanguageNetwork",
    "SequenceNetwork",
    "TagNetwork",
    "TranslationNetwork",
    "WordEncoder",
    "Words",
]
