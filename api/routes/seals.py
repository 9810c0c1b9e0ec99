"""GET /seals and GET /tasks/{id}/evidence: what proves the ledger, for whoever keeps it elsewhere."""

from enum import Enum
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Query

from api.json_response import JsonResponse
from api.openapi import problems
from api.page_limit import page_limit
from api.seal_schemas import Evidence, SealPage, SealsQuery
from ledger.bootstrap import Ledger
from ledger.seals.evidence import gather_evidence
from ledger.seals.seal import read_seals

_TAGS: list[str | Enum] = ["seals"]


class SealRoutes:
    """Reads for auditors."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        app.add_api_route("/seals", self.list, tags=_TAGS, response_model=SealPage, responses=problems(400, 503))
        app.add_api_route(
            "/tasks/{task_id}/evidence", self.evidence, tags=_TAGS, response_model=Evidence,
            responses=problems(400, 404, 410, 503),
        )  # fmt: skip

    async def list(self, asked: Annotated[SealsQuery, Query()]) -> JsonResponse:
        """List the seals in the order of the chain; keep them, and nobody can make it anew unnoticed."""
        limit = page_limit(asked, limit_max=self._ledger.settings.page_size_max)
        found = await read_seals(self._ledger.database, after=asked.after, limit=limit + 1)
        page = found[:limit]
        next_after = page[-1].number if len(found) > len(page) else None
        return JsonResponse({"seals": [seal.as_dict() for seal in page], "next_after": next_after})

    async def evidence(self, task_id: UUID) -> JsonResponse:
        """Show the history of a task with a proof for each event, and the seals that these lead to."""
        return JsonResponse(await gather_evidence(self._ledger, task_id))
