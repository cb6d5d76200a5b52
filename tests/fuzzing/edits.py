"""Files damaged on purpose: bytes changed, and JSON whose entries are changed so that it is still JSON."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

# What breaks readers of text: marks of structure, extreme numbers, odd spaces, halves of characters.
TOKENS = (
    b"", b"\n", b"\r\n", b"\0", b"\t", b",", b";", b'"', b"'", b"\\", b"[", b"]", b"{", b"}", b":", b"<", b">", b"&",
    b"@", b"#", b"-", b"0", b"-1", b"nan", b"NaN", b"inf", b"-Infinity", b"1e400", b"1e308", b"-1e39",
    b"9" * 30, b"9" * 400, b"9" * 5000, b"null", b"true", b"0001-01-01T00:00:00+14:00", b"9999-12-31 23:59:59-12:00",
    b"2024-02-30", b"2024-Q5", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80", b"\xcc\x81", b"\xd9\xa3",
    b"\xc2\xb2", b"\x1b[2J", b"\\ud800", b"[" * 2000, b"\xc2\xa0", b"\x1c", b"\x85", b"\xe1\x9a\x80",
)  # fmt: skip

_Edit = tuple[int, float, float, bytes]


def _edits() -> st.SearchStrategy[list[_Edit]]:
    new = st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8))
    share = st.floats(0, 1, exclude_max=True)
    return st.lists(st.tuples(st.integers(0, 4), share, share, new), min_size=1, max_size=6)


def damaged(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """One of the files with a few edits, or bytes of no file at all."""
    edited = st.builds(_apply, st.sampled_from(seeds), _edits())
    return st.one_of(edited, edited, edited, st.binary(max_size=200))


def _apply(data: bytes, edits: list[_Edit]) -> bytes:
    for kind, at, other, new in edits:
        a, b = int(at * (len(data) + 1)), int(other * (len(data) + 1))
        low, high = min(a, b), max(a, b)
        if kind == 0:  # replace a few
            data = data[:a] + new + data[a + len(new) :]
        elif kind == 1:  # insert
            data = data[:a] + new + data[a:]
        elif kind == 2:  # leave a part out
            data = data[:low] + data[high:]
        elif kind == 3:  # cut short
            data = data[:high]
        else:  # say a part twice
            data = data[:high] + data[low : min(high, low + 500)] + data[high:]
    return data


_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 255, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", " ", "x", "\ud800", "\u2028", "<document>", [], [0], [[]], {}, {"": None}, ["x", "x"], [None],
)  # fmt: skip


def edit_json(text: str, entropy: bytes) -> bytes:
    """The JSON with an entry changed, left out or said twice for each four bytes of entropy."""
    root: Any = [json.loads(text)]
    for start in range(0, min(len(entropy), 32), 4):
        four = entropy[start : start + 4].ljust(4, b"\0")
        where, kind, what = int.from_bytes(four[:2], "big"), four[2], four[3]
        places = _places(root)
        holder, key = places[where % len(places)]
        if kind % 8 == 0 and holder is not root:
            del holder[key]
        elif kind % 8 == 1 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif kind % 8 == 2:
            other, name = places[what * 7 % len(places)]
            holder[key] = copy.deepcopy(other[name])
        elif kind % 8 == 3 and isinstance(holder, dict):
            holder["strange"] = copy.deepcopy(_VALUES[what % len(_VALUES)])
        else:
            holder[key] = copy.deepcopy(_VALUES[what % len(_VALUES)])
    return json.dumps(root[0]).encode("utf-8", "surrogatepass")


def _places(root: list[Any]) -> list[tuple[Any, Any]]:
    """Every entry of lists and objects as (holder, key); long lists by their first entries."""
    found: list[tuple[Any, Any]] = []
    open_: list[Any] = [root]
    while open_:
        holder = open_.pop()
        keys = list(holder)[:40] if isinstance(holder, dict) else range(min(len(holder), 8))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                open_.append(holder[key])
    return found
