"""Compressed files as streams: .gz, .bz2, .xz and .zst, never unpacked further than they are read."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from unrolled.errors import DataError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Real text hardly becomes a thousandth of its size; a bomb becomes far less.
_MOST_TIMES, _FREE = 1000, 2**28
# A file says how much memory its unpacking takes; more than any usual setting of xz and zstd asks for is refused.
_DICTIONARY = 2**27


def is_packed(path: Path) -> bool:
    """Whether the end of the name says that the file is compressed."""
    return path.suffix.lower() in _READERS


def plain_name(path: Path) -> Path:
    """The name without the ending that says how the file is compressed."""
    return path.with_suffix("") if is_packed(path) else path


@contextlib.contextmanager
def unpacked(file: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    """What the compressed `file` holds, unpacked as it is read.

    Raises DataError while it is open for data that is damaged or cut short, and where 256 MB and a thousand times the
    size of the file have come out of it.
    """
    packed = path.stat().st_size
    try:
        with _READERS[path.suffix.lower()](file, path) as content:
            bounded = _Bounded(content, max(_FREE, _MOST_TIMES * packed), path)
            yield cast("IO[bytes]", io.BufferedReader(bounded, 1 << 16))
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, _BadData):
        raise _damaged(path) from None
    except OSError as error:
        if error.errno is not None:  # the file itself, and not what is in it
            raise
        raise _damaged(path) from None


class _BadData(Exception):
    """What a library says of damaged data."""


class _Bounded(io.RawIOBase):
    """A stream that stops where more comes out of it than any text holds."""

    def __init__(self, content: IO[bytes], most: int, path: Path) -> None:
        self._content = content
        self._most = most
        self._path = path
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._content.read(len(view))
        view[: len(data)] = data
        self._read += len(data)
        if self._read > self._most:
            raise DataError(
                f"more than {self._most:,} bytes come out of it, {_MOST_TIMES:,} times its size, which is hardly data; "
                "unpack it yourself if it is",
                self._path,
            )
        return len(data)

    def seekable(self) -> bool:
        return self._content.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._content.seek(offset, whence)

    def tell(self) -> int:
        return self._content.tell()


class _Frames(io.RawIOBase):
    """Data unpacked frame by frame; a frame that ends too early is an error, about which some libraries are silent."""

    def __init__(self, file: IO[bytes], frame: Callable[[], Any], errors: tuple[type[Exception], ...]) -> None:
        self._file = file
        self._new = frame
        self._errors = errors
        self._frame: Any = None
        self._held = memoryview(b"")
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        packed, self._rest = self._rest, b""
        try:
            while not self._held:
                # So little that what comes out of it at once is bounded too.
                packed = packed or self._file.read(1 << 12)
                if not packed:
                    if self._frame is not None:
                        raise _BadData
                    return 0
                self._frame = self._frame or self._new()
                self._held = memoryview(self._frame.decompress(packed))
                packed = self._frame.unused_data if self._frame.eof else b""
                self._frame = None if self._frame.eof else self._frame
            self._rest = packed
        except self._errors:
            raise _BadData from None
        size = min(len(view), len(self._held))
        view[:size] = self._held[:size]
        self._held = self._held[size:]
        return size


def _damaged(path: Path) -> DataError:
    return DataError("the compressed data is cut short or damaged; write or copy the file again", path)


def _gzip(file: IO[bytes], path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(file))


def _bzip2(file: IO[bytes], path: Path) -> IO[bytes]:
    return cast("IO[bytes]", bz2.open(file))


def _xz(file: IO[bytes], path: Path) -> IO[bytes]:
    def frame() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=_DICTIONARY)

    return cast("IO[bytes]", _Frames(file, frame, (lzma.LZMAError, EOFError)))


def _zstandard(file: IO[bytes], path: Path) -> IO[bytes]:
    try:
        import zstandard
    except ImportError:
        raise DataError(
            "unpacking .zst needs zstandard, which is not installed; run \"pip install 'unrolled[data]'\"", path
        ) from None
    unpacking = zstandard.ZstdDecompressor(max_window_size=_DICTIONARY)
    return cast("IO[bytes]", _Frames(file, unpacking.decompressobj, (zstandard.ZstdError,)))


_READERS: dict[str, Callable[[IO[bytes], Path], IO[bytes]]] = {
    ".gz": _gzip,
    ".bz2": _bzip2,
    ".xz": _xz,
    ".zst": _zstandard,
}
