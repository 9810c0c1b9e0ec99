"""Callers who bring a token of an OpenID Connect provider instead of a key of ours.

The token is a JWT (RFC 7519) that the provider signed with a key of its published set (RFC 7517). Its signature
must be asymmetric, and issuer, audience and times must be right; `sub` is who it is, and what of `scope` (or the
claim that is set) begins with `taskledger:` is what they may do.
"""

import asyncio
import json
import urllib.request
from functools import cache
from typing import Any

import structlog

from api.caller import Caller
from ledger.access.api_key import Scope
from ledger.errors import ConfigurationError
from ledger.settings import Settings

log = structlog.get_logger()

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_PREFIX = "taskledger:"
_SUBJECT_CHARS_MAX = 200
_FETCH_SECONDS_MAX = 5
_KEYS_SECONDS_MAX = 300
_DISCOVERY_BYTES_MAX = 1_000_000
_SKEW_SECONDS = 30


class OidcTokens:
    """Checks the tokens of one provider."""

    def __init__(self, *, issuer: str, audience: str, jwks_url: str | None, scope_claim: str) -> None:
        self._issuer = issuer
        self._audience = audience
        self._jwks_url = jwks_url
        self._scope_claim = scope_claim
        self._keys: Any = None

    async def caller_of(self, token: str) -> Caller | None:
        """Return who a token speaks for; None where it is not to be believed."""
        return await asyncio.to_thread(self._caller_of, token)

    def _caller_of(self, token: str) -> Caller | None:
        jwt = _library()
        try:
            claims = jwt.decode(
                token,
                self._signing_key(token),
                algorithms=list(_ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer,
                leeway=_SKEW_SECONDS,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
        except (jwt.PyJWTError, OSError, ValueError, KeyError) as error:
            log.info("oidc.token_refused", reason=f"{type(error).__name__}: {error}"[:_SUBJECT_CHARS_MAX])
            return None
        subject = str(claims["sub"])
        if not subject.isprintable() or not 1 <= len(subject) <= _SUBJECT_CHARS_MAX:
            return None
        return Caller(
            actor=f"user:{subject}",
            scopes=_scopes(claims.get(self._scope_claim)),
            expires_at=float(claims["exp"]) + _SKEW_SECONDS,
        )

    def _signing_key(self, token: str) -> Any:  # noqa: ANN401 - a key of the library's, of many kinds
        if self._keys is None:
            url = self._jwks_url or _discovered(self._issuer)
            self._keys = _library().PyJWKClient(url, lifespan=_KEYS_SECONDS_MAX, timeout=_FETCH_SECONDS_MAX)
        return self._keys.get_signing_key_from_jwt(token).key


def oidc_of(settings: Settings) -> OidcTokens | None:
    """Return what checks the tokens of the provider that is configured; None where none is.

    Raises:
        ConfigurationError: LEDGER_OIDC_AUDIENCE is missing, or the extra `oidc` is not installed.
    """
    if settings.oidc_issuer is None:
        return None
    if not settings.oidc_audience:
        raise ConfigurationError("LEDGER_OIDC_AUDIENCE must be set where LEDGER_OIDC_ISSUER is")
    _library()
    return OidcTokens(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        jwks_url=settings.oidc_jwks_url,
        scope_claim=settings.oidc_scope_claim,
    )


def is_jwt(token: str) -> bool:
    """Say whether a token has the shape of a JWT, and not that of a key of ours."""
    return token.count(".") == 2  # noqa: PLR2004 - header, payload and signature


@cache
def _library() -> Any:  # noqa: ANN401 - the module, which is optional
    try:
        import jwt  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ConfigurationError(
            "LEDGER_OIDC_ISSUER needs the extra `oidc`: pip install 'task-ledger[oidc]'"
        ) from error
    return jwt


def _discovered(issuer: str) -> str:
    # https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationRequest
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    with urllib.request.urlopen(url, timeout=_FETCH_SECONDS_MAX) as answer:  # noqa: S310 - the settings check that it is http(s)
        return str(json.loads(answer.read(_DISCOVERY_BYTES_MAX))["jwks_uri"])


def _scopes(claim: object) -> frozenset[Scope]:
    words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    known = {f"{_PREFIX}{scope}": scope for scope in Scope}
    return frozenset(known[word] for word in words if isinstance(word, str) and word in known)
