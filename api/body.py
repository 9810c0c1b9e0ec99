"""A request's body: read up to the bound, then parsed strictly into a schema."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from api.errors import BodyTooLargeError, InvalidRequestError, Part
from api.validation import sentence_of

Schema = TypeVar("Schema", bound=BaseModel)

_LENGTH_DIGITS_MAX = 18


async def read_body(
    scope: Scope, receive: Receive, *, bytes_max: int, setting: str = "LEDGER_BODY_BYTES_MAX"
) -> bytes:
    """Return the whole body; a larger one is refused by its Content-Length, or as soon as it exceeds the bound.

    The setting is where the bound comes from.

    Raises:
        BodyTooLargeError: it is larger than the bound.
        ClientDisconnect: the client left before it was complete.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and _exceeds(value, bytes_max):
            raise BodyTooLargeError(bytes_max=bytes_max, setting=setting)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        if size > bytes_max:
            raise BodyTooLargeError(bytes_max=bytes_max, setting=setting)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _exceeds(length: bytes, bytes_max: int) -> bool:
    # What is no number is for the server to refuse; the body itself is counted anyhow.
    return length.isdigit() and (len(length) > _LENGTH_DIGITS_MAX or int(length) > bytes_max)


def parse_body(schema: type[Schema], body: bytes) -> Schema:
    """Return the body as the schema has it.

    The parser refuses what is no JSON in UTF-8, lone surrogates, numbers of thousands of digits and nesting
    of more than 200 levels by itself. Of a name that an object has twice the last one counts, as in the seed.

    Raises:
        InvalidRequestError: it is no JSON, or not what the schema asks for.
    """
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise InvalidRequestError(Part.BODY, sentence_of(problems)) from error
