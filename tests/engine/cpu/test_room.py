"""Large memory is used again when nothing lies in it any more, and not before."""

from __future__ import annotations

import mmap
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from unrolled.engine.cpu import room
from unrolled.engine.cpu.room import LARGE, SMALLEST, Blocks, empty, flat

pytestmark = pytest.mark.skipif(not room.RECYCLES, reason="this Python does not say who holds memory")


@pytest.fixture(autouse=True)
def blocks(monkeypatch: pytest.MonkeyPatch) -> Blocks:
    found = Blocks()
    monkeypatch.setattr(room, "_blocks", found)
    return found


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
    large = empty(48 << 20, 1, dtype=torch.float32)
    assert large.shape == (48 << 20, 1)
    assert large.data_ptr() % (2 << 20) == 0
    assert " hg" in flags(large.data_ptr() + (1 << 20))
    plain = torch.empty(48 << 20)
    assert " hg" not in flags(plain.data_ptr() + (1 << 20))


def test_odd_sizes() -> None:
    odd = empty((1 << 20) + 1, dtype=torch.float32).fill_(1.5)
    assert torch.equal(odd, torch.full_like(odd, 1.5))


def test_a_block_is_used_again_once_its_tensor_is_gone() -> None:
    first = empty(300, 200, dtype=torch.float32)
    place = first.data_ptr()
    assert first.shape == (300, 200)
    assert place % mmap.PAGESIZE == 0
    assert empty(300, 200, dtype=torch.float32).data_ptr() != place
    part = first[7:].transpose(0, 1).numpy()[2:]
    del first
    assert empty(300, 200, dtype=torch.float32).data_ptr() != place
    del part
    assert empty(290, 200, dtype=torch.float32).data_ptr() == place


def test_memory_that_autograd_keeps_is_not_taken() -> None:
    x = torch.randn(200, 300, requires_grad=True)
    held = empty(200, 300, dtype=torch.float32).copy_(torch.randn(200, 300))
    wanted = held.clone()
    product = (x * held).sum()
    del held
    empty(200, 300, dtype=torch.float32).fill_(float("nan"))
    product.backward()
    assert torch.equal(x.grad, wanted)


def test_small_memory_is_torchs_own(blocks: Blocks) -> None:
    assert empty(SMALLEST // 4 - 1, dtype=torch.float32).shape == (SMALLEST // 4 - 1,)
    assert empty(3, 0, dtype=torch.float64).shape == (3, 0)
    assert not blocks.sizes


def test_no_more_is_remembered_than_allowed(blocks: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST", 3 * SMALLEST)
    kept = [empty(SMALLEST + k * mmap.PAGESIZE * 8, dtype=torch.uint8).fill_(k) for k in range(6)]
    assert blocks.total == sum(blocks.sizes.values()) <= 3 * SMALLEST
    assert sum(len(b) for b in blocks.known.values()) == len(blocks.sizes) < 6
    # a forgotten block lives on with its tensor
    assert all(bool((tensor == k).all()) for k, tensor in enumerate(kept))


def test_a_block_larger_than_all_that_is_remembered(blocks: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST", LARGE)
    large = empty(3 * LARGE, dtype=torch.uint8).fill_(3)
    assert not blocks.sizes
    assert int(large.min()) == 3


def test_threads_do_not_share_a_block() -> None:
    def work(k: int) -> bool:
        right = True
        for _ in range(200):
            tensor = empty(SMALLEST, dtype=torch.uint8).fill_(k)
            right = right and bool((tensor == k).all())
        return right

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_torch_says_when_there_is_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", full)
    assert empty(SMALLEST, dtype=torch.float32).shape == (SMALLEST,)


def test_rows_that_do_not_lie_side_by_side_are_copied() -> None:
    value = torch.randn(4, 5, 6)
    assert flat(value).data_ptr() == value.data_ptr()
    turned = value.transpose(0, 1)
    assert torch.equal(flat(turned), turned.reshape(-1, 6))
