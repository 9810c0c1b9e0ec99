"""Events as the statement that appends them takes them: a column an attribute, a row an event."""

from collections.abc import Sequence

from ledger.store.batcher import AppendRequest
from ledger.store.records import StreamAppend


def columns_of(batch: Sequence[AppendRequest | StreamAppend]) -> list[list[object]]:
    """Return the columns, sorted by (task_id, version): who shares tasks then takes row locks in one order."""
    rows = [
        (
            request.task_id,
            request.expected_version + offset,
            request.expected_version,
            len(request.events),
            event.type,
            event.schema_version,
            event.kind,
            event.queue,
            event.data,
            event.occurred_at,
            event.origin.actor,
            event.origin.correlation_id or str(request.task_id),
            event.origin.causation_id,
            event.origin.traceparent,
        )
        for request in sorted(batch, key=lambda request: request.task_id)
        for offset, event in enumerate(request.events, start=1)
    ]
    return [list(column) for column in zip(*rows, strict=True)]
