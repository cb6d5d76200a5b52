"""The shared batteries: what every cell and every engine must hold to."""

from __future__ import annotations

from batteries.cell_laws import CELL_LAWS, check_cell
from batteries.engine_laws import ENGINE_CASES, Case, check_engine

__all__ = ["CELL_LAWS", "ENGINE_CASES", "Case", "check_cell", "check_engine"]
