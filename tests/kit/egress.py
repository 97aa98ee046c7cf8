"""Whether an egress policy lets a request pass."""

from __future__ import annotations

from http_service_client.errors import EgressRefusedError
from http_service_client.http.egress import EgressPolicy
from http_service_client.http.urls import Url

__all__ = ["passes", "url_passes"]


def passes(policy: EgressPolicy, address: str, host: str = "h.example", port: int | None = None) -> bool:
    try:
        policy.check_address(host, address, port)
    except EgressRefusedError:
        return False
    return True


def url_passes(policy: EgressPolicy, url: str | Url) -> bool:
    try:
        policy.check_url(url)
    except EgressRefusedError:
        return False
    return True
