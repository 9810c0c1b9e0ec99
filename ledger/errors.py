"""Every error that Task Ledger raises: each takes facts, writes its own sentence and keeps the facts."""

from uuid import UUID


class LedgerError(Exception):
    """The root: catching it catches everything that Task Ledger raises on purpose."""


class ConfigurationError(LedgerError):
    """A setting is missing, malformed or out of bounds; the sentence names it, its bound and its value."""


class InvalidInputError(LedgerError):
    """What somebody gave is not what it must be; whoever takes it says in which part of it."""


class NotFoundError(LedgerError):
    """What was named is not there, or not any more."""


class ConflictError(LedgerError):
    """What is there, or what somebody else does at the moment, refuses this; the sentence says why."""


class TimeExceededError(LedgerError):
    """Something did not happen in the time that it was waited for."""


class InvalidValueError(InvalidInputError):
    """A value that a caller handed in is out of its bound."""

    def __init__(self, *, field: str, bound: str, value: object) -> None:
        self.field = field
        self.bound = bound
        self.value = value
        super().__init__(f"{field} must be {bound}, got {shortened(value)}")


class TaskNotFoundError(NotFoundError):
    """No stream exists for this task id."""

    def __init__(self, task_id: UUID) -> None:
        self.task_id = task_id
        super().__init__("Task not found")


class TaskArchivedError(TaskNotFoundError):
    """The task's month has left the log, so its history is not in it; the archive's file has it."""

    def __init__(self, task_id: UUID, *, month: str, file: str) -> None:
        super().__init__(task_id)
        self.month = month
        self.file = file
        where = f"the tasks of {month} are archived, in {file}"
        self.args = (f"the history of task {task_id} is not in the log: {where}",)


class ArchiveRefusedError(ConflictError):
    """A month must not leave the log, or come back, or be dropped; the reason says what stands in the way."""

    def __init__(self, *, month: str, act: str, reason: str) -> None:
        self.month = month
        self.act = act
        self.reason = reason
        super().__init__(f"cannot {act} {month}: {reason}")


class ArchiveFileError(LedgerError):
    """The file of an archive cannot be read or written, or is not what was archived."""

    def __init__(self, *, file: str, reason: str) -> None:
        self.file = file
        self.reason = reason
        super().__init__(f"the archive {file} {reason}")


class ScheduleNotFoundError(NotFoundError):
    """There is no schedule of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no schedule {shortened(name)}")


class ApiKeyNotFoundError(NotFoundError):
    """There is no API key of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no API key {shortened(name)}")


class ApiKeyStateError(ConflictError):
    """What an API key is refuses this act."""

    def __init__(self, *, name: str, act: str, reason: str) -> None:
        self.name = name
        self.act = act
        self.reason = reason
        super().__init__(f"cannot {act} the API key {shortened(name)}: {reason}")


class DeadLetterNotFoundError(NotFoundError):
    """No message that died has this id, and no task that failed."""

    def __init__(self, letter_id: UUID) -> None:
        self.letter_id = letter_id
        super().__init__("Dead letter not found")


class DeadLetterStateError(ConflictError):
    """What a dead letter is refuses this act, or somebody has dealt with it already."""

    def __init__(self, *, letter_id: UUID, act: str, reason: str) -> None:
        self.letter_id = letter_id
        self.act = act
        self.reason = reason
        super().__init__(f"cannot {act} dead letter {letter_id}: {reason}")


class BulkActNotFoundError(NotFoundError):
    """No bulk act has this id."""

    def __init__(self, bulk_id: UUID) -> None:
        self.bulk_id = bulk_id
        super().__init__("Bulk act not found")


class WrongExpectedVersionError(ConflictError):
    """An append expected the stream at one version and found it at another; nothing was recorded."""

    def __init__(self, *, task_id: UUID, expected_version: int, actual_version: int | None = None) -> None:
        self.task_id = task_id
        self.expected_version = expected_version
        self.actual_version = actual_version
        found = "another version" if actual_version is None else f"version {actual_version}"
        super().__init__(f"task {task_id} was expected at version {expected_version} and found at {found}")


class IdempotencyKeyReusedError(ConflictError):
    """An idempotency key was used before, with another request."""

    def __init__(self, *, key: str) -> None:
        self.key = key
        super().__init__(f"the Idempotency-Key {key!r} was used with another request before")


class KeyInFlightError(ConflictError):
    """Another request with the same key has not ended yet; nothing was recorded for this one."""

    def __init__(self, *, field: str, key: str) -> None:
        self.field = field
        self.key = key
        super().__init__(f"another request with the {field} {key!r} is in flight")


class TaskStateError(ConflictError):
    """The task is in a state that refuses this command."""

    def __init__(self, *, task_id: UUID, command: str, status: str, reason: str = "") -> None:
        self.task_id = task_id
        self.command = command
        self.status = status
        self.reason = reason
        tail = f": {reason}" if reason else ""
        super().__init__(f"cannot {command} task {task_id}: it is {status}{tail}")


class StaleAttemptError(ConflictError):
    """An attempt that no longer owns its task tried to write; the ledger refuses it and records the refusal."""

    def __init__(self, *, task_id: UUID, attempt: int, current_attempt: int, status: str) -> None:
        self.task_id = task_id
        self.attempt = attempt
        self.current_attempt = current_attempt
        self.status = status
        now = f"the task is {status} at attempt {current_attempt}"
        super().__init__(f"attempt {attempt} of task {task_id} is stale: {now}")


class PayloadKeyMissingError(ConflictError):
    """The key of an erasable task was destroyed, or this process cannot have it."""

    def __init__(self, *, task_id: UUID, reason: str) -> None:
        self.task_id = task_id
        self.reason = reason
        super().__init__(f"the payload of task {task_id} cannot be opened: {reason}")


class PayloadSealError(LedgerError):
    """A sealed value was sealed under another key, for another task or field, or was altered."""

    def __init__(self, *, task_id: UUID, field: str) -> None:
        self.task_id = task_id
        self.field = field
        super().__init__(f"the {field} of task {task_id} is not what was sealed under its key")


class ErasureNotFoundError(NotFoundError):
    """No erasure by tag has this id."""

    def __init__(self, order_id: UUID) -> None:
        self.order_id = order_id
        super().__init__("Erasure not found")


class UnknownEventTypeError(LedgerError):
    """The ledger holds an event whose type or schema version this release does not know."""

    def __init__(self, *, event_type: str, schema_version: int) -> None:
        self.event_type = event_type
        self.schema_version = schema_version
        super().__init__(f"unknown event {event_type!r} with schema version {schema_version}")


class StoreUnavailableError(LedgerError):
    """The database could not be reached or ended the connection; nothing is known of what was in flight."""


class StoreRefusedError(LedgerError):
    """The database refused the statement (permission, integrity, or that it takes no writes)."""


class StoreUnwritableError(StoreRefusedError):
    """The database takes no writes at the moment: its storage is full, or it is read-only."""


class LeadershipLostError(LedgerError):
    """A process that did a role's work alone no longer does: its session is gone, or somebody else went ahead."""

    def __init__(self, role: str) -> None:
        self.role = role
        super().__init__(f"the lead of the {role} is lost: its session ended, or another process went ahead")


class BrokerUnavailableError(LedgerError):
    """The broker could not be reached, or did not confirm in time; what was in flight may or may not be there."""


class BrokerRefusedError(LedgerError):
    """The broker refused the request, for example a queue declared with other arguments."""


class MigrationError(LedgerError):
    """The schema cannot be migrated: an applied migration was edited, is missing, or failed."""


class SchemaBehindError(MigrationError):
    """The database lacks migrations of this release."""

    def __init__(self, *, count: int) -> None:
        self.count = count
        super().__init__(f"the database lacks {count} migrations of this release: run `taskledger migrate`")


class StopAskedError(LedgerError):
    """A process was asked to stop while it still waited for its servers."""

    def __init__(self) -> None:
        super().__init__("asked to stop before it had started")


class EmbeddedPostgresError(LedgerError):
    """The embedded Postgres could not be started; the sentence says why and what to do."""


class DataDirectoryInUseError(EmbeddedPostgresError, ConflictError):
    """Another process owns the data directory."""

    def __init__(self, *, directory: str, owner: str) -> None:
        self.directory = directory
        self.owner = owner
        super().__init__(f"another process ({owner}) owns the data directory {directory}")


class HandlerNotFoundError(LedgerError):
    """No handler is registered for a task kind in this worker."""

    def __init__(self, *, kind: str, known: tuple[str, ...]) -> None:
        self.kind = kind
        self.known = known
        super().__init__(f"no handler for kind {kind!r}; this worker knows: {', '.join(known) or 'none'}")


class MalformedMessageError(LedgerError):
    """A message on a work queue is not one of ours."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"malformed message: {reason}")


_SHOWN_CHARS_MAX = 80


def shortened(value: object) -> str:
    """Return a value as an error shows it, however long it is."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}… ({len(text)} characters)"
