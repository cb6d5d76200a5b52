"""Lengths of time on the command line."""

from __future__ import annotations

from unrolled.tasks.options.durations import format_duration, parse_duration

__all__ = ["format_duration", "parse_duration"]
