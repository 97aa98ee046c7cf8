"""The page on errors agrees with the code: the tree, the sent-states, retries, and the evidence for the breaker."""

from __future__ import annotations

import re
import socket
import ssl
from pathlib import Path

from http_service_client import HttpRequest, RetryPolicy, SentState, Timeout, errors
from http_service_client.core.outcomes import is_failure
from http_service_client.errors import Failure, HttpClientError
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.rules import RULES
from http_service_client.transports.failures import Phase, ProxyRefusedError, failure_of
from kit.rows import each_row

PAGE = (Path(__file__).resolve().parents[2] / "docs/errors.md").read_text(encoding="utf-8")
# Name to the cells of its row: sent-states, retried, breaker.
ROWS = {
    name: (states.replace("`", "").split(", "), retried.strip(), breaker.strip())
    for name, states, retried, breaker in re.findall(
        r"^\| `(\w+Error)` \| (.*?) \| (.*?) \| (.*?) \|$", PAGE, re.M
    )
}
# Classes that are only caught, never raised themselves.
GROUPS = {"HttpClientError", "TransportError", "NetworkError", "RequestTimeoutError", "ResponseError"}
RAISED = {
    name: cls
    for name, cls in vars(errors).items()
    if isinstance(cls, type) and issubclass(cls, HttpClientError) and name not in GROUPS
}


def test_the_tree_is_that_of_the_module() -> None:
    """The page shows the tree in the docstring of the module."""
    lines = [line.strip() for line in (errors.__doc__ or "").splitlines()]
    tree = [line for line in lines if line.startswith(("HttpClientError", "├", "│", "└"))]
    shown = [line.strip() for line in PAGE.partition("```text\n")[2].partition("\n```")[0].splitlines()]
    drawn = [line for line in shown if line]
    assert [" ".join(line.split()) for line in drawn] == [" ".join(line.split()) for line in tree]


def test_the_tree_is_that_of_the_classes() -> None:
    """Each class is below its base, with the builtin that it derives from."""
    parents: list[str] = []
    drawn = {}
    for line in PAGE.partition("```text\n")[2].partition("\n```")[0].splitlines():
        match = re.match(r"(?P<lines>[│├└─ ]*)(?P<name>\w+) *(?:\((?P<builtin>\w+)\))?", line)
        assert match is not None
        depth = len(match["lines"]) // 4
        parents[depth:] = [match["name"]]
        drawn[match["name"]] = (parents[depth - 1] if depth else "Exception", match["builtin"])
    actual = {}
    for name in RAISED.keys() | GROUPS:
        first, *others = getattr(errors, name).__bases__
        actual[name] = (first.__name__, others[0].__name__ if others else None)
    assert drawn == actual


def test_every_rule_of_http_has_its_row() -> None:
    """The table of rules is that of the parser."""
    shown = re.findall(r"^\| `([a-z-]+)` \| (RFC .*?) \| (.*?) \| (.*?) \|$", PAGE, re.M)
    assert shown == [(rule.name, rule.section, rule.text, rule.remedy or "never") for rule in RULES.values()]


def test_every_error_has_its_row() -> None:
    """A new error must be explained on the page."""
    assert set(ROWS) == set(RAISED)


@each_row("name", ROWS)
def test_the_columns_agree_with_the_default_policy_and_the_breaker(name: str) -> None:
    """`retried` and `breaker` show how they decide about such a failure."""
    states, retried, breaker = ROWS[name]
    assert {SentState(state) for state in states} <= set(SentState)
    failures = [Failure(RAISED[name], "", SentState(state)) for state in states]
    if retried != "by its status" and name != "DeadlineExceededError":  # which leaves no time to retry
        policy = RetryPolicy()
        is_worth_it = any(policy.is_worth_it(failure) for failure in failures)
        is_certain = set(states) <= {"never_sent", "refused"}
        assert retried == ("no" if not is_worth_it else "yes" if is_certain else "if safe")
    if breaker != "by its status":
        evidence = {is_failure(failure) for failure in failures}
        words = {frozenset({True}): "failure", frozenset({True, None}): "failure if sent"}
        assert breaker == words.get(frozenset(evidence), "nothing")


def _tls_error(kind: type[ssl.SSLError], reason: str) -> ssl.SSLError:
    """An error as OpenSSL makes it; an error made in Python lacks these attributes."""
    error = kind(1, f"[SSL: {reason}]")
    error.reason, error.library = reason, "SSL"
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_code, error.verify_message = 18, "self-signed certificate"
    return error


@each_row("phase", Phase)
@each_row(
    "error",
    [
        socket.gaierror(-2, "unknown"),
        ConnectionRefusedError(),
        ConnectionResetError(),
        TimeoutError(),
        _tls_error(ssl.SSLCertVerificationError, "CERTIFICATE_VERIFY_FAILED"),
        _tls_error(ssl.SSLError, "WRONG_VERSION_NUMBER"),
        ProxyRefusedError("no"),
        NotHttpError(detail="what?"),
        OSError("unreachable"),
    ],
    ids=lambda error: type(error).__name__,
)
@each_row("timed_out", [True, False])
def test_every_failure_of_the_transports_has_a_sent_state_of_its_row(
    phase: Phase, error: Exception, timed_out: bool
) -> None:
    """For any error in any phase, the page lists the sent-state of the resulting failure."""
    request = HttpRequest("GET", "https://api.example.com/")
    failure = failure_of(phase, error, request, Timeout(total=1.0, read=1.0, write=1.0), timed_out)
    assert failure.sent_state.value in ROWS[failure.error_type.__name__][0]
