"""Hiding secrets in a text that a peer wrote, such as its description of an error.

A server may repeat what it was sent ("Incorrect API key provided: ..."), and the text goes into logs. What the request
held as a secret is known, and hidden wherever it stands. Other secrets are recognised by their look: tokens of
well-known services, values under the name of a secret, and long runs of mixed letters and digits.

A look can deceive: this lowers the risk of a secret in a log, and does not exclude it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus

from ..lazy import lazy_pattern
from .secret_names import SECRET_NAMES, SecretNames
from .urls import is_secret_parameter

if TYPE_CHECKING:
    from .request import HttpRequest

__all__ = ["hide_secrets", "secrets_of"]

_LARGEST_BODY = 64 * 1024
_SHORTEST = 3  # characters; a shorter value is in too many words to be hidden
_SHORTEST_ANYWHERE = 8  # a shorter value is hidden as a word of its own
_MOST_VALUES = 100

_UUID = r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![\w+=-])"  # it names a request, say
_TOKEN = lazy_pattern(
    r"(?<![\w-])(?:sk|pk|rk|gh[opsur]|glpat|xox[a-z]|shp[a-z]{2}|whsec|github_pat)[-_][\w-]{8,}"  # by its prefix
    r"|(?<!\w)(?:AKIA|ASIA)[0-9A-Z]{12,}|(?<!\w)AIza[\w-]{30,}|(?<!\w)ya29\.[\w-]{8,}"
    r"|(?<!\w)eyJ[\w-]{5,}(?:\.[\w-]*){1,4}"  # a JWT
    r"|(?<=://)[^/\s@]{1,200}@"  # user information
    rf"|(?<![\w+=-])(?!{_UUID})(?=[\w+=-]{{0,200}}?[0-9])(?=[\w+=-]{{0,200}}?[A-Za-z])[\w+=-]{{32,}}"  # by its look
)
_SCHEME = lazy_pattern(r"\b(Bearer|Basic|Token|Digest)\s{1,5}(?=[^\s,;]{0,200}?[0-9=])[^\s,;]{6,}", re.I)
_IN_GO = {"&": r"\u0026", "<": r"\u003c", ">": r"\u003e"}  # as its encoding/json writes them
_IN_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}  # the ampersand first
_NEEDS_ESCAPES = lazy_pattern(r"[^\w.~-]", re.ASCII)
_FIELD = lazy_pattern(r'form-data; name="([^"]*)"\s*\Z')  # of a part that is no file
_PAIR = lazy_pattern(r"""([A-Za-z][\w.-]{0,63})(["']?\s{0,3}([=:])\s{0,3}["']?)([^\s"'&;,<>]{1,400})""")


def hide_secrets(text: str, known: tuple[str, ...], names: SecretNames) -> str:
    r"""The text with ``***`` in place of each secret.

    known: secrets that the text may repeat.   names: of fields whose values are secret.

    >>> hide_secrets("no account for key=abc, tried sk-proj-12345678", (), SecretNames())
    'no account for key=***, tried ***'
    """
    spellings = {spelling for secret in known for spelling in _spellings(secret)}
    for secret in sorted(spellings, key=len, reverse=True):
        if len(secret) >= _SHORTEST_ANYWHERE:
            text = text.replace(secret, "***")
        elif secret in text:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    text = _SCHEME.sub(r"\1 ***", text)

    def hide_value(pair: re.Match[str]) -> str:
        name, between, sign, value = pair.groups()
        # "token: expired" is no secret, "token: 4f8a12" may be one.
        is_value = sign == "=" or (len(value) >= 6 and any(map(str.isdigit, value)))
        end = value[len(value.rstrip(".:!?)")) :]  # of the sentence
        return f"{name}{between}***{end}" if is_value and name in names else pair[0]

    return _TOKEN.sub("***", _PAIR.sub(hide_value, text))


def _spellings(secret: str) -> Iterator[str]:
    """A secret as it is, and as a peer may repeat it: with the escapes of a query, a form, JSON or HTML."""
    yield secret
    if _NEEDS_ESCAPES.search(secret):
        for escape in (quote, quote_plus):
            yield from (escape(secret, safe=safe, errors="replace") for safe in ("", "/"))
        for only_ascii in (True, False):
            in_json = json.dumps(secret, ensure_ascii=only_ascii)[1:-1]
            yield in_json
            yield _replaced(in_json, _IN_GO)
        yield _replaced(secret, _IN_HTML)


def _replaced(text: str, escapes: Mapping[str, str]) -> str:
    for character, escaped in escapes.items():
        text = text.replace(character, escaped)
    return text


def secrets_of(request: HttpRequest) -> tuple[str, ...]:
    """The secret values that a request holds: in its headers, cookies, query, and a small body."""
    names = getattr(request.headers, "secret_names", SECRET_NAMES)  # an interceptor may have set a plain dict
    found: dict[str, None] = {}
    for value in _values(request, names):
        if len(value) >= _SHORTEST and len(found) < _MOST_VALUES:
            found[value] = None
    return tuple(found)


def _values(request: HttpRequest, names: SecretNames) -> Iterator[str]:
    for name, value in request.headers.items():
        if name not in names:
            continue
        yield value
        scheme, _, credentials = value.partition(" ")
        if name.lower() == "cookie":
            for pair in value.split(";"):
                yield pair.partition("=")[2].strip(' "')
        elif credentials:
            yield credentials.strip()
            if scheme.lower() == "basic":
                password = _password(credentials.strip())
                yield password
                yield unquote_plus(password)  # that of an OAuth client is escaped (RFC 6749, 2.3.1)
    yield from _values_in_form(request.url.partition("?")[2].partition("#")[0], names)
    yield from _values_in_body(request, names)


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials).decode().partition(":")[2]
    except ValueError:
        return ""


def _values_in_body(request: HttpRequest, names: SecretNames) -> Iterator[str]:
    try:
        content, kind = request.body.content, request.body.content_type or ""
        if not content or len(content) > _LARGEST_BODY:
            return
        if "json" in kind:
            yield from _values_in_json(json.loads(content), names)
        elif "urlencoded" in kind:
            yield from _values_in_form(content.decode(), names)
        elif "form-data" in kind:
            yield from _values_in_parts(content, names)
    except (ValueError, RecursionError):
        pass  # it is not what it says it is


def _values_in_form(text: str, names: SecretNames) -> Iterator[str]:
    """In a form or a query, whose parameters are those that URLs are shown without."""
    return (value for name, value in parse_qsl(text) if name in names or is_secret_parameter(name))


def _values_in_parts(content: bytes, names: SecretNames) -> Iterator[str]:
    """In the fields of a form with files."""
    delimiter = b"\r\n" + content.partition(b"\r\n")[0]
    for part in content.split(delimiter):
        head, _, value = part.partition(b"\r\n\r\n")
        field = _FIELD.search(head.decode(errors="replace"))
        if field is not None and (field[1] in names or is_secret_parameter(field[1])):
            yield value.decode(errors="replace")


def _values_in_json(value: Any, names: SecretNames) -> Iterator[str]:
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, list):
            left += item
        elif isinstance(item, dict):
            for name, member in item.items():
                if name in names and isinstance(member, (str, int)) and not isinstance(member, bool):
                    yield str(member)
                else:
                    left.append(member)
