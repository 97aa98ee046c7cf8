"""Problem details: members of the right type are read, all others are ignored."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from http_service_client.http.problems import Problem, parse_problem
from kit.rows import each_row

KIND = "application/problem+json"


def read(document: object) -> Problem | None:
    return parse_problem(KIND, json.dumps(document).encode())


def test_the_sample_of_the_rfc_is_parsed() -> None:
    """RFC 9457 3."""
    problem = read(
        {
            "type": "https://example.com/probs/out-of-credit",
            "title": "You do not have enough credit.",
            "detail": "Your current balance is 30, but that costs 50.",
            "instance": "/account/12345/msgs/abc",
            "status": 403,
            "balance": 30,
            "accounts": ["/account/12345", "/account/67890"],
        }
    )
    assert problem == Problem(
        "https://example.com/probs/out-of-credit",
        "You do not have enough credit.",
        403,
        "Your current balance is 30, but that costs 50.",
        "/account/12345/msgs/abc",
        {"balance": 30, "accounts": ["/account/12345", "/account/67890"]},
    )
    assert str(problem) == "You do not have enough credit.: Your current balance is 30, but that costs 50."
    assert pickle.loads(pickle.dumps(problem)) == problem


@pytest.mark.parametrize("member", ["title", "detail", "type"])
def test_a_problem_as_text_is_one_printable_line(member: str) -> None:
    """Its members are unchanged; the text is for logs."""
    problem = Problem(**{member: "a\x1b[2J\u2028b" + " c" * 10_000})
    assert str(problem).startswith("a [2J b c c")
    assert str(problem).isprintable()
    assert len(str(problem)) < 1000


@each_row(
    ("document", "problem"),
    [
        ({}, Problem()),
        ({"type": None}, Problem()),
        ({"type": 1, "title": ["x"], "detail": {}, "instance": False}, Problem()),
        ({"type": ""}, Problem(type="")),
        ({"type": "/relative"}, Problem(type="/relative")),
        ({"title": "T"}, Problem(title="T")),
        ({"Title": "T"}, Problem(extensions={"Title": "T"})),
        ({"status": 404}, Problem(status=404)),
        ({"status": 404.0}, Problem(status=404)),
        ({"status": 404.5}, Problem()),
        ({"status": "404"}, Problem()),
        ({"status": True}, Problem()),
        ({"status": 99}, Problem()),
        ({"status": 100}, Problem(status=100)),
        ({"status": 599}, Problem(status=599)),
        ({"status": 600}, Problem()),
        ({"status": -(10**400)}, Problem()),
        ({"status": float("inf")}, Problem()),
        ({"status": float("nan")}, Problem()),
        ({"errors": [{"pointer": "#/age"}]}, Problem(extensions={"errors": [{"pointer": "#/age"}]})),
        ([], None),
        ("text", None),
        (None, None),
        (1, None),
    ],
)
def test_members_of_the_wrong_type_are_ignored(document: object, problem: Problem | None) -> None:
    """RFC 9457 3.1, 3.2: they count as missing and are not among the extensions."""
    assert read(document) == problem


@each_row(
    ("content_type", "is_problem"),
    [
        ("application/problem+json", True),
        ("Application/Problem+JSON; charset=utf-8", True),
        ("application/problem+json;charset=latin-1", True),
        ("application/vnd.example.problem+json", True),
        ("application/json", False),
        ("application/hal+json", False),
        ("application/noproblem+json", False),
        ("application/problem+xml", False),
        ("application/problem", False),
        ("text/problem+json", False),
        ("problem+json", False),
        ("", False),
        (None, False),
    ],
)
def test_the_media_type_decides(content_type: str | None, is_problem: bool) -> None:
    """JSON of another kind is not a problem document; a charset parameter is ignored."""
    problem = parse_problem(content_type, '{"title": "é"}'.encode())
    assert problem == (Problem(title="é") if is_problem else None)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_is_ignored(mark: bytes) -> None:
    """RFC 8259 8.1."""
    assert parse_problem(KIND, mark + b'{"title": "T"}') == Problem(title="T")


@given(st.one_of(st.binary(), st.text('{}[]":,1e title').map(str.encode)))
@example(b"")
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"status": ' + b"9" * 5000 + b"}")
@example(b'{"title": "\\ud800"}')
@example(b'{"title": "\xff"}')
def test_garbage_never_fails(content: bytes) -> None:
    """A failing server may send anything."""
    problem = parse_problem(KIND, content)
    assert problem is None or str(problem) is not None


@given(
    st.dictionaries(
        st.sampled_from(["type", "title", "status", "detail", "instance", "more"]),
        st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists),
    )
)
def test_every_member_has_its_type(document: dict[str, Any]) -> None:
    """Whatever types the document has."""
    problem = read(document)
    assert problem is not None
    assert isinstance(problem.type, str)
    assert all(
        isinstance(text, (str, type(None))) for text in (problem.title, problem.detail, problem.instance)
    )
    assert problem.status is None or 100 <= problem.status <= 599
    assert set(problem.extensions) <= {"more"}


def test_a_problem_of_more_than_a_mebibyte_is_not_parsed() -> None:
    """Each error is parsed, on the event loop, without being asked to."""
    kind = "application/problem+json"
    content = b'{"title": "a"}'.ljust(1024 * 1024)
    assert parse_problem(kind, content) == Problem(title="a")
    assert parse_problem(kind, content + b" ") is None
