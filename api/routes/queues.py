"""GET /queues: how much is to do in each queue, and who does it."""

from fastapi import FastAPI

from api.answers import QueueList
from api.json_response import JsonResponse
from api.openapi import problems
from ledger.bootstrap import Ledger
from ledger.work_queues import list_queues


class QueueRoutes:
    """The queues for whoever watches over them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        app.add_api_route("/queues", self.list, tags=["queues"], response_model=QueueList, responses=problems(503))

    async def list(self) -> JsonResponse:
        """List every queue that has unfinished tasks or live workers, by name."""
        return JsonResponse({"queues": await list_queues(self._ledger)})
