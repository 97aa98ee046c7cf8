"""The request as a curl command, for a ticket or a colleague: `--curl`.

Each argument is quoted for a POSIX shell. Secrets of headers become variables of the shell, in double quotes: the
command can be shown to anybody, and runs where they are set. Retries are left out: curl's repeat a POST that may have
been processed.
"""

from __future__ import annotations

import re
import shlex
from argparse import Namespace
from collections.abc import Iterator
from typing import NamedTuple

from ...client.config.client_config import HttpClientConfig
from ...http.auth.digest import Digest
from ...http.messages import HttpRequest
from ...http.urls import redact_url
from ..request_options import split_file

__all__ = ["CurlCommand", "curl_command"]

_NOT_NAME = re.compile(r"[^A-Z0-9]+")
# curl sends no Content-Length: 0 for these.
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "QUERY"})
_WIDTH = 100


class CurlCommand(NamedTuple):
    """text: of one line or several.   secrets: the variables that it needs.   has_hidden: a secret of a URL is ***."""

    text: str
    secrets: list[str]
    has_hidden: bool


def curl_command(
    request: HttpRequest,
    arguments: Namespace,
    config: HttpClientConfig,
    *,
    digest: Digest | None,
    shows_secrets: bool,
) -> CurlCommand:
    """The command.   request: as it would be sent.   arguments: of our own command.   digest: its login."""
    secrets: list[str] = []

    def header(name: str, value: str) -> str:
        if shows_secrets or name not in request.headers.secret_names:
            return shlex.quote(f"{name}: {value}")
        # The scheme of credentials is not secret, and shows which ones are meant.
        scheme = f"{value.partition(' ')[0]} " if name.lower() == "authorization" and " " in value else ""
        secrets.append(_NOT_NAME.sub("_", name.upper()))
        return f'"{name}: {scheme}${secrets[-1]}"'

    def parts() -> Iterator[str]:
        yield "curl"
        method = request.method
        # curl repeats a method that is named after each redirect, whatever its status.
        if method == "HEAD":
            yield "--head"
        elif method != ("POST" if _sends_body(method, arguments) else "GET"):
            yield f"--request {method}"
        yield from _connection(arguments, config, shows_secrets)
        if digest is not None:
            yield "--digest"
            login = shlex.quote(f"{digest.username}:{digest.password}")
            yield f"--user {login}" if shows_secrets else _login(secrets)
        for name, value in request.headers.multi_items():
            key = name.lower()
            if key == "accept-encoding":
                if any(text.lower().startswith("accept-encoding:") for text in arguments.header):
                    yield f"--header {header(name, value)}"
                elif value != "identity":
                    yield "--compressed"
            elif key == "authorization" and value.startswith("Basic ") and not shows_secrets:
                yield _login(secrets)  # a user can type it, unlike its base64 form
            elif not (key == "accept" and value == "*/*"):
                yield f"--header {header(name, value)}"
        # Headers that curl would add.
        for name in ("User-Agent", "Accept"):
            if name not in request.headers:
                yield f"--header {name}:"
        yield from _body(request, arguments)
        yield shlex.quote(request.url if shows_secrets else redact_url(request.url))

    words = list(parts())
    line = " ".join(words)
    text = line if len(line) <= _WIDTH else " \\\n  ".join(words)
    urls = [request.url, *([config.proxy] if isinstance(config.proxy, str) else [])]
    has_hidden = not shows_secrets and any(redact_url(url) != url for url in urls)
    return CurlCommand(text, secrets, has_hidden)


def _connection(arguments: Namespace, config: HttpClientConfig, shows_secrets: bool) -> Iterator[str]:
    """Where it goes, and how."""
    redirects = config.allowed_redirect_count if arguments.follow else 0
    if redirects:
        yield f"--location --max-redirs {redirects}"
    for option, value in (
        ("cacert", config.pool.ssl_ca_file),
        ("cert", config.pool.ssl_cert_file),
        ("key", config.pool.ssl_key_file),
        ("unix-socket", config.pool.uds),
        ("netrc-file", None if isinstance(config.netrc, bool) else config.netrc),
        ("output", arguments.output),
    ):
        if value is not None:
            yield f"--{option} {shlex.quote(str(value))}"
    if isinstance(config.proxy, str):
        yield f"--proxy {shlex.quote(config.proxy if shows_secrets else redact_url(config.proxy))}"
    elif config.proxy == {}:
        yield "--noproxy '*'"
    for option, is_set in (
        ("insecure", not config.pool.ssl_verify),
        ("http2", config.http2),
        ("netrc", config.netrc is True),
        ("remote-name", arguments.download),
    ):
        if is_set:
            yield f"--{option}"
    if isinstance(arguments.timeout, float):
        yield f"--max-time {arguments.timeout:g}"
    if isinstance(arguments.connect_timeout, float):
        yield f"--connect-timeout {arguments.connect_timeout:g}"


def _login(secrets: list[str]) -> str:
    secrets.append("CREDENTIALS")
    return '--user "$CREDENTIALS"'


def _sends_body(method: str, arguments: Namespace) -> bool:
    """Whether `_body` has an option by which curl sends one."""
    given = (arguments.json, arguments.data, arguments.form or None, arguments.file or None)
    return method not in _WITHOUT_BODY or any(each is not None for each in given)


def _body(request: HttpRequest, arguments: Namespace) -> Iterator[str]:
    if arguments.file:
        for text in arguments.form:
            yield f"--form-string {shlex.quote(text)}"
        for text in arguments.file:
            name, path, media_type = split_file(text)
            quoted = path.replace("\\", "\\\\").replace('"', '\\"')
            yield "--form " + shlex.quote(
                f'{name}=@"{quoted}";type={media_type or "application/octet-stream"}'
            )
        return
    given = arguments.json if arguments.json is not None else arguments.data
    if given is None and not arguments.form:
        if request.method not in _WITHOUT_BODY:
            yield "--data-raw ''"
            yield "--header Content-Type:"
        return
    content_type = request.body.content_type
    if "Content-Type" not in request.headers:
        yield "--header " + shlex.quote(f"Content-Type:{' ' + content_type if content_type else ''}")
    if given is not None and (given == "-" or given.startswith("@")):
        yield "--data-binary " + shlex.quote("@-" if given == "-" else given)
    else:
        yield "--data-raw " + shlex.quote((request.content or b"").decode("utf-8", "surrogateescape"))
