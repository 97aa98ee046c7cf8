"""Kinds of failures, as a user lists them: what may be listed, and what is of a kind."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.core.machines.failure_kinds import FAILURE_STATUSES, is_among, parse_kinds
from http_service_client.errors import ConfigurationError, ConnectError, HttpStatusError
from http_service_client.http.messages import HttpResponse
from kit.rows import each_row


def by(cause: BaseException) -> RuntimeError:
    """An error that stems from another."""
    error = RuntimeError("no rates")
    error.__cause__ = cause
    return error


def test_statuses_that_say_that_a_service_fails() -> None:
    """Not those that say that the request was wrong."""
    assert sorted(FAILURE_STATUSES) == [408, 429, *range(500, 600)]


@each_row("given", [[100], (599,), {503}, [range(520, 530)], [ConnectError], iter([KeyboardInterrupt, 429])])
def test_what_may_be_listed(given: Any) -> None:
    """Statuses, ranges of them and exception classes, in anything that can be iterated."""
    kinds = list(given)
    assert parse_kinds(iter(kinds)) == tuple(kinds)


@each_row(
    "given",
    [[], None, 503, "503", b"503", [99], [600], [True], [503.0], ["503"], [int], [ConnectError("x")], [503, None], [None, 503]],
    ids=repr,
)  # fmt: skip
def test_what_may_not_be_listed(given: Any) -> None:
    """The error names the setting, its value and what to write."""
    with pytest.raises(ConfigurationError) as caught:
        parse_kinds(given, "overloads")
    message = str(caught.value)
    assert message.startswith(
        f"overloads must be a list of statuses, ranges of them and exception classes, not {given!r}"
    )
    assert message.endswith("[503, range(520, 530), ConnectError]")


@each_row(
    ("subject", "kinds", "expected"),
    [
        (HttpResponse(503), (429, 503), True),
        (HttpResponse(503), (429, range(500, 510)), True),
        (HttpResponse(503), (429, range(510, 520)), False),
        (HttpResponse(503), (ConnectError,), False),
        ("a result", (503,), False),
        (ConnectError("no"), (503, ConnectionError), True),
        (ConnectError("no"), (503, KeyError), False),
        (by(ConnectError("no")), (ConnectError,), True),
        (HttpStatusError("it failed", status_code=503), (503,), True),
        (HttpStatusError("it failed", status_code=503), (429,), False),
        (by(HttpStatusError("it failed", status_code=503)), (429, range(503, 504)), True),
    ],
    ids=repr,
)
def test_what_is_of_a_kind(subject: Any, kinds: Any, expected: bool) -> None:
    """A response by its status; an exception by its class, or by the status of what it stems from."""
    assert is_among(subject, kinds) is expected
