"""Sizes of a forecaster's window, as plain data. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from unrolled.errors import ArgumentError

# Share of the line's own deviation that a window's is never below, so that a flat window is not blown up.
FLOOR = 0.05


@dataclass(frozen=True)
class ForecastShape:
    """Steps of context, horizon and segment; widths of past and known covariates; how a forecast is made."""

    context: int
    horizon: int
    segment: int
    past: int = 0
    known: int = 0
    recursive: bool = False
    attention: str | None = None
    seasons: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("context", "horizon", "segment"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"{name}={getattr(self, name)} must be at least 1; give a larger number")
        if self.context % self.segment:
            raise ArgumentError(
                f"context={self.context} is not made of whole segments of {self.segment} steps; give a multiple of it"
            )
        if self.recursive and self.past:
            raise ArgumentError(
                "covariates of the past are not known while outputs are fed back; leave them out, or forecast directly"
            )
        if self.recursive and self.attention is not None:
            raise ArgumentError("attention needs a direct forecast; leave attention or recursive out")

    @property
    def ahead(self) -> int:
        """Segments that the horizon takes."""
        return -(-self.horizon // self.segment)
