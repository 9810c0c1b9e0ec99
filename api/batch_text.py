"""The text of a batch, taken apart: a JSON array of objects, or one object a line.

Only the borders of the items are looked for, so that the text of a batch, which may be 64 MB, is never parsed as a
whole: neither does it fill the memory twenty times over, nor does it hold up the other requests. Whether an item
is JSON, the parser of the item says.
"""

import re
from collections.abc import Iterator

from api.errors import InvalidRequestError, Part

_DEPTH_MAX = 200  # as the parser's own bound
_SPACE = rb"[ \t\n\r]*+"
_OPENING = re.compile(_SPACE + rb"\[" + _SPACE)
_SEPARATOR = re.compile(_SPACE + rb"([,\]])" + _SPACE)
_NO_BRACE = rb'[^{}"]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^{}"]*+)*+'
_SHALLOW = re.compile(rb"\{" + _NO_BRACE + rb"(?:\{" + _NO_BRACE + rb"\}" + _NO_BRACE + rb")*+\}", re.DOTALL)
_NEXT_BRACE = re.compile(_NO_BRACE + rb"([{}])", re.DOTALL)


def array_items(text: bytes, *, item_bytes_max: int) -> Iterator[bytes]:
    """Yield the text of each object in a JSON array.

    Raises:
        InvalidRequestError: it is no array of objects of at most so many bytes.
    """
    opening = _OPENING.match(text)
    if opening is None:
        raise InvalidRequestError(
            Part.BODY, "it must be a JSON array of tasks, or one a line as application/x-ndjson"
        )
    start = opening.end()
    if text[start : start + 1] == b"]":
        _check_end(text, start + 1)
        return
    index = 0
    while True:
        end = _end_of_object(text, start, item_bytes_max)
        if end is None:
            raise _endless(text, start, index=index, item_bytes_max=item_bytes_max)
        yield text[start:end]
        separator = _SEPARATOR.match(text, end)
        if separator is None:
            raise _invalid(f"a comma or the end of the array must follow item {index}")
        start = separator.end()
        if separator[1] == b"]":
            _check_end(text, start)
            return
        index += 1


def line_items(text: bytes) -> Iterator[bytes]:
    """Yield each line that is not blank."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end].strip(b" \t\r")
        if line:
            yield line
        start = end + 1


def _end_of_object(text: bytes, start: int, item_bytes_max: int) -> int | None:
    bound = start + item_bytes_max
    shallow = _SHALLOW.match(text, start, bound)
    if shallow is not None:  # by far the most are: no loop for them
        return shallow.end()
    depth = 0
    position = start
    while text[start : start + 1] == b"{" and depth <= _DEPTH_MAX:
        brace = _NEXT_BRACE.match(text, position, bound)
        if brace is None:
            return None
        position = brace.end()
        depth += 1 if brace[1] == b"{" else -1
        if depth == 0:
            return position
    return None


def _endless(text: bytes, start: int, *, index: int, item_bytes_max: int) -> InvalidRequestError:
    if text[start : start + 1] != b"{":
        return InvalidRequestError(Part.BODY, f"item {index} must be a JSON object")
    return _invalid(
        f"item {index} must end within {item_bytes_max} bytes (LEDGER_BODY_BYTES_MAX) "
        f"and nest at most {_DEPTH_MAX} deep"
    )


def _check_end(text: bytes, end: int) -> None:
    if text[end:].strip(b" \t\n\r"):
        raise _invalid("there is more after the end of the array")


def _invalid(reason: str) -> InvalidRequestError:
    return InvalidRequestError(Part.BODY, f"invalid JSON: {reason}")
