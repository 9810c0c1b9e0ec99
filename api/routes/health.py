"""GET /health and /health/ready: whether the process lives, and whether it can serve."""

from fastapi import FastAPI
from starlette.responses import Response

from api.answers import Health, Ready
from api.json_response import JsonResponse
from api.openapi import problems
from api.problems import unready_problem
from api.readiness import ReadinessCheck
from ledger.bootstrap import Ledger
from ledger.broker.port import Broker


class HealthRoutes:
    """Health for whoever watches over the process."""

    def __init__(self, ledger: Ledger, broker: Broker | None) -> None:
        self._readiness = ReadinessCheck(ledger, broker)

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        app.add_api_route("/health", self.live, tags=["health"], response_model=Health)
        app.add_api_route(
            "/health/ready", self.ready, tags=["health"], response_model=Ready, responses=problems(503)
        )

    async def live(self) -> JsonResponse:
        """Say that the process answers; nothing else is touched."""
        return JsonResponse({"status": "ok"})

    async def ready(self) -> Response:
        """Check the database and its schema, and tell how far the readers of the ledger are behind.

        `degraded` still serves: a submit is durable without the broker.
        """
        readiness = await self._readiness.run()
        if readiness.obstacles:
            return unready_problem(readiness.checks, "; ".join(readiness.obstacles)).response()
        status = "degraded" if readiness.degraded else "ready"
        return JsonResponse({"status": status, "checks": readiness.checks})
