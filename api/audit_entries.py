"""The entries of an audit as the API and the terminal show them."""

from collections.abc import Sequence
from dataclasses import replace

import orjson

from ledger.history.audit import AuditEntry
from ledger.payloads.opening import Opening


async def opened_entries(opening: Opening, entries: Sequence[AuditEntry]) -> Sequence[AuditEntry]:
    """Return entries with what is encrypted of their events opened, as far as that is possible."""
    opened = iter(await opening.events([entry.event for entry in entries if entry.event is not None]))
    return [
        entry if entry.event is None else replace(entry, event=(event := next(opened)), data=event.data)
        for entry in entries
    ]


def entry_body(entry: AuditEntry) -> dict[str, object]:
    """Return an entry as the API shows it; every entry has every member."""
    event = entry.event
    return {
        "source": entry.source,
        "id": entry.id,
        "act": entry.act,
        "subject": entry.subject,
        "actor": entry.actor,
        "reason": entry.reason,
        "recorded_at": entry.recorded_at,
        "occurred_at": event and event.occurred_at,
        "task_id": entry.task_id,
        "position": event and event.position,
        "version": event and event.version,
        "kind": entry.kind,
        "queue": entry.queue,
        "correlation_id": event and event.correlation_id,
        "causation_id": event and event.causation_id,
        "traceparent": event and event.traceparent,
        "data": orjson.Fragment(entry.data),
    }
