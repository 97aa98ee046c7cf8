"""What a health endpoint responds, whatever serves it.

A probe has consequences, so the rule errs on one side:

the service cannot do its work: a client is closed, or not made yet        503   it gets no requests, which is right
a service behind is down, or slow, or asks for a pause                     200   "degraded": see below
one of the `requires` is down                                              503   until a trial is due
the check itself fails                                                     200   "unknown": a bug in it must not end the service

A circuit is open in all copies of a service at once. If that made them unready, a third party that is down would take
all of them away: also for requests that do not need it, and for those that have a fallback. And without requests no trial
would be made, so the circuits would never close. So `requires` names what nothing can be done without, and such an origin
counts as available as soon as a trial is due.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from logging import DEBUG, ERROR
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from ..core.checks import check_count, check_duration, check_flag, check_function, check_number
from ..drivers.loggers import branch, log_hook, write
from ..errors import ConfigurationError
from ..http.urls import normalise_url, origin_of, redact_url
from ..observability.recent import LONGEST_WINDOW

if TYPE_CHECKING:
    from ..client.client import HttpServiceClient
    from ..observability.health import HealthSummary

__all__ = ["RENAMED", "HealthReport", "HealthResponse"]

_ONE = "client"  # the name of the only one
_LONG = 0.05  # seconds to make a report
_REST = 20  # times as long as it took, so that the endpoint uses 5 % of a core at most
_LONGEST_REST = 5.0  # seconds
RENAMED = {
    "client": "it is called clients",
    "rule": "it is called is_ready",
    "ready": "it is called is_ready",
    "required": "it is called requires",
    "keys": "it is called show_keys",
}
"""Remedies for keywords that an endpoint does not have."""


class HealthResponse(NamedTuple):
    """A response for any framework.   body: JSON; b"" for HEAD."""

    status: int
    headers: dict[str, str]
    body: bytes


class HealthReport:
    """The settings of an endpoint. What they mean is said in `integrations.asgi.HealthEndpoint`."""

    def __init__(
        self,
        clients: HttpServiceClient
        | Callable[[], HttpServiceClient]
        | Mapping[str, HttpServiceClient | Callable[[], HttpServiceClient]],
        *,
        requires: Iterable[str] = (),
        is_ready: Callable[[Mapping[str, HealthSummary]], bool] | None = None,
        window: float = 60.0,
        details: bool = True,
        show_keys: bool = False,
        max_origins: int = 50,
        path: str | None = None,
    ) -> None:
        self._clients = _parse_clients(clients)
        self._requires = _parse_origins(requires)
        if is_ready is not None:
            check_function("is_ready", is_ready)
            if self._requires:
                raise ConfigurationError(
                    "requires and is_ready are two rules; let is_ready look at summary.unavailable()"
                )
        self._is_ready = is_ready
        check_duration("window", window, optional=False)
        check_number("window", window, most=LONGEST_WINDOW, unit="of seconds ")
        self._window = window
        check_flag("details", details)
        check_flag("show_keys", show_keys)
        self._details, self._show_keys = details, show_keys
        check_count("max_origins", max_origins)
        self._max_origins = max_origins
        if path is not None and (not isinstance(path, str) or not path.startswith("/")):
            raise ConfigurationError(f"path must begin with a slash, such as '/health', not {path!r}")
        self._path = None if path is None else path.rstrip("/")
        self._last: tuple[int, bytes, float] | None = None  # status, body, and when it expires

    def respond(self, method: str = "GET", *paths: str) -> HealthResponse:
        """The response to a request, for a framework that wants neither ASGI nor WSGI. It raises nothing.

        method: other ones than GET and HEAD get 405.   paths: ways to write the path of the request; 404 if `path` is
            set and is none of them.
        """
        if self._path is not None and paths and self._path not in [path.rstrip("/") for path in paths]:
            return _plain(404, "there is nothing here\n", method)
        if method not in ("GET", "HEAD"):
            return _plain(405, "only GET and HEAD are possible here\n", method, Allow="GET, HEAD")
        try:
            status, body = self._recent_report()
        except Exception:
            text = "the health endpoint failed; it responds with 200 and 'unknown'"
            write(branch("health"), ERROR, text, fields={"event": "health_failed"}, has_error=True)
            status, body = 200, b'{"status": "unknown"}'
        return _response(status, "application/json", body, method)

    def _recent_report(self) -> tuple[int, bytes]:
        """The status and the body. What took long to make, that of a client of 20,000 origins, is used again for a while."""
        last, began = self._last, time.monotonic()
        if last is None or began >= last[2]:
            status, content = self._report()
            body, now = json.dumps(content).encode(), time.monotonic()
            took = now - began
            rest = min(_REST * took, _LONGEST_REST) if took > _LONG else 0.0
            self._last = last = status, body, now + rest
        return last[:2]

    def _report(self) -> tuple[int, dict[str, Any]]:
        clients, summaries = {}, {}
        for name, given in self._clients.items():
            try:
                client = given if _is_client(given) else given()
                if not _is_client(client):
                    raise TypeError(f"expected an HttpServiceClient, not {client!r}")
            except Exception as error:  # it is made when the application starts
                text, fields = "the health endpoint found no client %r: %r", {"event": "client_missing"}
                write(branch("health"), DEBUG, text, name, error, fields=fields)
                clients[name] = {"status": "missing"}
                continue
            summary = client.get_health_summary(window=self._window)
            summaries[name] = summary
            clients[name] = self._client(summary)
        is_ready = self._decide(summaries)
        worst = "ok" if all(found["status"] == "ok" for found in clients.values()) else "degraded"
        content: dict[str, Any] = {
            "status": "unknown" if is_ready is None else worst if is_ready else "unavailable"
        }
        if self._details:
            content["clients"] = clients
        return (503 if is_ready is False else 200), content

    def _decide(self, summaries: Mapping[str, HealthSummary]) -> bool | None:
        """Whether the service is ready; None if the rule fails."""
        if self._is_ready is None:
            if len(summaries) < len(self._clients):
                return False
            return not any(
                summary["is_closed"]
                or (self._requires and self._requires.intersection(summary.unavailable()))
                for summary in summaries.values()
            )
        try:
            result = self._is_ready(summaries)
            if not isinstance(result, bool):
                raise TypeError(f"is_ready must return True or False, not {result!r}")
        except Exception:
            log_hook("is_ready failed; the health endpoint responds with 200 and 'unknown'")
            return None
        return result

    def _client(self, summary: HealthSummary) -> dict[str, Any]:
        shown = summary if self._show_keys else summary.without_keys()
        problems = shown.problems()
        state = "closed" if summary["is_closed"] else "degraded" if problems else "ok"
        if not self._details:
            return {"status": state}
        return {
            "status": state,
            "problems": _first(problems, self._max_origins),
            **self._bounded(shown, problems),
        }

    def _bounded(self, summary: HealthSummary, problems: Mapping[str, object]) -> dict[str, Any]:
        """The values of the origins that need attention most, and of those with the most recent calls."""
        window = summary["window"]
        names = dict.fromkeys([*problems, *window["origins"], *summary["amplification"]])
        shown = set(list(names)[: self._max_origins])

        def of_origins(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in values.items() if name in shown}

        return {
            **summary,
            "window": {**window, "origins": of_origins(window["origins"])},
            "amplification": of_origins(summary["amplification"]),
            "errors": of_origins(summary["errors"]),
            "origins": _first(summary["origins"], self._max_origins, problems),
            "circuit_breaker_states": _first(summary["circuit_breaker_states"], self._max_origins, problems),
            "origins_left_out": max(len(names) - len(shown), len(summary["origins"]) - self._max_origins),
        }


def _first(values: Mapping[str, Any], count: int, before: Iterable[str] = ()) -> dict[str, Any]:
    """So many of the values, those named `before` first."""
    names = dict.fromkeys([*(name for name in before if name in values), *values])
    return {name: values[name] for name in list(names)[:count]}


def _is_client(value: object) -> TypeGuard[HttpServiceClient]:
    """Without the import of the client, which the users of `DeadlineMiddleware` would pay for."""
    return hasattr(value, "get_health_summary") and not isinstance(value, type)


def _parse_clients(clients: Any) -> dict[str, Any]:
    named = dict(clients) if isinstance(clients, Mapping) else {_ONE: clients}
    if not named:
        raise ConfigurationError("clients must have one client at least")
    for name, client in named.items():
        if not isinstance(name, str):
            raise ConfigurationError(f"the names of clients must be text, not {name!r}")
        if not _is_client(client):
            if not callable(client) or isinstance(client, type):
                raise ConfigurationError(
                    f"clients must be an HttpServiceClient, a function that returns one, or a mapping of these by name, not {client!r}"
                )
            check_function("a function that returns a client", client)
    return named


def _parse_origins(origins: Any) -> frozenset[str]:
    if isinstance(origins, (str, bytes)) or not isinstance(origins, Iterable):
        raise ConfigurationError(
            f"requires must be a list of origins, such as ['https://api.example.com'], not {origins!r}"
        )
    return frozenset(map(_parse_origin, origins))


def _parse_origin(origin: Any) -> str:
    try:
        return origin_of(normalise_url(origin))
    except Exception as error:
        raise ConfigurationError(
            f"requires must have origins, such as 'https://api.example.com', not {redact_url(str(origin))!r}: {error}"
        ) from error


def _plain(status: int, text: str, method: str, **headers: str) -> HealthResponse:
    return _response(status, "text/plain; charset=utf-8", text.encode(), method, **headers)


def _response(status: int, media_type: str, body: bytes, method: str, **headers: str) -> HealthResponse:
    fields = {
        "Content-Type": media_type,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        **headers,
    }
    return HealthResponse(status, fields, b"" if method == "HEAD" else body)
