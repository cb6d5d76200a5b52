"""Nested tuples of tensors, the form of a recurrent state: map, flatten, and fill in again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from torch import Tensor

from unrolled.errors import ArgumentError

Carry: TypeAlias = "Tensor | tuple[Carry, ...] | None"


def map_tensors(function: Callable[[Tensor], Tensor], tree: Carry) -> Carry:
    """The same nesting with `function` applied to every tensor; named tuples keep their type.

    Raises ArgumentError where something else than a tensor, a tuple or None is found.
    """
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, tuple):
        rebuild: Callable[[Iterable[Carry]], Carry] = getattr(type(tree), "_make", tuple)
        return rebuild(map_tensors(function, child) for child in tree)
    raise ArgumentError(
        f"a {type(tree).__name__} is part of the carried state, which must be nested tuples of tensors; return a tuple"
    )


def detach(tree: Carry) -> Carry:
    """The same numbers cut off from the graph that made them: where truncated back-propagation stops."""
    return map_tensors(Tensor.detach, tree)


def leaves(tree: Carry) -> Iterator[Tensor]:
    """The tensors from left to right."""
    if isinstance(tree, Tensor):
        yield tree
    elif tree is not None:
        for child in tree:
            yield from leaves(child)


def fill(template: Carry, values: Iterable[Tensor]) -> Carry:
    """`values` in the nesting of `template`, on its devices.

    Only numbers come out of a checkpoint; the types come from the running program. Raises ArgumentError where the
    number of tensors, their type, or any dimension but the first (the batch), differs.
    """
    stock = list(values)
    wanted = list(leaves(template))
    if len(stock) != len(wanted) or any(
        (a.shape[1:], a.dtype) != (b.shape[1:], b.dtype) for a, b in zip(stock, wanted, strict=True)
    ):
        raise ArgumentError(
            f"a state of {_shapes(stock)} does not fit a network that carries {_shapes(wanted)}; "
            "use the network that it was saved with"
        )
    rest = iter(stock)
    return map_tensors(lambda like: next(rest).to(like.device), template)


def _shapes(tensors: list[Tensor]) -> str:
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or "no tensors"
