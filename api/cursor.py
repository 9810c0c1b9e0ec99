"""The opaque cursor of a list: where the last page ended, checked against damage and against other filters.

base64url of: version (1 byte), where the last page ended, and 8 bytes of a BLAKE2b digest over these and the
filters. A page of tasks ends at the id of a task (16 bytes); one of dead letters, or of changes in an audit, at a
moment (8 bytes, microseconds since 1970) and an id; one of events at a position (8 bytes). It is no secret: a
forged one reads nothing that its owner may not read.
"""

import base64
import hashlib
import struct
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from api.errors import InvalidRequestError, Part
from api.failures import FailureFilter
from api.json_response import to_json
from api.read_model import TaskFilter
from ledger.dead_letters.letters import DeadLetterFilter, Place
from ledger.errors import InvalidValueError
from ledger.history.audit import AuditFilter

_VERSION = 1
_LAYOUT = struct.Struct(">B16s")
_PLACE_VERSION = 2
_PLACE_LAYOUT = struct.Struct(">Bq16s")
_POSITION_VERSION = 3
_POSITION_LAYOUT = struct.Struct(">Bq")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CHECK_BYTES = 8

Dated = DeadLetterFilter | AuditFilter | FailureFilter
Asked = TaskFilter | DeadLetterFilter | AuditFilter | FailureFilter


def encode_cursor(last: UUID, task_filter: TaskFilter) -> str:
    """Return the cursor for the page after this task."""
    return _encode(_LAYOUT.pack(_VERSION, last.bytes), task_filter)


def decode_cursor(cursor: str, task_filter: TaskFilter) -> UUID:
    """Return the last task of the page that the cursor ended.

    Raises:
        InvalidRequestError: it is not a cursor of ours, is damaged, or belongs to other filters.
    """
    (last,) = _decode(cursor, _LAYOUT, _VERSION, task_filter)
    return UUID(bytes=last)


def encode_place(place: Place, letters: Dated) -> str:
    """Return the cursor for the page of dead letters, of changes or of failures, beyond this place."""
    microseconds = (place.died_at - _EPOCH) // _MICROSECOND
    return _encode(_PLACE_LAYOUT.pack(_PLACE_VERSION, microseconds, place.letter_id.bytes), letters)


def decode_place(cursor: str, letters: Dated) -> Place:
    """Return the place at which the page before ended; raises what `decode_cursor` raises."""
    microseconds, letter_id = _decode(cursor, _PLACE_LAYOUT, _PLACE_VERSION, letters)
    return Place(_EPOCH + microseconds * _MICROSECOND, UUID(bytes=letter_id))


def encode_position(position: int, asked: AuditFilter) -> str:
    """Return the cursor for the page of events beyond this position."""
    return _encode(_POSITION_LAYOUT.pack(_POSITION_VERSION, position), asked)


def decode_position(cursor: str, asked: AuditFilter) -> int:
    """Return the position at which the page before ended; raises what `decode_cursor` raises."""
    (position,) = _decode(cursor, _POSITION_LAYOUT, _POSITION_VERSION, asked)
    return int(position)


def _encode(payload: bytes, asked: Asked) -> str:
    return base64.urlsafe_b64encode(payload + _check(payload, asked)).rstrip(b"=").decode("ascii")


def _decode(cursor: str, layout: struct.Struct, version: int, asked: Asked) -> tuple[Any, ...]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        payload, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
        found, *ended_at = layout.unpack(payload)
    except (ValueError, struct.error) as error:
        raise _refusal(cursor) from error
    if found != version or check != _check(payload, asked):
        raise _refusal(cursor)
    return tuple(ended_at)


def _check(payload: bytes, asked: Asked) -> bytes:
    return hashlib.blake2b(payload + to_json(asked), digest_size=_CHECK_BYTES).digest()


def _refusal(cursor: str) -> InvalidRequestError:
    bound = "a next_cursor of this list, asked for with the same filters"
    return InvalidRequestError(Part.QUERY, str(InvalidValueError(field="cursor", bound=bound, value=cursor)))
