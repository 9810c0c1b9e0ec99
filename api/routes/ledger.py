"""GET /ledger and below: the whole ledger at a moment, and between two."""

from typing import Annotated

from fastapi import FastAPI, Query

from api.answers import LedgerDiff, LedgerThen
from api.as_of import DiffQuery, LedgerQuery
from api.errors import Part, refused_in
from api.json_response import JsonResponse
from api.ledger_past import LedgerPast
from api.openapi import problems
from ledger.bootstrap import Ledger


class LedgerRoutes:
    """What the ledger says about all tasks together."""

    def __init__(self, ledger: Ledger) -> None:
        self._past = LedgerPast(ledger)

    def add_to(self, app: FastAPI) -> None:
        """Add the routes."""
        for path, endpoint, answer in (
            ("/ledger", self.show, LedgerThen),
            ("/ledger/diff", self.diff, LedgerDiff),
        ):
            app.add_api_route(
                path, endpoint, tags=["ledger"], response_model=answer, responses=problems(400, 410, 503)
            )

    async def show(self, asked: Annotated[LedgerQuery, Query()]) -> JsonResponse:
        """Count the tasks, as they are or as they were at a moment."""
        with refused_in(Part.QUERY):
            return JsonResponse(await self._past.counts(asked))

    async def diff(self, asked: Annotated[DiffQuery, Query()]) -> JsonResponse:
        """Count the tasks at two moments, and say how they moved in between."""
        with refused_in(Part.QUERY):
            return JsonResponse(await self._past.diff(asked))
