"""The guard: who calls, may they, and does a browser send it for a page of ours?

Without any key everybody may do everything: that is for a process that only its own machine reaches
(api.exposure).
"""

import time
from collections.abc import Sequence
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.caller import Caller, caller_of, let_in
from api.errors import ForeignPageError, NotAuthenticatedError, NotPermittedError
from api.local_names import is_local_name
from api.needed_scope import SAFE_METHODS, needed_scope
from api.oidc import is_jwt, oidc_of
from api.rates import Rates
from api.stays import LOOK_SECONDS, Stays
from ledger.access.api_key import ApiKey, digest_of
from ledger.access.api_key import Scope as AccessScope
from ledger.access.keyring import Keyring
from ledger.access.sessions import Sessions, form_token_of
from ledger.bootstrap import Ledger

LOGIN_PATH = "/ui/login"
SESSION_COOKIE = "taskledger_session"
FORM_TOKEN_HEADER = "X-Form-Token"  # noqa: S105 - its name, not its value

_ADMIN_KEY_NAME = "LEDGER_ADMIN_KEY"


class Access:
    """Finds out who calls, from a key or a session.

    `local_names_only`: while nobody needs a key, a request must name this machine by a name of its own. A foreign
    page can make its own name mean 127.0.0.1 (DNS rebinding), and would read everything.
    `look_seconds`: how often those who stay (streams, long reads) are looked after.
    """

    def __init__(
        self, ledger: Ledger, *, local_names_only: bool = False, look_seconds: float = LOOK_SECONDS
    ) -> None:
        settings = ledger.settings
        self._keyring = Keyring(ledger.database)
        self.sessions = Sessions(ledger.database, self._keyring, hours=settings.session_hours)
        self._local_names_only = local_names_only
        self._origins = frozenset(settings.allowed_origins)
        secret = settings.admin_key
        self._admin_digest = None if secret is None else digest_of(secret.get_secret_value())
        self._oidc = oidc_of(settings)
        self._rates = Rates()
        self._stays = Stays(self._welcome, look_seconds=look_seconds)

    async def is_open(self) -> bool:
        """Say whether nobody has to say who they are; raises StoreUnavailableError where nobody can tell."""
        return self._admin_digest is None and self._oidc is None and await self._keyring.is_empty()

    async def admit(self, scope: Scope) -> None:
        """Let a request in, and note who sent it.

        Raises:
            ForeignPageError: a browser sent a change for a page that is not ours.
            NotAuthenticatedError: nobody good has sent it.
            NotPermittedError: the caller has not the scope.
            RateExceededError: the caller comes too often.
            StoreUnavailableError: the keys cannot be read.
        """
        method, headers = scope["method"], Headers(scope=scope)
        needed = needed_scope(method, path_of(scope))
        if method not in SAFE_METHODS:
            self._check_page(headers)
        if needed is None:
            return
        self._stays.take(scope)
        if await self.is_open():
            self._check_name(headers)
            return
        known = caller_of(scope)  # what a page asks for is asked by whoever was let in to look at it
        caller = known or await self._caller(headers)
        if not caller.may(needed):
            raise NotPermittedError(needed=needed, scopes=sorted(caller.scopes))
        if known is not None:
            return
        if caller.form_token is not None and method not in SAFE_METHODS:
            _check_form(caller.form_token, headers)
        if caller.rate_max is not None:
            self._rates.spend(caller.actor, caller.rate_max)
        let_in(scope, caller)

    async def holder_of(self, token: str) -> ApiKey | None:
        """Return the key that somebody presents, the one of LEDGER_ADMIN_KEY too."""
        if self._admin_digest is not None and compare_digest(digest_of(token), self._admin_digest):
            return ApiKey(name=_ADMIN_KEY_NAME, scopes=frozenset({AccessScope.ADMIN}))
        return await self._keyring.find(token)

    async def _welcome(self, scopes: Sequence[Scope]) -> Sequence[bool]:
        if await self.is_open():
            return [True] * len(scopes)
        cookies = {session_of(Headers(scope=scope)) for scope in scopes if _in_session(scope)}
        sessions = await self.sessions.found([cookie for cookie in cookies if cookie is not None])
        return [
            session_of(Headers(scope=scope)) in sessions if _in_session(scope) else await self._presents(scope)
            for scope in scopes
        ]

    async def _presents(self, scope: Scope) -> bool:
        caller = caller_of(scope)
        if caller is None:  # was let in while nobody needed a key
            return False
        if caller.expires_at is not None:
            return time.time() < caller.expires_at
        return await self.holder_of(_bearer(Headers(scope=scope).get("authorization", ""))) is not None

    async def _caller(self, headers: Headers) -> Caller:
        authorization, session = headers.get("authorization"), session_of(headers)
        if authorization is not None:
            caller = await self._holder(_bearer(authorization))
        elif session is not None:
            caller = _caller(await self.sessions.find(session), form_token=form_token_of(session))
        else:
            raise NotAuthenticatedError(presented=False)
        if caller is None:
            raise NotAuthenticatedError(presented=True)
        return caller

    async def _holder(self, token: str) -> Caller | None:
        if self._oidc is not None and is_jwt(token):
            return await self._oidc.caller_of(token)
        return _caller(await self.holder_of(token))

    def _check_name(self, headers: Headers) -> None:
        if self._local_names_only and not is_local_name(headers.get("host", "")):
            raise ForeignPageError("the Host of a request must be this machine's while there is no API key")

    def _check_page(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or origin in self._origins or _names(origin, headers.get("host")):
            return
        raise ForeignPageError("the Origin of a change must be ours, or one of ALLOWED_ORIGINS")


class Guard:
    """ASGI middleware: nothing behind it runs before the caller is let in."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._access.admit(scope)
        except NotAuthenticatedError:
            if not _is_page(scope):
                raise
            await RedirectResponse(login_of(scope), 303)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _names(origin: str, host: str | None) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:  # an address in brackets that is none
        return False


def _caller(key: ApiKey | None, *, form_token: str | None = None) -> Caller | None:
    if key is None:
        return None
    return Caller(actor=key.actor, scopes=key.scopes, rate_max=key.rate_max, form_token=form_token)


def path_of(scope: Scope) -> str:
    """Return the path below the prefix that a proxy serves us under."""
    prefix, path = scope.get("root_path", ""), str(scope["path"])
    return path.removeprefix(prefix) if prefix and path.startswith(f"{prefix}/") else path


def login_of(scope: Scope) -> str:
    """Return where one logs in, to come back to this page afterwards."""
    target = path_of(scope)
    if scope["query_string"]:
        target = f"{target}?{scope['query_string'].decode('latin-1')}"
    return f"{scope.get('root_path', '')}{LOGIN_PATH}?{urlencode({'next': target})}"


def session_of(headers: Headers) -> str | None:
    """Return what the cookie of a session holds."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(SESSION_COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def _in_session(scope: Scope) -> bool:
    caller = caller_of(scope)
    return caller is not None and caller.form_token is not None


def _is_page(scope: Scope) -> bool:
    asks_for = Headers(scope=scope).get("accept", "")
    return scope["method"] == "GET" and path_of(scope).startswith("/ui") and "text/html" in asks_for


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise NotAuthenticatedError(presented=False)
    return token.strip()


def _check_form(form_token: str, headers: Headers) -> None:
    if not compare_digest(headers.get(FORM_TOKEN_HEADER, "").encode(), form_token.encode()):
        raise ForeignPageError(f"a change in a session needs its page's token in {FORM_TOKEN_HEADER}")
