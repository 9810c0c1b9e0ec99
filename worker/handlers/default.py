"""The shipped handlers: the seed's, and three for demonstrations and tests; a user's own of a kind goes before."""

import asyncio
from typing import Annotated

import orjson
from pydantic import Field, JsonValue

_SLEEP_SECONDS_MAX = 3600.0


async def default(value: JsonValue) -> str:
    """Answer as the seed does: text as it is, any other value as compact JSON."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return f"Processed input: {text}"


async def echo(value: JsonValue) -> JsonValue:
    """Answer with the input."""
    return value


async def sleep(seconds: Annotated[float, Field(ge=0, le=_SLEEP_SECONDS_MAX)]) -> float:
    """Sleep for so many seconds, and answer with them."""
    await asyncio.sleep(seconds)
    return seconds


async def fail(value: JsonValue) -> None:
    """Fail, with the input as the message."""
    raise RuntimeError(value if isinstance(value, str) else orjson.dumps(value).decode())
