"""The calls of operators: queues, dead letters and schedules."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from api.sdk.answers import DeadLetter, Fired, LetterAct, Page, Queue, Schedule
from api.sdk.calls import Answer, Call, nothing, page_reader, path_of, reader, reason_body
from api.sdk.options import query_of, to_json

_JSON = {"Content-Type": "application/json"}
_PAGE_SIZE = 100


def queues() -> Call[tuple[Queue, ...]]:
    """Show all queues."""
    page = page_reader(Queue, "queues", "next")

    def read(answer: Answer) -> tuple[Queue, ...]:
        return page(answer).items

    return Call(method="GET", path="/queues", read=read)


def queue(name: str) -> Call[Queue]:
    """Show a queue."""
    return Call(method="GET", path=path_of("queues", name), read=reader(Queue))


def turn_queue(name: str, act: str, reason: str) -> Call[Queue]:
    """Pause or resume a queue; doing it twice changes nothing."""
    return Call(
        method="POST", path=path_of("queues", name, act), body=reason_body(reason), headers=_JSON,
        read=reader(Queue),
    )  # fmt: skip


def set_queue(name: str, settings: Mapping[str, Any], reason: str) -> Call[Queue]:
    """Replace all that is set for a queue."""
    return Call(
        method="PUT", path=path_of("queues", name), body=to_json({**settings, "reason": reason}), headers=_JSON,
        read=reader(Queue),
    )  # fmt: skip


def dead_letters(wanted: Mapping[str, Any], cursor: str | int | None) -> Call[Page[DeadLetter]]:
    """Show a page of dead letters, newest first."""
    return Call(
        method="GET",
        path="/dead-letters",
        query=query_of({**wanted, "limit": _PAGE_SIZE, "cursor": cursor}),
        read=page_reader(DeadLetter, "dead_letters", "next_cursor"),
    )


def act_on_letter(letter_id: UUID | str, act: str, reason: str) -> Call[LetterAct]:
    """Redrive or discard a dead letter."""
    return Call(
        method="POST",
        path=path_of("dead-letters", letter_id, act),
        body=reason_body(reason),
        headers=_JSON,
        is_repeatable=False,
        read=reader(LetterAct),
    )


def schedules(after: str | int | None) -> Call[Page[Schedule]]:
    """Show a page of schedules, by name."""
    return Call(
        method="GET",
        path="/schedules",
        query=query_of({"after": after, "limit": _PAGE_SIZE}),
        read=page_reader(Schedule, "schedules", "next_after"),
    )


def schedule(name: str) -> Call[Schedule]:
    """Show a schedule."""
    return Call(method="GET", path=path_of("schedules", name), read=reader(Schedule))


def put_schedule(name: str, definition: Mapping[str, Any]) -> Call[Schedule]:
    """Make a schedule, or change it to this."""
    return Call(
        method="PUT", path=path_of("schedules", name), body=to_json(definition), headers=_JSON,
        read=reader(Schedule),
    )  # fmt: skip


def turn_schedule(name: str, act: str, reason: str) -> Call[Schedule]:
    """Pause or resume a schedule; doing it twice changes nothing."""
    return Call(
        method="POST", path=path_of("schedules", name, act), body=reason_body(reason), headers=_JSON,
        read=reader(Schedule),
    )  # fmt: skip


def fire_schedule(name: str, reason: str) -> Call[Fired]:
    """Submit a schedule's task now."""
    return Call(
        method="POST", path=path_of("schedules", name, "fire"), body=reason_body(reason), headers=_JSON,
        is_repeatable=False, read=reader(Fired),
    )  # fmt: skip


def remove_schedule(name: str, reason: str) -> Call[None]:
    """Remove a schedule."""
    return Call(
        method="DELETE", path=path_of("schedules", name), query=query_of({"reason": reason}),
        is_repeatable=False, read=nothing,
    )  # fmt: skip
