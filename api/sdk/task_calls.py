"""The calls about tasks and the log over all of them."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from api.sdk.answers import Commanded, Event, Explanation, LedgerCounts, Page, Receipt, Task, TaskStatus
from api.sdk.calls import Answer, Call, page_reader, path_of, reader, reason_body, shaped
from api.sdk.errors import ClientSettingError, UnexpectedAnswerError
from api.sdk.options import NewTask, query_of, task_body, to_json

Id = UUID | str

CHUNK_SIZE = 1000
_CHUNK_BYTES_MAX = 8 * 1024 * 1024
_PAGE_SIZE = 100
_JSON = {"Content-Type": "application/json"}


def submit(kind: str, value: object, options: Mapping[str, Any]) -> Call[Receipt]:
    """Submit a task; with a key, unless it was declined, so that it can be repeated."""
    task = dict(options)
    key, is_idempotent = task.pop("idempotency_key", None), task.pop("idempotent", True)
    if key is not None and not is_idempotent:
        raise ClientSettingError("idempotency_key must not be given together with idempotent=False")
    headers = {"Idempotency-Key": key or str(uuid4())} if is_idempotent else {}
    return Call(
        method="POST",
        path="/tasks",
        body=to_json(task_body({"kind": kind, "input": value, **task})),
        headers={**_JSON, **headers},
        is_repeatable=is_idempotent,
        read=_receipt,
    )


def submit_chunks(tasks: Iterable[NewTask], chunk_size: int) -> Iterator[Call[list[UUID]]]:
    """Submit many tasks, so many at once, and less where they are large."""
    if chunk_size < 1:
        raise ClientSettingError(f"chunk_size must be at least 1, got {chunk_size}")
    chunk: list[bytes] = []
    chunk_bytes = 0
    for task in tasks:
        body = to_json(task_body({"input": None, **task}))
        if chunk and (len(chunk) == chunk_size or chunk_bytes + len(body) > _CHUNK_BYTES_MAX):
            yield _batch(chunk)
            chunk, chunk_bytes = [], 0
        chunk.append(body)
        chunk_bytes += len(body)
    if chunk:
        yield _batch(chunk)


def get(task_id: Id, as_of: datetime | None = None) -> Call[Task]:
    """Show everything about a task, as it is or was."""
    return _look(task_id, (), as_of, Task)


def status(task_id: Id, as_of: datetime | None = None) -> Call[TaskStatus]:
    """Show the status of a task, as it is or was."""
    return _look(task_id, ("status",), as_of, TaskStatus)


def status_soon(task_id: Id, seconds: float) -> Call[TaskStatus]:
    """Show the status of a task when it changes, or after a while."""
    return Call(
        method="GET",
        path=path_of("tasks", task_id, "status"),
        headers={"Prefer": f"wait={max(1, int(seconds))}"},
        is_fresh=True,
        wait_seconds=seconds,
        read=reader(TaskStatus),
    )


def history(task_id: Id, after_version: int) -> Call[Page[Event]]:
    """Show a page of the events of a task."""
    return Call(
        method="GET",
        path=path_of("tasks", task_id, "events"),
        query=query_of({"after_version": after_version, "limit": _PAGE_SIZE}),
        read=page_reader(Event, "events", "next_after_version"),
    )


def list_tasks(wanted: Mapping[str, Any], cursor: str | int | None) -> Call[Page[Task]]:
    """Show a page of tasks, newest first."""
    return Call(
        method="GET",
        path="/tasks",
        query=query_of({**wanted, "limit": _PAGE_SIZE, "cursor": cursor}),
        is_fresh="as_of" not in wanted,
        read=page_reader(Task, "tasks", "next_cursor"),
    )


def log(wanted: Mapping[str, Any], after: int) -> Call[Page[Event]]:
    """Show a part of the log; its `next` is None where the log is read up to where it was complete."""
    return Call(
        method="GET",
        path="/events",
        query=query_of({**wanted, "after": after, "limit": _PAGE_SIZE}),
        read=_log_page,
    )


def explain(task_id: Id) -> Call[Explanation]:
    """Say why a task is where it is."""
    return Call(method="GET", path=path_of("tasks", task_id, "explain"), read=reader(Explanation))


def command(task_id: Id, act: str, reason: str) -> Call[Commanded]:
    """Cancel or retry a task."""
    return Call(
        method="POST",
        path=path_of("tasks", task_id, act),
        body=reason_body(reason),
        headers=_JSON,
        is_repeatable=False,
        read=reader(Commanded),
    )


def counts(moment: datetime) -> Call[LedgerCounts]:
    """Say how many tasks there were at a moment."""
    return Call(method="GET", path="/ledger", query=query_of({"as_of": moment}), read=reader(LedgerCounts))


def _look(task_id: Id, below: tuple[str, ...], as_of: datetime | None, shape: type[Any]) -> Call[Any]:
    return Call(
        method="GET",
        path=path_of("tasks", task_id, *below),
        query=query_of({"as_of": as_of}),
        is_fresh=as_of is None,
        read=reader(shape),
    )


def _batch(chunk: list[bytes]) -> Call[list[UUID]]:
    # A batch takes no Idempotency-Key, so one whose answer was lost is not repeated.
    return Call(
        method="POST",
        path="/tasks/batch",
        body=b"[" + b",".join(chunk) + b"]",
        headers=_JSON,
        is_repeatable=False,
        read=_task_ids,
    )


def _receipt(answer: Answer) -> Receipt:
    document = answer.json()
    return shaped(
        Receipt,
        {
            "task_id": document.get("task_id"),
            "position": answer.position,
            "replayed": answer.headers.get("idempotency-replayed") == "true",
            "existing": answer.headers.get("ledger-existing") == "true",
        },
    )


def _task_ids(answer: Answer) -> list[UUID]:
    try:
        return [UUID(task_id) for task_id in answer.json()["task_ids"]]
    except (TypeError, KeyError, ValueError) as error:
        raise UnexpectedAnswerError("the answer to a batch must have task_ids") from error


_EVENTS = page_reader(Event, "events", "next_after")


def _log_page(answer: Answer) -> Page[Event]:
    page, horizon = _EVENTS(answer), answer.json().get("horizon", 0)
    return page if isinstance(page.next, int) and page.next < horizon else Page(page.items, None)
