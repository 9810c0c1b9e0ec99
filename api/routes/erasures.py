"""POST /erasures and GET /erasures/{id}: what is erased of all the tasks with a tag."""

from enum import Enum
from http import HTTPStatus
from uuid import UUID

from fastapi import FastAPI, Request

from api.body import parse_body, read_body
from api.erasure_shapes import ErasureCount, ErasureRequest, ErasureShown, erasure_body
from api.json_response import JsonResponse
from api.openapi import body_of, problems
from api.origin import origin_of
from ledger.bootstrap import Ledger
from ledger.payloads.orders import ErasureOrders

PATH = "/erasures"
_TAGS: list[str | Enum] = ["erasures"]


class ErasureRoutes:
    """Erasures by tag; the scheduler works them off."""

    def __init__(self, ledger: Ledger) -> None:
        self._settings = ledger.settings
        self._orders = ErasureOrders(ledger)

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        app.add_api_route(
            PATH,
            self.begin,
            tags=_TAGS,
            methods=["POST"],
            response_model=ErasureCount,
            responses={202: {"model": ErasureShown, "description": "Ordered"}, **problems(400, 413, 503)},
            openapi_extra={"requestBody": body_of(ErasureRequest)},
        )
        app.add_api_route(
            f"{PATH}/{{order_id}}",
            self.show,
            tags=_TAGS,
            response_model=ErasureShown,
            responses=problems(400, 404, 503),
        )

    async def begin(self, request: Request) -> JsonResponse:
        """Count the erasable tasks with a tag, or erase them when `dry_run` is false: 202, where to look."""
        origin = origin_of(request.scope)
        body = await read_body(request.scope, request.receive, bytes_max=self._settings.body_bytes_max)
        asked = parse_body(ErasureRequest, body)
        if asked.dry_run:
            count = await self._orders.count(asked.tag)
            return JsonResponse({"dry_run": True, "tag": asked.tag, "count": count})
        order = await self._orders.begin(asked.tag, reason=asked.reason, origin=origin)
        where = f"{request.scope.get('root_path', '')}{PATH}/{order.order_id}"
        return JsonResponse(erasure_body(order), HTTPStatus.ACCEPTED, headers={"Location": where})

    async def show(self, order_id: UUID) -> JsonResponse:
        """Show how far it has come."""
        return JsonResponse(erasure_body(await self._orders.find(order_id)))
