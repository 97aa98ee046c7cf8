"""The order of the checks: from the name of the host to the headers of the response.

What is sent: one HEAD on a connection of the doctor's own, and one GET by each front end, redirects followed. Other
connections, one to each address and up to two for TLS, send no request.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from socket import socket
from ssl import SSLSocket
from typing import Any

from ... import HttpClientConfig
from ...client.wiring import transport_settings
from ...errors import EgressRefusedError
from ...http.proxies.settings import unreadable_exceptions
from ...http.proxies.urls import redact_proxy
from ...http.urls import Url, normalise_url, split_url
from .calls import examine_response, get, get_async
from .connection import examine_clock, examine_keep_alive, send_head
from .findings import Finding, fail, ok, skip, warn
from .network import Address, connect, examine_addresses, examine_names
from .tls import examine_tls

__all__ = ["Examination"]

_PATIENCE = 10.0  # seconds for a step, unless the options say otherwise


class Examination:
    """The examination of a URL.

    keywords: of each call.   fields: headers of the HEAD.   idle: seconds to wait for the end of an idle connection.
    """

    def __init__(
        self,
        url: str,
        config: HttpClientConfig,
        keywords: dict[str, Any],
        fields: list[tuple[str, str]],
        idle: float,
    ) -> None:
        self.url = normalise_url(url, base_url=config.base_url)
        self.parts: Url = split_url(self.url)
        self.requests: Counter[str] = Counter()
        self._config, self._fields, self._idle = config, fields, idle
        self._settings = transport_settings(config)
        timeout = keywords.get("timeout") or config.timeout
        total = _PATIENCE if timeout.total is None else min(timeout.total, _PATIENCE)
        self._within = min(total, timeout.connect or total)
        self._keywords = {
            **keywords,
            "retry_policy": False,
            "circuit_breaker": False,
            "timeout": replace(timeout, total=total),
            "total_timeout": 2 * total,
        }

    def run(self) -> Iterator[Finding]:
        """All findings, each as soon as it is known."""
        # Python's warning of ssl_verify=False has no use here: a finding says the same.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield from self._findings()

    def _findings(self) -> Iterator[Finding]:
        proxy = self._settings.proxies.proxy_for(self.parts)
        yield self._proxy(proxy)
        if proxy is None and self._settings.uds is None and self.parts.socket_path is None:
            yield from self._network()
        else:
            what = "the proxy" if proxy is not None else "the Unix socket"
            yield skip(
                "dns", f"connections lead to {what}: names, addresses, TLS and keep-alive are not examined"
            )
        blocking = get(self.url, self._config, self._keywords)
        yield blocking.finding()
        other = get_async(self.url, self._config, self._keywords)
        yield other.finding()
        self.requests["GET"] = blocking.requests + other.requests
        reply = blocking if blocking.status is not None else other
        yield from examine_response(self.url, reply, self._config.resolved.pool.enable_compression)

    def _proxy(self, proxy: str | None) -> Finding:
        is_ours = self._config.resolved.proxies is not None
        no_proxy = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
        unreadable = (
            [] if is_ours or not self._config.trust_env_proxy_settings else unreadable_exceptions(no_proxy)
        )
        if unreadable:
            return warn(
                "proxy",
                f"NO_PROXY has {', '.join(map(repr, unreadable))}, which is not valid and ignored",
                "write a domain, an address or a network",
            )
        if proxy is None:
            return ok("proxy", "none for this URL", proxy=None)
        shown = redact_proxy(proxy)
        source = (
            "the options or the configuration"
            if is_ours
            else "the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY)"
        )
        return ok("proxy", f"{shown}, set by {source}", "--proxy none examines the direct way", proxy=shown)

    def _network(self) -> Iterator[Finding]:
        addresses: list[Address] = []
        for found in examine_names(self.parts.host, self.parts.port, self._within):
            if isinstance(found, Finding):
                yield found
            else:
                addresses.append(found)
        good: list[Address] = []
        refused = [address for address in addresses if self._refusal(address) is not None]
        if refused:
            yield fail(
                "egress policy",
                f"it refuses {', '.join(address.text for address in refused)}",
                "no connection is made there; see egress_policy in the configuration",
            )
        allowed = [address for address in addresses if address not in refused]
        if allowed:
            for found in examine_addresses(allowed, self._within, self._settings.sockets):
                if isinstance(found, Finding):
                    yield found
                else:
                    good.append(found)
        if not good:
            return

        def open_socket() -> socket:
            sock = connect(good[0], self._within, self._settings.sockets)
            sock.settimeout(self._within)
            return sock

        with ExitStack() as stack:
            sock: socket | None = None
            if self.parts.scheme == "https":
                verified = self._config.resolved.pool.ssl_verify
                tls = self._settings.tls
                for each in examine_tls(
                    open_socket, self.parts.host, self.parts.port, tls, verified, time.time()
                ):
                    if isinstance(each, SSLSocket):
                        sock = stack.enter_context(each)
                    else:
                        yield each
            else:
                try:
                    sock = stack.enter_context(open_socket())
                except OSError as error:
                    yield fail(
                        "HEAD", f"the server accepts no second connection: {error}", "is it overloaded?"
                    )
            if sock is not None:
                yield from self._connection(sock)

    def _refusal(self, address: Address) -> EgressRefusedError | None:
        """Why the client would not connect to this address."""
        policy = self._settings.egress
        try:
            if policy is not None:
                policy.check_url(self.parts)
                policy.check_address(self.parts.host, address.text, self.parts.port)
        except EgressRefusedError as error:
            return error
        return None

    def _connection(self, sock: socket) -> Iterator[Finding]:
        self.requests["HEAD"] += 1
        try:
            head = send_head(sock, self.parts, self._fields, self._within)
        except (OSError, ValueError) as error:
            yield fail(
                "HEAD",
                f"no response to HEAD: {error}",
                "a plain HTTP/1.1 server responds to it: look at its log",
            )
            return
        yield examine_clock(head)
        yield from examine_keep_alive(sock, head, self._config.resolved.pool.keep_alive_timeout, self._idle)
