from __future__ import annotations

import numpy as np
import pytest
import torch

from unrolled.models import ImageEncoder
from unrolled.runtime import vision
from unrolled.runtime.weights import Weights
from unrolled.train.weights import named_weights


@pytest.mark.parametrize(("blocks", "around"), [(0, 1), (1, 3), (0, 5)])
def test_regions_are_those_of_the_network_in_torch(blocks: int, around: int) -> None:
    torch.manual_seed(1)
    theirs = ImageEncoder((8, 16), blocks, around=around)
    arrays = {name: tensor.detach().numpy() for name, tensor in named_weights(theirs).items()}
    here = vision.ImageEncoder((8, 16), blocks, Weights(arrays, "run"), around=around)
    images = torch.rand(2, 3, 11, 18)
    expected = theirs(images).detach().numpy()
    np.testing.assert_allclose(here(images.permute(0, 2, 3, 1).numpy()), expected, atol=1e-5)
