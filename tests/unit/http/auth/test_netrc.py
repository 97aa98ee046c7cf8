"""netrc: the right login for each host, and no password in a message."""

from __future__ import annotations

import netrc
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from http_service_client.errors import ConfigurationError
from http_service_client.http.auth.netrc import NetrcEntries, parse_netrc
from kit.rows import each_row


@each_row(
    ("text", "host", "login"),
    [
        ("", "h", None),
        ("machine h login u password p", "h", ("u", "p")),
        ("machine h\n\tlogin u\n\tpassword p\n", "h", ("u", "p")),
        ("machine h password p login u account a", "h", ("u", "p")),
        ("machine h user u password p", "h", ("u", "p")),
        ("machine h\r\nlogin u\r\npassword p\r\n", "h", ("u", "p")),
        ("\ufeffmachine h login u password p", "h", ("u", "p")),
        ("machine H.Example login u password p", "h.example.", ("u", "p")),
        ("machine h login u password p", "a.h", None),
        ("machine h login u password p machine g login v password q", "g", ("v", "q")),
        ("machine h login u password p\nmachine h login v password q", "h", ("u", "p")),
        ("machine h login u", "h", ("u", "")),
        ("machine h password p", "h", ("", "p")),
        ("machine 192.0.2.1 login u password p", "192.0.2.1", ("u", "p")),
        ("machine ::1 login u password p", "::1", ("u", "p")),
        ("default login u password p", "h", ("u", "p")),
        ("default login u password p\nmachine h login v password q", "h", ("v", "q")),
        ("default login u password p\ndefault login v password q", "h", ("u", "p")),
        ("machine h\ndefault login u password p", "h", None),
        ("machine h account a\ndefault login u password p", "h", None),
        ('machine h login u password "two words"', "h", ("u", "two words")),
        ('machine h login u password ""', "h", ("u", "")),
        (r'machine h login u password "a\"b\\c"', "h", ("u", 'a"b\\c')),
        (r"machine h login u password a\ b\\c", "h", ("u", "a b\\c")),
        ('machine h login u password p"q', "h", ("u", 'p"q')),
        ('machine h login u password pq"', "h", ("u", 'pq"')),
        ("machine h login u password #p", "h", ("u", "#p")),
        ("machine h login u password p#q", "h", ("u", "p#q")),
        ("machine h login u password login", "h", ("u", "login")),
        ("machine h login u password p\u00a0q", "h", ("u", "p\u00a0q")),
        ("machine h login u password pässwörd", "h", ("u", "pässwörd")),
        ("# machine g\nmachine h # a note: login x\nlogin u # who\npassword p # what", "h", ("u", "p")),
        ("#\n#machine h login v password q\nmachine h login u password p", "h", ("u", "p")),
        (
            "macdef init\ncd /pub\nmachine h login v password q\n\nmachine h login u password p",
            "h",
            ("u", "p"),
        ),
        ("machine h login u password p\nmacdef init\nmput *", "h", ("u", "p")),
        ("macdef init\n\nmachine h login u password p", "h", ("u", "p")),
        ("macdef a\r\nx\r\n\r\nmachine h login u password p", "h", ("u", "p")),
    ],
)
def test_the_login_of_a_host_is_found(text: str, host: str, login: tuple[str, str] | None) -> None:
    """With tokens in any layout, quoted or escaped; comments and macros are skipped."""
    assert parse_netrc(text).find(host) == login


@each_row(
    ("text", "line"),
    [
        ("machine", 1),
        ("\nmachine", 2),
        ("machine h login", 1),
        ("machine h login u\npassword\n\n", 2),
        ("login u password hunter2", 1),
        ("machine h login u\npassword two hunter2", 2),
        ('machine h login u\n\npassword "hunter2', 3),
        ("machine h login u password hunter2\\", 1),
        ("machine h login u password p\nmachin g", 2),
    ],
)
def test_a_malformed_file_is_an_error_that_shows_no_secret(text: str, line: int) -> None:
    """It names the line and does not show it."""
    with pytest.raises(ConfigurationError, match=f"error in line {line}:") as caught:
        parse_netrc(text)
    assert "hunter2" not in str(caught.value)


def test_entries_show_no_password() -> None:
    """They may be logged."""
    entries = parse_netrc("machine h login u password hunter2\ndefault login v password hunter2")
    assert repr(entries) == "NetrcEntries(1 machines, default=yes)"
    assert entries == NetrcEntries({"h": ("u", "hunter2")}, ("v", "hunter2"))


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(st.dictionaries(st.from_regex(r"[a-z]+(\.[a-z]+)*", fullmatch=True), st.tuples(WORDS, WORDS)))
def test_quoted_text_is_parsed_to_the_same(logins: dict[str, tuple[str, str]]) -> None:
    """Any text can be quoted."""

    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = "\n".join(
        f"machine {host} login {quoted(user)} password {quoted(word)}"
        for host, (user, word) in logins.items()
    )
    entries = parse_netrc(text)
    assert {host: entries.find(host) for host in logins} == logins


@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from(["machine", "default", "login", "macdef", "#", '"', "\\", "h", "\n"])).map(
            " ".join
        ),
    )
)
@example("machine h login u password " + "\\" * 100_001)
@example('"' * 100_001)
@example("macdef a" + "\n x" * 50_000)
@example("#\n" * 50_000)
def test_no_text_raises_another_exception(text: str) -> None:
    """Long ones are parsed in linear time."""
    started = time.process_time()
    try:
        parse_netrc(text)
    except ConfigurationError:
        pass
    assert time.process_time() - started < 5.0


def test_the_standard_library_finds_the_same_logins(tmp_path: Path) -> None:
    """In a file that both understand, and on which Python 3.10 does not fail."""
    text = "machine a login u password p\n# note\nmachine b\n  login v\n  password q\n\ndefault login w password r\n"
    path = tmp_path / "netrc"
    path.write_text(text)
    theirs, ours = netrc.netrc(str(path)), parse_netrc(text)
    for host in ("a", "b", "c"):
        found = theirs.authenticators(host)
        assert found is not None
        assert ours.find(host) == (found[0], found[2])
