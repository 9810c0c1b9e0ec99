"""The pages of the API's documentation, and what the dashboard loads; nothing comes from elsewhere.

Links in the pages are relative, so that they work behind a proxy that serves us under a prefix.
"""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from api.page_headers import ALONE

# Swagger UI and ReDoc write style elements and show data: images.
_DOCUMENTATION_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self' data:; worker-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGES = {
    "/docs": ("docs.html", _DOCUMENTATION_POLICY),
    "/redoc": ("redoc.html", _DOCUMENTATION_POLICY),
}
_ASSETS = {
    **dict.fromkeys(("act.js", "docs.js", "keys.js", "live.js", "past.js"), "text/javascript"),
    **dict.fromkeys(("style.css", "redoc.css"), "text/css"),
}
_REVALIDATED = {"Cache-Control": "no-cache"}


def page_routes() -> list[BaseRoute]:
    """Return the routes of the pages and of what they load."""
    return [
        Route("/", _to_dashboard),
        *(Route(path, _page(name, policy)) for path, (name, policy) in _PAGES.items()),
        *(Route(f"/ui/{name}", _asset(name, media_type)) for name, media_type in _ASSETS.items()),
        Mount("/docs/assets", StaticFiles(packages=[("fastapi_offline", "static")])),
    ]


async def _to_dashboard(_request: Request) -> Response:
    return RedirectResponse("ui")


def _page(name: str, policy: str) -> Callable[[Request], Awaitable[Response]]:
    headers = {"Content-Security-Policy": policy, **ALONE, **_REVALIDATED}
    return _served(name, "text/html", headers)


def _asset(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    return _served(name, media_type, _REVALIDATED)


def _served(name: str, media_type: str, headers: dict[str, str]) -> Callable[[Request], Awaitable[Response]]:
    content = files("api").joinpath("ui", name).read_bytes()

    async def serve(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers=headers)

    return serve
