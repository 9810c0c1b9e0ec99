"""How a page asks the API: the same application in the same process, in the name of whoever looks at the page.

So a page shows what the API answers and nothing else, and whoever may not read something does not see it here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.types import ASGIApp, Message

from api.caller import caller_of, let_in
from api.needed_scope import needed_scope

_PASSED_ON = (b"host", b"x-correlation-id")

Parameters = Mapping[str, str | int | Sequence[str] | None]


class AnsweredProblemError(Exception):
    """The API answered with a problem document."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(str(problem.get("error", "")))


class Visit:
    """One look at one page."""

    def __init__(self, api: ASGIApp, request: Request) -> None:
        self._api = api
        self.request = request
        self.query = request.query_params

    async def get(self, path: str, parameters: Parameters | None = None) -> dict[str, Any]:
        """Return what the API answers to a GET.

        Raises:
            AnsweredProblemError: it answers with a problem.
        """
        status, body = await self._answer(path, urlencode(list(_given(parameters or {}))))
        answer: dict[str, Any] = orjson.loads(body) if body else {}
        if status >= 400:  # noqa: PLR2004 - where errors begin
            raise AnsweredProblemError(status, answer)
        return answer

    async def find(self, path: str, parameters: Parameters | None = None) -> dict[str, Any] | None:
        """Return what the API answers to a GET; None where it answers with a problem."""
        try:
            return await self.get(path, parameters)
        except AnsweredProblemError:
            return None

    def may(self, method: str, path: str) -> bool:
        """Say whether whoever looks may send this to the API: what they may not, the page need not offer."""
        caller, needed = caller_of(self.request.scope), needed_scope(method, path)
        return caller is None or needed is None or caller.may(needed)

    async def _answer(self, path: str, query: str) -> tuple[int, bytes]:
        status, pieces = 0, []

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            pieces.append(message.get("body", b""))

        await self._api(self._scope(path, query), self.request.receive, send)
        return status, b"".join(pieces)

    def _scope(self, path: str, query: str) -> dict[str, Any]:
        asked = self.request.scope
        kept = ("type", "asgi", "http_version", "scheme", "server", "client", "state")
        scope: dict[str, Any] = {
            **{name: asked[name] for name in kept if name in asked},
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [header for header in asked["headers"] if header[0] in _PASSED_ON],
        }
        caller = caller_of(asked)
        if caller is not None:
            let_in(scope, caller)
        return scope


def _given(parameters: Parameters) -> Iterator[tuple[str, str]]:
    for name, value in parameters.items():
        if value is None or value == "":
            continue
        values = [value] if isinstance(value, str | int) else value
        yield from ((name, str(one)) for one in values)
