"""WWW-Authenticate and Authentication-Info, as servers write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.auth.challenges import Challenge, parse_challenges, parse_parameters
from kit.rows import each_row


@each_row(
    ("fields", "expected"),
    [
        ([], []),
        ([""], []),
        ([" , ,, "], []),
        (["Basic"], [("basic", {})]),
        (['Basic realm="a"'], [("basic", {"realm": "a"})]),
        (["Basic realm=a"], [("basic", {"realm": "a"})]),
        (['BASIC REALM="A"'], [("basic", {"realm": "A"})]),
        (['Basic realm = \t"a" ,charset="UTF-8"'], [("basic", {"realm": "a", "charset": "UTF-8"})]),
        ([r'Basic realm="a \"b\", c \\ d"'], [("basic", {"realm": r'a "b", c \ d'})]),
        (['Basic realm=""'], [("basic", {"realm": ""})]),
        (['Basic realm="a", Bearer error="x", scope="r w"'], [("basic", {"realm": "a"}), ("bearer", {"error": "x", "scope": "r w"})]),
        (["Negotiate, NTLM"], [("negotiate", {}), ("ntlm", {})]),
        (["Negotiate YII+/a==, Basic realm=a"], [("negotiate", {}, "YII+/a=="), ("basic", {"realm": "a"})]),
        (["Negotiate abc"], [("negotiate", {}, "abc")]),
        (['Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"'], [("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}), ("basic", {"realm": "simple"})]),
        (["Digest nonce=a", "Digest nonce=b"], [("digest", {"nonce": "a"}), ("digest", {"nonce": "b"})]),
        ([", Basic realm=a,, Digest nonce=b ,"], [("basic", {"realm": "a"}), ("digest", {"nonce": "b"})]),
        # Malformed: what can be read is.
        (["realm=a, Basic realm=b"], [("basic", {"realm": "b"})]),
        (["Basic realm=a, realm=b"], [("basic", {"realm": "a"})]),
        (['Basic realm="a'], [("basic", {"realm": "a"})]),
        (['Basic realm="a\\'], [("basic", {"realm": "a"})]),
        (['Basic realm="a"x, b=c'], [("basic", {"realm": "a", "b": "c"})]),
        (["Basic a b, c=d"], [("basic", {"c": "d"})]),
        (["Basic =, c=d"], [("basic", {"c": "d"})]),
        (["@, Basic realm=a"], [("basic", {"realm": "a"})]),
        (["Negotiate abc, d=e"], [("negotiate", {}, "abc")]),
    ],
)  # fmt: skip
def test_challenges_are_read(fields: list[str], expected: list[tuple[Any, ...]]) -> None:
    """One or several in one or several fields; RFC 9110, 11.6.1 has the example with Newauth."""
    assert parse_challenges(fields) == [Challenge(*each) for each in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ('nextnonce="a", qop=auth, nc=00000001', {"nextnonce": "a", "qop": "auth", "nc": "00000001"}),
        ("nextnonce=a nextnonce=b", {"nextnonce": "a"}),
        ('x, "y", nextnonce="a"', {"nextnonce": "a"}),
    ],
)
def test_parameters_without_a_scheme_are_read(text: str, expected: dict[str, str]) -> None:
    """As in Authentication-Info."""
    assert parse_parameters(text) == expected


@given(st.text(alphabet=' \t,="\\aB1/+é', max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    """A server may send anything."""
    for challenge in parse_challenges([text]):
        assert challenge.scheme
    parse_parameters(text)


VALUES = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, VALUES, max_size=4)), max_size=4))
def test_what_is_written_by_the_grammar_is_read_back(challenges: list[tuple[str, dict[str, str]]]) -> None:
    """Any names and any quoted values, several challenges in one field."""

    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    field = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        for scheme, parameters in challenges
    )
    assert parse_challenges([field]) == [Challenge(*each) for each in challenges]
