"""What the body of an error says, in a line: the words of any API, not of problem documents alone.

APIs describe an error in JSON of their own shape, in a SOAP fault, as plain text; a proxy sends a page of HTML. The
names under which they put the message and the code are few, so they are looked for by name. Only what stands under
such a name is quoted: the rest of the body may be what the caller sent, or somebody's data.

The body is a stranger's. So no parser of XML reads it, no more than its first few KiB are looked at (64 KiB of JSON,
which cannot be read in part), and nothing raises.
"""

from __future__ import annotations

import codecs
import html
import json
import re
from collections.abc import Iterable
from typing import Any

from ..lazy import lazy_pattern
from .media_types import charset_of, parse_content_type

__all__ = ["quote_error"]

_LARGEST_JSON = 64 * 1024
_LOOKED_AT = 8 * 1024
_LONGEST = 2000  # characters of a quotation; messages show fewer
_DEPTH = 6

# Names are compared in lower case and without "_" and "-". The first that holds text is the message. A "title" may be
# that of anything: only a problem document says that it is of an error.
_MESSAGES = (
    "message",
    "detail",
    "errordescription",
    "errormessage",
    "msg",
    "description",
    "faultstring",
    "reason",
)
_CODES = ("code", "errorcode", "error", "status", "type")
_INNER = (
    "error",
    "errors",
    "fault",
    "faults",
    "detail",
    "details",
    "message",
    "messages",
    "exception",
    "response",
)
_NO_CODES = frozenset({"error", "fail", "failure", "failed"})

_NAME_ENDS = str.maketrans("", "", "_-")
_TAG = r"<(?:[\w.-]{{1,40}}:)?(?:{0})(?:\s[^<>]{{0,200}})?>\s{{0,100}}"
_TEXT = r"(?:<!\[CDATA\[)?([^<>]{1,2000})"
_REASON = lazy_pattern(_TAG.format("Reason") + _TAG.format("Text") + _TEXT, re.I)  # SOAP 1.2
_FAULT = lazy_pattern(_TAG.format("faultstring") + _TEXT, re.I)  # SOAP 1.1
_MESSAGE = lazy_pattern(_TAG.format("message|errormessage|description|detail") + _TEXT, re.I)
_CODE = lazy_pattern(_TAG.format("code|errorcode") + _TEXT, re.I)
_TITLE = lazy_pattern(_TAG.format("title") + _TEXT, re.I)
_IS_HTML = lazy_pattern(r"<(?:!doctype\s{1,20})?html\b", re.I)


def quote_error(content_type: str | None, content: bytes) -> str:
    r"""The message in the body of an error, unchanged, with its code before it; "" where none is found.

    It may hold anything: control characters, and secrets.

    >>> quote_error("application/json", b'{"error": {"message": "No such model", "code": "not_found"}}')
    'not_found: No such model'
    >>> quote_error("text/html", b"<html><title>Bad gateway</title><p>...")
    'Bad gateway'
    """
    media_type = parse_content_type(content_type or "")[0]
    start = content[:64].removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    is_text = media_type in ("", "text/plain")
    if media_type.endswith(("/json", "+json")) or (start in (b"{", b"[") and is_text):
        return _in_json(content)
    if not is_text and not media_type.endswith(("/xml", "+xml", "/html")):
        return ""
    text = _beginning(content, content_type)
    return _in_markup(text, media_type) if start == b"<" else text[:_LONGEST] if is_text else ""


def _beginning(content: bytes, content_type: str | None) -> str:
    """The first of the text; "" where the bytes are no text: compressed, or of another charset."""
    decoder = codecs.getincrementaldecoder((content_type and charset_of(content_type)) or "utf-8-sig")
    try:
        text = decoder("strict").decode(content[:_LOOKED_AT])
    except ValueError:
        return ""
    return "" if "\0" in text else text


def _in_json(content: bytes) -> str:
    if len(content) > _LARGEST_JSON:
        return ""
    try:
        return _words(json.loads(content), _DEPTH)[:_LONGEST]
    except (ValueError, RecursionError):
        return ""


def _words(value: Any, depth: int) -> str:
    """What an error says that was read as JSON."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and depth:
        found = _first(_words(each, depth - 1) for each in value[:10])
        more = len(value) - 1
        return f"{found} (and {more} more)" if found and more else found
    if not isinstance(value, dict) or not depth:
        return ""
    members: dict[str, Any] = {}
    for name, member in value.items():
        members.setdefault(name.lower().translate(_NAME_ENDS), member)
    message = _first(_text(members.get(name)) for name in _MESSAGES)
    inner = _first(_words(it, depth - 1) for it in map(members.get, _INNER) if isinstance(it, (list, dict)))
    if not (message or inner):
        return _text(members.get("error"))
    codes = (_text(members.get(name)) for name in _CODES)
    code = _first(each for each in codes if each.lower() not in _NO_CODES)
    location = members.get("loc")  # of pydantic, and so of FastAPI: which field is wrong
    if isinstance(location, list):
        code = ".".join(str(part) for part in location if isinstance(part, (str, int)))
    parts = [code if code not in message else "", message, inner if inner not in message else ""]
    return ": ".join(filter(None, parts))


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _in_markup(text: str, media_type: str) -> str:
    is_page = media_type.endswith("/html") or _IS_HTML.search(text[:1000]) is not None
    code, message = "", ""
    for pattern in (_TITLE,) if is_page else (_REASON, _FAULT, _MESSAGE, _TITLE):
        message = message or _found(pattern, text)
    if not is_page and message:
        code = _found(_CODE, text)
    return message if code in message else f"{code}: {message}"


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return html.unescape(match[1].partition("]]")[0]).strip() if match else ""
