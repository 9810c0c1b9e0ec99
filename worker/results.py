"""The results: what a handler returned, as the JSON that stands in Completed, or the reason why it cannot."""

import orjson
from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from ledger.errors import InvalidValueError
from ledger.jsonvalue import encode_json
from worker.errors import ResultRefusedError

_PLAIN = frozenset({str, int, float, bool, type(None)})


def as_json(value: object) -> JsonValue:
    """Return what a handler returned as JSON values; raises ResultRefusedError where there is no way."""
    if type(value) in _PLAIN:
        return value  # type: ignore[return-value]  # the types are JSON's own
    try:
        json: JsonValue = to_jsonable_python(value)
    except Exception as error:
        raise ResultRefusedError(f"{type(error).__name__}: {error}") from error
    return json


def encode_result(result: JsonValue, *, attempt: int, result_bytes_max: int) -> str:
    """Return the JSON of an attempt and its result, as it stands in the event.

    Raises:
        ResultRefusedError: it is too large, or holds what the ledger cannot store.
    """
    try:
        return encode_json(
            {"attempt": attempt, "result": result},
            field="result",
            bytes_max=event_bytes_max(attempt, result_bytes_max),
        )
    except InvalidValueError as error:
        raise refusal_of(error, result, result_bytes_max) from error


def event_bytes_max(attempt: int, result_bytes_max: int) -> int:
    """Return the bound of the event: that of the result, and the event's own JSON around it."""
    return result_bytes_max + len(f'{{"attempt":{attempt},"result":}}')


def refusal_of(error: InvalidValueError, result: JsonValue, result_bytes_max: int) -> ResultRefusedError:
    """Return the refusal of a result that could not be encoded."""
    if not error.bound.endswith("bytes"):
        return ResultRefusedError(str(error))
    return ResultRefusedError(
        f"it must be at most {result_bytes_max} bytes of JSON (LEDGER_RESULT_BYTES_MAX), "
        f"got {len(orjson.dumps(result))}"
    )
