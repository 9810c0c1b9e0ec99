"""JSON as the API writes it: compact, UTF-8, times in RFC 3339 with `Z` as the seed printed them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import orjson
from starlette.responses import Response

CONTENT_TYPE = "application/json; charset=utf-8"


class JsonResponse(Response):
    """A response of anything that is JSON once its times, ids and dataclasses are written out."""

    def __init__(
        self,
        content: object,
        status_code: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        media_type: str = CONTENT_TYPE,
    ) -> None:
        super().__init__(to_json(content), status_code, headers, media_type)


def to_json(content: object) -> bytes:
    """Return it as compact JSON."""
    return orjson.dumps(content, default=_written_out, option=orjson.OPT_PASSTHROUGH_DATETIME)


def timestamp(moment: datetime) -> str:
    """Return the moment in UTC with `Z`, its fraction without trailing zeros, as Go's encoding/json prints it."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0')}Z" if "." in text else f"{text}Z"


def _written_out(value: object) -> str:
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, UUID):  # asyncpg's own subclass
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
