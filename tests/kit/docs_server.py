"""The server behind the documentation's samples: a small orders API on loopback.

Pages use addresses that a reader would use: `https://api.example.com/orders/42`,
`https://payments.example.com/charges`. The documentation test gives each such host a server of
this kind, so each host has its own circuit, as in production. The responses:

    GET    /status/503          that status
    GET    /flaky/2             503 twice, then 200; counted per path, so /flaky/2?for=me is another
    GET    /busy/2              429 with Retry-After: 0 twice, then 200
    GET    /cached/60           how often it was sent; fresh for that many seconds, with an ETag
    POST   /jobs/2              202 with a Location; a GET there 202 twice, then 200
    POST   /hidden-error/1      200 with an error in its body once, then 200 with a result
    GET    /slow/0.2            200 after that many seconds (at most 5)
    GET    /redirect/2          two redirects, then 200
    GET    /files/3000          a file of that many bytes, with an ETag; Range and If-Range are honoured
    GET    /broken-file/3000    the same; the first response for a path breaks off half-way
    GET    /pages/3             a page of two ids; a Link header, and "next" in the body, lead to the next of three
    GET    /ticks/3             that many server-sent events
    POST   /token               an access token, "fresh"
    any    /digest              200 for a digest of user "ann" and password "secret", else 401
    any    /protected/…         200 with that token as bearer token, else 401
    GET    /feed                two server-sent events on each of two connections, then 204
    GET    /exports/3           that many orders, as JSON lines
    GET    /tables/3            that many orders, as gzipped CSV
    GET    /echo/any/path       the request: method, path, query, headers, json
    GET    /orders              a list: the orders that were posted before, or two made-up ones
    GET    /orders/42           one order: as it was put or posted before, or a made-up one
    POST   /orders              201 with the fields that were sent and a new "id"
    PUT, PATCH /orders/42       200 with the fields merged
    DELETE /orders/42           204

Any other first word works like `orders`. The state is kept for one page.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = ["DocsServer"]


class DocsServer:
    """A running server for one host name; `with DocsServer() as server: server.url`."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="docs-server", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop listening. Connections that are still open end with their clients."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> DocsServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that keeps its connection alive must not delay the end of the page

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.lock = threading.Lock()
        self.hits: Counter[str] = Counter()
        self.items: dict[str, dict[str, dict[str, Any]]] = {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A sample about timeouts closes its connection early: that is the sample, not a fault.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = (
        True  # head and body are two writes; Nagle's algorithm would put 40 ms between them
    )
    timeout = 10  # seconds that a connection may be idle, so that threads do not outlive a run
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a failing page shows its own source."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        try:
            sent = json.loads(body) if body else None
        except ValueError:
            sent = None
        first, *rest = [part for part in urlsplit(self.path).path.split("/") if part] or ["echo"]
        argument = rest[0] if rest else ""
        match first:
            case "status":
                self._respond(int(argument), {"status": int(argument)})
            case "flaky":
                self._respond(200 if self._hit() > int(argument) else 503, {"path": self.path})
            case "cached":
                headers = {"Cache-Control": f"max-age={argument}", "ETag": '"1"'}
                if self.headers["If-None-Match"] == '"1"':
                    self._send(304, b"", headers)
                else:
                    self._respond(200, {"sent": self._hit()}, headers)
            case "jobs":
                is_over = self._hit() > int(argument) + 1  # the POST is one
                headers = {} if is_over else {"Location": self.path, "Retry-After": "0"}
                self._respond(200 if is_over else 202, {"status": "done" if is_over else "running"}, headers)
            case "busy":
                if self._hit() > int(argument):
                    self._respond(200, {"path": self.path})
                else:
                    self._respond(429, {"path": self.path}, {"Retry-After": "0"})
            case "hidden-error":
                is_over = self._hit() > int(argument)
                self._respond(200, {"status": "done"} if is_over else {"error": "overloaded"})
            case "slow":
                time.sleep(min(float(argument), 5.0))
                self._respond(200, {"slept": float(argument)})
            case "redirect":
                left = int(argument)
                location = f"/redirect/{left - 1}" if left > 1 else "/echo/landed"
                self._respond(302, None, {"Location": location})
            case "files" | "broken-file":
                self._serve_file(int(argument), is_broken=first == "broken-file" and self._hit() == 1)
            case "pages":
                page = int(dict(parse_qsl(urlsplit(self.path).query)).get("page", "1"))
                following = page + 1 if page < int(argument) else None
                link = {"Link": f'</pages/{argument}?page={following}>; rel="next"'} if following else {}
                self._respond(200, {"ids": [2 * page - 1, 2 * page], "next": following}, link)
            case "ticks":
                text = "".join(f"data: tick {n}\n\n" for n in range(1, int(argument) + 1))
                self._send(200, text.encode(), {"Content-Type": "text/event-stream"})
            case "token":
                self._respond(200, {"access_token": "fresh", "expires_in": 3600})
            case "digest":
                is_known = self._is_right_digest()
                challenge = 'Digest realm="orders", nonce="n1", qop="auth", algorithm=SHA-256'
                self._respond(200 if is_known else 401, {"path": self.path}, {"WWW-Authenticate": challenge})
            case "protected":
                is_known = self.headers.get("Authorization") == "Bearer fresh"
                self._respond(200 if is_known else 401, {"path": self.path}, {"WWW-Authenticate": "Bearer"})
            case "feed":
                number = self._hit()
                text = "".join(f"id: {n}\ndata: news {n}\n\n" for n in (2 * number - 1, 2 * number))
                headers = {"Content-Type": "text/event-stream"}
                self._send(200, f"retry: 10\n{text}".encode(), headers) if number < 3 else self._respond(
                    204, None
                )
            case "exports":
                lines = [json.dumps(_made_up(str(n))) for n in range(1, int(argument) + 1)]
                self._send(200, "\n".join(lines).encode(), {"Content-Type": "application/x-ndjson"})
            case "tables":
                rows = ["id,note", *(f'{n},"two\r\nlines"' for n in range(1, int(argument) + 1))]
                packed = gzip.compress("\r\n".join(rows).encode())
                self._send(200, packed, {"Content-Type": "application/gzip"})
            case "echo":
                query = dict(parse_qsl(urlsplit(self.path).query))
                headers = dict(self.headers.items())
                self._respond(
                    200,
                    {
                        "method": self.command,
                        "path": urlsplit(self.path).path,
                        "query": query,
                        "headers": headers,
                        "json": sent,
                    },
                )
            case collection:
                self._serve_collection(collection, argument, sent if isinstance(sent, dict) else {})

    def _is_right_digest(self) -> bool:
        """Whether the Authorization is that of ann and her password."""
        given = dict(re.findall(r'(\w+)="?([^",]*)', self.headers.get("Authorization", "")))

        def hashed(*parts: str) -> str:
            return hashlib.sha256(":".join(parts).encode()).hexdigest()

        once = [given.get(name, "") for name in ("nonce", "nc", "cnonce", "qop")]
        right = hashed(hashed("ann", "orders", "secret"), *once, hashed(self.command, self.path))
        return given.get("response") == right

    def _hit(self) -> int:
        """How many requests there were for this path, with this one."""
        with self.server.lock:
            self.server.hits[self.path] += 1
            return self.server.hits[self.path]

    def _serve_collection(self, collection: str, identity: str, sent: dict[str, Any]) -> None:
        with self.server.lock:
            stored = self.server.items.setdefault(collection, {})
            payload: Any
            if self.command == "POST":
                identity = identity or str(len(stored) + 1)
                stored[identity] = {"id": int(identity) if identity.isdigit() else identity, **sent}
                status, payload = 201, stored[identity]
            elif self.command in ("PUT", "PATCH"):
                stored[identity] = {**_made_up(identity), **stored.get(identity, {}), **sent}
                status, payload = 200, stored[identity]
            elif self.command == "DELETE":
                stored.pop(identity, None)
                status, payload = 204, None
            elif identity:
                status, payload = 200, stored.get(identity) or _made_up(identity)
            else:
                status, payload = 200, list(stored.values()) or [_made_up("1"), _made_up("2")]
        self._respond(status, payload)

    def _serve_file(self, size: int, is_broken: bool) -> None:
        content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        tag, requested = '"v1"', self.headers.get("Range")
        headers = {"ETag": tag, "Content-Type": "application/octet-stream"}
        status, start, end = 200, 0, size
        if requested and self.headers.get("If-Range") in (None, tag):
            first, _, last = requested.removeprefix("bytes=").partition("-")
            status, start, end = 206, int(first), min(int(last or size) + 1, size)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        rest = content[start:end]
        self._send(status, rest, headers, cut=len(rest) // 2 if is_broken else None)

    def _send(self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = cut is not None

    def _respond(self, status: int, payload: Any, headers: dict[str, str] | None = None) -> None:
        body = b"" if payload is None else json.dumps(payload).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve


def _made_up(identity: str) -> dict[str, Any]:
    """An order for pages that get one before they post one."""
    return {"id": int(identity) if identity.isdigit() else identity, "status": "baking", "total": 25.5}
