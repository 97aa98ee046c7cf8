"""Logins by host from a .netrc file, parsed as ftp, curl and Python's own `netrc` do.

    machine example.com login joe password "two words"    # one line or many, in any order
    default login anonymous password guest

White space separates the tokens. A token that starts with a double quote extends to the next one. A
backslash escapes the next character, inside quotes and outside (as in BSD's ruserpass and in Python since
3.11). A comment starts with a ``#`` where a keyword could stand and ends with the line. ``account`` is
ignored, and so is a ``macdef`` up to an empty line. The first entry of a host counts. The `netrc` of the
standard library is not used: it opens the file itself, and before Python 3.11 it fails on common passwords.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ...errors import ConfigurationError

__all__ = ["NetrcEntries", "parse_netrc"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|(?:[^\s"\\]|\\.)(?:[^\s\\]|\\.)*', re.DOTALL | re.ASCII)
_BLANK = re.compile(r"\s*", re.ASCII)
_TO_LINE_END = re.compile(r"[^\n]*")
_TO_EMPTY_LINE = re.compile(r".*?(?:\n[ \t\r]*\n|\Z)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

_LOGIN_KEYWORDS = {"login": "login", "user": "login", "password": "password", "account": "account"}

_Login = tuple[str, str]


@dataclass(frozen=True, slots=True)
class NetrcEntries:
    """The logins of a netrc file. Their passwords stay out of the repr.

    machines: (login, password) by lower-case host name. None for an entry that has neither: such a host has
        no login, not even the default one. default: for every other host, or None.
    """

    machines: dict[str, _Login | None] = field(default_factory=dict)
    default: _Login | None = None

    def find(self, host: str) -> _Login | None:
        """The (login, password) for a host (a name, or an address without brackets), or None.

        A login or password that an entry leaves out is "". netrc has no ports.
        """
        return self.machines.get(_host_key(host), self.default)

    def __repr__(self) -> str:
        return f"NetrcEntries({len(self.machines)} machines, default={'yes' if self.default else 'no'})"


def parse_netrc(text: str) -> NetrcEntries:
    """Parse the text of a netrc file. Raises a ConfigurationError that names the line but not its content.

    >>> parse_netrc("machine example.com login joe password hush").find("Example.com")
    ('joe', 'hush')
    """
    tokens = _Tokens(text.removeprefix("\ufeff"))
    machines: dict[str, _Login | None] = {}
    defaults: list[_Login | None] = []
    while (keyword := tokens.keyword()) is not None:
        if keyword == "macdef":
            tokens.skip_macro()
        elif keyword == "machine":
            machines.setdefault(_host_key(tokens.value(keyword)), _read_login(tokens))
        elif keyword == "default":
            defaults.append(_read_login(tokens))
        else:
            raise tokens.error("expected machine, default or macdef; quote a password that has white space")
    return NetrcEntries(machines, defaults[0] if defaults else None)


def _read_login(tokens: _Tokens) -> _Login | None:
    """The pairs after ``machine name`` or ``default``; the last of each kind counts."""
    found: dict[str, str] = {}
    while (keyword := tokens.keyword(_LOGIN_KEYWORDS)) is not None:
        found[_LOGIN_KEYWORDS[keyword]] = tokens.value(keyword)
    if "login" not in found and "password" not in found:
        return None
    return found.get("login", ""), found.get("password", "")


def _host_key(host: str) -> str:
    return host.lower().rstrip(".")


class _Tokens:
    """The tokens of a text, one at a time."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def keyword(self, among: dict[str, str] | None = None) -> str | None:
        """The next token if it is a keyword `among` those given, else None; comments are skipped."""
        self._skip(_BLANK)
        while self._text.startswith("#", self._at):
            self._skip(_TO_LINE_END)
            self._skip(_BLANK)
        start = self._at
        token = self._next()
        if among is not None and token not in among:
            self._at = start
            return None
        return token

    def value(self, keyword: str) -> str:
        """The next token, which is the value of the keyword."""
        end = self._at
        self._skip(_BLANK)
        token = self._next()
        if token is None:
            self._at = end
            raise self.error(f"{keyword} has no value")
        return token

    def skip_macro(self) -> None:
        """Skip a macro: its name, and all lines up to an empty one."""
        self._skip(_TO_EMPTY_LINE)

    def error(self, problem: str) -> ConfigurationError:
        # The text of the line may be part of a password, so it is not shown.
        line = self._text.count("\n", 0, self._at) + 1
        return ConfigurationError(f"the netrc file has an error in line {line}: {problem}")

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        assert match is not None  # each of these patterns matches the empty text too
        self._at = match.end()

    def _next(self) -> str | None:
        if self._at == len(self._text):
            return None
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise self.error("a quoted token is not closed, or the file ends with a backslash")
        self._at = match.end()
        token = match.group()
        return _ESCAPE.sub(r"\1", token[1:-1] if token[0] == '"' else token)
