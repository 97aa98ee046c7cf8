"""How a client verifies servers, and which contexts its connections use (see `tls_contexts`)."""

from __future__ import annotations

import errno
import os
import ssl
import warnings
from collections.abc import Callable
from typing import NamedTuple

from ...core.signals import raise_if_of_signal_handler
from ...errors import ConfigurationError
from ...http.auth.credentials import HIDDEN
from .tls_contexts import SharedContext
from .tls_sessions import keep_sessions

__all__ = ["TlsSettings"]

Peer = tuple[str, int]  # host and port

_HTTP_1 = ("http/1.1",)

# No descriptor, or no memory, was free. That passes, and is no fault of the settings: the connection fails, not the client.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class TlsSettings:
    """How servers are verified, and the client's own certificate.

    verify: False accepts any certificate, for tests only; it warns once a process.
    cert_file, key_file: PEM files of the client's certificate and key. The paths of all files are made absolute now: a
        process may change its directory, and contexts are shared by path.
    ca_file: PEM bundle of authorities to trust instead of the system's.
    key_password: the pass phrase of the key, if it is encrypted.
    shows_certificate: whether a host and port may see the client's certificate; None for all that request it. A
        server that redirects chooses the next host, which would learn who the client is.
    context: the user's own context, or a function that makes it; the other arguments have their defaults then.
    alpn: the protocols to offer (RFC 7301), the preferred one first. A context of the user's own is not touched, but
        for other protocols than HTTP/1.1: then it must be a function.

    By default the system's authorities are trusted, so that those that an administrator adds are trusted too;
    where the system has none, those of `certifi`.

    Getting a context raises ConfigurationError for a file that cannot be read, or a function that makes none; OSError
    while the process has no descriptor left to read a file with.
    """

    def __init__(
        self,
        verify: bool = True,
        cert_file: str | os.PathLike[str] | None = None,
        key_file: str | os.PathLike[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        key_password: str | None = None,
        shows_certificate: Callable[[str, int], bool] | None = None,
        context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = None,
        alpn: tuple[str, ...] = _HTTP_1,
    ) -> None:
        self._arguments = (
            verify, cert_file, key_file, ca_file, key_password, shows_certificate, context,
        )  # fmt: skip
        cert, key, ca = (
            None if path is None else os.path.abspath(path) for path in (cert_file, key_file, ca_file)
        )
        without = _Files(verify, ca, alpn=alpn)
        with_it = _Files(verify, ca, cert, key, key_password, alpn) if cert else without
        self._files = {False: without, True: with_it}
        self._shows_certificate = shows_certificate if cert else None
        self._context = context
        self._alpn = alpn
        self._shared: dict[bool, SharedContext] = {}  # by whether they have the client's certificate

    def offering(self, *alpn: str) -> TlsSettings:
        """The same settings, for connections that offer these protocols."""
        return TlsSettings(*self._arguments, alpn=alpn)

    def load_modules(self) -> None:
        """Import what `context_for` needs, so that the first call to an https URL need not."""
        if self._context is None and self._files[False].ca_file is None and not _system_has_authorities():
            import certifi  # noqa: F401

    def context_for(self, *peers: Peer) -> ssl.SSLContext:
        """The context for a new connection to this host and port, or to all of these."""
        return self._shared_for(peers).get()

    async def context_for_async(self, *peers: Peer) -> ssl.SSLContext:
        """As `context_for`; the event loop goes on while a context is made."""
        return await self._shared_for(peers).get_async()

    def _shared_for(self, peers: tuple[Peer, ...]) -> SharedContext:
        if not self._files[False].verify:
            warn_unverified()
        shows = self._shows_certificate
        has_certificate = shows is None or all(shows(host, port) for host, port in peers)
        shared = self._shared.get(has_certificate)
        if shared is None:
            shared = self._shared.setdefault(has_certificate, self._share(has_certificate))
        return shared

    def _share(self, has_certificate: bool) -> SharedContext:
        if self._context is not None:
            return _share_given(self._context, self._alpn)
        return self._files[has_certificate].share()


class _Files(NamedTuple):
    """What a context is made of."""

    verify: bool
    ca_file: str | None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: str | None = None
    alpn: tuple[str, ...] = _HTTP_1

    def __repr__(self) -> str:
        shown = self if self.key_password is None else self._replace(key_password=HIDDEN)
        return f"_Files{tuple(shown)!r}"

    def share(self) -> SharedContext:
        """The context of all that are made of the same, in this process."""
        # `ssl` and OpenSSL take these from the process; `truststore` replaces the class.
        system = ssl.get_default_verify_paths() if self.ca_file is None else None
        key = (self, system, os.environ.get("SSLKEYLOGFILE"), ssl.SSLContext)
        files = (self.ca_file, self.cert_file, self.key_file)
        return SharedContext.of(key, self._create, tuple(file for file in files if file is not None))

    def _create(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:  # `ssl.SSLError` is one
            if _is_exhaustion(error):
                raise
            key_log = os.environ.get("SSLKEYLOGFILE")
            if key_log is not None and error.filename == key_log:
                raise ConfigurationError(
                    f"SSLKEYLOGFILE in the environment, {key_log!r}, cannot be written ({error.strerror}); "
                    "correct it, or unset it"
                ) from None
            raise ConfigurationError(f"ssl_ca_file {self.ca_file!r} cannot be used: {error}") from None
        if self.ca_file is None:
            if not _system_has_authorities():
                import certifi  # a dependency of requests

                context.load_verify_locations(certifi.where())
            _check_system_file(context)
        _offer(context, self.alpn)
        if ssl.HAS_NEVER_CHECK_COMMON_NAME:  # not with every LibreSSL
            # A certificate without alternative names is for no host: its common name is any text (RFC 9110, 4.3.4).
            context.hostname_checks_common_name = False
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_file is not None:
            self._load_certificate(context, self.cert_file)
        keep_sessions(context)
        return context

    def _load_certificate(self, context: ssl.SSLContext, cert_file: str) -> None:
        is_encrypted = False

        def password() -> str:
            # Called for an encrypted key only. Without a function, OpenSSL asks for the pass phrase at the terminal,
            # and waits there without end.
            nonlocal is_encrypted
            is_encrypted = True
            return self.key_password or ""

        try:
            context.load_cert_chain(cert_file, self.key_file, password)
        except OSError as error:  # `ssl.SSLError` is one
            if _is_exhaustion(error):
                raise
            if is_encrypted:
                key_file = self.key_file or cert_file
                raise ConfigurationError(
                    f"the key in {key_file!r} is encrypted; set ssl_key_password"
                    if self.key_password is None
                    else f"ssl_key_password is not the pass phrase of the key in {key_file!r}"
                ) from None
            problem = f"ssl_cert_file {cert_file!r} with ssl_key_file {self.key_file!r} cannot be used"
            if self.key_file is None and isinstance(error, ssl.SSLError):
                problem += ": it is not a PEM certificate, or contains no key; set ssl_key_file"
            raise ConfigurationError(f"{problem}: {error}") from None


def _share_given(
    given: ssl.SSLContext | Callable[[], ssl.SSLContext], alpn: tuple[str, ...]
) -> SharedContext:
    """The user's own context: as it is, or made once for all clients that have the same function."""
    if isinstance(given, ssl.SSLContext):
        return SharedContext(lambda: given)
    try:
        return SharedContext.of((given, alpn), lambda: _made_by(given, alpn))
    except TypeError:  # not hashable
        return SharedContext(lambda: _made_by(given, alpn))


def _made_by(function: Callable[[], ssl.SSLContext], alpn: tuple[str, ...]) -> ssl.SSLContext:
    """The context that a user's function makes. What it offers is the user's choice, unless it must offer more."""
    name = getattr(function, "__qualname__", repr(function))
    try:
        context = function()
        again = None if alpn == _HTTP_1 else function()
    except Exception as error:
        raise_if_of_signal_handler()
        raise ConfigurationError(
            f"ssl_context={name} raised {type(error).__name__}: {error}; it must return an ssl.SSLContext"
        ) from error
    if not isinstance(context, ssl.SSLContext):
        raise ConfigurationError(f"ssl_context={name} returned {context!r}; it must return an ssl.SSLContext")
    if alpn != _HTTP_1:
        if again is context:
            raise ConfigurationError(
                f"ssl_context={name} returned the same context twice; with http2=True it must make a new one each time, "
                "since other connections that use it would offer HTTP/2, too"
            )
        _offer(context, alpn)
    return context


def _offer(context: ssl.SSLContext, alpn: tuple[str, ...]) -> None:
    """Have connections offer these protocols (RFC 7301): a server that speaks none of them can refuse."""
    context.set_alpn_protocols(list(alpn))
    if alpn != _HTTP_1:
        # HTTP/2 forbids it (RFC 9113, 9.2.1). HTTP/1.1 goes over connections of its own, where servers may request a
        # certificate in this way.
        context.options |= ssl.OP_NO_RENEGOTIATION


def _system_has_authorities() -> bool:
    paths = ssl.get_default_verify_paths()
    if paths.cafile and os.path.exists(paths.cafile):
        return True
    return bool(paths.capath and os.path.isdir(paths.capath) and os.listdir(paths.capath))


def _check_system_file(context: ssl.SSLContext) -> None:
    """Raise OSError if the system's file of authorities could not be read for want of descriptors.

    OpenSSL ignores that. The context would trust nobody, and it is used for as long as the process lives.
    """
    file = ssl.get_default_verify_paths().cafile
    if file is None or type(context).__module__ != "ssl" or context.cert_store_stats()["x509"]:
        return
    try:
        context.load_verify_locations(file)
    except OSError as error:
        if _is_exhaustion(error):
            raise


def _is_exhaustion(error: OSError) -> bool:
    # The number of an SSLError is one of OpenSSL's.
    return error.errno in _EXHAUSTED and not isinstance(error, ssl.SSLError)


_warned = False


def warn_unverified() -> None:
    """Warn, once a process, that certificates are not verified."""
    global _warned
    if not _warned:
        _warned = True
        message = (
            "ssl_verify=False: certificates are not verified, so any server can impersonate yours; "
            "use it in tests only"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=2)
