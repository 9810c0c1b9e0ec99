"""The bounds of parameters that the routes check by themselves, as the OpenAPI document says them."""

from collections.abc import Iterator
from typing import Any

from ledger.schedules.schedule import NAME_PATTERN as SCHEDULE_PATTERN
from ledger.specification import QUEUE_PATTERN
from ledger.webhooks.endpoint import NAME_PATTERN as WEBHOOK_PATTERN
from projections.definition import NAME_PATTERN as PROJECTION_PATTERN

_NAMES = {
    "queues": QUEUE_PATTERN,
    "schedules": SCHEDULE_PATTERN,
    "webhooks": WEBHOOK_PATTERN,
    "projections": PROJECTION_PATTERN,
}


def tell_bounds(document: dict[str, Any], *, page_size_max: int) -> None:
    """Add what a name in a path looks like, and how large a page may be (LEDGER_PAGE_SIZE_MAX)."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                _tell(parameter, path, page_size_max)


def _tell(parameter: dict[str, Any], path: str, page_size_max: int) -> None:
    schema = parameter["schema"]
    if (parameter["in"], parameter["name"]) == ("path", "name"):
        schema["pattern"] = _NAMES[path.split("/")[1]]
    elif (parameter["in"], parameter["name"]) == ("query", "limit"):
        for integer in _integers(schema):
            integer["maximum"] = page_size_max
        if "default" in schema:
            schema["default"] = min(schema["default"], page_size_max)


def _integers(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for one in (schema, *schema.get("anyOf", ())):
        if one.get("type") == "integer":
            yield one
