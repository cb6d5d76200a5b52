"""How much one client may ask for; all of it can be set on the command line."""

from __future__ import annotations

from dataclasses import dataclass, fields

from unrolled.errors import ArgumentError


@dataclass(frozen=True)
class Limits:
    """Sizes, counts and times beyond which a request is refused. Raises ArgumentError for one that is not positive."""

    max_body: float = 8.0
    """megabytes of a request, and of a message of a stream"""
    max_inputs: int = 64
    """inputs of a request"""
    max_steps: int = 20_000
    """steps of all inputs of a request, or of one part of a stream: characters, words, rows, points, 10 ms of sound"""
    max_sessions: int = 1000
    """streams that are open at once"""
    max_waiting: int = 256
    """requests that wait for an answer at once"""
    max_connections: int = 2000
    """connections at once"""
    idle_time: float = 600.0
    """seconds after which a stream that nobody uses is saved (with --save) or closed"""
    slow_time: float = 30.0
    """seconds that the head or the body of a request may take to arrive, and a reader to read"""
    batch: int = 32
    """inputs of concurrent requests that are computed together"""
    batch_wait: float = 0.002
    """seconds that a request waits for others to be computed with"""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0 and not (field.name == "batch_wait" and value == 0):
                raise ArgumentError(f"{field.name}={value} must be more than 0; give a larger number")

    @property
    def body_bytes(self) -> int:
        """The largest body in bytes."""
        return int(self.max_body * 1_000_000)
