"""The checks of a user's own TLS context."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from ...core.checks import check_function
from ...errors import ConfigurationError

__all__ = ["check_context"]

# The context does all that these settings would, and the user knows how it does.
_INSTEAD = {
    "ssl_verify": "set check_hostname and verify_mode of the context",
    "ssl_cert_file": "call load_cert_chain of the context",
    "ssl_ca_file": "call load_verify_locations of the context",
}


def check_context(given: object, others: Mapping[str, object]) -> None:
    """Raise ConfigurationError for an invalid `ssl_context`, or beside another setting that it replaces.

    others: the values of all settings, by name.
    """
    if given is None:
        return
    if not isinstance(given, ssl.SSLContext):
        if not callable(given):
            raise ConfigurationError(
                f"ssl_context must be an ssl.SSLContext, or a function that makes one, not {given!r}"
            )
        check_function("ssl_context", given)
    elif given.protocol is ssl.PROTOCOL_TLS_SERVER:
        raise ConfigurationError(
            f"ssl_context must be a client's context, not {given!r} of a server; "
            "make it by ssl.create_default_context()"
        )
    for name, remedy in _INSTEAD.items():
        value = others[name]
        if value is not None and value is not True:
            raise ConfigurationError(
                f"ssl_context conflicts with {name}={value!r}; leave {name} out, and {remedy}"
            )
