"""Which scope a request needs: the one table method and path → scope."""

import re

from ledger.access.api_key import Scope

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

# What tells nothing of anybody's tasks: signs of life, documentation, and the page where one logs in.
_PUBLIC = re.compile(
    r"/|/health(/ready)?|/openapi\.json|/docs(/.*)?|/redoc|/ui/(login|logout|[a-z_-]+\.(css|js|svg))"
)
_SUBMIT = re.compile(r"/tasks(/batch)?")
# What destroys, reveals or sends elsewhere.
_ADMIN = re.compile(
    r"/tasks/[^/]+/erase|/erasures(/.*)?|/archives(/.*)?|/projections/[^/]+/reset|/webhooks/[^/]+(/rotate)?"
)


def needed_scope(method: str, path: str) -> Scope | None:
    """Return the scope that a request needs, None where everybody may send it."""
    if method == "OPTIONS" or _PUBLIC.fullmatch(path):
        return None
    if method in SAFE_METHODS:
        return Scope.READ
    if _SUBMIT.fullmatch(path):
        return Scope.SUBMIT
    return Scope.ADMIN if _ADMIN.fullmatch(path) else Scope.OPERATE
