"""URLs in the one spelling that both transports send unchanged.

A URL is parsed by RFC 3986 appendix B and written in a normal form: http or https, the host in lower-case
ASCII, no default port, no dot segments (6.2.2.3), no raw space, non-ASCII or lone ``%``, no fragment. In that
form requests and aiohttp put the same bytes on the wire; in other forms they differ, and an attacker chooses which
one to fool. So a URL that two readers could understand differently is refused: user information, backslashes, odd
hosts.

Escapes that are there stay as they are, ``%2f`` in lower case too, and so does a ``?`` without a query: both are part
of what a presigned URL was signed over. `RawUrl` keeps every other character of the path and the query, too.

`normalise_url` is idempotent: a normal form is its own normal form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, quote_from_bytes, unquote

from ..errors import InvalidRequestError
from ..lazy import lazy_pattern
from .hosts import normalise_host
from .parameters import field_pairs, query_text
from .secret_names import SECRET_NAMES
from .unix_sockets import HOST_OF_SOCKET, UNIX, normalise_socket, socket_path

__all__ = [
    "DEFAULT_PORTS",
    "DOT_SEGMENTS",
    "RawUrl",
    "Url",
    "UrlUnderBase",
    "check_base_url",
    "escape_path",
    "hide_parameter",
    "is_relative",
    "location_url",
    "normalise_url",
    "origin_of",
    "path_span",
    "redact_url",
    "remove_dot_segments",
    "show_url",
    "split_url",
]

DEFAULT_PORTS = {"http": 80, "https": 443}

_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?", re.DOTALL)
_PORT = re.compile(r"0*([0-9]{1,5})").fullmatch
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_NORMAL = re.compile(r"(https?)://(\[[0-9a-f:]+\]|[a-z0-9_\-.]+)(?::([0-9]+))?(/[!-~]*)").fullmatch
_NORMAL_UNIX = lazy_pattern(r"http\+unix://(%2F(?:[A-Za-z0-9_.~\-]|%[0-9A-F]{2})*)(/[!-~]*)")

# pchar = unreserved / pct-encoded / sub-delims / ":" / "@"                         RFC 3986 3.3
_PATH_SAFE = "/:@!$&'()*+,;="
_QUERY_SAFE = _PATH_SAFE + "?"
_IS_NORMAL_PATH = re.compile(r"(?:[A-Za-z0-9\-._~/:@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*").fullmatch
_IS_NORMAL_QUERY = re.compile(r"(?:[A-Za-z0-9\-._~/:@!$&'()*+,;=?]|%[0-9A-Fa-f]{2})*").fullmatch
# The characters that browsers send as they are, "%" among them (WHATWG URL, percent-encode sets).
_BROWSER_QUERY_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"#<>')
_BROWSER_PATH_SAFE = "".join(character for character in _BROWSER_QUERY_SAFE if character not in "?^`{}")
_NOT_PRINTABLE = lazy_pattern(r"[^!-~]")
_ESCAPE = lazy_pattern(r"(%[0-9A-Fa-f]{2})")
_ONE_DOT = frozenset({".", "%2E"})
# In a query: OAuth's code and CAS's ticket buy a token and a session. `hide_parameter` adds names of the user's.
_VOUCHERS = {"code", "ticket"}
_LONGEST_KEPT = 100  # a peer may choose names, and what is remembered of them must stay small
_PAIRS = lazy_pattern("[^&;]+")
# Whoever has the URL may post: Telegram, Slack, Discord, Teams.
_TOKEN_IN_PATH = lazy_pattern(
    r"(?<=/bot)[0-9]{6,}(?::|%3A)[\w-]{30,}|(?<=/services/)T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/\w{16,}"
    r"|(?<=/webhooks/)[0-9]{15,}/[\w-]{40,}|(?<=/IncomingWebhook/)[0-9a-f]{32}(?:/[0-9a-f-]{36})?"
)
_TWO_DOTS = frozenset({"..", ".%2E", "%2E.", "%2E%2E"})
DOT_SEGMENTS = _ONE_DOT | _TWO_DOTS
"""In upper case; RFC 3986 5.2.4."""


class RawUrl(str):
    """A URL whose path and query are sent exactly as they are written.

    No character is escaped, and no dot segment is removed: for a URL that was signed over these very bytes, and for
    servers that want ``{``, ``|`` or ``..`` as they are. It must be absolute and hold printable ASCII only. The scheme
    and the host are normalised as always, and a fragment is never sent. ``params=`` is appended, encoded as always.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"RawUrl({redact_url(str(self))!r})"


class UrlUnderBase(str):
    """A URL in its final form that was put under the base URL: its alternates may stand in, as for a relative URL."""

    __slots__ = ()


class Url(NamedTuple):
    """The parts of a normalised URL.

    scheme: "http" or "https". host: lower-case; an IPv6 address without brackets. port: the scheme's default
    if the URL has none. target: path and query as sent; starts with "/".
    Of a Unix socket: scheme "http+unix", and as host the percent-encoded path of the socket.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> str:
        """Scheme, host, and the port unless it is the default: ``https://api.example.com``."""
        if self.scheme == UNIX:
            return f"{UNIX}://{self.host}"
        return f"{self.scheme}://{self.host_field}"

    @property
    def host_field(self) -> str:
        """The value of the Host field (RFC 9110 7.2): the host, and the port unless it is the default."""
        if self.scheme == UNIX:
            return HOST_OF_SOCKET
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def socket_path(self) -> str | None:
        """The path of the Unix socket, or None."""
        return socket_path(self.host) if self.scheme == UNIX else None


def normalise_url(url: str, params: object = None, base_url: str | None = None) -> str:
    """The absolute URL as it goes on the wire, with `params` appended to its query.

    params: a mapping or pairs (see `parameters`), or text or bytes that are an encoded query already.
    base_url: a *prefix* for relative URLs, not a base in the sense of RFC 3986: ``https://h/v1`` and
        ``charges`` or ``/charges`` make ``https://h/v1/charges``. An absolute `url` is used as it is.
        It has passed `check_base_url`.
    Raises InvalidRequestError, with secrets redacted.
    """
    if not isinstance(url, str):
        raise not_text(url)
    if isinstance(url, RawUrl):
        return RawUrl(_with_params(_as_written(url), params))
    if base_url is not None and _ABSOLUTE.match(url) is None:
        normal = _prefixed(base_url, url)
    else:
        normal = _normalise(url) if len(url) <= 2048 else _normalise.__wrapped__(url)
    return _with_params(normal, params) if params else normal


def not_text(url: object) -> InvalidRequestError:
    """The error for a URL of another type."""
    if url is None:
        remedy = "check where it comes from"
    elif isinstance(url, (bytes, bytearray)):
        remedy = "decode it"
    else:
        remedy = "convert it by str()"
    return InvalidRequestError(f"the URL must be text, not {type(url).__name__}; {remedy}")


def is_relative(url: str) -> bool:
    """Whether `normalise_url` puts it under a base URL, or has done so."""
    return isinstance(url, UrlUnderBase) or (not isinstance(url, RawUrl) and _ABSOLUTE.match(url) is None)


def location_url(url: str) -> str:
    """The absolute URL of a Location, in the server's own spelling: it may be presigned.

    Characters are escaped where browsers escape them, since servers are tried with browsers: less than in a URL of
    the caller. Dot segments are removed (RFC 3986 5.2.4). Raises InvalidRequestError, with secrets redacted.
    """
    start, path, query = _parts(url)
    path = remove_dot_segments(_percent_encoded(path, _BROWSER_PATH_SAFE)) or "/"
    found = start + path
    if query is not None:
        found += f"?{_percent_encoded(query, _BROWSER_QUERY_SAFE)}"
    # A RawUrl, so that the same bytes go out when a caller requests `response.url` again.
    return found if found == normalise_url(found) else RawUrl(found)


def check_base_url(base_url: object) -> None:
    """Raise InvalidRequestError unless it is a URL that relative ones can be put under."""
    if not isinstance(base_url, str):
        raise InvalidRequestError(f"base_url must be text, not {type(base_url).__name__}")
    if "?" in base_url or "#" in base_url:
        raise InvalidRequestError("base_url has a query or fragment; pass params= with each call instead")
    if _ABSOLUTE.match(base_url) is None:
        raise InvalidRequestError(
            f"base_url {show_url(base_url)} is not absolute; write it as https://host/path"
        )
    try:
        _normalise(base_url)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"base_url: {error}") from None


@lru_cache(maxsize=1024)
def split_url(url: str) -> Url:
    """The parts of a URL, which is normalised first if necessary."""
    match = _NORMAL(url)
    if match is None:
        url = normalise_url(url)
        unix = _NORMAL_UNIX.fullmatch(url)
        if unix is not None:
            return Url(UNIX, unix[1], DEFAULT_PORTS["http"], unix[2])
        match = _NORMAL(url)
        assert match is not None  # every result of normalise_url matches one of them
    scheme, host, port, target = match.groups()
    return Url(scheme, host.strip("[]"), int(port) if port else DEFAULT_PORTS[scheme], target)


@lru_cache(maxsize=1024)
def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, as `Url.origin`."""
    return split_url(url).origin


def redact_url(url: str) -> str:
    """The URL for a log or an error: user information and secret-like query values become ``***``.

    So they do in a URL that is a value of the query itself: where to send a user, say. Takes any text and never fails; a
    malformed URL is redacted too.
    """
    if "/bot" in url or "ebhook" in url or "/services/T" in url:
        url = _TOKEN_IN_PATH.sub("***", url)
    if "?" not in url and "@" not in url and "#" not in url and ";" not in url:
        return url
    return _redact(url, _redact_pair)


def _redact(url: str, redact_pair: Callable[[str], str]) -> str:
    if "@" in url:
        url = re.sub(r"^([^/?#]*//)?[^/?#]*@", r"\1***@", url)
    head, hash_sign, fragment = url.partition("#")
    head, mark, query = head.partition("?")
    if ";" in head:  # parameters of the path, such as ";jsessionid=..."
        head = re.sub(r";[^/;=]*=[^/;]*", lambda parameter: redact_pair(parameter[0]), head)
    if mark:
        if ";" in query:  # some servers take it for a "&"
            query = _PAIRS.sub(lambda pair: redact_pair(pair[0]), query)
        else:
            query = "&".join(map(redact_pair, query.split("&")))
    if "=" in fragment:  # OAuth returns a token in the fragment
        fragment = "***"
    return f"{head}{mark}{query}{hash_sign}{fragment}"


def hide_parameter(name: str) -> None:
    """Have `redact_url` hide the values of a parameter whose name does not show that it holds a secret.

    For all URLs of the process: messages are written where nobody knows whose URL it is.
    """
    if name not in SECRET_NAMES:
        _VOUCHERS.add(name.lower())


def is_secret_parameter(name: str) -> bool:
    """Whether `redact_url` hides the values of a parameter.   name: without escapes."""
    if name.lower() in _VOUCHERS:
        return True
    return _is_secret_name(name) if len(name) <= _LONGEST_KEPT else name in SECRET_NAMES


@lru_cache(maxsize=512)  # a client has few names of parameters, and shows them in each URL
def _is_secret_name(name: str) -> bool:
    return name in SECRET_NAMES


def remove_dot_segments(path: str) -> str:
    """RFC 3986 5.2.4, for a path that starts with "/". An escaped dot (``%2E`` or ``%2e``) counts as a dot."""
    if "." not in path and "%2" not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        dots = segment.upper()
        if dots in _TWO_DOTS:
            if kept:
                kept.pop()
        elif dots not in _ONE_DOT:
            kept.append(segment)
    if segments[-1].upper() in DOT_SEGMENTS:
        kept.append("")  # "/a/.." is the folder "/", and "/a/." the folder "/a/"
    return "/" + "/".join(kept)


def path_span(url: str) -> tuple[int, int]:
    """Where the path of a URL, absolute or relative, begins and ends in its text."""
    absolute = _ABSOLUTE.match(url)
    begin = absolute.start(3) if absolute is not None else 0
    end = re.compile("[?#]").search(url, begin)
    return begin, len(url) if end is None else end.start()


def escape_path(text: str) -> str:
    """A piece of a path in normal form: existing escapes as they are, everything else escaped as UTF-8."""
    return _escaped(text, _PATH_SAFE)


@lru_cache(maxsize=1024)
def _normalise(url: str) -> str:
    start, path, query = _parts(url)
    normal = f"{start}{remove_dot_segments(_escaped(path, _PATH_SAFE)) or '/'}"
    return normal if query is None else f"{normal}?{_escaped(query, _QUERY_SAFE)}"


def _as_written(url: RawUrl) -> str:
    start, path, query = _parts(url)
    target = (path or "/") if query is None else f"{path or '/'}?{query}"
    odd = _NOT_PRINTABLE.search(target)
    if odd is not None:
        raise InvalidRequestError(
            f"the RawUrl {show_url(url)} has the character {odd.group()!r} in it, which cannot be sent as it is; "
            "escape it, or pass the URL as a plain str"
        )
    return start + target


def _parts(url: str) -> tuple[str, str, str | None]:
    """Scheme and authority in normal form, then path and query as they are written; the query may be absent."""
    _check_characters(url)
    match = _ABSOLUTE.match(url)
    if match is None:
        raise InvalidRequestError(
            f"the URL {show_url(url)} is not absolute; write it as https://host/path, or use a base_url"
        )
    scheme, authority, path, query = match.groups()
    scheme = scheme.lower()
    if scheme == UNIX:
        return f"{UNIX}://{normalise_socket(authority)}", path, query
    if scheme not in DEFAULT_PORTS:
        hint = "; for a Unix socket write http+unix://%2Frun%2Fapp.sock/path" if scheme == "unix" else ""
        raise InvalidRequestError(
            f"the URL's scheme is {scheme[:40]!r}; only http and https can be sent{hint}"
        )
    if "@" in authority:
        raise InvalidRequestError(
            "the URL has user information before the host; remove it and pass auth= instead"
        )
    return f"{scheme}://{_normal_authority(authority, scheme)}", path, query


def _check_characters(url: str) -> None:
    if _CONTROL(url) is not None:
        raise InvalidRequestError(
            f"the URL {show_url(url)} has a control character in it; remove or escape it"
        )
    if url != url.strip():
        raise InvalidRequestError(f"the URL {show_url(url)} has white space around it; strip it")
    if "\\" in url.partition("?")[0]:
        raise InvalidRequestError(
            f"the URL {show_url(url)} has a backslash in it, which some take for a slash; write / or %5C"
        )


def _normal_authority(authority: str, scheme: str) -> str:
    host, port = authority, ""
    colon = authority.rfind(":")
    is_open = authority.startswith("[") and "]" not in authority  # all of it is a malformed address
    if colon > authority.rfind("]") and not is_open:
        host, port = authority[:colon], authority[colon + 1 :]
    host = normalise_host(host)
    if not port:
        return host
    match = _PORT(port)
    number = int(match.group(1)) if match else 0
    if not 0 < number < 65536:
        shown = repr(port[:20]) if port.isdigit() else "not a number"  # it may be a misplaced password
        raise InvalidRequestError(f"the URL's port is {shown}; it must be a number from 1 to 65535")
    return host if number == DEFAULT_PORTS[scheme] else f"{host}:{number}"


def _escaped(text: str, safe: str) -> str:
    """Percent-encoded normal form: existing escapes as they are, everything else escaped as UTF-8."""
    is_normal = _IS_NORMAL_QUERY if safe is _QUERY_SAFE else _IS_NORMAL_PATH
    if is_normal(text):
        return text
    # Odd pieces are the escapes; a "%" in the others is a lone one and becomes %25.
    pieces = _ESCAPE.split(text)
    pieces[::2] = [_percent_encoded(piece, safe) for piece in pieces[::2]]
    return "".join(pieces)


def _percent_encoded(text: str, safe: str) -> str:
    try:
        return quote_from_bytes(text.encode("utf-8"), safe)
    except UnicodeEncodeError:
        raise InvalidRequestError("the URL holds a lone surrogate, which UTF-8 cannot express") from None


def _with_params(url: str, params: object) -> str:
    query = _encode_params(params) if params else ""
    if not query:
        return url
    head, _, own = url.partition("?")
    return f"{head}?{own}&{query}" if own else f"{head}?{query}"


def _encode_params(params: object) -> str:
    if isinstance(params, (bytes, bytearray)):
        params = quote_from_bytes(bytes(params), _QUERY_SAFE + "%")
    if isinstance(params, str):
        if _CONTROL(params) is not None:
            raise InvalidRequestError(
                "params is text with a control character in it; pass a mapping to have it escaped"
            )
        return _escaped(params, _QUERY_SAFE)
    return query_text(field_pairs(params, "params"))


def _prefixed(base_url: str, url: str) -> str:
    base = _normalise(base_url)
    if url.startswith("//"):
        raise InvalidRequestError(
            f"the URL {show_url(url)} starts with two slashes, which names another host; write one slash or https://"
        )
    _check_characters(url)
    if not url or url[0] in "?#":
        return _normalise(base + url)
    prefix = base if base.endswith("/") else f"{base}/"
    joined = _normalise(prefix + url.removeprefix("/"))
    if not joined.startswith(prefix):
        raise InvalidRequestError(
            f"the URL {show_url(url)} climbs out of base_url by '..'; use an absolute URL if you mean it"
        )
    return joined


def _redact_pair(pair: str) -> str:
    shown = _redact_value(pair)
    if shown is not pair:
        return shown
    key, _, value = pair.partition("=")
    inner = unquote(value) if "%" in value else value
    if "?" in inner or "://" in inner:  # of a URL within that one nothing is known
        shown = _redact(inner, _redact_value)
        if shown != inner:
            return key + "=" + quote(shown, safe="*/:", errors="replace")
    return pair


def _redact_value(pair: str) -> str:
    key, equals, _ = pair.partition("=")
    return f"{key}=***" if equals and is_secret_parameter(unquote(key).lstrip(";")) else pair


def show_url(url: str) -> str:
    """A URL in the message of an error that refuses it."""
    # It may be mangled, with its password anywhere before an "@": hide all of that.
    return repr(redact_url(re.sub(r"^([^/?#]*//)?[^?#]*@", r"\1***@", url))[:200])
