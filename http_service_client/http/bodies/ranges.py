"""Going on with a broken download, and knowing when not to (RFC 9110 13.1.5, 14, 15.3.7, 15.5.17).

Two halves of two versions of a file make a file that never was. So the rest is asked for under a
condition (If-Range) that only a *strong* validator can state: an entity tag without ``W/``, or a
Last-Modified that is 60 seconds older than the Date beside it (8.8.2.2; without knowing that one clock
made both, less is too little). Without one, the download starts over. The answer is not trusted either:

    answer                                     judgement
    206, from where we are or before it        Continue: write it there
    206, of another version                    Restart, by a new request
    206, past a gap, or with nothing new       Refuse
    206, coded, multipart, or without a        Refuse
      Content-Range that makes sense
    200                                        Restart, from this very body: it is the whole
    416, and the file is as long as we have    Complete
    416, else                                  Restart, by a new request: it has changed
    others                                     Refuse: not about ranges; judge it by its status

Ranges count encoded bytes, so every request of a download asks for identity, the first one too; what
came coded all the same has no validators here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ..content_codings.decoder import content_codings
from ..dates import parse_imf_fixdate
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
    "judge_answer",
    "parse_content_range",
    "resume_headers",
]

IDENTITY: Mapping[str, str] = MappingProxyType({"Accept-Encoding": "identity"})
"""What each request of a download sends."""

_STRONG_AGE = 60  # seconds

# opaque-tag = DQUOTE *etagc DQUOTE, etagc = %x21 / %x23-7E / obs-text            RFC 9110 8.8.3
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"').fullmatch
# Content-Range = range-unit SP ( range-resp / unsatisfied-range )                RFC 9110 14.4
_CONTENT_RANGE = re.compile(r"bytes[ \t]+(?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)", re.I).fullmatch


class Validators(NamedTuple):
    """What tells one version of a file from another: header values of the answer that began the download.

    total: the length of the whole file, where it is known.
    """

    etag: str | None = None
    last_modified: str | None = None
    date: str | None = None
    total: int | None = None

    @classmethod
    def of(cls, headers: Headers, total: int | None = None) -> Validators:
        """Of an answer's headers; none when its content is coded, since then no byte is where it seems."""
        if _is_coded(headers):
            return cls()
        return cls(headers.get("ETag"), headers.get("Last-Modified"), headers.get("Date"), total)


class ContentRange(NamedTuple):
    """A Content-Range, read. first and last (inclusive) are None in that of a 416; total is None for ``*``."""

    first: int | None
    last: int | None
    total: int | None


class Continue(NamedTuple):
    """Write the body from `offset` on. `length`: its bytes. `total`: of the whole file, None if unknown."""

    offset: int
    total: int | None
    length: int


class Restart(NamedTuple):
    """Throw away what there is, and begin at zero.

    has_body: this answer's body is the whole file; otherwise a new request, without a range, brings it.
    """

    has_body: bool


class Complete(NamedTuple):
    """There is nothing left to get. `total`: the length of the file, which is what there is."""

    total: int


class Refuse(NamedTuple):
    """The answer cannot be used for this download; `reason` says why."""

    reason: str


def resume_headers(
    received: int, etag: str | None, last_modified: str | None, date: str | None
) -> dict[str, str] | None:
    """The headers that ask for the rest, or None when the download must start over.

    received: bytes that there are. The others: header values of the answer that they came from.

    >>> resume_headers(100, '"v1"', None, None)
    {'Accept-Encoding': 'identity', 'Range': 'bytes=100-', 'If-Range': '"v1"'}
    >>> resume_headers(100, 'W/"v1"', None, None)
    """
    validator = _strong_validator(etag, last_modified, date)
    if received <= 0 or validator is None:
        return None
    return {**IDENTITY, "Range": f"bytes={received}-", "If-Range": validator}


def parse_content_range(value: str | None) -> ContentRange | None:
    """Read a Content-Range in bytes; None where there is none, or no sense in it.

    >>> parse_content_range("bytes 0-9/10")
    ContentRange(first=0, last=9, total=10)
    """
    match = _CONTENT_RANGE(value.strip(" \t")) if value else None
    if match is None:
        return None
    first, last, total = (None if text in (None, "*") else int(text) for text in match.groups())
    if first is None or last is None:
        return None if total is None else ContentRange(None, None, total)
    # "invalid if last-pos is less than first-pos, or complete-length less than or equal to last-pos"
    if last < first or (total is not None and total <= last):
        return None
    return ContentRange(first, last, total)


def judge_answer(
    status: int, headers: Headers, received: int, validators: Validators
) -> Continue | Restart | Complete | Refuse:
    """What an answer to a request for the rest means for the `received` bytes that there are.

    validators: of the answer that they came from.
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
    return Refuse(f"the answer to a request for a part has the status {status}")


def _judge_part(headers: Headers, received: int, validators: Validators) -> Continue | Restart | Refuse:
    if parse_content_type(headers.get("Content-Type", ""))[0] == "multipart/byteranges":
        return Refuse("the answer has several parts (multipart/byteranges), though one was asked for")
    if _is_coded(headers):
        return Refuse("the answer has a Content-Encoding, though identity was asked for")
    found = parse_content_range(headers.get("Content-Range"))
    if found is None or found.first is None or found.last is None:
        return Refuse("the answer is a part (206) without a Content-Range in bytes that makes sense")
    if _has_changed(headers, found.total, validators):
        return Restart(has_body=False)
    if found.first > received:
        return Refuse(f"the answer begins at byte {found.first}, past a gap: {received} was asked for")
    if found.last < received:
        return Refuse(f"the answer ends at byte {found.last}, before the one that was asked for: {received}")
    length = found.last - found.first + 1
    if headers.get("Content-Length", str(length)).strip(" \t") != str(length):
        return Refuse(f"the answer's Content-Length is not that of its Content-Range ({length})")
    return Continue(found.first, found.total if found.total is not None else validators.total, length)


def _has_changed(headers: Headers, total: int | None, validators: Validators) -> bool:
    """Whether the answer shows that it is of another version. What it does not say has not changed."""
    if None not in (total, validators.total) and total != validators.total:
        return True
    tag, old_tag = headers.get("ETag"), validators.etag
    if tag is not None and old_tag is not None:
        # Weak or strong, other tags are other versions; a W/ added on the way (by a proxy) is none. Equal ones
        # say more than dates, which differ between servers that hold the same file.
        return tag.removeprefix("W/") != old_tag.removeprefix("W/")
    changed = headers.get("Last-Modified")
    return None not in (changed, validators.last_modified) and changed != validators.last_modified


def _strong_validator(etag: str | None, last_modified: str | None, date: str | None) -> str | None:
    if etag is not None and _STRONG_ETAG(etag) is not None:
        return etag
    # IMF-fixdate, as servers must send it: the two other forms date from before 1995.
    changed, sent = parse_imf_fixdate(last_modified or ""), parse_imf_fixdate(date or "")
    if changed is None or sent is None or sent - changed < _STRONG_AGE:
        return None
    return last_modified


def _is_coded(headers: Headers) -> bool:
    return bool(content_codings(headers.get("Content-Encoding", "")))
