"""URLs of a Unix socket: ``http+unix://%2Frun%2Fdocker.sock/containers/json``, as requests-unixsocket and others write them.

The authority is the percent-encoded path of the socket. A path is case-sensitive, and no host name; its one spelling
encodes all but RFC 3986's unreserved characters, in upper case. So it can never be taken for a host.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from ..errors import InvalidRequestError

__all__ = ["HOST_OF_SOCKET", "UNIX", "normalise_socket", "socket_path"]

UNIX = "http+unix"
HOST_OF_SOCKET = "localhost"  # for the Host field, as curl and Docker's own clients send it


def normalise_socket(authority: str) -> str:
    """The authority in its one spelling. Raises InvalidRequestError."""
    path = unquote(authority, errors="surrogateescape")
    if not path.startswith("/") or "\0" in path:
        raise InvalidRequestError(
            "an http+unix:// URL starts with the percent-encoded, absolute path of a socket; "
            "write it as http+unix://%2Frun%2Fapp.sock/path"
        )
    return quote(path, safe="", errors="surrogateescape")


def socket_path(authority: str) -> str:
    """The path of the socket, of an authority in its one spelling."""
    return unquote(authority, errors="surrogateescape")
