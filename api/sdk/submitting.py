"""How tasks are submitted: one with a key that keeps it from doubling, or many in chunks."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID, uuid4

from api.sdk.answers import Receipt
from api.sdk.calls import JSON, Answer, Call, shaped
from api.sdk.errors import (
    ApiError,
    ClientSettingError,
    ConnectionFailedError,
    SubmitManyError,
    UnexpectedAnswerError,
)
from api.sdk.options import NewTask, task_body, to_json
from api.sdk.scripts import Script
from api.sdk.waiting import in_doubt

CHUNK_SIZE = 1000
_CHUNK_BYTES_MAX = 8 * 1024 * 1024


def submission(kind: str, value: object, options: Mapping[str, Any]) -> Call[Receipt]:
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
        headers={**JSON, **headers},
        is_repeatable=is_idempotent,
        read=_receipt,
    )


def submission_of_many(tasks: Iterable[NewTask], chunk_size: int) -> Script[list[UUID]]:
    """Submit many tasks, so many at once, and less where they are large."""
    task_ids: list[UUID] = []
    for call in _chunks(tasks, chunk_size):
        try:
            task_ids += yield call
        except (ApiError, ConnectionFailedError) as error:
            if not task_ids:
                raise
            raise SubmitManyError(task_ids=task_ids, is_in_doubt=in_doubt(error)) from error
    return task_ids


def _chunks(tasks: Iterable[NewTask], chunk_size: int) -> Iterator[Call[list[UUID]]]:
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


def _batch(chunk: list[bytes]) -> Call[list[UUID]]:
    # A batch takes no Idempotency-Key, so one whose answer was lost is not repeated.
    return Call(
        method="POST",
        path="/tasks/batch",
        body=b"[" + b",".join(chunk) + b"]",
        headers=JSON,
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
