"""Looking inside: what a network is, what it remembers, and how far back."""

from __future__ import annotations
