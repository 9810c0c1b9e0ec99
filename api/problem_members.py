"""What a problem document says beside its sentence: the facts of the error, for a program to read.

`status` is the document's own word for the HTTP status.
"""

from dataclasses import asdict
from functools import singledispatch

from pydantic import JsonValue

from api.errors import InvalidBatchError, LedgerArchivedError, NotPermittedError, ReadModelBehindError
from ledger.errors import (
    DeadLetterNotFoundError,
    DeadLetterStateError,
    TaskArchivedError,
    TaskNotFoundError,
    TaskStateError,
    WrongExpectedVersionError,
)
from ledger.workers.errors import WorkerNotFoundError, WorkerStateError
from projections.errors import RunOpenError


@singledispatch
def members_of(_error: Exception) -> dict[str, JsonValue]:
    """Return the members of a problem document that an error adds."""
    return {}


@members_of.register
def _(error: TaskStateError) -> dict[str, JsonValue]:
    reason: dict[str, JsonValue] = {"reason": error.reason} if error.reason else {}
    return {"task_id": str(error.task_id), "task_status": error.status, **reason}


@members_of.register
def _(error: DeadLetterStateError) -> dict[str, JsonValue]:
    return {"dead_letter_id": str(error.letter_id), "reason": error.reason}


@members_of.register
def _(error: DeadLetterNotFoundError) -> dict[str, JsonValue]:
    return {"dead_letter_id": str(error.letter_id)}


@members_of.register(WorkerNotFoundError)
@members_of.register(WorkerStateError)
def _(error: WorkerNotFoundError | WorkerStateError) -> dict[str, JsonValue]:
    return {"worker_id": str(error.worker_id)}


@members_of.register(TaskNotFoundError)
@members_of.register(WrongExpectedVersionError)
def _(error: TaskNotFoundError | WrongExpectedVersionError) -> dict[str, JsonValue]:
    return {"task_id": str(error.task_id)}


@members_of.register
def _(error: NotPermittedError) -> dict[str, JsonValue]:
    return {"scope": error.needed, "scopes": list(error.scopes)}


@members_of.register
def _(error: ReadModelBehindError) -> dict[str, JsonValue]:
    return {"position": error.position, "position_min": error.position_min}


@members_of.register
def _(error: InvalidBatchError) -> dict[str, JsonValue]:
    return {"errors": [asdict(item) for item in error.errors], "error_count": error.count}


@members_of.register
def _(error: RunOpenError) -> dict[str, JsonValue]:
    return {"run_id": str(error.run_id), "act": error.act}


@members_of.register
def _(error: TaskArchivedError) -> dict[str, JsonValue]:
    return {"task_id": str(error.task_id), "month": error.month, "file": error.file}


@members_of.register
def _(error: LedgerArchivedError) -> dict[str, JsonValue]:
    return {"months": list(error.months)}
