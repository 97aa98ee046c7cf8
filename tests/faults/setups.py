"""The setups of the fault matrix: servers that misbehave."""

from __future__ import annotations

import datetime
import gzip
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from faults.runner import Connection, Handler, Servers, Target, resolve_by
from http_service_client import HttpServiceClient
from http_service_client.testing import LoopbackServer
from http_service_client.testing.actions import Action, respond
from kit.front_ends import FrontEnd
from network.faults import dripping_tls, swallowing

Setup = Callable[[Servers], Target]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PACKED = gzip.compress(bytes(range(256)) * 8)
CUT_GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % (len(PACKED) - 9)
CUT_GZIP += PACKED[:-9]
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much"


def does(*actions: Action, **settings: Any) -> Setup:
    """One action for each request; the last one for all that follow."""

    def setup(servers: Servers) -> Target:
        target = servers.loopback(*actions)
        target.settings = settings
        return target

    return setup


def over_tls(*actions: Action) -> Setup:
    """The same, over TLS."""
    return lambda servers: servers.loopback(*actions, tls=servers.certificates.server_context())


def used_before(first: Action, *actions: Action, closes: bool = False) -> Setup:
    """The client has a connection from an earlier call, to which the server responded with the first action.

    closes: that action closes the connection.
    """

    def setup(servers: Servers) -> Target:
        target = servers.loopback(*actions)
        server = target.server
        assert isinstance(server, LoopbackServer)
        server.script("/before", first)

        def prepare(front_end: FrontEnd, client: HttpServiceClient) -> None:
            front_end.request(client, "GET", target.url.replace("/fault", "/before"))
            # By then the action has done to the connection what it does after the response.
            is_closed = server.wait_for(lambda: server.open_connections == 0, 20.0 if closes else 0.06)
            assert is_closed or not closes

        target.prepare = prepare
        return target

    return setup


# Connecting.


def refused(servers: Servers) -> Target:
    target = servers.loopback(respond(204))
    assert isinstance(target.server, LoopbackServer)
    target.server.refuse()
    return target


def swallowed(servers: Servers) -> Target:
    return Target(f"http://{servers.enter_context(swallowing())}/fault")


def addresses(*kinds: str) -> Setup:
    """A name with several addresses: "refused", "swallowed", "alive"."""

    def setup(servers: Servers) -> Target:
        target = servers.loopback(respond(204))
        assert isinstance(target.server, LoopbackServer)
        urls = {
            "alive": lambda: target.url,
            "refused": lambda: refused(servers).url,
            "swallowed": lambda: swallowed(servers).url,
        }
        found = [urls[kind]().split("/")[2] for kind in kinds]
        resolve_by(host := f"several-{target.server.port}.test", lambda: found)
        target.url = f"http://{host}/fault"
        target.healthy = f"http://{host}/healthy" if "alive" in kinds else None
        return target

    return setup


def unknown_name(error: int) -> Setup:
    def look_up() -> list[Any]:
        raise socket.gaierror(error, "no address")

    return lambda servers: Target(f"http://{resolve_by(f'unknown{error}.test', look_up)}/fault")


def slow_name(servers: Servers) -> Target:
    """A name server that does not respond."""
    is_over = threading.Event()
    servers.callback(is_over.set)

    def look_up() -> list[Any]:
        is_over.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    return Target(f"http://{resolve_by(f'slow-{id(servers)}.test', look_up)}/fault")


# TLS.


def certified(make: Callable[[Servers], ssl.SSLContext]) -> Setup:
    """A server that would respond, if its certificate were trusted."""
    return lambda servers: _healthy_elsewhere(servers.loopback(respond(204), tls=make(servers)))


def _healthy_elsewhere(target: Target) -> Target:
    target.healthy = None
    return target


def unknown_authority(servers: Servers) -> ssl.SSLContext:
    return servers.strangers.server_context()


def expired(servers: Servers) -> ssl.SSLContext:
    past = datetime.datetime(2001, 1, 1)
    leaf = servers.certificates.authority.issue_cert(
        "127.0.0.1", not_before=past, not_after=past + datetime.timedelta(days=1)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def wrong_name(servers: Servers) -> ssl.SSLContext:
    return servers.certificates.server_context("other.test")


def on_tls_port(serve: Handler) -> Setup:
    """A raw server on a port that the client opens with TLS."""
    return lambda servers: servers.raw(serve, "https")


def sends_plain_http(connection: Connection) -> None:
    connection.socket.recv(65536)
    connection.socket.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    connection.hold()


def stalls(connection: Connection) -> None:
    connection.hold()


def hangs_up(connection: Connection) -> None:
    connection.socket.recv(65536)


def resets(connection: Connection) -> None:
    connection.socket.recv(65536)
    connection.reset()


def drips_handshake(servers: Servers) -> Target:
    drip = dripping_tls(servers.certificates.server_context(), 1, 0.01)
    return servers.raw(lambda connection: drip(connection.socket, connection.is_over), "https")


def refuses_our_certificate(version: ssl.TLSVersion) -> Setup:
    def setup(servers: Servers) -> Target:
        context = servers.certificates.server_context(requests_certificate=True)
        context.minimum_version = context.maximum_version = version

        def serve(connection: Connection) -> None:
            with context.wrap_socket(
                connection.socket, server_side=True, do_handshake_on_connect=False
            ) as secured:
                try:
                    secured.do_handshake()
                except ssl.SSLError:
                    # Closed at once, the connection would be reset, and the reset might overtake the alert.
                    connection.hold(secured)

        return servers.raw(serve, "https")

    return setup


def sends_tls_alert(connection: Connection) -> None:
    """What a TLS port sends when it gets plain HTTP."""
    connection.read_head()
    connection.socket.sendall(b"\x15\x03\x01\x00\x02\x02\x46")  # fatal: protocol version
    connection.hold()


# Uploads.


def responds_early(then: str) -> Handler:
    """A server that refuses an upload when it has read the head. then: "closes" or "stalls"."""

    def serve(connection: Connection) -> None:
        connection.read_head()
        connection.socket.sendall(REFUSAL)
        if then == "closes":
            # Gracefully, as servers do for this reason: an immediate reset may overtake the response.
            connection.socket.shutdown(socket.SHUT_WR)
            connection.is_over.wait(0.1)
        else:
            connection.read_late(0.4)  # longer than a call may take without a wait

    return serve


def stalls_upload(connection: Connection) -> None:
    connection.read_head()
    connection.read_late(0.8)  # longer than the timeout of the attempt


def resets_upload(connection: Connection) -> None:
    connection.read_head()
    connection.is_over.wait(0.05)
    connection.reset()


def raw_server(serve: Handler) -> Setup:
    """A server on raw sockets."""
    return lambda servers: servers.raw(serve)


# Slots.


def slot_taken(limit: str) -> Setup:
    """Another call holds the only slot, and does not read its body."""

    def setup(servers: Servers) -> Target:
        target = servers.loopback(respond(204))
        assert isinstance(target.server, LoopbackServer)
        target.server.script("/held", respond(body=b"x" * 1_000_000))
        target.settings = {"connection_pool": {limit: 1, "pool_timeout": 0.15}}
        slot = servers.enter_context(_HeldSlot())

        def prepare(front_end: FrontEnd, client: HttpServiceClient) -> None:
            slot.begin(client, target.url.replace("/fault", "/held"))

        target.prepare, target.heal = prepare, slot.end
        return target

    return setup


class _HeldSlot:
    """A stream that holds its slot."""

    def __init__(self) -> None:
        self._stream: Any = None

    def begin(self, client: HttpServiceClient, url: str) -> None:
        self._stream = client.stream("GET", url)
        self._stream.__enter__()

    def end(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.__exit__(None, None, None)

    def __enter__(self) -> _HeldSlot:
        return self

    def __exit__(self, *about: object) -> None:
        self.end()


# Proxies. The origin behind them does not exist.


def by_proxy(address: str, scheme: str = "https", kind: str = "http") -> Target:
    environ = {"ALL_PROXY": f"{kind}://{address}", "NO_PROXY": "127.0.0.1"}
    return Target(f"{scheme}://service.test/fault", environ=environ)


def proxy_does(serve: Handler, scheme: str = "https", kind: str = "http") -> Setup:
    def setup(servers: Servers) -> Target:
        proxy = servers.raw(serve)
        target = by_proxy(proxy.url.split("/")[2], scheme, kind)
        target.server = proxy.server
        return target

    return setup


def sends(response: bytes, *, keeps_open: bool = False) -> Handler:
    """A proxy that sends this response to CONNECT."""

    def serve(connection: Connection) -> None:
        connection.socket.recv(65536)
        connection.socket.sendall(response)
        if keeps_open:
            connection.hold()

    return serve


def proxy_is(make: Callable[[Servers], ssl.SSLContext]) -> Setup:
    """A TLS proxy."""

    def setup(servers: Servers) -> Target:
        context = make(servers)

        def serve(connection: Connection) -> None:
            with context.wrap_socket(connection.socket, server_side=True) as secured:
                secured.recv(65536)

        return proxy_does(serve, "http", "https")(servers)

    return setup


def drips_handshake_in_a_tunnel(servers: Servers) -> Target:
    drip = dripping_tls(servers.certificates.server_context(), 1, 0.01)

    def serve(connection: Connection) -> None:
        connection.socket.recv(65536)
        connection.socket.sendall(TUNNEL)
        drip(connection.socket, connection.is_over)

    return proxy_does(serve)(servers)


def drips_handshake_in_a_secure_tunnel(servers: Servers) -> Target:
    """TLS in TLS."""
    drip = dripping_tls(servers.certificates.server_context("service.test"), 1, 0.01)
    own = servers.certificates.server_context()

    def serve(connection: Connection) -> None:
        with own.wrap_socket(connection.socket, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(TUNNEL)
            drip(secured, connection.is_over)

    return proxy_does(serve, "https", "https")(servers)


def proxy_refused(servers: Servers) -> Target:
    return by_proxy(refused(servers).url.split("/")[2])


def proxy_swallowed(servers: Servers) -> Target:
    return by_proxy(swallowed(servers).url.split("/")[2])


def drips_a_response(connection: Connection) -> None:
    connection.socket.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 1000:
        connection.socket.sendall(bytes([byte]))
        if connection.is_over.wait(0.01):
            return


def forwards_nothing(connection: Connection) -> None:
    """A forwarding proxy that reads the request and closes."""
    connection.read_head()


TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"


def breaks_the_tunnel(connection: Connection) -> None:
    connection.socket.recv(65536)
    connection.socket.sendall(TUNNEL)
    connection.socket.recv(65536)
