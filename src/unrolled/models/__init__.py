"""Networks made of layers, shared by the tasks."""

from __future__ import annotations

from unrolled.models.embedding import Embedding
from unrolled.models.image import ImageEncoder
from unrolled.models.language import LanguageNetwork
from unrolled.models.sequence import SequenceNetwork

__all__ = ["Embedding", "ImageEncoder", "LanguageNetwork", "SequenceNetwork"]
