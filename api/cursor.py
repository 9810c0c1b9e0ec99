"""The opaque cursor of a list: where the last page ended, checked against damage and against other filters.

base64url of: version (1 byte), created_at (microseconds since 1970, 8 bytes), task id (16 bytes), and the first
8 bytes of a BLAKE2b digest over these and the filters. It is no secret: a forged one reads nothing more.
"""

import base64
import binascii
import hashlib
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

from api.errors import InvalidRequestError, Part
from api.json_response import to_json
from api.read_model import PagePosition, TaskFilter
from ledger.errors import InvalidValueError

_VERSION = 1
_LAYOUT = struct.Struct(">Bq16s")
_CHECK_BYTES = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encode_cursor(position: PagePosition, task_filter: TaskFilter) -> str:
    """Return the cursor for the page after this position."""
    payload = _LAYOUT.pack(_VERSION, (position.created_at - _EPOCH) // _MICROSECOND, position.task_id.bytes)
    return base64.urlsafe_b64encode(payload + _check(payload, task_filter)).rstrip(b"=").decode("ascii")


def decode_cursor(cursor: str, task_filter: TaskFilter) -> PagePosition:
    """Return the position that the cursor stands for.

    Raises:
        InvalidRequestError: it is not a cursor of ours, is damaged, or belongs to other filters.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        version, microseconds, task_id = _LAYOUT.unpack(raw[:-_CHECK_BYTES])
        if version != _VERSION or raw[-_CHECK_BYTES:] != _check(raw[:-_CHECK_BYTES], task_filter):
            raise _refusal(cursor)
        return PagePosition(_EPOCH + microseconds * _MICROSECOND, UUID(bytes=task_id))
    except (ValueError, binascii.Error, struct.error, OverflowError) as error:
        raise _refusal(cursor) from error


def _check(payload: bytes, task_filter: TaskFilter) -> bytes:
    return hashlib.blake2b(payload + to_json(task_filter), digest_size=_CHECK_BYTES).digest()


def _refusal(cursor: str) -> InvalidRequestError:
    bound = "a next_cursor of this list, asked for with the same filters"
    return InvalidRequestError(Part.QUERY, str(InvalidValueError(field="cursor", bound=bound, value=cursor)))
