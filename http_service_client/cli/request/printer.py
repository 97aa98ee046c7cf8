"""What a request command writes: to standard output what was asked for, to standard error what is said about it.

    standard output     a terminal                          anything else
    head                shown, unless --body                left out, unless --include
    body                text, readable and harmless;        the bytes, as they were received and decoded
                        JSON indented; with colours,
                        where rich is installed;
                        anything else refused

Secrets of heads are ``***`` unless --show-secrets; a body is shown as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from ...errors import Failure
from ...events import AttemptFinished, CallFinished
from ...http.media_types import decode_text
from ...http.messages import HttpContext, HttpRequest, HttpResponse
from ...http.urls import redact_url
from ..console import Paint, write_text
from ..screen import is_terminal, wants_colour
from .prefetch import Prefetch
from .text import SafeDecoder, format_json, is_binary, is_json, safe

__all__ = ["Printer"]

_STYLES = {2: "green", 3: "cyan", 4: "yellow", 5: "red"}


class Printer:
    """Writes to the two streams.

    colour: "auto", "always" or "never".   shows_head: None for what the table says.
    """

    def __init__(
        self,
        output: TextIO,
        errors: TextIO,
        *,
        colour: str = "auto",
        shows_head: bool | None = None,
        shows_secrets: bool = False,
    ) -> None:
        self.output, self.errors = output, errors
        self.is_terminal = output.isatty()
        self.draws = is_terminal(errors)
        self._shows_head = self.is_terminal if shows_head is None else shows_head
        self._shows_secrets = shows_secrets
        self._paint = Paint(_is_coloured(output, colour))
        self._error_paint = Paint(_is_coloured(errors, colour))

    # About a request.

    def say(self, text: str, style: str = "") -> None:
        """A line of standard error."""
        write_text(self.errors, self._error_paint(safe(text), style) + "\n")

    def on_event(self, event: object) -> None:
        """What happens between the attempts, as it happens."""
        if not isinstance(event, (AttemptFinished, CallFinished)):
            self.say(f"* {event}", "dim")

    def on_exchange(self, request: HttpRequest, outcome: HttpResponse | Failure, _: HttpContext) -> None:
        """The heads of an exchange."""
        url = request.url if self._shows_secrets else redact_url(request.url)
        self.say(f"> {request.method} {url}", "bold")
        for name, value in self._headers(request):
            self.say(f"> {name}: {value}")
        if isinstance(outcome, Failure):
            self.say(f"< {outcome.error_type.__name__}: {outcome.message}", "red")
            return
        self.say(f"< {_status_line(outcome)}", "bold")
        for name, value in self._headers(outcome):
            self.say(f"< {name}: {value}")

    # The response.

    def head(self, response: HttpResponse, *, is_wanted: bool = False) -> None:
        """The status line and the headers.   is_wanted: whatever the stream is."""
        if not (self._shows_head or is_wanted):
            return
        lines = [
            self._paint(self._shown(_status_line(response)), _STYLES.get(response.status_code // 100, "bold"))
        ]
        for name, value in self._headers(response):
            lines.append(f"{self._paint(self._shown(name), 'cyan')}: {self._shown(value)}")
        write_text(self.output, "\n".join([*lines, "", ""]))

    def body(self, response: HttpResponse, prefetch: Prefetch, rest: Iterable[bytes]) -> None:
        """The body: what has been read ahead, and the rest as it comes."""
        if not self.is_terminal:
            for piece in prefetch.all(rest):
                self.write(piece)
            return
        content_type = response.headers.get("Content-Type", "")
        text = _text(content_type, prefetch.content) if prefetch.is_complete else None
        if text is None:
            self._pieces(content_type, prefetch.all(rest))
        else:
            line_end = "\n" if text and not text.endswith("\n") else ""
            self._put(self._paint.highlighted(text, content_type) + line_end)

    def write(self, data: bytes) -> None:
        """Bytes of the standard output as they are, at once."""
        self.output.flush()
        self.output.buffer.write(data)
        self.output.buffer.flush()

    def _pieces(self, content_type: str, pieces: Iterable[bytes]) -> None:
        """Text on a terminal, piece by piece."""
        decoder: SafeDecoder | None = None
        last = "\n"
        for piece in pieces:
            if decoder is None:
                if is_binary(content_type, piece):
                    self.say(
                        "the body is binary and is not shown on a terminal; save it with --output FILE, or pipe it",
                        "yellow",
                    )
                    return
                decoder = SafeDecoder(content_type)
            last = self._put(decoder(piece)) or last
        if decoder is not None:
            last = self._put(decoder(b"", final=True)) or last
        if last[-1] != "\n":
            write_text(self.output, "\n")

    def _put(self, text: str) -> str:
        write_text(self.output, text)
        self.output.flush()
        return text

    def _headers(self, message: HttpRequest | HttpResponse) -> list[tuple[str, str]]:
        headers = message.headers
        return (headers if self._shows_secrets else headers.redacted()).multi_items()

    def _shown(self, text: str) -> str:
        return safe(text) if self.is_terminal else text


def _is_coloured(stream: TextIO, colour: str) -> bool:
    return wants_colour(stream) if colour == "auto" else colour == "always"


def _text(content_type: str, content: bytes) -> str | None:
    """The safe text of a body, JSON indented; None for one that is not what its media type says."""
    if is_json(content_type):
        return format_json(decode_text(content, content_type))
    return None if is_binary(content_type, content) else SafeDecoder(content_type)(content, final=True)


def _status_line(response: HttpResponse) -> str:
    return f"{response.http_version} {response.status_code} {response.reason_phrase}".rstrip()
