"""Networks made of layers, shared by the tasks; each loads when it is used. `shapes` and `student` have no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

_HOME = {
    "ConditionalRandomField": "unrolled.models.crf",
    "Drift": "unrolled.models.drift",
    "Embedding": "unrolled.models.embedding",
    "FrameEncoder": "unrolled.models.frames",
    "ImageEncoder": "unrolled.models.image",
    "LanguageNetwork": "unrolled.models.language",
    "SequenceNetwork": "unrolled.models.sequence",
    "TagNetwork": "unrolled.models.tagger",
    "TranslationNetwork": "unrolled.models.translation",
    "WordEncoder": "unrolled.models.words",
    "Words": "unrolled.models.words",
}

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


def __getattr__(name: str) -> object:
    """Load the network that `name` is (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'unrolled.models' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
