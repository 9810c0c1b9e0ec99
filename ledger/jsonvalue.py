"""JSON as the ledger stores it: what is refused, where it is encoded, and the text that is safe to store."""

import math
from collections.abc import Mapping

import orjson
from pydantic import JsonValue

from ledger.errors import InvalidValueError

_FOREIGN_CHARS_MAX = 65_536
DEPTH_MAX = 65  # of an event, which is one level more than the user's value in it


def encode_json(value: object, *, field: str, depth_max: int = DEPTH_MAX, bytes_max: int | None = None) -> str:
    """Encode a JSON value as compact text that Postgres stores unchanged.

    Raises:
        InvalidValueError: it nests too deep, is too large, or holds what JSON in Postgres cannot: a NUL
            character, a lone surrogate, a number that is not finite, an integer of more than 64 bits.
    """
    try:
        encoded = orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except TypeError as error:
        check_json(value, field=field, depth_max=depth_max)  # where it refuses too, its sentence says more
        raise InvalidValueError(field=field, bound=_bound_of(str(error)), value=value) from error
    if _may_be_refused(encoded, depth_max):
        check_json(value, field=field, depth_max=depth_max)
    if bytes_max is not None and len(encoded) > bytes_max:
        raise InvalidValueError(field=field, bound=f"at most {bytes_max} bytes", value=len(encoded))
    return encoded.decode()


def check_json(value: object, *, field: str, depth_max: int = DEPTH_MAX) -> None:
    """Raise InvalidValueError where the value nests deeper than the bound, or holds NUL, NaN or infinity."""
    level: list[object] = [value]
    depth = 0
    while level:
        depth += any(isinstance(node, dict | list | tuple) for node in level)
        if depth > depth_max:
            raise InvalidValueError(field=field, bound=f"nested at most {depth_max} deep", value="a deeper value")
        level = [child for node in level for child in _children(node, field)]


def storable_text(text: str, *, chars_max: int) -> str:
    """Return text made fit to store: NUL and lone surrogates replaced, cut at the bound; never refused."""
    kept = text if len(text) <= chars_max else f"{text[:chars_max]}… ({len(text)} characters)"
    return kept.replace("\0", "�").encode("utf-8", "replace").decode()


def storable_json(value: object) -> str:
    """Return JSON from elsewhere as text that Postgres stores: each string made fit, what is not finite null."""
    return orjson.dumps(_storable(value)).decode()


def decode_json(text: str | bytes) -> JsonValue:
    """Decode JSON text that the ledger encoded."""
    value: JsonValue = orjson.loads(text)
    return value


def _storable(value: object) -> object:
    if isinstance(value, str):
        return storable_text(value, chars_max=_FOREIGN_CHARS_MAX)
    if isinstance(value, Mapping):
        return {str(_storable(str(name))): _storable(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(member) for member in value]
    return value


def _may_be_refused(encoded: bytes, depth_max: int) -> bool:
    # Walking a dense megabyte takes 150 ms of the event loop, searching its text 1 ms, and most of it is innocent:
    # a NUL is written \u0000, a number that is not finite becomes null, and depth takes brackets.
    brackets = encoded.count(b"[") + encoded.count(b"{")
    return brackets > depth_max or b"\\u0000" in encoded or b"null" in encoded


def _children(node: object, field: str) -> list[object]:
    if isinstance(node, str):
        if "\0" in node:
            raise InvalidValueError(field=field, bound="text without NUL characters", value=node)
        return []
    if isinstance(node, float) and not math.isfinite(node):
        raise InvalidValueError(field=field, bound="a finite number", value=node)
    if isinstance(node, dict):
        return [*node.keys(), *node.values()]
    if isinstance(node, list | tuple):
        return list(node)
    return []


def _bound_of(reason: str) -> str:
    if "surrogate" in reason:
        return "valid Unicode (no lone surrogates)"
    if "64-bit" in reason:
        return "integers of at most 64 bits"
    return f"JSON ({reason})"
