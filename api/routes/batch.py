"""POST /tasks/batch: many tasks in one request and one transaction, all of them or none."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from http import HTTPStatus

from fastapi import FastAPI, Request
from uuid_utils.compat import uuid7

from api.answers import BatchTaken
from api.batch import Batch
from api.batch_text import array_items, line_items
from api.body import read_body
from api.errors import BodyTooSlowError, InvalidRequestError, Part, TooManyBatchesError
from api.intake import Intake
from api.json_response import JsonResponse
from api.openapi import batch_body, problems
from api.origin import origin_of
from api.routes.submit import POSITION_HEADER
from ledger.bootstrap import Ledger
from ledger.store.records import Origin

PATH = "/tasks/batch"
_LINES = ("application/x-ndjson", "application/ndjson")


class BatchRoutes:
    """Takes batches, a few at once: each may take up memory many times the size of a request."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._settings = ledger.settings
        self._intake = Intake(ledger)
        self._under_way = 0

    def add_to(self, app: FastAPI) -> None:
        """Add the route."""
        app.add_api_route(
            PATH,
            self.submit_batch,
            tags=["tasks"],
            methods=["POST"],
            status_code=HTTPStatus.ACCEPTED,
            response_model=BatchTaken,
            responses=problems(400, 408, 413, 503),
            openapi_extra={"requestBody": batch_body()},
        )

    async def submit_batch(self, request: Request) -> JsonResponse:
        """Record many tasks, all of them or none: a JSON array, or one a line as `application/x-ndjson`.

        They are durable when this answers, with their ids in the order of the items. Where items are not valid,
        nothing is recorded; `errors` has what is wrong with each of them, and `error_count` how many errors there
        are. An item may wait for tasks by their ids, and for other items by their `ref`.
        """
        with self._taking(), self._traced(_origin(request)) as origin:
            body = await self._body(request)
            batch = Batch(self._ledger, self._intake, origin=origin)
            drafts = await batch.read(self._items(request, body))
            del body
            receipts = await self._ledger.commands.record(drafts)
        return JsonResponse(
            {"task_ids": drafts.task_ids, "count": len(drafts)},
            HTTPStatus.ACCEPTED,
            headers={POSITION_HEADER: str(receipts[-1].position)},
        )

    def _traced(self, origin: Origin) -> AbstractContextManager[Origin]:
        traces = self._ledger.instruments.traces
        return nullcontext(origin) if traces is None else traces.submitting(origin)

    @contextmanager
    def _taking(self) -> Iterator[None]:
        at_once_max = self._settings.batches_at_once_max
        if self._under_way >= at_once_max:
            raise TooManyBatchesError(at_once_max=at_once_max)
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _body(self, request: Request) -> bytes:
        seconds_max = self._settings.batch_read_seconds_max
        try:
            async with asyncio.timeout(seconds_max):
                return await read_body(
                    request.scope,
                    request.receive,
                    bytes_max=self._settings.batch_bytes_max,
                    setting="LEDGER_BATCH_BYTES_MAX",
                )
        except TimeoutError as error:
            raise BodyTooSlowError(seconds_max=seconds_max) from error

    def _items(self, request: Request, body: bytes) -> Iterator[bytes]:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type in _LINES:
            return line_items(body)
        return array_items(body, item_bytes_max=self._settings.body_bytes_max)


def _origin(request: Request) -> Origin:
    if "idempotency-key" in request.headers:
        raise InvalidRequestError(
            Part.HEADER, "Idempotency-Key is not taken with a batch; submit its tasks one by one to use it"
        )
    origin = origin_of(request.scope)
    return origin if origin.correlation_id else replace(origin, correlation_id=str(uuid7()))
