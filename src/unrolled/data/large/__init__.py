"""Data larger than memory: encoded once into flat arrays on disk, and read from there in any order.

A file is read once, in blocks (`blocks`), each unit of text becomes a number in the order of its first appearance
(`units`), and the numbers are appended to one flat file with the places where documents begin (`building`). The entry
in the cache (`entry`) belongs to the content of the files and to how their text is cut, not to a split, a seed or a
vocabulary: these are small tables applied when the numbers are read (`texts`).
"""

from __future__ import annotations

from unrolled.data.large.files import LARGE, Files, cache_folder, data_files, wants_cache
from unrolled.data.large.progress import Progress, progress_to
from unrolled.data.large.texts import LargeTexts, open_texts

__all__ = [
    "LARGE",
    "Files",
    "LargeTexts",
    "Progress",
    "cache_folder",
    "data_files",
    "open_texts",
    "progress_to",
    "wants_cache",
]
