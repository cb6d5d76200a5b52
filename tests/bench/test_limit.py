from __future__ import annotations

import numpy as np

from unrolled.bench import limit


def test_the_kernel_multiplies_and_adds_in_every_lane() -> None:
    lanes = np.random.default_rng(0).random(limit.host().lanes("float32"), dtype=np.float32) * 10
    limit._kernel()(lanes.ctypes.data)
    # Every chain ends at the fixed point of 0.75 s + 0.25.
    np.testing.assert_allclose(lanes, 1.0, rtol=1e-5)


def test_two_threads_count_twice() -> None:
    one, two = limit.fma_limit(1, rounds=5), limit.fma_limit(2, rounds=5)
    assert one > 1e8
    assert two > 1e8 + one / 4  # loose: the machine may be busy with other things
