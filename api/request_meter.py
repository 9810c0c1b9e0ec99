"""The request meter: counts requests by the template of their route, never by their path."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from ledger.measures import Durations, Labels, Measures
from ledger.telemetry import HTTP_REQUESTS, HTTP_SECONDS

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
NO_ROUTE = "none"


class RequestMeter:
    """Counts for one process."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._templates: dict[object, str] = {}
        self._seen: dict[tuple[str, str, int], _Seen] = {}
        measures.read_from(HTTP_REQUESTS, self.read)

    def learn(self, routes: Iterable[BaseRoute]) -> None:
        """Learn the templates of the routes that do not tell theirs themselves: those that are not FastAPI's."""
        for route in routes:
            if isinstance(route, Route):
                self._templates.setdefault(route.endpoint, route.path)

    def note(self, scope: Scope, status: int, seconds: float, *, route: str | None = None) -> None:
        """Count a request whose answer begins."""
        key = (scope["method"], route or self._template(scope), status)
        seen = self._seen.get(key) or self._begin(*key)
        seen.count += 1
        seen.durations.add(seconds)

    def read(self) -> Iterator[tuple[Labels, float]]:
        """Return how many requests there were of each kind."""
        for (method, route, status), seen in self._seen.items():
            yield (method, route, str(status)), seen.count

    def _begin(self, method: str, route: str, status: int) -> "_Seen":
        # Kept under what is known, so that methods which anybody makes up take no memory.
        durations = self._measures.durations_of(HTTP_SECONDS, _known(method), route)
        return self._seen.setdefault((_known(method), route, status), _Seen(durations))

    def _template(self, scope: Scope) -> str:
        template = getattr(scope.get("route"), "path", None)
        return template if isinstance(template, str) else self._templates.get(scope.get("endpoint"), NO_ROUTE)


@dataclass(slots=True)
class _Seen:
    """The requests of one method, route and status."""

    durations: Durations
    count: int = 0


def _known(method: str) -> str:
    return method if method in _METHODS else OTHER_METHOD
