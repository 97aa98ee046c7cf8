"""OAuth 2.0 for services: tokens by the client's own credentials, by a refresh token, or by another grant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from ..core.checks import (
    check_duration,
    check_flag,
    check_function,
    check_no_line_break,
    check_number,
    refuse_awaitable,
    remedies,
    suggests_keywords,
)
from ..core.effects import TIMED_OUT, Plan, Work
from ..core.layers.tokens import Fetched, TokenRequests, no_token
from ..core.machines.caching.token_cache import TokenCache
from ..drivers.loggers import log_hook
from ..errors import ConfigurationError, Failure, HttpClientError, InvalidRequestError
from ..http.auth.oauth2_messages import (
    TokenResponse,
    TokenResponseError,
    client_secret_basic,
    parse_token_response,
)
from ..http.fields.retry_after import requested_delay
from ..http.messages import HttpRequest
from ..http.urls import normalise_url, redact_url
from .tokens import TokenAuth, called, new_cache

__all__ = ["OAuth2ClientCredentials", "OAuth2Grant", "OAuth2RefreshToken"]

Parameters = Mapping[str, Any] | Callable[[], Any]
# As authlib's: called with an object that has client_id and client_secret, and with the method, URL, headers and body of
# the request; returns the URL, headers and body to send.
ClientAuth = Callable[[Any, str, str, dict[str, str], str], tuple[str, dict[str, str], str]]

_METHODS = ("client_secret_basic", "client_secret_post", "none")

# Keywords of other libraries.
_RENAMED = remedies(
    {
        "it is called token_url": "token_uri token_endpoint",
        "it is called scope": "scopes",
        "set it in parameters": "audience resource",
        "it is called client_auth": "token_endpoint_auth_method",
    }
)


@dataclass(frozen=True, kw_only=True)
class _OAuth2(TokenAuth):
    """What the grants have in common."""

    token_url: str
    client_id: str
    client_secret: Any = None
    scope: str | Sequence[str] | None = None
    parameters: Parameters | None = field(default=None, hash=False)
    client_auth: str | ClientAuth = "client_secret_basic"
    timeout: float = 30.0
    refresh_ahead: float = 60.0
    cache: TokenCache = field(init=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("token_url", "client_id"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                shown = type(value).__name__ if value else repr(value)
                raise ConfigurationError(f"{name} must be text that is not empty, not {shown}")
        for name in ("client_id", "client_secret", "scope"):
            check_no_line_break(name, getattr(self, name))
        try:
            normalise_url(self.token_url)
        except InvalidRequestError as error:
            raise ConfigurationError(f"token_url: {error}") from None
        secret = self.client_secret
        is_key = not isinstance(secret, str) and callable(self.client_auth)
        if secret is not None and not is_key and (not isinstance(secret, str) or not secret):
            raise ConfigurationError("client_secret must be text that is not empty, or None")
        if secret is not None and self.client_auth == "none":
            raise ConfigurationError(
                "client_secret is not sent with client_auth='none'; leave one of them out"
            )
        if secret is None and self.client_auth == "client_secret_post":
            raise ConfigurationError(
                "client_secret must be set for client_auth='client_secret_post'; or set client_auth='none'"
            )
        if self.client_auth not in _METHODS and (
            isinstance(self.client_auth, type) or not callable(self.client_auth)
        ):
            raise ConfigurationError(
                f"client_auth must be one of {', '.join(map(repr, _METHODS))}, or a method of authlib such as "
                f"PrivateKeyJWT(), not {self.client_auth!r}"
            )
        if not (self.scope is None or isinstance(self.scope, str)) and (
            not isinstance(self.scope, Sequence) or not all(isinstance(each, str) for each in self.scope)
        ):
            raise ConfigurationError(f"scope must be text, or a list of scopes, not {self.scope!r}")
        if not (self.scope is None or isinstance(self.scope, str)):  # a copy: the list may change later
            object.__setattr__(self, "scope", tuple(self.scope))
        if not (self.parameters is None or isinstance(self.parameters, Mapping) or callable(self.parameters)):
            raise ConfigurationError("parameters must be a mapping, or a function that returns one")
        check_duration("timeout", self.timeout, optional=False)
        check_number("refresh_ahead", self.refresh_ahead, unit="of seconds ")
        object.__setattr__(self, "cache", new_cache(self.timeout))

    @property
    def source_name(self) -> str:
        """The URL of the token service."""
        return redact_url(self.token_url)

    def fetch(self, requests: TokenRequests, refused: str | None) -> Plan[Fetched | Failure]:
        """Request a token."""
        given = self.parameters
        if given is not None and not isinstance(given, Mapping):
            given = yield from called(given, timeout=self.timeout)
            if given is TIMED_OUT:
                return no_token(self, f"the function in parameters took longer than {self.timeout:g} s")
            if not isinstance(given, Mapping):
                kind = type(given).__name__
                return no_token(self, f"the function in parameters must return a mapping, not {kind}")
        outcome = yield from requests.send(self._request(given or {}), self.timeout)
        if isinstance(outcome, HttpClientError):
            wait = getattr(outcome, "retry_after", None)
            return no_token(self, str(outcome), outcome.redacted(), retry_after=wait)
        try:
            granted = parse_token_response(outcome)
        except TokenResponseError as error:
            cause = None if error.cause is None else error.cause.redacted()
            wait = requested_delay(outcome.headers, requests.wall_clock())
            return no_token(self, str(error), cause, error.code, wait)
        yield from self._keep(granted)
        return Fetched(granted.access_token, granted.lifetime)

    def _request(self, given: Mapping[str, Any]) -> HttpRequest:
        form: dict[str, Any] = self._grant()
        if self.scope is not None:
            form["scope"] = self.scope if isinstance(self.scope, str) else " ".join(self.scope)
        form.update(given)
        headers = {"Accept": "application/json"}
        if callable(self.client_auth):
            return self._signed_request(self.client_auth, headers, form)
        if self.client_secret is not None and self.client_auth == "client_secret_basic":
            headers["Authorization"] = client_secret_basic(self.client_id, self.client_secret)
        else:
            form["client_id"] = self.client_id
            if self.client_secret is not None:  # client_secret_post: with "none" there is no secret
                form["client_secret"] = self.client_secret
        return HttpRequest("POST", self.token_url, headers=headers, data=form, idempotent=self._may_repeat())

    def _signed_request(
        self, client_auth: ClientAuth, headers: dict[str, str], form: dict[str, Any]
    ) -> HttpRequest:
        """The request with an assertion. That is valid once, perhaps, so the request is not safe to repeat."""
        body = HttpRequest("POST", self.token_url, data=form).content
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        url, headers, text = client_auth(self, "POST", self.token_url, headers, (body or b"").decode())
        return HttpRequest("POST", url, headers=headers, data=text.encode())

    def _grant(self) -> dict[str, Any]:
        raise NotImplementedError

    def _may_repeat(self) -> bool | None:
        return None

    def _keep(self, granted: TokenResponse) -> Plan[None]:
        yield from ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._settings())

    def _settings(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self) if item.init}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source_name!r}, client_id={self.client_id!r})"


def _rebuild(kind: type[_OAuth2], settings: dict[str, Any]) -> _OAuth2:
    return kind(**settings)


@suggests_keywords(_RENAMED)
@dataclass(frozen=True, kw_only=True, repr=False)
class OAuth2ClientCredentials(_OAuth2):
    """Tokens for a service of its own (RFC 6749, 4.4): ``auth=OAuth2ClientCredentials(token_url=…, …)``.

    token_url: of the token service, absolute.
    client_id, client_secret: of this client; the secret is None for a client without one.
    scope: text, or a list of scopes; None for the service's default.
    parameters: more of the form, such as ``{"audience": "https://api.example.com"}``; or a function that returns them,
        plain or async, called for each fetch.
    client_auth: how the client proves who it is: "client_secret_basic", "client_secret_post" or "none"; or a method of
        authlib (the extra `oauth2`), such as ``authlib.oauth2.rfc7523.PrivateKeyJWT()``, with the key as `client_secret`.
    timeout: seconds for a fetch, its retries included.
    refresh_ahead: seconds before a token's end from which the next one is fetched, while this one is used: up to a
        quarter of its life. Each process begins at a random instant in the second half of this time.

    All calls that need a token wait for one fetch, in all clients that share this object. It is a call of its own, by the
    client that needs the token first: with its retry policy, and a circuit for the token service's origin. A call that
    gets a 401 is sent once more with a new token. Without a token it fails with a TokenError and is not sent.

    A copy, a pickled one too, has the credentials and no token. Raises ConfigurationError for a wrong setting.
    """

    def _grant(self) -> dict[str, Any]:
        return {"grant_type": "client_credentials"}

    def _may_repeat(self) -> bool:
        return True  # another token does no harm


@suggests_keywords(_RENAMED)
@dataclass(frozen=True, kw_only=True, repr=False)
class OAuth2RefreshToken(_OAuth2):
    """Tokens by a refresh token (RFC 6749, 6), which a user's login has given.

    refresh_token: the first one. If the service replaces it (rotation), the new one is used from then on.
    on_new_refresh_token: a plain function that is called with it, to store it. It runs on a thread of its own.
    may_repeat: True if a request that may have been processed may be sent again, for services that take a refresh token
        twice within some seconds. Others revoke it, since a token that is used twice looks stolen.

    The other settings are those of `OAuth2ClientCredentials`. A copy has the current refresh token.

    Raises ConfigurationError for a wrong setting.
    """

    refresh_token: str
    on_new_refresh_token: Callable[[str], object] | None = None
    may_repeat: bool = False
    _current: list[str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.refresh_token, str) or not self.refresh_token:
            raise ConfigurationError("refresh_token must be text that is not empty")
        check_no_line_break("refresh_token", self.refresh_token)
        if self.on_new_refresh_token is not None:
            check_function("on_new_refresh_token", self.on_new_refresh_token)
        check_flag("may_repeat", self.may_repeat)
        object.__setattr__(self, "_current", [self.refresh_token])

    def _grant(self) -> dict[str, Any]:
        return {"grant_type": "refresh_token", "refresh_token": self._current[0]}

    def _may_repeat(self) -> bool:
        return self.may_repeat

    def _keep(self, granted: TokenResponse) -> Plan[None]:
        new, store = granted.refresh_token, self.on_new_refresh_token
        if new is None or new == self._current[0]:
            return
        self._current[0] = new
        if store is not None:
            try:
                refuse_awaitable((yield from Work(store, new)))
            except Exception:
                # The token is good, and so is the new refresh token for as long as the process lives.
                log_hook("on_new_refresh_token failed; the refresh token of %s is not stored", self)

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "refresh_token": self._current[0]}


@suggests_keywords(_RENAMED)
@dataclass(frozen=True, kw_only=True, repr=False)
class OAuth2Grant(_OAuth2):
    """Tokens by another grant, such as token exchange (RFC 8693) or a JWT (RFC 7523).

    grant_type: such as ``urn:ietf:params:oauth:grant-type:token-exchange``.
    parameters: those of the grant, or a function that returns them for each fetch, such as a new assertion.
    may_repeat: True if a request that may have been processed may be sent again: not if its assertion is valid once.

    The other settings are those of `OAuth2ClientCredentials`. Raises ConfigurationError for a wrong setting.
    """

    grant_type: str
    may_repeat: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.grant_type, str) or not self.grant_type:
            raise ConfigurationError(f"grant_type must be text that is not empty, not {self.grant_type!r}")
        check_no_line_break("grant_type", self.grant_type)
        check_flag("may_repeat", self.may_repeat)

    def _grant(self) -> dict[str, Any]:
        return {"grant_type": self.grant_type}

    def _may_repeat(self) -> bool:
        return self.may_repeat
