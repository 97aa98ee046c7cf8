"""One TLS context for both transports, created for the first https URL."""

from __future__ import annotations

import os
import ssl
import threading
import warnings

from ...errors import ConfigurationError

__all__ = ["TlsSettings"]


class TlsSettings:
    """How servers are verified, and the client's own certificate.

    verify: False accepts any certificate, for tests only; it warns once a process.
    cert_file, key_file: PEM files of the client's certificate and key.
    ca_file: PEM bundle of authorities to trust instead of the system's.

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
    ) -> None:
        self._verify = verify
        self._cert_file, self._key_file, self._ca_file = (
            None if path is None else os.fspath(path) for path in (cert_file, key_file, ca_file)
        )
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def reset_after_fork(self) -> None:
        """In a forked child: a thread of the parent may have held the lock, and does not exist here."""
        self._lock = threading.Lock()

    @property
    def context(self) -> ssl.SSLContext:
        """The context, created once."""
        if self._context is None:
            with self._lock:
                if self._context is None:
                    self._context = self._create()
        return self._context

    def _create(self) -> ssl.SSLContext:
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
        if self._cert_file is not None:
            try:
                context.load_cert_chain(self._cert_file, self._key_file)
            except (OSError, ssl.SSLError) as error:
                problem = (
                    f"ssl_cert_file {self._cert_file!r} with ssl_key_file {self._key_file!r} cannot be used"
                )
                if self._key_file is None and isinstance(error, ssl.SSLError):
                    problem += ": it is not a PEM certificate, or contains no key; set ssl_key_file"
                raise ConfigurationError(f"{problem}: {error}") from None
        return context


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
