"""The exit codes of the commands that make calls, and one line for each error.

The distinction that a script needs after a failure is whether the request may have been processed: 1 says no, so the
command can be repeated, and 6 says that nobody knows.
"""

from __future__ import annotations

import re
from enum import IntEnum

from ..errors import (
    ConnectError,
    DeadlineExceededError,
    HttpClientError,
    HttpStatusError,
    NameResolutionError,
    ProxyError,
    RequestTimeoutError,
    SentState,
    TlsVerificationError,
    TooManyRedirectsError,
)
from ..http.messages import HttpRequest

__all__ = [
    "EXIT_CODES",
    "ExitCode",
    "error_line",
    "exit_code_of",
    "exit_code_of_status",
    "idempotency_key",
    "with_options",
]


class ExitCode(IntEnum):
    """What a command reports to the shell."""

    OK = 0
    FAILED = 1
    WRONG_ARGUMENTS = 2
    REDIRECT = 3
    CLIENT_ERROR = 4
    SERVER_ERROR = 5
    UNKNOWN = 6
    INTERRUPTED = 128 + 2
    BROKEN_PIPE = 128 + 13  # as a shell reports a program that SIGPIPE ended


EXIT_CODES = """\
exit codes:
  0    a response was received
  1    no response was received, and the request was not processed: it never left, or was refused
  2    wrong arguments
  3    the status is 3xx  (with --check-status, or where a file was to be saved)
  4    the status is 4xx  (likewise)
  5    the status is 5xx  (likewise)
  6    no complete response was received or saved, and the request may have been processed
  130  interrupted by Ctrl-C
  141  the reader of the output has gone
"""

_NOT_PROCESSED = (SentState.NEVER_SENT, SentState.REFUSED)

# The first row whose class the error has.
_REMEDIES: tuple[tuple[type[HttpClientError], str], ...] = (
    (NameResolutionError, "check the name of the host"),
    (TlsVerificationError, "doctor URL examines the certificate"),
    (ProxyError, "check the proxy, or connect without it by --proxy none"),
    (ConnectError, "check that the service runs and that the port is right"),
    (DeadlineExceededError, "--deadline allows more"),
    (RequestTimeoutError, "--timeout and --connect-timeout allow more"),
    (TooManyRedirectsError, "--max-redirects allows more, and --no-follow shows the first"),
)

# Settings that messages name, with the options that set them. A name after a dot is one of a file.
_OPTIONS = {
    "ssl_ca_file": "--cacert",
    "ssl_cert_file": "--cert",
    "ssl_key_file": "--key",
    "client=": "--client",
    "auth=": "--auth",
}
_SETTING = re.compile(rf"(?<![.\w])(?:{'|'.join(_OPTIONS)})(?!\w)")


def with_options(message: str) -> str:
    """The message, with the option after each setting that has one.

    >>> with_options("set ssl_ca_file")
    'set ssl_ca_file (--cacert)'
    """
    return _SETTING.sub(lambda found: f"{found[0]} ({_OPTIONS[found[0]]})", message)


def exit_code_of_status(status: int) -> ExitCode:
    """0 for a success."""
    return ExitCode(status // 100) if 300 <= status <= 599 else ExitCode.OK


def exit_code_of(error: HttpClientError) -> ExitCode:
    """1 or 6; that of its status for an HttpStatusError."""
    if isinstance(error, HttpStatusError) and error.response is not None:
        # A success without a body, for one, cannot be saved.
        return exit_code_of_status(error.response.status_code) or ExitCode.UNKNOWN
    return ExitCode.FAILED if error.sent_state in _NOT_PROCESSED else ExitCode.UNKNOWN


def error_line(error: HttpClientError) -> str:
    """The error in one line, with what to do."""
    remedies = [remedy for kind, remedy in _REMEDIES if isinstance(error, kind)][:1]
    if exit_code_of(error) is ExitCode.UNKNOWN and error.request is not None:
        if (key := idempotency_key(error.request)) is not None:
            remedies.append(f"the request may have been processed: repeat it with --idempotency-key {key}")
        elif not error.request.is_safe_to_repeat:
            remedies.append("the request may have been processed: look before you send it again")
    return "; ".join([f"error: {with_options(str(error))}", *remedies])


def idempotency_key(request: HttpRequest | None) -> str | None:
    """The key by which a service would recognise the request, or None."""
    return None if request is None else request.headers.get("Idempotency-Key")
