"""The request meter: counts requests by the template of their route, never by their path."""

from collections.abc import Iterable

from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from ledger.measures import Measures
from ledger.telemetry import HTTP_REQUESTS, HTTP_SECONDS

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
NO_ROUTE = "none"


class RequestMeter:
    """Counts for one process."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._templates: dict[object, str] = {}

    def learn(self, routes: Iterable[BaseRoute]) -> None:
        """Learn the templates of the routes that do not tell theirs themselves: those that are not FastAPI's."""
        for route in routes:
            if isinstance(route, Route):
                self._templates.setdefault(route.endpoint, route.path)

    def note(self, scope: Scope, status: int, seconds: float, *, route: str | None = None) -> None:
        """Count a request whose answer begins."""
        method = scope["method"]
        if method not in _METHODS:
            method = OTHER_METHOD  # anybody may make one up
        if route is None:
            route = self._template(scope)
        self._measures.count(HTTP_REQUESTS, method, route, str(status))
        self._measures.observe(HTTP_SECONDS, seconds, method, route)

    def _template(self, scope: Scope) -> str:
        template = getattr(scope.get("route"), "path", None)
        return template if isinstance(template, str) else self._templates.get(scope.get("endpoint"), NO_ROUTE)
