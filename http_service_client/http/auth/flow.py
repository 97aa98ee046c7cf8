"""Auth flows, and what `auth=` may be.

A flow is an object with a method ``auth_flow(request)``, a plain generator: it yields requests and is sent the response
to each. It sees no difference between blocking and asyncio calls, since the core runs it. Credentials that never
change need no flow: they are a header, written once.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Protocol

from ...errors import InvalidRequestError
from .basic import Basic
from .bearer import Bearer, bearer
from .credentials import basic

if TYPE_CHECKING:
    from ..messages import HttpRequest, HttpResponse

__all__ = ["AuthFlow", "parse_auth"]


class AuthFlow(Protocol):
    """An object for `auth=` with a flow of its own.

    With the attribute ``requires_request_body = True`` it gets requests whose body is in memory, and others are refused.
    ``requires_response_body`` makes no difference: responses have their bodies, except a 2xx that the caller streams.
    """

    def auth_flow(self, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
        """Yield the request with its credentials, and any others that it needs first; receive the responses."""
        ...


def parse_auth(auth: object) -> str | AuthFlow | None:
    """The Authorization header for credentials that never change, the flow for others; None for None and False.

    Raises InvalidRequestError for anything else; its message never shows a value.
    """
    if auth is None or auth is False:
        return None
    if isinstance(auth, str):
        return bearer(auth)
    if isinstance(auth, (tuple, list)) and len(auth) == 2:
        return basic(auth[0], auth[1])
    if isinstance(auth, Basic):
        return auth.header
    if isinstance(auth, Bearer) and auth.header is not None:
        return auth.header
    flow = getattr(auth, "auth_flow", None)
    if flow is None or isinstance(auth, type):
        raise InvalidRequestError(
            "auth must be a (user, password) pair, a bearer token or an object with auth_flow, "
            f"not {_kind(auth)}; {_remedy(auth)}"
        )
    if inspect.iscoroutinefunction(flow) or inspect.isasyncgenfunction(flow):
        raise InvalidRequestError(
            f"{_kind(auth)}.auth_flow is async; write it as a plain generator, which both blocking and asyncio calls run"
        )
    _check_httpx(auth)
    return auth  # type: ignore[return-value]  # it has the method


def _kind(auth: object) -> str:
    return auth.__name__ if isinstance(auth, type) else type(auth).__name__


def _remedy(auth: object) -> str:
    if isinstance(auth, type):
        return "pass an object of this class"
    ancestors = {f"{kind.__module__}.{kind.__name__}" for kind in type(auth).__mro__}
    if "requests.auth.AuthBase" in ancestors:
        return (
            "for requests' own classes write (user, password) or auth.Digest(user, password); "
            "make any other a class with a generator auth_flow(self, request), which sets headers and yields the request"
        )
    if "aiohttp.helpers.BasicAuth" in ancestors:
        return "write (user, password)"
    if hasattr(auth, "sign_request"):
        return "for a signer write request_signers=[signer] in HttpClientConfig"
    if isinstance(auth, Mapping):
        return "make an object in code, such as auth.OAuth2ClientCredentials(token_url=…, …)"
    if callable(auth):
        return (
            "for a function that returns a token write auth.Bearer(function), "
            "and for one that changes the request use an interceptor"
        )
    if isinstance(auth, (tuple, list)):
        return f"this one has {len(auth)} item{'' if len(auth) == 1 else 's'}; write (user, password)"
    return "for other schemes set the Authorization header"


def _check_httpx(auth: object) -> None:
    """Refuse an auth of httpx that would do nothing here, or fail: it would be sent without credentials."""
    for kind in type(auth).__mro__:
        if "auth_flow" not in vars(kind):
            continue
        if kind.__module__.partition(".")[0] not in ("httpx", "httpx2"):
            return
        if kind.__name__ == "Auth":  # it yields the request as it is
            raise InvalidRequestError(
                f"{_kind(auth)} defines no auth_flow of its own (sync_auth_flow and async_auth_flow are not used); "
                "define auth_flow, a plain generator"
            )
        if kind.__name__ in ("DigestAuth", "NetRCAuth"):  # they need httpx's URLs and headers
            ours = (
                "auth.Digest(user, password)"
                if kind.__name__ == "DigestAuth"
                else "HttpClientConfig(netrc=True)"
            )
            raise InvalidRequestError(f"{_kind(auth)} works on httpx's requests alone; write {ours}")
        return
