from __future__ import annotations

import pytest
import torch

from unrolled.errors import ArgumentError
from unrolled.models import ImageEncoder


@pytest.mark.parametrize(("height", "width", "grid"), [(16, 16, (4, 4)), (13, 22, (4, 6)), (1, 3, (1, 1))])
def test_regions_are_the_picture_in_a_grid(height: int, width: int, grid: tuple[int, int]) -> None:
    encoder = ImageEncoder((8, 16))
    images = torch.rand(3, 3, height, width)
    regions = encoder(images)
    assert encoder.grid(height, width) == grid
    assert regions.shape == (3, grid[0] * grid[1], 16)
    assert encoder.output_size == 16
    torch.testing.assert_close(encoder.pooled(images), regions.mean(1))


def test_a_change_is_seen_in_its_own_region() -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, 16, 32)
    changed = images.clone()
    changed[..., 0, 28:] = 1 - changed[..., 0, 28:]  # out of the sight of the other regions
    difference = torch.zeros(4, 8)
    for seed in range(10):  # one alone also sees it through the normalisation
        torch.manual_seed(seed)
        encoder = ImageEncoder((8, 16), blocks=0)
        difference += (encoder(changed) - encoder(images)).detach().abs().sum(2).view(4, 8)
    assert difference.argmax() == 7  # the last column of the first row


def test_a_picture_s_answer_does_not_depend_on_its_batch() -> None:
    encoder = ImageEncoder((8,)).train()
    images = torch.rand(5, 3, 9, 12)
    torch.testing.assert_close(encoder(images)[2:3], encoder(images[2:3]), atol=1e-5, rtol=1e-4)


def test_regions_of_one_colour_differ_by_where_they_lie() -> None:
    encoder = ImageEncoder((8,), blocks=0)
    image = torch.rand(3)[None, :, None, None].expand(1, 3, 12, 12)
    inside = encoder(image).view(1, 6, 6, 8)[:, 1:-1, 1:-1].flatten(0, 2)
    assert torch.cdist(inside, inside).fill_diagonal_(1).min() > 1e-4


def test_every_weight_learns() -> None:
    encoder = ImageEncoder((8, 8))
    (encoder(torch.rand(2, 3, 16, 16)) ** 2).mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in encoder.parameters())


@pytest.mark.parametrize(
    "images",
    [torch.rand(2, 1, 8, 8), torch.rand(3, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.rand(2, 3, 0, 8)],
)
def test_other_inputs_are_refused(images: torch.Tensor) -> None:
    with pytest.raises(ArgumentError, match=r"the encoder needs \(B, 3, H, W\) of floats from 0 to 1"):
        ImageEncoder((8,))(images)


@pytest.mark.parametrize("channels", [(), (12,), (8, 0)])
def test_widths_are_checked(channels: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="give multiples of 8"):
        ImageEncoder(channels)


def test_a_region_has_the_largest_values_around_it() -> None:
    torch.manual_seed(0)
    alone, around = ImageEncoder((8,), blocks=0), ImageEncoder((8,), blocks=0, around=3)
    around.load_state_dict(alone.state_dict())
    for encoder in (alone, around):
        encoder.place = torch.nn.Identity()
    images = torch.rand(2, 3, 8, 12)
    seen, found = (encoder(images)[..., :8].unflatten(1, (4, 6)) for encoder in (alone, around))
    torch.testing.assert_close(found[:, 1, 2], seen[:, 0:3, 1:4].amax((1, 2)))
    torch.testing.assert_close(found[:, 0, 5], seen[:, 0:2, 4:6].amax((1, 2)))


@pytest.mark.parametrize("around", [0, 2])
def test_a_region_must_be_in_the_middle(around: int) -> None:
    with pytest.raises(ArgumentError, match="no region in its middle; give an odd number"):
        ImageEncoder((8,), around=around)
