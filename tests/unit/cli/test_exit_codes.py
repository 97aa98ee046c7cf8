"""What a command reports to the shell, and the line that it prints for an error."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    CircuitOpenError,
    ConnectError,
    HttpClientError,
    HttpResponse,
    HttpStatusError,
    SentState,
    TooManyRedirectsError,
)
from http_service_client.cli.exit_codes import (
    ExitCode,
    error_line,
    exit_code_of,
    exit_code_of_status,
    idempotency_key,
    with_options,
)
from http_service_client.errors import (
    AttemptTimeoutError,
    ConnectionLostError,
    DeadlineExceededError,
    NameResolutionError,
    ProxyError,
    TlsVerificationError,
)
from http_service_client.http.messages import HttpRequest
from kit.rows import each_row

LOST = SentState.MAYBE_PROCESSED


def failed(
    kind: type[HttpClientError], state: SentState = SentState.NEVER_SENT, request: HttpRequest | None = None
) -> HttpClientError:
    """An error of a call."""
    error = kind("it failed")
    error.sent_state, error.request = state, request
    return error


def request(method: str, **headers: str) -> HttpRequest:
    return HttpRequest(method, "http://h/", headers=headers)


@each_row(
    ("status", "code"),
    [
        (101, 0), (200, 0), (204, 0), (299, 0), (300, 3), (399, 3), (400, 4), (499, 4), (500, 5), (599, 5), (600, 0),
        (999, 0),
    ],
)  # fmt: skip
def test_a_status_has_a_code_by_its_first_digit(status: int, code: int) -> None:
    """0 for a success, and for what is no status of HTTP."""
    assert exit_code_of_status(status) == code


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (SentState.NEVER_SENT, ExitCode.FAILED),
        (SentState.REFUSED, ExitCode.FAILED),
        (SentState.MAYBE_PROCESSED, ExitCode.UNKNOWN),
        (SentState.ANSWERED, ExitCode.UNKNOWN),
    ],
)
def test_the_code_of_an_error_tells_whether_the_command_can_be_repeated(
    state: SentState, code: ExitCode
) -> None:
    """1, where the service did not process the request; 6, where nobody knows."""
    assert exit_code_of(failed(ConnectError, state)) is code
    assert exit_code_of(failed(HttpStatusError, state)) is code  # without a response


@pytest.mark.parametrize(("status", "code"), [(204, 6), (304, 3), (404, 4), (503, 5)])
def test_an_unwanted_response_has_the_code_of_its_status(status: int, code: int) -> None:
    """A success that cannot be saved is none: the request was processed, and there is no file."""
    error = HttpStatusError("no", response=HttpResponse(status))
    error.sent_state = SentState.ANSWERED
    assert exit_code_of(error) == code


def test_the_last_response_of_another_error_does_not_decide() -> None:
    """The call has failed whatever that one said."""
    error = failed(ConnectionLostError, LOST)
    error.response = HttpResponse(404)
    assert exit_code_of(error) is ExitCode.UNKNOWN


REMEDIES = [
    (NameResolutionError, "check the name of the host"),
    (TlsVerificationError, "doctor URL examines the certificate"),
    (ProxyError, "check the proxy, or connect without it by --proxy none"),
    (ConnectError, "check that the service runs and that the port is right"),
    (DeadlineExceededError, "--deadline allows more"),
    (AttemptTimeoutError, "--timeout and --connect-timeout allow more"),
    (TooManyRedirectsError, "--max-redirects allows more, and --no-follow shows the first"),
]


@each_row(("kind", "remedy"), REMEDIES)
def test_an_error_is_told_with_one_remedy(kind: type[HttpClientError], remedy: str) -> None:
    """The one that fits it best."""
    assert error_line(failed(kind)) == f"error: it failed; {remedy}"


def test_an_error_without_a_remedy_is_told_alone() -> None:
    """As that of an open circuit."""
    assert error_line(failed(CircuitOpenError)) == "error: it failed"


@each_row(
    ("sent", "state", "advice"),
    [
        (request("POST"), LOST, ["look before you send it again"]),
        (request("POST", **{"Idempotency-Key": "k1"}), LOST, ["repeat it with --idempotency-key k1"]),
        (request("GET"), LOST, []),
        (request("POST"), SentState.NEVER_SENT, []),
        (request("POST", **{"Idempotency-Key": "k1"}), SentState.REFUSED, []),
        (None, LOST, []),
    ],
    ids=["unsafe", "with a key", "safe", "never sent", "refused", "no request"],
)
def test_a_request_that_may_have_been_processed_needs_care(
    sent: HttpRequest | None, state: SentState, advice: list[str]
) -> None:
    """Unless to repeat it does no harm."""
    line = error_line(failed(ConnectionLostError, state, sent))
    assert line == "; ".join(
        ["error: it failed", *(f"the request may have been processed: {text}" for text in advice)]
    )


def test_care_comes_after_the_remedy() -> None:
    """Both are told."""
    assert error_line(failed(AttemptTimeoutError, LOST, request("POST"))).split("; ")[1:] == [
        "--timeout and --connect-timeout allow more",
        "the request may have been processed: look before you send it again",
    ]


@each_row(
    ("message", "expected"),
    [
        ("set ssl_ca_file", "set ssl_ca_file (--cacert)"),
        ("ssl_cert_file and ssl_key_file", "ssl_cert_file (--cert) and ssl_key_file (--key)"),
        ("give client=", "give client= (--client)"),
        ("by auth=, or not", "by auth= (--auth), or not"),
        ("connection_pool.ssl_ca_file is a number", "connection_pool.ssl_ca_file is a number"),
        ("my_ssl_ca_file, ssl_ca_files", "my_ssl_ca_file, ssl_ca_files"),
        ("nothing of that", "nothing of that"),
    ],
)
def test_a_setting_of_a_message_has_its_option_after_it(message: str, expected: str) -> None:
    """Not where it is one of a file, nor a part of another name."""
    assert with_options(message) == expected


def test_an_error_names_options() -> None:
    """As the person who typed the command knows them."""
    error: Any = ConnectError("set ssl_ca_file")
    assert error_line(error).startswith("error: set ssl_ca_file (--cacert); ")


def test_a_request_has_the_key_of_its_header() -> None:
    """Or none."""
    assert idempotency_key(request("POST", **{"idempotency-key": "k1"})) == "k1"
    assert idempotency_key(request("POST")) is None
    assert idempotency_key(None) is None
