"""Lists of structured fields: read as RFC 9651 says, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.fields.structured_lists import Member, Token, parse_list
from kit.rows import each_row


@each_row(
    ("text", "expected"),
    [
        ("", []),
        ("  ", []),
        ('"a"', [("a", {})]),
        ('"a \\"b\\" \\\\"', [('a "b" \\', {})]),
        ('"default";r=50;t=30', [("default", {"r": 50, "t": 30})]),
        ('"a"; r=1;  t=2', [("a", {"r": 1, "t": 2})]),
        ('"a";r=1;r=2', [("a", {"r": 2})]),
        ('"a";x', [("a", {"x": True})]),
        ('"a";pk=:cHM=:', [("a", {"pk": b"ps"})]),
        (":YQ==:, :YWI=:, :YWJj:, :YQ:, :YWI:, ::", [(each, {}) for each in (b"a", b"ab", b"abc", b"a", b"ab", b"")]),
        ('"a" , \t"b"', [("a", {}), ("b", {})]),
        ("Xa, bX", [(Token("Xa"), {}), (Token("bX"), {})]),
        ("a/b:c, *x", [(Token("a/b:c"), {}), (Token("*x"), {})]),
        ("1, -2, 3.25, ?1, ?0, @1659578233", [(1, {}), (-2, {}), (3.25, {}), (True, {}), (False, {}), (1659578233, {})]),
        ('%"f%c3%bc"', [("fü", {})]),
    ],
)  # fmt: skip
def test_a_valid_list(text: str, expected: list[tuple[Any, dict[str, Any]]]) -> None:
    """Its members, with their types and parameters."""
    found = parse_list(text)
    assert found == [Member(*each) for each in expected]
    assert [type(member.value) for member in found] == [type(value) for value, _ in expected]


def test_an_inner_list() -> None:
    """Its items have parameters, and so has it."""
    inner = [Member("a", {"x": 1}), Member(Token("b"), {})]
    assert parse_list('( "a";x=1  b );y=2, ()') == [Member(inner, {"y": 2}), Member([], {})]
    assert parse_list('("a";x=1 b)') == [Member(inner, {})]


@each_row(
    "text",
    [
        ",", '"a",', ', "a"', '"a" "b"', '"a', '"a\\b"', '"ä"', '"a\n"', "limit=100", '"a";', '"a";R=1', '"a"; =1', '"a";r=',
        '"a";r =1', "1.", ".5", "1.2345", "1234567890123456", "1234567890123.1", "--1", "+1", ":a b:", ":cHM=", ":c=HM:", ":c=HM=:", ":a:",
        "?2", "?", "@1.5", "@", '%"%c3"', '%"%C3%BC"', "(", '("a"', '("a""b")', "(a,b)", "a\tb", "\t1", "1\t", "é", "a;b=ü",
        '"' + "a" * 9000 + '"',
    ],
)  # fmt: skip
def test_an_invalid_list_is_ignored_as_a_whole(text: str) -> None:
    """Half of it could mean something else."""
    assert parse_list(text) is None


def test_a_field_has_8192_characters_at_most() -> None:
    """A longer one is not read at all."""
    assert parse_list("a" * 8192) == [Member(Token("a" * 8192), {})]
    assert parse_list("a" * 8193) is None


@given(st.text(max_size=50) | st.text(alphabet='"abr=;,: ()?1.-@%\\*\t', max_size=40))
def test_nothing_is_raised(text: str) -> None:
    """Whatever a service sends."""
    parse_list(text)


VALUES = st.one_of(
    st.integers(-999, 10**15 - 1),
    st.booleans(),
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
    st.binary(max_size=6),
)
MEMBERS = st.lists(
    st.tuples(VALUES, st.dictionaries(st.sampled_from(["r", "t", "pk", "q-1", "*"]), VALUES, max_size=3))
)


@given(MEMBERS)
def test_what_another_implementation_writes_is_read(members: list[tuple[Any, dict[str, Any]]]) -> None:
    """By Mark Nottingham's http-sf, one of the authors of the RFC."""
    http_sf = pytest.importorskip("http_sf", reason="needs http-sf, to compare with")
    assert parse_list(http_sf.ser(members) if members else "") == [Member(*each) for each in members]


@given(st.text(alphabet='"ab1r=;,: ()?.-@\\*', max_size=24))
def test_another_implementation_reads_the_same(text: str) -> None:
    """Where it reads anything: what is valid, and what is not."""
    http_sf = pytest.importorskip("http_sf", reason="needs http-sf, to compare with")
    try:
        expected = http_sf.parse(text.encode(), tltype="list")
    except Exception:
        expected = None
    found = parse_list(text)
    assert (found is None) is (expected is None), (found, expected)
    assert found is None or len(found) == len(expected)
