"""What the estimators accept as X and y, checked: sequences of text or of numbers, labels, numbers."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from unrolled.errors import ArgumentError

Numbers = npt.NDArray[np.float32]


def as_sequences(X: Any) -> list[str] | list[Numbers]:
    """Texts, or arrays (T, F), from texts, from (n, T, F), from (n, T) as T steps of one number, or from n arrays.

    Raises ArgumentError (a ValueError) in a sentence, TypeError for things that are not numbers.
    """
    if isinstance(X, str):
        raise ArgumentError("X is one text, a sequence of texts is needed; give [text]")
    if hasattr(X, "toarray"):
        raise TypeError("X is sparse, sequences are dense; give X.toarray()")
    listed = X if isinstance(X, list | tuple) else np.asarray(X)
    if isinstance(listed, np.ndarray) and listed.ndim == 0:
        raise ArgumentError("Expected 2D array, got scalar array instead; give a sequence of texts or an array")
    if not len(listed):
        raise ArgumentError("found 0 sample(s) while a minimum of 1 is required; give at least one sequence")
    if isinstance(listed[0], str):
        return _texts(listed)
    if isinstance(listed, list | tuple) and len({np.shape(row) for row in listed}) > 1:
        return _same_width([_rows(np.asarray(row), place) for place, row in enumerate(listed)])
    return list(_block(np.asarray(listed)))


def _texts(listed: Sequence[Any] | npt.NDArray[Any]) -> list[str]:
    for place, text in enumerate(listed):
        if not isinstance(text, str):
            raise ArgumentError(f"X[{place}] is {type(text).__name__} among texts; give texts only")
        if not text.strip():
            raise ArgumentError(f"X[{place}] is an empty text; give at least one character or take the row out")
    return [str(text) for text in listed]


def _block(values: npt.NDArray[Any]) -> Numbers:
    if values.ndim not in (2, 3):
        raise ArgumentError(
            f"Expected 2D array, got {values.ndim}D array instead. Reshape your data: (n, T) for n sequences of T "
            "steps, (n, T, F) for F numbers a step"
        )
    numbers = _finite(values, "X")
    if 0 in values.shape[1:]:
        raise ArgumentError(f"0 feature(s) (shape={values.shape}) while a minimum of 1 is required.")
    return numbers if numbers.ndim == 3 else numbers[:, :, None]


def _rows(values: npt.NDArray[Any], place: int) -> Numbers:
    if values.ndim not in (1, 2) or not values.size:
        raise ArgumentError(f"X[{place}] has the shape {values.shape}, a sequence is (T,) or (T, F); give that")
    numbers = _finite(values, f"X[{place}]")
    return numbers if numbers.ndim == 2 else numbers[:, None]


def _same_width(rows: list[Numbers]) -> list[Numbers]:
    widths = sorted({row.shape[1] for row in rows})
    if len(widths) > 1:
        raise ArgumentError(f"the sequences of X have {widths} numbers a step, they need the same; give one width")
    return rows


def _finite(values: npt.NDArray[Any], name: str) -> Numbers:
    if np.iscomplexobj(values):
        raise ArgumentError(f"Complex data not supported: {name} is {values.dtype}; give real numbers")
    if values.dtype.kind in "USM":
        raise ArgumentError(f"{name} holds {values.dtype}, numbers are needed; convert it")
    try:
        with np.errstate(over="ignore"):
            numbers = values.astype(np.float32)
    except TypeError:
        raise TypeError(f"{name} holds objects; every argument must be a string or a number") from None
    if not np.isfinite(numbers).all():
        raise ArgumentError(
            f"{name} contains NaN, infinity or a value too large for float32; mend or leave out those rows"
        )
    return numbers


def columns_of(X: Any) -> int | None:
    """The columns of a matrix of numbers, which scikit-learn calls features; None for other kinds of X."""
    if isinstance(X, list | tuple) and len({np.shape(row) for row in X}) > 1:
        return None
    values = np.asarray(X)
    return int(values.shape[1]) if values.ndim == 2 else None


def as_labels(y: Any, count: int, *, any_number: bool = False) -> list[Any]:
    """Labels in the types of JSON; tuples where y holds several a row (rows of labels, or an indicator matrix)."""
    rows = _given(y, count)
    if isinstance(rows, list):
        if isinstance(rows[0], list | tuple | set | frozenset):
            return [tuple(sorted(_scalar(name) for name in row)) for row in rows]
        rows = np.asarray(rows)
    rows = _flat(rows)
    if rows.ndim == 2:
        if not np.isin(rows, (0, 1)).all():
            raise ArgumentError(
                "Unknown label type: a 2-D y must hold 0 and 1 only; give one label a row or an indicator"
            )
        return [tuple(np.flatnonzero(row).tolist()) for row in rows]
    if rows.dtype.kind == "f":
        if not np.isfinite(rows).all():
            raise ArgumentError("y contains NaN or infinity; give a label for each row")
        if (rows != np.floor(rows)).any():
            raise ArgumentError(
                "Unknown label type: continuous; a classifier needs classes, use a regressor for numbers"
            )
    if not any_number and len(np.unique(rows)) < 2:
        raise ArgumentError("y holds one class only; a classifier needs rows of at least two classes")
    return [_scalar(name) for name in rows]


def as_targets(y: Any, count: int) -> npt.NDArray[np.float64]:
    """Numbers (n, K)."""
    rows = np.asarray(_given(y, count))
    rows = _flat(rows)
    if np.iscomplexobj(rows):
        raise ArgumentError(f"Complex data not supported: y is {rows.dtype}; give real numbers")
    numbers = rows.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ArgumentError("y contains NaN or infinity; give a finite number for each row")
    return numbers if numbers.ndim == 2 else numbers[:, None]


def _given(y: Any, count: int) -> Any:
    if y is None:
        raise ArgumentError(
            "fit requires y to be passed, but the target y is None; give a label or a number for each row"
        )
    rows = y if isinstance(y, list) else np.asarray(y)
    if len(rows) != count:
        raise ArgumentError(f"X has {count} rows and y has {len(rows)}; give one y for each row")
    return rows


def _flat(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A column vector is one answer a row, said aloud as scikit-learn says it."""
    if rows.ndim == 2 and rows.shape[1] == 1:
        category: type[Warning] = UserWarning
        if "sklearn" in sys.modules:
            from sklearn.exceptions import DataConversionWarning

            category = DataConversionWarning
        warnings.warn("A column-vector y was passed when a 1d array was expected", category, stacklevel=4)
        return rows[:, 0]
    if rows.ndim > 2:
        raise ArgumentError(f"y should be a 1d array or (n, K), got an array of shape {rows.shape} instead")
    return rows


def _scalar(name: Any) -> Any:
    return name.item() if isinstance(name, np.generic) else name
