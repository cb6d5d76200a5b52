from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

from unrolled.engine.cpu import room


def flags(address: int) -> str:
    """What the system was told of the memory at an address."""
    inside = False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        region = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if region:
            inside = int(region[1], 16) <= address < int(region[2], 16)
        elif inside and line.startswith("VmFlags:"):
            return line
    return ""


@pytest.mark.skipif(sys.platform != "linux", reason="huge pages are asked for on Linux alone")
def test_large_memory_is_asked_for_in_huge_pages() -> None:
    large = room.empty(48 << 20, 1, dtype=torch.float32)
    assert large.shape == (48 << 20, 1)
    assert " hg" in flags(large.data_ptr() + (1 << 20))
    plain = torch.empty(48 << 20)
    assert " hg" not in flags(plain.data_ptr() + (1 << 20))


def test_small_and_odd_sizes() -> None:
    assert room.empty(0, 3, dtype=torch.float64).shape == (0, 3)
    odd = room.empty((1 << 20) + 1, dtype=torch.float32).fill_(1.5)
    assert torch.equal(odd, torch.full_like(odd, 1.5))
