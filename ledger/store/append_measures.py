"""What the store counts of its appends."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from ledger.measures import Measures
from ledger.store.batcher import AppendRequest
from ledger.store.records import Appended, FirstEvents, StreamAppend
from ledger.telemetry import APPEND_SECONDS, EVENTS_APPENDED, STALE_WRITES


class AppendMeasures:
    """Counts for one store."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    def note(
        self, streams: Sequence[AppendRequest | StreamAppend], appended: Mapping[UUID, Appended], *, began: float
    ) -> None:
        """Count the events of the streams that went in, and how long that took since `began` (monotonic)."""
        self._measures.observe(APPEND_SECONDS, time.monotonic() - began)
        if len(appended) < len(streams):
            streams = [stream for stream in streams if stream.task_id in appended]
        # One event at a time would cost a submit as much as the rest of its telemetry.
        for topic, count in Counter([event.type for stream in streams for event in stream.events]).items():
            self._measures.count(EVENTS_APPENDED, topic, by=count)

    def note_first(self, events: FirstEvents, *, began: float) -> None:
        """Count the first events of new streams."""
        self._measures.observe(APPEND_SECONDS, time.monotonic() - began)
        self._measures.count(EVENTS_APPENDED, events.type, by=len(events))

    def note_stale_write(self) -> None:
        """Count a late write that was refused."""
        self._measures.count(STALE_WRITES)
