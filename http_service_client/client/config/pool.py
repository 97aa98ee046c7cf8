"""Connection settings: how many connections, for how long, and which certificates they accept.

Four of them may be set at the top level of `HttpClientConfig` as well. Their defaults are marked as such in both
classes (`by_default`), so that a default gives way to a value that was set, while two values that were set and differ
are an error. The mark is a subclass of the number: a signature, a page and an attribute show the true default, and it
survives `dataclasses.replace`, pickle and copy.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...core.checks import check_count, check_duration, check_flag, remedies, suggests_keywords
from ...errors import ConfigurationError
from .sockets import check_source, parse_socket_options, parse_source_address
from .tls import check_context

__all__ = ["ConnectionPoolConfig", "by_default", "is_default", "is_path", "without_mark"]


class _DefaultFloat(float):
    __slots__ = ()


class _DefaultInt(int):
    __slots__ = ()


def by_default(value: float | None) -> Any:
    """The number, marked as a default that nobody set. None stays None."""
    if value is None:
        return None
    return _DefaultInt(value) if isinstance(value, int) else _DefaultFloat(value)


def is_default(value: object) -> bool:
    """Whether it was marked by `by_default`."""
    return isinstance(value, (_DefaultFloat, _DefaultInt))


def without_mark(value: float) -> float:
    """The plain number of a marked one."""
    return int(value) if isinstance(value, int) else float(value)


@suggests_keywords(
    remedies(
        {
            "it is called ssl_verify": "verify",
            "it is called ssl_context": "context ssl sslcontext",
            "it is called source_address": "local_address",
            "write ssl_cert_file and ssl_key_file": "cert",
            "it is called ssl_ca_file": "ca_bundle ca_file cafile",
            "it is called max_connections": "limit pool_maxsize pool_size",
            "it is called max_connections_per_host": "limit_per_host",
            "it is called keep_alive_timeout": "keepalive_expiry keepalive_timeout",
            "it is called request_timeout here": "base_timeout timeout",
        }
    )
)
@dataclass(frozen=True)
class ConnectionPoolConfig:
    """Connections and TLS. Durations in seconds; None means no limit of `connection_timeout` and `request_timeout`.

    max_connections: in use at once, over all hosts, sync and async together.
    max_connections_per_host: in use at once, for one scheme, host and port.
    connection_timeout: to resolve the name, connect and finish the TLS handshake.
    request_timeout: one attempt as a whole.
    pool_timeout: the wait for a free connection. None to wait while connections become free: until none has for
        10 s longer than an attempt may take.
    max_idle_connections: kept open for later calls, over all hosts, sync and async together; beyond it the least
        recently used one is closed. 0 for none, None for as many as `max_connections`.
    keep_alive_timeout: a connection that was idle for longer is not used again. A server that announces less
        (`Keep-Alive: timeout=N`) gets less.
    keep_alive_max_requests: a connection is closed after so many requests.
    max_connection_age: a connection that is older serves no other request, so that a name that has moved to another
        address is looked up again. Up to a tenth less, by chance. None for no limit.
    socket_options: (level, option, value) of each option to set on TCP sockets, as `socket.setsockopt` takes them. TCP
        keep-alive is on without them.
    source_address: the IP address of this machine to connect from, or (address, port).
    uds: the path of a Unix socket to which all connections lead, whatever their URL; no proxy is used then.
    ssl_verify: False accepts any certificate, with a warning.
    ssl_cert_file, ssl_key_file: PEM files of the client's own certificate and its key.
    ssl_key_password: the pass phrase of that key, if it is encrypted.
    ssl_cert_hosts: the hosts that may see the certificate, as in `EgressPolicy.allowed_hosts`; None for all that
        request one, those that a redirect leads to included.
    ssl_ca_file: PEM bundle of the authorities to trust instead of the system's.
    ssl_context: an `ssl.SSLContext` instead of these settings, or a function without arguments that makes one. A
        configuration with a function can be pickled; one with a context cannot.
    enable_compression: ask for compressed responses.
    compression_threshold: smallest request body, in bytes, that `enable_request_compression` compresses.

    Raises ConfigurationError (a ValueError) that names the field, its value and what to write instead.
    """

    max_connections: int = by_default(100)
    max_connections_per_host: int = by_default(20)
    connection_timeout: float | None = by_default(5.0)
    request_timeout: float | None = by_default(30.0)
    pool_timeout: float | None = None
    max_idle_connections: int | None = None
    keep_alive_timeout: float = 4.0
    keep_alive_max_requests: int = 1000
    max_connection_age: float | None = 300.0
    socket_options: Sequence[tuple[int, int, int | bytes]] = ()
    source_address: str | tuple[str, int] | None = None
    uds: str | os.PathLike[str] | None = None
    ssl_verify: bool = True
    ssl_cert_file: str | os.PathLike[str] | None = None
    ssl_key_file: str | os.PathLike[str] | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    ssl_cert_hosts: Sequence[str] | None = None
    ssl_ca_file: str | os.PathLike[str] | None = None
    ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = None
    enable_compression: bool = True
    compression_threshold: int = 1024

    def __post_init__(self) -> None:
        for name in ("max_connections", "max_connections_per_host", "keep_alive_max_requests"):
            if not is_default(getattr(self, name)):
                check_count(name, getattr(self, name))
        if self.max_idle_connections is not None:
            check_count("max_idle_connections", self.max_idle_connections, least=0)
        check_count("compression_threshold", self.compression_threshold, least=0, unit="of bytes ")
        for name in ("connection_timeout", "request_timeout", "pool_timeout", "max_connection_age"):
            check_duration(name, getattr(self, name))
        check_duration("keep_alive_timeout", self.keep_alive_timeout, optional=False)
        object.__setattr__(self, "socket_options", parse_socket_options(self.socket_options))
        check_source(parse_source_address(self.source_address), self.uds)
        if is_path(self.ssl_verify):
            raise ConfigurationError(
                f"ssl_verify must be True or False, not {self.ssl_verify!r}; set ssl_ca_file to a bundle's path"
            )
        for name in ("ssl_verify", "enable_compression"):
            check_flag(name, getattr(self, name))
        for name in ("ssl_cert_file", "ssl_key_file", "ssl_ca_file"):
            value = getattr(self, name)
            if value is not None and not is_path(value):
                raise ConfigurationError(f"{name} must be the path of a PEM file, or None, not {value!r}")
        password = self.ssl_key_password
        if password is not None and not (isinstance(password, str) and 0 < len(password.encode()) <= 1024):
            # OpenSSL's limit. The value is a secret, and not shown.
            shown = (
                f"{len(password.encode())} bytes" if isinstance(password, str) else type(password).__name__
            )
            raise ConfigurationError(
                f"ssl_key_password must be text of 1 to 1024 bytes, or None, not {shown}"
            )
        if self.ssl_cert_hosts is not None:
            from ...http.egress import host_matcher

            host_matcher("ssl_cert_hosts", self.ssl_cert_hosts)
            object.__setattr__(self, "ssl_cert_hosts", tuple(self.ssl_cert_hosts))
        if self.ssl_cert_file is None:
            if self.ssl_key_file is not None:
                raise ConfigurationError(f"ssl_key_file {self.ssl_key_file!r} needs ssl_cert_file; set both")
            for name in ("ssl_key_password", "ssl_cert_hosts"):
                if getattr(self, name) is not None:
                    raise ConfigurationError(f"{name} needs ssl_cert_file; set both")
        check_context(self.ssl_context, vars(self))

    def __getstate__(self) -> dict[str, Any]:
        if isinstance(self.ssl_context, ssl.SSLContext):
            raise TypeError(
                "a ConnectionPoolConfig whose ssl_context is an ssl.SSLContext cannot be pickled; "
                "set ssl_context to a function of a module that makes the context"
            )
        return vars(self)

    def __copy__(self) -> ConnectionPoolConfig:
        return self

    def __deepcopy__(self, known: object) -> ConnectionPoolConfig:
        return self  # its fields cannot change, and a context cannot be copied


def is_path(value: object) -> bool:
    """Whether it is text or a path object, and not empty."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    return isinstance(path, str) and path != ""
