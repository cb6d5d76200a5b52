"""JSON in and out: numbers that JSON has not are refused on the way in and null on the way out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from unrolled.serve.refusal import Refusal


def parse(data: bytes | str) -> Any:
    """The value of a JSON text. Raises Refusal (400)."""
    try:
        # Given bytes, json would take UTF-16 for what begins as that does.
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        return json.loads(text, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise Refusal(400, "The body is not UTF-8; send JSON in UTF-8.") from None
    except RecursionError:
        raise Refusal(400, "The JSON is nested too deeply; send the lists and objects that are documented.") from None
    except json.JSONDecodeError as error:
        raise Refusal(
            400, f"This is no JSON ({error.msg}, line {error.lineno}, column {error.colno}); mend it."
        ) from None
    except ValueError:  # an integer of more digits than Python converts
        raise Refusal(400, "A number of the JSON has too many digits; send a shorter one.") from None


def _no_number(name: str) -> NoReturn:
    raise Refusal(400, f"{name} is no number of JSON; send null where a value is missing.")


def as_object(value: Any, known: tuple[str, ...], needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """A JSON object without keys that are not `known`. Raises Refusal (422)."""
    if not isinstance(value, dict):
        raise Refusal(422, f"A JSON object is needed, with {_listed(known)}; this is {kind_of(value)}.")
    strange = next((key for key in value if key not in known), None)
    if strange is not None:
        raise Refusal(422, f"The key {short(strange)} is not known; {_listed(known)} can be given.")
    lacking = next((key for key in needed if key not in value), None)
    if lacking is not None:
        raise Refusal(422, f"The key {lacking!r} is missing; send it.")
    return value


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))


def short(value: object) -> str:
    """A value of the client's for a sentence, cut where it is long."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def kind_of(value: Any) -> str:
    """What a value is called in JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"


def dump(value: Any) -> bytes:
    """JSON of plain values and arrays."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    except (TypeError, ValueError):
        return json.dumps(plain(value), ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def plain(value: Any) -> Any:
    """The value in the types of JSON; numbers that JSON has not become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # an array or one of its numbers
        return plain(value.tolist())
    return value
