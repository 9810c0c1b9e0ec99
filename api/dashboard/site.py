"""The site: every page with its address, its template and its view.

Links in the pages are relative, so that they work behind a proxy that serves us under a prefix. A page is whole
without any script; scripts only bring it up to date and send what its forms say.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from api.caller import caller_of
from api.dashboard import words
from api.dashboard.ask import AnsweredProblemError, Visit
from api.page_headers import OWN_HEADERS

View = Callable[[Visit], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its address below /ui, its title in the menu (none: it is not in it), its template and its view.

    Attributes:
        key: what leads to it after `g`; the first nine of the menu have their number.
    """

    path: str
    title: str | None
    template: str
    view: View
    key: str | None = None


class Site:
    """Renders the pages.

    Args:
        api: the application that answers what the pages ask.
    """

    def __init__(self, api: ASGIApp, pages: Sequence[Page]) -> None:
        self._api = api
        self._pages = pages
        self._templates = Environment(
            loader=PackageLoader("api", "ui/templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for function in (
            words.moment,
            words.duration,
            words.count,
            words.rate,
            words.pretty,
            words.short,
            words.size,
            words.who,
        ):
            self._templates.filters[function.__name__] = function
        for made in (words.with_query, words.toggled, words.seconds_between):
            self._templates.globals[made.__name__] = made

    def routes(self) -> list[BaseRoute]:
        """Return the routes of all pages."""
        return [Route(f"/ui{page.path}", self._endpoint(page)) for page in self._pages]

    def _endpoint(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            visit = Visit(self._api, request)
            try:
                seen = await page.view(visit)
            except AnsweredProblemError as error:
                return self._rendered("problem.html", page, visit, {"problem": error.problem}, error.status)
            return self._rendered(page.template, page, visit, seen, HTTPStatus.OK)

        return endpoint

    def _rendered(self, template: str, page: Page, visit: Visit, seen: Mapping[str, Any], status: int) -> Response:
        caller = caller_of(visit.request.scope)
        text = self._templates.get_template(template).render(
            page=page,
            menu=[entry for entry in self._pages if entry.title],
            root=_root_of(page.path),
            query=visit.query,
            may=visit.may,
            caller=caller,
            form_token=None if caller is None else caller.form_token,
            **seen,
        )
        return Response(text, status, OWN_HEADERS, "text/html")


def _root_of(path: str) -> str:
    return "../" * path.count("/") or "./"
