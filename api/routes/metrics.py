"""GET /metrics: what the process tells Prometheus."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api.openapi import problems
from ledger.scrape import Scrape


class MetricsRoutes:
    """The metrics of this process."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    def add_to(self, app: FastAPI) -> None:
        """Add the route."""
        app.add_api_route(
            "/metrics",
            self.show,
            tags=["health"],
            response_class=Response,
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems()},
        )

    async def show(self, request: Request) -> Response:
        """Tell Prometheus everything; it answers also while the database is away, and then says `ledger_up 0`."""
        body, content_type = await self._scrape.answer(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})
