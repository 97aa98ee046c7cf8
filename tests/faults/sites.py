"""What the servers of the fault matrix do."""

from __future__ import annotations

import datetime
import gzip
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from faults.stage import Place, Serve, Stage, Talk, name_for
from http_service_client import HttpServiceClient
from http_service_client.testing import LoopbackServer
from http_service_client.testing.actions import Action, respond
from kit.front_ends import FrontEnd
from network.faults import dripping_tls, swallowing

Site = Callable[[Stage], Place]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PACKED = gzip.compress(bytes(range(256)) * 8)
CUT_GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % (len(PACKED) - 9)
CUT_GZIP += PACKED[:-9]
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
REFUSAL = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much"


def plays(*actions: Action, **settings: Any) -> Site:
    """These actions, one a request, the last one for ever."""

    def site(stage: Stage) -> Place:
        place = stage.loopback(*actions)
        place.settings = settings
        return place

    return site


def over_tls(*actions: Action) -> Site:
    """The same over TLS."""
    return lambda stage: stage.loopback(*actions, tls=stage.certificates.server_context())


def used_before(first: Action, *actions: Action, closes: bool = False) -> Site:
    """The client has a connection from an earlier call, which was answered by the first action.

    closes: that action ends with the connection.
    """

    def site(stage: Stage) -> Place:
        place = stage.loopback(*actions)
        server = place.server
        assert isinstance(server, LoopbackServer)
        server.script("/before", first)

        def prepare(front_end: FrontEnd, client: HttpServiceClient) -> None:
            front_end.request(client, "GET", place.url.replace("/fault", "/before"))
            # What else the action does to the connection is done by then.
            is_closed = server.wait_for(lambda: server.open_connections == 0, 5.0 if closes else 0.06)
            assert is_closed or not closes

        place.prepare = prepare
        return place

    return site


# Connecting.


def refused(stage: Stage) -> Place:
    place = stage.loopback(respond(204))
    assert isinstance(place.server, LoopbackServer)
    place.server.refuse()
    return place


def swallowed(stage: Stage) -> Place:
    return Place(f"http://{stage.enter_context(swallowing())}/fault")


def addresses(*kinds: str) -> Site:
    """A name with several addresses: "refused", "swallowed", "alive"."""

    def site(stage: Stage) -> Place:
        place = stage.loopback(respond(204))
        assert isinstance(place.server, LoopbackServer)
        places = {
            "alive": lambda: place.url,
            "refused": lambda: refused(stage).url,
            "swallowed": lambda: swallowed(stage).url,
        }
        found = [places[kind]().split("/")[2] for kind in kinds]
        name_for(host := f"several-{place.server.port}.test", lambda: found)
        place.url = f"http://{host}/fault"
        place.healthy = f"http://{host}/healthy" if "alive" in kinds else None
        return place

    return site


def unknown_name(error: int) -> Site:
    def look_up() -> list[Any]:
        raise socket.gaierror(error, "no answer")

    return lambda stage: Place(f"http://{name_for(f'unknown{error}.test', look_up)}/fault")


def slow_name(stage: Stage) -> Place:
    is_over = threading.Event()
    stage.callback(is_over.set)

    def look_up() -> list[Any]:
        is_over.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    return Place(f"http://{name_for(f'slow-{id(stage)}.test', look_up)}/fault")


# TLS.


def certified(make: Callable[[Stage], ssl.SSLContext]) -> Site:
    """A server that would answer, if it were trusted."""
    return lambda stage: _healthy_elsewhere(stage.loopback(respond(204), tls=make(stage)))


def _healthy_elsewhere(place: Place) -> Place:
    place.healthy = None
    return place


def unknown_authority(stage: Stage) -> ssl.SSLContext:
    return stage.strangers.server_context()


def expired(stage: Stage) -> ssl.SSLContext:
    past = datetime.datetime(2001, 1, 1)
    leaf = stage.certificates.authority.issue_cert(
        "127.0.0.1", not_before=past, not_after=past + datetime.timedelta(days=1)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def wrong_name(stage: Stage) -> ssl.SSLContext:
    return stage.certificates.server_context("other.test")


def on_tls_port(serve: Serve) -> Site:
    """What a server does on a port that TLS is spoken to."""
    return lambda stage: stage.raw(serve, "https")


def speaks_http(talk: Talk) -> None:
    talk.socket.recv(65536)
    talk.socket.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    talk.hold()


def stalls(talk: Talk) -> None:
    talk.hold()


def hangs_up(talk: Talk) -> None:
    talk.socket.recv(65536)


def resets(talk: Talk) -> None:
    talk.socket.recv(65536)
    talk.reset()


def drips_handshake(stage: Stage) -> Place:
    drip = dripping_tls(stage.certificates.server_context(), 1, 0.01)
    return stage.raw(lambda talk: drip(talk.socket, talk.is_over), "https")


def refuses_our_certificate(version: ssl.TLSVersion) -> Site:
    def site(stage: Stage) -> Place:
        def serve(talk: Talk) -> None:
            context = stage.certificates.server_context(asks=True)
            context.minimum_version = context.maximum_version = version
            with context.wrap_socket(talk.socket, server_side=True, do_handshake_on_connect=False) as secured:
                try:
                    secured.do_handshake()
                except ssl.SSLError:
                    talk.is_over.wait(
                        0.2
                    )  # closed at once, it would be reset, and the reset overtake the alert

        return stage.raw(serve, "https")

    return site


def alerts(talk: Talk) -> None:
    """A TLS port that is spoken to in plain HTTP."""
    talk.read_head()
    talk.socket.sendall(b"\x15\x03\x01\x00\x02\x02\x46")  # fatal: protocol version
    talk.hold()


# Uploads.


def answers_early(then: str) -> Serve:
    def serve(talk: Talk) -> None:
        talk.read_head()
        talk.socket.sendall(REFUSAL)
        if then == "closes":
            # Politely, as servers do for just this: a reset at once may overtake the answer.
            talk.socket.shutdown(socket.SHUT_WR)
            talk.is_over.wait(0.1)
        else:
            talk.read_late()

    return serve


def stalls_upload(talk: Talk) -> None:
    talk.read_head()
    talk.read_late()


def resets_upload(talk: Talk) -> None:
    talk.read_head()
    talk.is_over.wait(0.05)
    talk.reset()


def serves(serve: Serve) -> Site:
    """A server on raw sockets."""
    return lambda stage: stage.raw(serve)


# Places.


def held(limit: str) -> Site:
    """The only place is taken by another call, which reads its body at leisure."""

    def site(stage: Stage) -> Place:
        place = stage.loopback(respond(204))
        assert isinstance(place.server, LoopbackServer)
        place.server.script("/held", respond(body=b"x" * 1_000_000))
        place.settings = {"connection_pool": {limit: 1, "pool_timeout": 0.15}}
        holding = stage.enter_context(_Holding())

        def prepare(front_end: FrontEnd, client: HttpServiceClient) -> None:
            holding.begin(client, place.url.replace("/fault", "/held"))

        place.prepare, place.heal = prepare, holding.end
        return place

    return site


class _Holding:
    """A call that holds its place."""

    def __init__(self) -> None:
        self._stream: Any = None

    def begin(self, client: HttpServiceClient, url: str) -> None:
        self._stream = client.stream("GET", url)
        self._stream.__enter__()

    def end(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.__exit__(None, None, None)

    def __enter__(self) -> _Holding:
        return self

    def __exit__(self, *about: object) -> None:
        self.end()


# Proxies. What the client is asked for behind them does not exist.


def by_proxy(address: str, scheme: str = "https", kind: str = "http") -> Place:
    environ = {"ALL_PROXY": f"{kind}://{address}", "NO_PROXY": "127.0.0.1"}
    return Place(f"{scheme}://service.test/fault", environ=environ)


def proxy_does(serve: Serve, scheme: str = "https", kind: str = "http") -> Site:
    def site(stage: Stage) -> Place:
        proxy = stage.raw(serve)
        place = by_proxy(proxy.url.split("/")[2], scheme, kind)
        place.server = proxy.server
        return place

    return site


def says(answer: bytes, *, then_holds: bool = False) -> Serve:
    """A proxy that gives this answer to CONNECT."""

    def serve(talk: Talk) -> None:
        talk.socket.recv(65536)
        talk.socket.sendall(answer)
        if then_holds:
            talk.hold()

    return serve


def proxy_is(make: Callable[[Stage], ssl.SSLContext]) -> Site:
    """A proxy that speaks TLS itself."""

    def site(stage: Stage) -> Place:
        context = make(stage)

        def serve(talk: Talk) -> None:
            with context.wrap_socket(talk.socket, server_side=True) as secured:
                secured.recv(65536)

        return proxy_does(serve, "http", "https")(stage)

    return site


def drips_handshake_in_a_tunnel(stage: Stage) -> Place:
    drip = dripping_tls(stage.certificates.server_context(), 1, 0.01)

    def serve(talk: Talk) -> None:
        talk.socket.recv(65536)
        talk.socket.sendall(TUNNEL)
        drip(talk.socket, talk.is_over)

    return proxy_does(serve)(stage)


def drips_handshake_in_a_secure_tunnel(stage: Stage) -> Place:
    """TLS in TLS."""
    drip = dripping_tls(stage.certificates.server_context("service.test"), 1, 0.01)
    own = stage.certificates.server_context()

    def serve(talk: Talk) -> None:
        with own.wrap_socket(talk.socket, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(TUNNEL)
            drip(secured, talk.is_over)

    return proxy_does(serve, "https", "https")(stage)


def proxy_refused(stage: Stage) -> Place:
    return by_proxy(refused(stage).url.split("/")[2])


def proxy_swallowed(stage: Stage) -> Place:
    return by_proxy(swallowed(stage).url.split("/")[2])


def drips_an_answer(talk: Talk) -> None:
    talk.socket.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 1000:
        talk.socket.sendall(bytes([byte]))
        if talk.is_over.wait(0.01):
            return


def forwards_nothing(talk: Talk) -> None:
    """A forwarding proxy that takes the request and closes."""
    talk.read_head()


TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"


def breaks_the_tunnel(talk: Talk) -> None:
    talk.socket.recv(65536)
    talk.socket.sendall(TUNNEL)
    talk.socket.recv(65536)
