"""The page where one logs in to the dashboard with an API key, and what ends the session."""

import html
from http import HTTPStatus
from importlib.resources import files
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from api.body import read_body
from api.guard import LOGIN_PATH, SESSION_COOKIE, Access, session_of
from api.page_headers import OWN_HEADERS

_BODY_BYTES_MAX = 10_000
_HOME = "/ui"
_NEXT = '<input type="hidden" name="next" value="">'
_ANSWER = '<p id="answer" role="alert"></p>'


class LoginRoutes:
    """Opens and closes sessions; a form without any script."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._page = files("api").joinpath("ui", "login.html").read_text("utf-8")

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route(LOGIN_PATH, self.show, methods=["GET"]),
            Route(LOGIN_PATH, self.log_in, methods=["POST"]),
            Route("/ui/logout", self.log_out, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Show the form."""
        return self._shown(_local(request.query_params.get("next", "")))

    async def log_in(self, request: Request) -> Response:
        """Open a session for the holder of a key, and go on to the page that was asked for."""
        body = await read_body(request.scope, request.receive, bytes_max=_BODY_BYTES_MAX)
        fields = parse_qs(body.decode("utf-8", "replace"))
        target = _local(fields.get("next", [""])[0])
        key = await self._access.holder_of(fields.get("key", [""])[0].strip())
        if key is None:
            return self._shown(target, refusal="This key is not known, revoked or over.")
        response = RedirectResponse(f"{request.scope.get('root_path', '')}{target}", HTTPStatus.SEE_OTHER)
        response.set_cookie(
            SESSION_COOKIE,
            await self._access.sessions.open(key),
            max_age=self._access.sessions.seconds,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        session = session_of(request.headers)
        if session is not None:
            await self._access.sessions.close(session)
        response = RedirectResponse(f"{request.scope.get('root_path', '')}{LOGIN_PATH}", HTTPStatus.SEE_OTHER)
        response.delete_cookie(SESSION_COOKIE)
        return response

    def _shown(self, target: str, *, refusal: str = "") -> Response:
        page = self._page.replace(_NEXT, _NEXT.replace('value=""', f'value="{html.escape(target)}"'))
        page = page.replace(_ANSWER, _ANSWER.replace("></p>", f">{html.escape(refusal)}</p>"))
        status = HTTPStatus.UNAUTHORIZED if refusal else HTTPStatus.OK
        return Response(page, status, OWN_HEADERS, "text/html")


def _local(target: str) -> str:
    # Only a page of ours: what begins with two slashes would lead elsewhere.
    is_ours = target == _HOME or target.startswith((f"{_HOME}/", f"{_HOME}?"))
    return target if is_ours and "\\" not in target and target.isprintable() else _HOME
