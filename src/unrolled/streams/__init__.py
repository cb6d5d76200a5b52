"""One sequence that is still arriving, an answer after each part: `Stream`. No torch."""

from __future__ import annotations

from unrolled.streams.protocol import Answer, Stream

__all__ = ["Answer", "Stream"]
