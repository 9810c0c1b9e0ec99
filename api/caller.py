"""Who calls: the holder of a key, or of a session that was opened with one."""

from dataclasses import dataclass

from starlette.types import Scope as AsgiScope

from ledger.access.api_key import Scope

_PLACE = "ledger.caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who said who they are.

    Attributes:
        actor: as events name them.
        rate_max: requests a second; None is no bound.
        expires_at: until when what was presented is good, where it says so itself, in seconds since 1970.
        form_token: what a page of the session has to send with each change; None where a key was presented.
    """

    actor: str
    scopes: frozenset[Scope]
    rate_max: int | None = None
    expires_at: float | None = None
    form_token: str | None = None

    def may(self, scope: Scope) -> bool:
        """Say whether they may do what needs this scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def caller_of(scope: AsgiScope) -> Caller | None:
    """Return who the guard let in; None where nobody has to say who they are."""
    caller: Caller | None = scope.get(_PLACE)
    return caller


def let_in(scope: AsgiScope, caller: Caller) -> None:
    """Note who sent this request."""
    scope[_PLACE] = caller
