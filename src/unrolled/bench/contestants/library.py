"""What a contestant must be able to do; each library is one file beside this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrolled.bench.problem import Problem

Answer = tuple[np.ndarray, ...]
"""Outputs (B, T, O); in training also the gradients of the inputs and of every parameter, in the problem's order."""

Stepper = Callable[[int], Any]
"""So many single steps on the first input, the state handed from one to the next: the last output (1, O)."""


@dataclass(frozen=True)
class Contestant:
    """One library on one problem, ready to run; what it returns in its own form, `read` makes an answer of.

    `training`: forward, and back from the problem's `incoming` gradient; None where a library cannot train.
    """

    forward: Callable[[], Any]
    training: Callable[[], Any] | None
    read: Callable[[Any], Answer]


@dataclass(frozen=True)
class Library:
    """`refuse` says why it cannot take a problem here, or None; `build` and `stepper` are called only after that.

    `compiles`: its first run compiles for so long that one may not want to wait for it.
    """

    refuse: Callable[[Problem], str | None]
    build: Callable[[Problem], Contestant]
    stepper: Callable[[Problem], Stepper] | None = None
    compiles: bool = False
