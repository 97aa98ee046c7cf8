"""A peer's text for people: nothing that a terminal acts on, and no more than a line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.cookies.jar import CookieJar
from http_service_client.http.printable import printable
from kit.rows import each_row


@each_row(
    ("text", "shown"),
    [
        ("Not Found", "Not Found"),
        ("Größe 🍕", "Größe 🍕"),
        ("", ""),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("\x9b2J", "2J"),
        ("one\r\ntwo\u2028three\u2029four\x85five", "one two three four five"),
        ("user\u202egpj.exe\u2066 \u200e", "user gpj.exe"),
        ("a \t  b", "a b"),
        ("a  b", "a b"),
        ("\ud800", ""),
    ],
)
def test_what_a_terminal_acts_on_becomes_a_space(text: str, shown: str) -> None:
    """C0 and C1 controls, line and paragraph separators, bidi marks, lone surrogates."""
    assert printable(text) == shown


@given(text=st.text(), most=st.integers(5, 60))
def test_the_text_is_printable_short_and_stable(text: str, most: int) -> None:
    """Whatever came; a second time changes nothing."""
    shown = printable(text, most)
    assert shown.isprintable()
    assert len(shown) <= most
    assert printable(shown, most) == shown


def test_a_cut_is_marked_and_falls_between_words() -> None:
    """A single long word is cut within."""
    assert printable("one two three", most=11) == "one two ..."
    assert printable("a" * 20, most=10) == "aaaaaa ..."
    assert printable(" " * 10_000 + "a", most=10) == "..."
    assert printable("abcd efgh ijkl", most=10) == "abcd ..."
    assert printable("abc def ghij", most=10) == "abc ..."
    assert printable("abcde  fghi", most=10) == "abcde fghi"


def test_of_a_long_text_four_times_as_many_characters_are_looked_at() -> None:
    """It may have millions of them."""
    assert printable(f"abc{' ' * 36}d", most=10) == "abc d"
    assert printable(f"abc{' ' * 37}d", most=10) == "abc ..."
    assert printable(f"a{' ' * 39}b c d e", most=10) == "a ..."
    assert printable(f"a{' ' * 35}b c d e", most=10) == "a b ..."


def test_a_cookie_is_shown_without_controls() -> None:
    """The server chose its name and its path."""
    jar = CookieJar()
    jar.store("https://api.test/", ["a\x9b\u2028b=1; Path=/\u202ec"], now=0.0)
    assert repr(list(jar)) == "[<Cookie a b for api.test/ c>]"
