"""The TLS contexts of a client, for both transports, each created for the first https URL that needs it."""

from __future__ import annotations

import os
import ssl
import warnings
from collections.abc import Callable

from ...drivers.locks import ForkSafeLock
from ...errors import ConfigurationError

__all__ = ["TlsSettings"]


class TlsSettings:
    """How servers are verified, and the client's own certificate.

    verify: False accepts any certificate, for tests only; it warns once a process.
    cert_file, key_file: PEM files of the client's certificate and key.
    ca_file: PEM bundle of authorities to trust instead of the system's.
    key_password: the pass phrase of the key, if it is encrypted.
    shows_certificate: whether a host and port may see the client's certificate; None for all that request it. A
        server that redirects chooses the next host, which would learn who the client is.

    By default the system's authorities are trusted, so that those that an administrator adds are trusted too;
    where the system has none, those of `certifi`.

    Raises ConfigurationError for a file that cannot be read.
    """

    def __init__(
        self,
        verify: bool = True,
        cert_file: str | os.PathLike[str] | None = None,
        key_file: str | os.PathLike[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        key_password: str | None = None,
        shows_certificate: Callable[[str, int], bool] | None = None,
    ) -> None:
        self._verify = verify
        self._cert_file, self._key_file, self._ca_file = (
            None if path is None else os.fspath(path) for path in (cert_file, key_file, ca_file)
        )
        self._key_password = key_password
        self._shows_certificate = shows_certificate if self._cert_file is not None else None
        self._lock = ForkSafeLock()
        self._contexts: dict[bool, ssl.SSLContext] = {}  # by whether they have the client's certificate

    def load_modules(self) -> None:
        """Import what `context_for` needs, so that the first call to an https URL need not."""
        if self._ca_file is None and not _system_has_authorities():
            import certifi  # noqa: F401

    def context_for(self, *hosts: tuple[str, int]) -> ssl.SSLContext:
        """The context for connections to this host and port, or to all of these. Each is created once."""
        shows = self._shows_certificate
        has_certificate = shows is None or all(shows(host, port) for host, port in hosts)
        context = self._contexts.get(has_certificate)
        if context is None:
            with self._lock:
                context = self._contexts.get(has_certificate)
                if context is None:
                    # A signal handler that interrupts this makes one of its own, and the first one stays.
                    context = self._contexts.setdefault(has_certificate, self._create(has_certificate))
        return context

    def _create(self, has_certificate: bool = True) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"ssl_ca_file {self._ca_file!r} cannot be used: {error}") from None
        if self._ca_file is None and not _system_has_authorities():
            import certifi  # a dependency of requests

            context.load_verify_locations(certifi.where())
        context.set_alpn_protocols(["http/1.1"])  # RFC 7301: a server without HTTP/1.1 can refuse
        if not self._verify:
            warn_unverified()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if has_certificate and self._cert_file is not None:
            self._load_certificate(context, self._cert_file)
        return context

    def _load_certificate(self, context: ssl.SSLContext, cert_file: str) -> None:
        is_encrypted = False

        def password() -> str:
            # Called for an encrypted key only. Without a function, OpenSSL asks for the pass phrase at the terminal,
            # and waits there without end.
            nonlocal is_encrypted
            is_encrypted = True
            return self._key_password or ""

        try:
            context.load_cert_chain(cert_file, self._key_file, password)
        except (OSError, ssl.SSLError) as error:
            if is_encrypted:
                key_file = self._key_file or cert_file
                raise ConfigurationError(
                    f"the key in {key_file!r} is encrypted; set ssl_key_password"
                    if self._key_password is None
                    else f"ssl_key_password is not the pass phrase of the key in {key_file!r}"
                ) from None
            problem = f"ssl_cert_file {cert_file!r} with ssl_key_file {self._key_file!r} cannot be used"
            if self._key_file is None and isinstance(error, ssl.SSLError):
                problem += ": it is not a PEM certificate, or contains no key; set ssl_key_file"
            raise ConfigurationError(f"{problem}: {error}") from None


def _system_has_authorities() -> bool:
    paths = ssl.get_default_verify_paths()
    if paths.cafile and os.path.exists(paths.cafile):
        return True
    return bool(paths.capath and os.path.isdir(paths.capath) and os.listdir(paths.capath))


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
