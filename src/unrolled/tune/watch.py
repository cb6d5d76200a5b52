"""What can be watched of a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unrolled.tasks.events import Event

if TYPE_CHECKING:
    from unrolled.train import Observer
    from unrolled.tune.search import Search


class Watch:
    """Does nothing; subclasses override what they want to hear of."""

    def on_study(self, search: Search) -> None:
        """When the study is open, before the first trial."""

    def on_lost(self, numbers: Sequence[int]) -> None:
        """When trials were found whose processes have ended; they are tried again."""

    def on_event(self, event: Event) -> None:
        """What the first trial of this process knows before training."""

    def observers(self) -> Sequence[Observer]:
        """What shall watch the training of the next trial."""
        return ()

    def on_trial(self, search: Search, number: int) -> None:
        """When a trial has ended, in whatever way."""
