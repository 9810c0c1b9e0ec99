"""What can go wrong with what is asked of a worker."""

from uuid import UUID

from ledger.errors import ConflictError, NotFoundError


class WorkerNotFoundError(NotFoundError):
    """No worker has this id, or it has been gone for so long that it is forgotten."""

    def __init__(self, worker_id: UUID) -> None:
        self.worker_id = worker_id
        super().__init__("Worker not found")


class WorkerStateError(ConflictError):
    """What a worker is refuses this act."""

    def __init__(self, worker_id: UUID, *, reason: str) -> None:
        self.worker_id = worker_id
        self.reason = reason
        super().__init__(f"nothing can be asked of worker {worker_id}: {reason}")
