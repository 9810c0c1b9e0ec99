"""/webhooks: to whom events are sent, what became of each delivery, and who changed what."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.body import Schema, parse_body, read_body
from api.errors import Part, refused_in
from api.json_response import JsonResponse
from api.openapi import body_of, problems
from api.origin import origin_of
from api.page_limit import check_page_limit
from api.queue_schemas import ChangesQuery, ReasonQuery
from api.schemas import POSITION_MAX, Reason
from api.webhook_bodies import (
    changes_page,
    definition_of,
    deliveries_page,
    kept_body,
    listing_page,
    start_of,
    webhook_body,
)
from api.webhook_schemas import (
    DeliveriesQuery,
    DeliveryList,
    DeliveryShown,
    RotateBody,
    SkipBody,
    WebhookBody,
    WebhookChanges,
    WebhookList,
    WebhookListQuery,
    WebhookSet,
    WebhookShown,
)
from ledger.bootstrap import Ledger
from ledger.store.records import Origin
from ledger.webhooks.commands import Kept, Webhooks
from ledger.webhooks.delivery_log import DeliveryLog
from ledger.webhooks.endpoint import Webhook, check_name

PATH = "/webhooks"
_ONE = f"{PATH}/{{name}}"

DeliveryId = Annotated[int, Path(ge=1, le=POSITION_MAX)]
_Endpoint = Callable[..., Awaitable[JsonResponse]]
_Act = tuple[str, _Endpoint, HTTPStatus, type[BaseModel], dict[str, Any] | None]


class WebhookRoutes:
    """The webhooks for clients and operators."""

    def __init__(self, ledger: Ledger) -> None:
        self._settings = ledger.settings
        self._webhooks = Webhooks(ledger)
        self._log = DeliveryLog(ledger)

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        reads: tuple[tuple[str, _Endpoint, type[BaseModel]], ...] = (
            (PATH, self.list, WebhookList),
            (_ONE, self.show, WebhookShown),
            (f"{_ONE}/deliveries", self.deliveries, DeliveryList),
            (f"{_ONE}/changes", self.changes, WebhookChanges),
        )
        for path, endpoint, answer in reads:
            app.add_api_route(
                path, endpoint, tags=["webhooks"], response_model=answer, responses=problems(400, 404, 503)
            )
        app.add_api_route(
            _ONE, self.put, tags=["webhooks"], methods=["PUT"], response_model=WebhookSet,
            responses={**problems(400, 413, 503), 201: {"model": WebhookSet, "description": "Created"}},
            openapi_extra={"requestBody": body_of(WebhookBody)},
        )  # fmt: skip
        app.add_api_route(
            _ONE, self.remove, tags=["webhooks"], methods=["DELETE"], status_code=HTTPStatus.NO_CONTENT,
            responses=problems(400, 404, 503),
        )  # fmt: skip
        self._add_acts(app)

    def _add_acts(self, app: FastAPI) -> None:
        reason = body_of(Reason, required=False)
        acts: tuple[_Act, ...] = (
            ("pause", self.pause, HTTPStatus.OK, WebhookShown, reason),
            ("resume", self.resume, HTTPStatus.OK, WebhookShown, reason),
            ("skip", self.skip, HTTPStatus.OK, WebhookShown, body_of(SkipBody)),
            ("rotate", self.rotate, HTTPStatus.OK, WebhookSet, body_of(RotateBody, required=False)),
            ("test", self.test, HTTPStatus.ACCEPTED, DeliveryShown, None),
            ("deliveries/{delivery_id}/redeliver", self.redeliver, HTTPStatus.ACCEPTED, DeliveryShown, None),
        )
        for verb, act, status, answer, body in acts:
            app.add_api_route(
                f"{_ONE}/{verb}", act, tags=["webhooks"], methods=["POST"], status_code=status,
                response_model=answer, responses=problems(400, 404, 409, 413, 503),
                openapi_extra=None if body is None else {"requestBody": body},
            )  # fmt: skip

    async def list(self, asked: Annotated[WebhookListQuery, Query()]) -> JsonResponse:
        """List the webhooks by name."""
        check_page_limit(asked.limit, limit_max=self._settings.page_size_max)
        horizon = await self._webhooks.horizon()
        found = await self._webhooks.list(after=asked.after, limit=asked.limit + 1)
        return JsonResponse(listing_page(found, limit=asked.limit, horizon=horizon))

    async def show(self, name: str) -> JsonResponse:
        """Show a webhook, where it stands, and in words why."""
        return await self._shown(await self._webhooks.find(name))

    async def deliveries(self, name: str, asked: Annotated[DeliveriesQuery, Query()]) -> JsonResponse:
        """Show what was sent and what was answered, newest first; the log is kept for LEDGER_WEBHOOK_LOG_DAYS."""
        check_page_limit(asked.limit, limit_max=self._settings.page_size_max)
        found = await self._log.deliveries(name, before=asked.before, outcome=asked.outcome, limit=asked.limit + 1)
        return JsonResponse(deliveries_page(found, limit=asked.limit))

    async def changes(self, name: str, asked: Annotated[ChangesQuery, Query()]) -> JsonResponse:
        """Show who changed a webhook, when and why, newest first; the changes outlive it."""
        check_page_limit(asked.limit, limit_max=self._settings.page_size_max)
        found = await self._webhooks.changes(name, before=asked.before, limit=asked.limit + 1)
        return JsonResponse(changes_page(found, limit=asked.limit))

    async def put(self, name: str, request: Request) -> JsonResponse:
        """Make a webhook (201, with the secret that was made for it) or replace what is set for it (200).

        `start` and `secret` count only when it is made.
        """
        check_name(name)
        given = await self._parsed(WebhookBody, request)
        with refused_in(Part.BODY):
            kept = await self._webhooks.put(
                name, definition_of(given), start=start_of(given), secret=given.secret, reason=given.reason,
                origin=_origin(request),
            )  # fmt: skip
        return await self._kept(kept, HTTPStatus.CREATED if kept.created else HTTPStatus.OK)

    async def remove(self, name: str, asked: Annotated[ReasonQuery, Query()], request: Request) -> Response:
        """Remove a webhook with its secrets; its log and its changes are kept."""
        await self._webhooks.remove(name, reason=asked.reason, origin=_origin(request))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def pause(self, name: str, request: Request) -> JsonResponse:
        """Send no more events until it is resumed; what is under way may still arrive."""
        return await self._shown(
            await self._webhooks.pause(name, reason=await self._reason(request), origin=_origin(request))
        )

    async def resume(self, name: str, request: Request) -> JsonResponse:
        """Go on where it stands, at once; this is also how a failing one goes on."""
        return await self._shown(
            await self._webhooks.resume(name, reason=await self._reason(request), origin=_origin(request))
        )

    async def skip(self, name: str, request: Request) -> JsonResponse:
        """Leave out the event that is next, which the body has to name, with a reason."""
        given = await self._parsed(SkipBody, request)
        with refused_in(Part.BODY):
            webhook = await self._webhooks.skip(name, given.event_id, reason=given.reason, origin=_origin(request))
        return await self._shown(webhook)

    async def rotate(self, name: str, request: Request) -> JsonResponse:
        """Sign with another secret, and for a while with the one before as well."""
        given = await self._parsed(RotateBody, request, default=RotateBody())
        with refused_in(Part.BODY):
            kept = await self._webhooks.rotate(
                name, secret=given.secret, overlap_seconds=given.overlap_s, reason=given.reason,
                origin=_origin(request),
            )  # fmt: skip
        return await self._kept(kept, HTTPStatus.OK)

    async def test(self, name: str, request: Request) -> JsonResponse:
        """Send a signed ping, whatever its state; the deliveries say what became of it."""
        return JsonResponse(await self._log.test(name, origin=_origin(request)), HTTPStatus.ACCEPTED)

    async def redeliver(self, name: str, delivery_id: DeliveryId, request: Request) -> JsonResponse:
        """Send once more what was sent, under the same `webhook-id`, beside the order of the log."""
        queued = await self._log.redeliver(name, delivery_id, origin=_origin(request))
        return JsonResponse(queued, HTTPStatus.ACCEPTED)

    async def _shown(self, webhook: Webhook) -> JsonResponse:
        return JsonResponse(webhook_body(webhook, horizon=await self._webhooks.horizon()))

    async def _kept(self, kept: Kept, status: HTTPStatus) -> JsonResponse:
        return JsonResponse(kept_body(kept, horizon=await self._webhooks.horizon()), status)

    async def _parsed(self, schema: type[Schema], request: Request, *, default: Schema | None = None) -> Schema:
        body = await read_body(request.scope, request.receive, bytes_max=self._settings.body_bytes_max)
        return default if default is not None and not body else parse_body(schema, body)

    async def _reason(self, request: Request) -> str:
        return (await self._parsed(Reason, request, default=Reason())).reason


def _origin(request: Request) -> Origin:
    return origin_of(request.scope)
