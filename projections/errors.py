"""The errors of the seen side."""

from collections.abc import Sequence

from ledger.errors import LedgerError


class ProjectionNotFoundError(LedgerError):
    """No projection has this name."""

    def __init__(self, *, name: str, known: tuple[str, ...]) -> None:
        self.name = name
        self.known = known
        super().__init__(f"no projection {name!r}; there are: {', '.join(known)}")


class ReadModelMissingError(LedgerError):
    """The read model's tables, or its checkpoint, do not exist."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the read model {name} does not exist: start a projector, or rebuild it")


class ArchivedMonthsError(LedgerError):
    """Months of the ledger are archived where the fold cannot read them, so their tasks would get lost."""

    def __init__(self, *, name: str, months: Sequence[str]) -> None:
        self.name = name
        self.months = months
        super().__init__(
            f"the read model {name} would lose the tasks of {', '.join(months)}, which are archived: attach them "
            "first, or rebuild it without (--without-archived)"
        )


class ReadModelVersionError(LedgerError):
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


class CheckpointMovedError(LedgerError):
    """Somebody else moved the checkpoint of this projection meanwhile; nothing was folded."""

    def __init__(self, *, name: str, position: int) -> None:
        self.name = name
        self.position = position
        super().__init__(f"the checkpoint {name} has moved away from {position}; nothing was folded")


class RebuildInProgressError(LedgerError):
    """Another process rebuilds or verifies this read model."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"another process rebuilds or verifies the read model {name}")


class ReadModelBusyError(LedgerError):
    """The read model could not be swapped: somebody held on to the old one all the time."""

    def __init__(self, *, name: str, tries: int) -> None:
        self.name = name
        self.tries = tries
        super().__init__(f"the read model {name} was in use each of {tries} times that it was to be swapped")


class NotVerifiableError(LedgerError):
    """The projection has no statement that compares two generations."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the projection {name} does not say how to compare two generations")
