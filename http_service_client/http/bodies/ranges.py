"""Resuming a broken download, and knowing when not to (RFC 9110 13.1.5, 14, 15.3.7, 15.5.17).

Half of one version of a file and half of another make a file that never existed. So the rest is requested
under a condition (If-Range) that only a *strong* validator can state: an entity tag without ``W/``, or a
Last-Modified that is at least 60 seconds older than the Date beside it (8.8.2.2; 60 because two clocks may
have made them). Without a strong validator the download starts over. A date is sent beside a weak tag, too, which 13.1.5
forbids: Node's file servers send both, and a strong date is as strong. The response is not trusted either:

    response                                   judgement
    206, from where we are or before it        Continue: write it there
    206, of another version                    Restart, by a new request
    206, after a gap, or with nothing new      Refuse
    206, encoded, multipart, or without a      Refuse
      valid Content-Range
    200                                        Restart, from this very body: it is the whole file
    200, whose Content-Range is that of a      as a 206: some servers send a part with the wrong status, and
      part, of the body's length                 some caches send a stored part to all
    416, and we have the whole length          Complete
    416, otherwise                             Restart, by a new request: the file has changed
    others                                     Refuse: not about ranges; its status decides

Ranges count encoded bytes, so every request of a download asks for identity, the first one too. A response
that is encoded nevertheless has no validators here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ..content_codings.decoder import content_codings
from ..fields.dates import parse_imf_fixdate
from ..headers import Headers
from ..media_types import parse_content_type

__all__ = [
    "IDENTITY",
    "Complete",
    "ContentRange",
    "Continue",
    "Refuse",
    "Restart",
    "Validators",
    "byte_range",
    "is_part",
    "judge_response",
    "judged_status",
    "parse_content_range",
    "resume_headers",
]

IDENTITY: Mapping[str, str] = MappingProxyType({"Accept-Encoding": "identity"})
"""The header that each request of a download sends."""

_STRONG_AGE = 60  # seconds

# opaque-tag = DQUOTE *etagc DQUOTE, etagc = %x21 / %x23-7E / obs-text            RFC 9110 8.8.3
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"').fullmatch
# Content-Range = range-unit SP ( range-resp / unsatisfied-range )                RFC 9110 14.4
_CONTENT_RANGE = re.compile(r"bytes[ \t]+(?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)", re.I).fullmatch


class Validators(NamedTuple):
    """The version of a file: header values of the response that began the download.

    total: the length of the whole file, or None if unknown.
    """

    etag: str | None = None
    last_modified: str | None = None
    date: str | None = None
    total: int | None = None

    @classmethod
    def of(cls, headers: Headers, total: int | None = None) -> Validators:
        """The validators of a response. If its content is encoded it has none, since a coding moves every byte."""
        if _is_encoded(headers):
            return cls()
        return cls(headers.get("ETag"), headers.get("Last-Modified"), headers.get("Date"), total)


class ContentRange(NamedTuple):
    """A parsed Content-Range. first and last (inclusive) are None for a 416; total is None for ``*``."""

    first: int | None
    last: int | None
    total: int | None


class Continue(NamedTuple):
    """Write the body at `offset`. `length`: of the body. `total`: of the whole file, None if unknown."""

    offset: int
    total: int | None
    length: int


class Restart(NamedTuple):
    """Discard the received bytes and start at zero.

    has_body: this response's body is the whole file; otherwise send a new request, without a range.
    """

    has_body: bool


class Complete(NamedTuple):
    """The received bytes are the whole file. `total`: its length."""

    total: int


class Refuse(NamedTuple):
    """The response cannot be used for this download; `reason` says why."""

    reason: str


def resume_headers(
    received: int, etag: str | None, last_modified: str | None, date: str | None, end: int | None = None
) -> dict[str, str] | None:
    """The headers that request the rest, or None when the download must start over.

    received: the number of bytes so far. etag, last_modified, date: header values of the response that they came from.
    end: the first byte that is not requested; None for all of the rest.

    >>> resume_headers(100, '"v1"', None, None)
    {'Accept-Encoding': 'identity', 'Range': 'bytes=100-', 'If-Range': '"v1"'}
    >>> resume_headers(100, 'W/"v1"', None, None)
    """
    validator = _strong_validator(etag, last_modified, date)
    if received <= 0 or validator is None:
        return None
    return {**IDENTITY, "Range": byte_range(received, end), "If-Range": validator}


def byte_range(start: int, end: int | None) -> str:
    """The value of a Range header, from `start` up to and without `end`.

    >>> byte_range(0, 100)
    'bytes=0-99'
    """
    return f"bytes={start}-{'' if end is None else end - 1}"


def parse_content_range(value: str | None) -> ContentRange | None:
    """Parse a Content-Range in bytes; None if it is missing or invalid.

    >>> parse_content_range("bytes 0-9/10")
    ContentRange(first=0, last=9, total=10)
    """
    match = _CONTENT_RANGE(value.strip(" \t")) if value else None
    if match is None:
        return None
    first, last, total = (None if text in (None, "*") else int(text) for text in match.groups())
    if first is None:
        return None if total is None else ContentRange(None, None, total)
    assert last is not None  # the pattern has both or neither
    # "invalid if last-pos is less than first-pos, or complete-length less than or equal to last-pos"
    if last < first or (total is not None and total <= last):
        return None
    return ContentRange(first, last, total)


def judged_status(status: int, headers: Headers) -> int:
    """The status by which to judge a response: 206 for a 200 whose body is a part of the file.

    A Content-Range has no meaning in a 200 (RFC 9110, 14.4). But if its length is also that of the body, or the body's is
    unknown, a client that ignores it takes the part for the whole file.

    >>> judged_status(200, Headers({"Content-Range": "bytes 100-199/200", "Content-Length": "100"}))
    206
    >>> judged_status(200, Headers({"Content-Range": "bytes 0-199/200", "Content-Length": "200"}))
    200
    """
    found = parse_content_range(headers.get("Content-Range")) if status == 200 else None
    if found is None or found.first is None or found.last is None:
        return status
    is_whole = found.first == 0 and found.last + 1 == found.total
    return status if is_whole or not _is_length(headers, found.last - found.first + 1) else 206


def judge_response(
    status: int, headers: Headers, received: int, validators: Validators
) -> Continue | Restart | Complete | Refuse:
    """What the response to a request for the rest means for the `received` bytes.

    status: as `judged_status` returns it.   validators: of the response that they came from.
    """
    if status == 200:
        return Restart(has_body=True)
    if status == 206:
        return _judge_part(headers, received, validators)
    if status == 416:
        found = parse_content_range(headers.get("Content-Range"))
        is_whole = found is not None and found.first is None and found.total == received
        if is_whole and received > 0 and not _has_changed(headers, received, validators):
            return Complete(received)
        return Restart(has_body=False)
    return Refuse(f"the response to a range request has the status {status}")


def _judge_part(headers: Headers, received: int, validators: Validators) -> Continue | Restart | Refuse:
    if parse_content_type(headers.get("Content-Type", ""))[0] == "multipart/byteranges":
        return Refuse("the response has several parts (multipart/byteranges), but one range was requested")
    if _is_encoded(headers):
        return Refuse("the response has a Content-Encoding, but identity was requested")
    found = parse_content_range(headers.get("Content-Range"))
    if found is None or found.first is None:
        return Refuse("the response is a part (206) without a valid Content-Range in bytes")
    assert found.last is not None  # as `first`
    if _has_changed(headers, found.total, validators):
        return Restart(has_body=False)
    if found.first > received:
        return Refuse(
            f"the response begins at byte {found.first}, after a gap: byte {received} was requested"
        )
    if found.last < received:
        return Refuse(f"the response ends at byte {found.last}, but byte {received} was requested")
    length = found.last - found.first + 1
    if not _is_length(headers, length):
        return Refuse(f"the response's Content-Length does not match its Content-Range ({length} bytes)")
    return Continue(found.first, found.total if found.total is not None else validators.total, length)


def _is_length(headers: Headers, length: int) -> bool:
    """Whether the body has this length, as far as Content-Length says it."""
    return headers.get("Content-Length", str(length)).strip(" \t") == str(length)


def _has_changed(headers: Headers, total: int | None, validators: Validators) -> bool:
    """Whether the response shows that it is of another version. A missing header means no change."""
    if None not in (total, validators.total) and total != validators.total:
        return True
    tag, old_tag = headers.get("ETag"), validators.etag
    if tag is not None and old_tag is not None:
        # Weak or strong, different tags are different versions; a W/ that a proxy added makes no difference.
        # Equal tags say more than dates, which differ between servers that have the same file.
        return tag.removeprefix("W/") != old_tag.removeprefix("W/")
    changed = headers.get("Last-Modified")
    return None not in (changed, validators.last_modified) and changed != validators.last_modified


def is_part(headers: Headers) -> bool:
    """Whether a 206 has only a part of its content. A coding can be removed from the whole alone.

    >>> (
    ...     is_part(Headers({"Content-Range": "bytes 1-9/10"})),
    ...     is_part(Headers({"Content-Range": "bytes 0-9/10"})),
    ... )
    (True, False)
    """
    found = parse_content_range(headers.get("Content-Range"))
    return found is None or found.first != 0 or found.last is None or found.total != found.last + 1


def _strong_validator(etag: str | None, last_modified: str | None, date: str | None) -> str | None:
    if etag is not None and _STRONG_ETAG(etag) is not None:
        return etag
    # IMF-fixdate, as servers must send it: the two other forms date from before 1995.
    changed, sent = parse_imf_fixdate(last_modified or ""), parse_imf_fixdate(date or "")
    if changed is None or sent is None or sent - changed < _STRONG_AGE:
        return None
    return last_modified


def _is_encoded(headers: Headers) -> bool:
    return bool(content_codings(headers.get("Content-Encoding", "")))
