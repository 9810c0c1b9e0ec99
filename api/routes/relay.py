"""GET /relay: who publishes, how far behind the log, and how much lies in the broker."""

import asyncio

from fastapi import FastAPI

from api.json_response import JsonResponse
from api.openapi import problems
from api.relay_shapes import RelayShown
from ledger.bootstrap import Ledger
from ledger.broker.port import Broker
from ledger.relay_status import BrokerStatus, broker_status, relay_status

_BROKER_SECONDS_MAX = 5.0


class RelayRoutes:
    """The relay and the broker for whoever watches over them."""

    def __init__(self, ledger: Ledger, broker: Broker | None) -> None:
        self._ledger = ledger
        self._broker = broker

    def add_to(self, app: FastAPI) -> None:
        """Add the route."""
        app.add_api_route("/relay", self.show, tags=["relay"], response_model=RelayShown, responses=problems(503))

    async def show(self) -> JsonResponse:
        """Show who publishes and who stands by, how far behind the log that is, and the depths of the queues."""
        relay = await relay_status(self._ledger)
        return JsonResponse({"relay": relay, "broker": await self._looked_at()})

    async def _looked_at(self) -> BrokerStatus:
        try:
            async with asyncio.timeout(_BROKER_SECONDS_MAX):
                return await broker_status(self._ledger, self._broker)
        except TimeoutError:
            problem = f"the broker did not answer within {_BROKER_SECONDS_MAX:g} s"
            return BrokerStatus(is_reachable=False, problem=problem)
