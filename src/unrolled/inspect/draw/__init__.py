"""Drawings: a network rolled and unrolled, and the inside of its cell."""

from __future__ import annotations
