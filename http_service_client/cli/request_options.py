"""The options that say what is requested: URL, headers, query, body.

`declare` adds them, `build_request` reads them into the arguments of `HttpServiceClient.request`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from typing import IO, Any, NamedTuple

from ..errors import ConfigurationError

__all__ = ["RequestArguments", "build_request", "declare", "full_url", "parse_header", "split_file"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_TYPED_FILE = re.compile(r"@?(.+);(?:type=)?([\w.+-]+/[\w.+-]+)", re.DOTALL).fullmatch
_LOCAL = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(?=[:/?#]|$)", re.IGNORECASE)


class RequestArguments(NamedTuple):
    """The first arguments of `HttpServiceClient.request`, and its keywords."""

    url: str
    keywords: dict[str, Any]


def declare(parser: ArgumentParser) -> None:
    """Add the URL and the options, in groups."""
    parser.add_argument(
        "url", help="https:// may be left out, and so may http://localhost of http://localhost:8000/orders"
    )
    request = parser.add_argument_group("request")
    request.add_argument(
        *("-H", "--header"),
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="a header; NAME: leaves out one that is sent by default; may be repeated, as those below",
    )
    request.add_argument(
        "-p", "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the query"
    )
    request.add_argument(
        "--cookie", action="append", default=[], metavar="NAME=VALUE", help="a cookie of this request"
    )
    body = parser.add_argument_group(
        "body", "One kind of them; @FILE is read from a file, - from standard input."
    )
    body.add_argument(
        "-j", "--json", metavar="JSON", help="JSON text, @FILE or -; it is checked, and sent as it is"
    )
    body.add_argument("-d", "--data", metavar="DATA", help="any text, @FILE or -, sent as it is")
    body.add_argument(
        "-f", "--form", action="append", default=[], metavar="NAME=VALUE", help="a field of a form"
    )
    body.add_argument(
        *("-F", "--file", "--multipart"),
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a file of a multipart form, whose fields are --form; NAME=FILE;TYPE gives its media type",
    )
    body.add_argument("--idempotency-key", metavar="KEY", help="the Idempotency-Key; auto makes one")
    body.add_argument(
        "--idempotent",
        action="store_true",
        help="processing the request twice does no harm: retry it as a GET",
    )


def build_request(arguments: Namespace, stack: ExitStack, *, base_url: str | None = None) -> RequestArguments:
    """What the options of `declare` mean. Raises ConfigurationError.

    stack: closes the files that are sent.
    base_url: that of the client; a URL may then begin with its path.
    """
    headers = [parse_header(text) for text in arguments.header]
    keywords: dict[str, Any] = {}
    body = _body(arguments, stack)
    if isinstance(body, _Typed):
        keywords["data"] = body.data
        if body.content_type is not None and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", body.content_type))
    elif body is not None:
        keywords |= body
    if arguments.idempotency_key is not None:
        key = os.urandom(16).hex() if arguments.idempotency_key == "auto" else arguments.idempotency_key
        headers.append(("Idempotency-Key", key))
    if arguments.idempotent:
        keywords["idempotent"] = True
    if headers:
        keywords["headers"] = headers
    if arguments.param:
        keywords["params"] = [_pair("--param", text) for text in arguments.param]
    if arguments.cookie:
        keywords["cookies"] = dict(_pair("--cookie", text) for text in arguments.cookie)
    return RequestArguments(full_url(arguments.url, base_url), keywords)


def full_url(text: str, base_url: str | None) -> str:
    """The URL as people type it, in full.

    A scheme that is missing is https, and http on this machine only: nobody should send a password in the clear by
    typing less.
    """
    if _SCHEME.match(text) or (base_url is not None and text[:1] in ("", "/", "?")):
        return text
    if text.startswith(":"):
        return f"http://localhost{text}"
    return f"http://{text}" if _LOCAL.match(text) else f"https://{text}"


def parse_header(text: str) -> tuple[str, str | None]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        # Not shown: it may hold a secret.
        raise ConfigurationError("--header must be NAME:VALUE, such as 'Accept: text/plain', in quotes")
    return name.strip(), value.strip() or None


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigurationError(f"{option} must be NAME=VALUE, not {text!r}")
    return name, value


class _Typed(NamedTuple):
    """A body that is sent as it is."""

    data: bytes | IO[bytes]
    content_type: str | None  # unless a header has another


def _body(arguments: Namespace, stack: ExitStack) -> _Typed | dict[str, Any] | None:
    kinds = [
        name
        for name, value in (
            ("--json", arguments.json),
            ("--data", arguments.data),
            ("--form", arguments.form or None),
            ("--file", arguments.file or None),
        )
        if value is not None
    ]
    if len(kinds) > 1 and kinds != ["--form", "--file"]:
        raise ConfigurationError(
            f"a request has one body, but {' and '.join(kinds)} were given; give one of them"
        )
    if arguments.json is not None:
        return _Typed(_checked_json(_content("--json", arguments.json)), "application/json")
    if arguments.data is not None:
        if arguments.data.startswith("@") and arguments.data != "@-":
            file = stack.enter_context(_opened("--data", arguments.data[1:]))
            return _Typed(file, None)  # not read into memory
        return _Typed(_content("--data", arguments.data), None)
    fields = [_pair("--form", text) for text in arguments.form]
    if arguments.file:
        return {"data": fields or None, "files": [_file(text, stack) for text in arguments.file]}
    return {"data": fields} if fields else None


def _content(option: str, value: str) -> bytes:
    """The bytes that an option means."""
    if value in ("-", "@-"):
        return sys.stdin.buffer.read()  # all of it, so that the request can be sent again
    if not value.startswith("@"):
        return os.fsencode(value)  # the bytes that the shell gave
    with _opened(option, value[1:]) as file:
        return file.read()


def _opened(option: str, path: str) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise ConfigurationError(f"{option}: cannot read {path!r}: {error.strerror}") from None


def _checked_json(content: bytes) -> bytes:
    """The same bytes: numbers and spaces stay as they were written."""
    try:
        json.loads(content)
    except ValueError as error:
        raise ConfigurationError(
            f"--json is not JSON: {error}; in a shell, put it in single quotes, such as '{{\"id\": 1}}'"
        ) from None
    return content


def _file(text: str, stack: ExitStack) -> tuple[str, tuple[Any, ...]]:
    name, path, media_type = split_file(text)
    file = stack.enter_context(_opened("--file", path))
    return name, (os.path.basename(path), file, media_type)


def split_file(text: str) -> tuple[str, str, str | None]:
    """The name, the path and the media type of a --file. Raises ConfigurationError.

    >>> split_file("photo=tea.jpg;image/jpeg"), split_file("photo=a;b")
    (('photo', 'tea.jpg', 'image/jpeg'), ('photo', 'a;b', None))
    """
    name, path = _pair("--file", text)
    typed = _TYPED_FILE(path)
    return (name, typed[1], typed[2]) if typed else (name, path.removeprefix("@"), None)
