"""What puts the trained networks of the tasks under a stream."""

from __future__ import annotations
