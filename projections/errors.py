"""The errors of the seen side."""

from collections.abc import Sequence
from uuid import UUID

from ledger.errors import ConflictError, LedgerError, NotFoundError


class ProjectionNotFoundError(NotFoundError):
    """No projection has this name."""

    def __init__(self, *, name: str, known: tuple[str, ...]) -> None:
        self.name = name
        self.known = known
        super().__init__(f"no projection {name!r}; there are: {', '.join(known)}")


class ReadModelMissingError(NotFoundError):
    """The read model's tables, or its checkpoint, do not exist."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the read model {name} does not exist: start a projector, or rebuild it")


class ArchivedMonthsError(ConflictError):
    """Months of the ledger are archived where the fold cannot read them, so their tasks would get lost."""

    def __init__(self, *, name: str, months: Sequence[str]) -> None:
        self.name = name
        self.months = months
        super().__init__(
            f"the read model {name} would lose the tasks of {', '.join(months)}, which are archived: attach them "
            "first, or rebuild it without (--without-archived)"
        )


class ReadModelVersionError(ConflictError):
    """Another version of the projection made the read model, so this one must not fold into it; 0 is unmarked."""

    def __init__(self, *, name: str, made_by: int, expected: int) -> None:
        self.name = name
        self.made_by = made_by
        self.expected = expected
        super().__init__(
            f"version {made_by} of {name} made its read model, and this is version {expected}: rebuild it"
        )

    @property
    def is_older(self) -> bool:
        """Whether a rebuild by this release brings the read model forward."""
        return self.made_by < self.expected


class ReadModelOutOfStepError(LedgerError):
    """A row of the read model is not at the version that its checkpoint says; somebody changed one of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the read model {name} is out of step with its checkpoint: rebuild it")


class CheckpointMovedError(ConflictError):
    """Somebody else moved the checkpoint of this projection meanwhile; nothing was folded."""

    def __init__(self, *, name: str, position: int) -> None:
        self.name = name
        self.position = position
        super().__init__(f"the checkpoint {name} has moved away from {position}; nothing was folded")


class RebuildInProgressError(ConflictError):
    """Another process rebuilds or verifies this read model."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"another process rebuilds or verifies the read model {name}")


class ReadModelBusyError(ConflictError):
    """The read model could not be swapped: somebody held on to the old one all the time."""

    def __init__(self, *, name: str, tries: int) -> None:
        self.name = name
        self.tries = tries
        super().__init__(f"the read model {name} was in use each of {tries} times that it was to be swapped")


class NotVerifiableError(ConflictError):
    """The projection has no statement that compares two generations."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the projection {name} does not say how to compare two generations")


class FoldFailedError(LedgerError):
    """The code of a user's projection raised; what it raised is the cause, for the log only."""

    def __init__(self, *, name: str, after: int, upto: int, error: str) -> None:
        self.name = name
        self.after = after
        self.upto = upto
        super().__init__(
            f"the projection {name} raised {error} at the events after position {after} up to {upto}; "
            "the projector's log has the details"
        )


class ForeignTableError(LedgerError):
    """A projection has changed a table of another one; nothing of it was kept."""

    def __init__(self, *, name: str, table: str) -> None:
        self.name = name
        self.table = table
        super().__init__(f"the projection {name} must change its own tables only, and changed {table}")


class RunNotFoundError(NotFoundError):
    """There is no run of this id; the oldest ones are forgotten."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        super().__init__(f"there is no run {run_id}")


class RunOpenError(ConflictError):
    """A projection has a run that has not ended, so it gets no other one."""

    def __init__(self, *, name: str, act: str, run_id: UUID) -> None:
        self.name = name
        self.act = act
        self.run_id = run_id
        super().__init__(f"the projection {name} has an open run, {act} {run_id}: wait until it has ended")
