"""Which state a call uses at its origin: chosen from its request, by the client's setting `state_key`.

A state is a circuit, a budget, a throttle gate, limits and connection slots. There are as many as a key function returns
texts, within the bounds of `core.origins`: those that matter least are forgotten first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.checks import check_function
from ..core.origins import LONGEST_KEY, parse_key
from ..core.signals import raise_if_of_signal_handler
from ..errors import ConfigurationError
from ..http.header_validation import is_token
from ..http.secret_names import SecretNames

if TYPE_CHECKING:
    from ..http.messages import HttpRequest

__all__ = ["StateKey", "by_header", "by_route", "key_of", "parse_state_key"]

StateKey = Callable[["HttpRequest"], "str | None"]

_OF_DIGEST = 12  # characters: enough for as many routes as a service has


def by_route(request: HttpRequest) -> str | None:
    """A state for each method and path template: ``HttpClientConfig(state_key=by_route)``.

    The template is that of the call's `path_params`, or of the route in `routes` that the call matches. A call without
    one uses the state of its origin: a state for each path would never learn anything.
    """
    if request.url_template is None:
        return None
    key = f"{request.method} {request.url_template}"
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:_OF_DIGEST]
    return f"{key[: LONGEST_KEY - _OF_DIGEST - 1]}…{digest}"


@dataclass(frozen=True, slots=True)
class by_header:  # in lower case, since it is used as a function
    """A state for each value of a header: ``HttpClientConfig(state_key=by_header("X-Tenant"))``.

    A call without the header, or with an empty one, uses the state of its origin. The value is a key: at most 100
    characters, and shown in errors, events and logs.

    name: of the header, as the call or the client's default headers set it; those of interceptors come later.

    Raises ConfigurationError for what is no name; the configuration, for a header that holds a secret.
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not is_token(self.name):
            raise ConfigurationError(
                f"by_header takes the name of a header, such as 'X-Tenant', not {self.name!r}"
            )

    def __call__(self, request: HttpRequest) -> str | None:
        """The value of the header, or None."""
        return request.headers.get(self.name) or None


def parse_state_key(given: object, secret_names: SecretNames) -> StateKey | None:
    """A function; also by its name, as a file has it: "by_route", or "by_header:X-Tenant"."""
    if given is None:
        return None
    if isinstance(given, str):
        kind, _, argument = given.partition(":")
        if given == "by_route":
            return by_route
        if kind != "by_header" or not argument:
            raise ConfigurationError(
                f"state_key must be a function, 'by_route' or 'by_header:X-Tenant', not {given!r}"
            )
        given = by_header(argument.strip())
    if given is by_header:
        raise ConfigurationError("state_key is by_header without a header; write by_header('X-Tenant')")
    if isinstance(given, by_header) and given.name in secret_names:
        raise ConfigurationError(
            f"state_key must not be the header {given.name}, which holds a secret: a key is shown in errors, events and "
            "logs; write a function that returns the name of its owner, or list the header in public_headers"
        )
    check_function("state_key", given)
    return given  # type: ignore[return-value]  # its result is checked in each call


def key_of(state_key: StateKey, request: HttpRequest) -> str | None:
    """The key of a call. Raises ConfigurationError if the function fails, or returns something else."""
    try:
        key = state_key(request)
    except Exception as error:
        raise_if_of_signal_handler()
        raise ConfigurationError(
            f"state_key raised {type(error).__name__}: {error}; nothing was sent"
        ) from error
    if key is None:
        return None
    try:
        return parse_key(key)
    except ConfigurationError as error:
        raise ConfigurationError(f"state_key returned a wrong key, so nothing was sent: {error}") from None
