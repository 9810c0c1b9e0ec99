"""The opaque cursor of a list: where the last page ended, checked against damage and against other filters.

base64url of: version (1 byte), the id of the last task (16 bytes), and 8 bytes of a BLAKE2b digest over these and
the filters. It is no secret: a forged one reads nothing that its owner may not read.
"""

import base64
import hashlib
import struct
from uuid import UUID

from api.errors import InvalidRequestError, Part
from api.json_response import to_json
from api.read_model import TaskFilter
from ledger.errors import InvalidValueError

_VERSION = 1
_LAYOUT = struct.Struct(">B16s")
_CHECK_BYTES = 8


def encode_cursor(last: UUID, task_filter: TaskFilter) -> str:
    """Return the cursor for the page after this task."""
    payload = _LAYOUT.pack(_VERSION, last.bytes)
    return base64.urlsafe_b64encode(payload + _check(payload, task_filter)).rstrip(b"=").decode("ascii")


def decode_cursor(cursor: str, task_filter: TaskFilter) -> UUID:
    """Return the last task of the page that the cursor ended.

    Raises:
        InvalidRequestError: it is not a cursor of ours, is damaged, or belongs to other filters.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        payload, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
        version, last = _LAYOUT.unpack(payload)
    except (ValueError, struct.error) as error:
        raise _refusal(cursor) from error
    if version != _VERSION or check != _check(payload, task_filter):
        raise _refusal(cursor)
    return UUID(bytes=last)


def _check(payload: bytes, task_filter: TaskFilter) -> bytes:
    return hashlib.blake2b(payload + to_json(task_filter), digest_size=_CHECK_BYTES).digest()


def _refusal(cursor: str) -> InvalidRequestError:
    bound = "a next_cursor of this list, asked for with the same filters"
    return InvalidRequestError(Part.QUERY, str(InvalidValueError(field="cursor", bound=bound, value=cursor)))
