"""What a response says of the proxies of a service mesh on its way."""

from __future__ import annotations

from http_service_client.http.fields.meshes import proxy_attempts, proxy_headers
from http_service_client.http.headers import Headers
from kit.rows import each_row


@each_row(
    ("value", "attempts"),
    [(None, 1), ("3", 3), ("1", 1), ("0", 1), ("999", 999), ("1000", 1), ("", 1), ("-2", 1), ("2.0", 1), ("\u0663", 1)],
)  # fmt: skip
def test_a_count_of_attempts_is_a_small_whole_number(value: str | None, attempts: int) -> None:
    """A response that gives none, or anything else, was one attempt."""
    given = {} if value is None else {"X-Envoy-Attempt-Count": value}
    assert proxy_attempts(Headers(given)) == attempts


@each_row(
    ("name", "value", "is_sign"),
    [
        ("X-Envoy-Attempt-Count", "1", True),
        ("X-Envoy-Upstream-Service-Time", "5", True),
        ("x-envoy-overloaded", "true", True),
        ("l5d-proxy-error", "no endpoints", True),
        ("Server", "Envoy", True),
        ("server", " istio-envoy ", True),
        ("Server", "nginx", False),
        ("X-Backend", "envoy", False),
        ("X-Envoy-Decorator-Operation", "a", False),
    ],
)
def test_the_signs_of_a_mesh(name: str, value: str, is_sign: bool) -> None:
    """Headers that only a proxy sets; the name of a server counts in `Server` alone."""
    assert proxy_headers(Headers({"Content-Length": "0", name: value})) == ({name: value} if is_sign else {})
