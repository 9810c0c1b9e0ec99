"""GET /archives: the months that have left the log, and which files have them."""

from datetime import datetime

from fastapi import FastAPI
from pydantic import BaseModel, Field

from api.json_response import JsonResponse
from api.openapi import problems
from ledger.archive.record import read_archives
from ledger.bootstrap import Ledger


class ArchiveShown(BaseModel):
    """A month whose tasks have all finished, and whose events are not in the log any more."""

    month: str = Field(description="By the time in the task ids, UTC.", examples=["2026-05"])
    state: str = Field(description="detached: its table is kept beside the log; archived: only the file is left.")
    events: int
    tasks: int
    first_position: int
    last_position: int
    first_recorded_at: datetime
    last_recorded_at: datetime
    file: str
    file_bytes: int
    file_sha256: str = Field(description="SHA-256 of the file in hexadecimal.")
    archived_by: str
    archived_at: datetime


class ArchiveList(BaseModel):
    """All of them, oldest month first."""

    archives: list[ArchiveShown]


class ArchiveRoutes:
    """Reads for auditors."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database

    def add_to(self, app: FastAPI) -> None:
        """Add the route."""
        app.add_api_route(
            "/archives", self.list, tags=["seals"], response_model=ArchiveList, responses=problems(503)
        )

    async def list(self) -> JsonResponse:
        """List the months that have left the log: at most one for each month that the ledger has lived."""
        return JsonResponse({"archives": [archive.as_dict() for archive in await read_archives(self._database)]})
