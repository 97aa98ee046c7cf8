"""The Link header (RFC 8288): where the next page is.

Parsed leniently, as servers write it: malformed links are skipped, and nothing raises.
"""

from __future__ import annotations

from ...lazy import lazy_pattern
from ..media_types import unquoted
from ..references import resolve_reference

__all__ = ["parse_links"]

# link-value = "<" URI-Reference ">" *( OWS ";" OWS [ link-param ] )              RFC 8288 3
_TARGET = lazy_pattern(r"<([^<>]*)>")
_PARAMETER = lazy_pattern(r'\s*;\s*([^\s=;,"<>]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*))?|\s*;')


def parse_links(value: str, base_url: str = "") -> dict[str, dict[str, str]]:
    """The links by relation, or by URL where they have no relation. The first link of a relation wins.

    base_url: the URL of the response; relative targets and anchors are resolved against it (RFC 8288 3.1, 3.2).
    A link with the anchor of another resource says nothing about this response: it is listed by its URL.

    >>> parse_links('<https://h/?page=2>; rel="next"')
    {'next': {'url': 'https://h/?page=2', 'rel': 'next'}}
    """
    links: dict[str, dict[str, str]] = {}
    position = 0
    while (match := _TARGET.search(value, position)) is not None:
        link = {"url": resolve_reference(base_url, match.group(1).strip())}
        position = match.end()
        while (parameter := _PARAMETER.match(value, position)) is not None:
            position = parameter.end()
            name, text = parameter.groups()
            if name is not None:
                link.setdefault(name.lower(), unquoted(text or ""))
        # rel="next last" is one link with two relations (RFC 8288 3.3). Some servers write rel='next': to the letter it is
        # another relation, and a listing would end after its first page without an error.
        relations = [name.strip("'") or name for name in link.get("rel", "").lower().split()]
        if not _is_ours(link, base_url):
            relations = []
        for relation in relations or [link["url"]]:
            links.setdefault(relation, link)
    return links


def _is_ours(link: dict[str, str], base_url: str) -> bool:
    """Whether it leads from the response to its target, and not from another resource, or from a part of the response."""
    anchor = link.get("anchor")
    return anchor is None or resolve_reference(base_url, anchor) == base_url
