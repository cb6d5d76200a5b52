"""States and gates at every step of a layer."""

from __future__ import annotations

from torch import Tensor

from unrolled.engine import Capture
from unrolled.errors import ArgumentError


class Captures:
    """What to keep of a call of `Recurrent`: `Captures("h", "f")`, then `captures["f"][layer][direction]` is (B, T, H).

    The nesting is that of the layer's state. A call overwrites what an earlier one left.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self._layers: list[tuple[Capture | None, ...]] = []

    def begin(self) -> None:
        """Forget what an earlier call left."""
        self._layers = []

    def layer(self, directions: int) -> tuple[Capture | None, ...]:
        """What each direction of the next layer is to fill; None where nothing is wanted."""
        fresh = tuple(Capture(*self.names) if self.names else None for _ in range(directions))
        self._layers.append(fresh)
        return fresh

    def __getitem__(self, name: str) -> tuple[tuple[Tensor, ...], ...]:
        if name not in self.names:
            raise ArgumentError(f"{name!r} was not captured, only {', '.join(self.names)}; name it in Captures(...).")
        if not self._layers:
            raise ArgumentError(f"nothing was captured yet; call the layer with capture=... before reading {name!r}.")
        return tuple(tuple(capture[name] for capture in layer if capture is not None) for layer in self._layers)
