"""Responses in a real Redis server, by redis-py: what all storages promise, for many processes."""

from __future__ import annotations

import math
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from http_service_client import Cache, ConfigurationError, HttpResponse
from http_service_client.integrations import RedisStorage
from http_service_client.policies import StoredResponse
from kit.caches import Cached, cached_for, failed
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.rows import each_row

redis = pytest.importorskip("redis", reason="redis-py is not installed")
SERVER = shutil.which("redis-server")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of our own, on a Unix socket; it keeps nothing."""
    if SERVER is None:
        pytest.skip("redis-server is not installed")
    folder = tmp_path_factory.mktemp("r")
    path = folder / "s"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([SERVER, *options], stdout=subprocess.DEVNULL)
    try:
        for _ in range(1000):
            if path.exists():
                break
            time.sleep(0.01)
        yield f"unix://{path}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def storage(address: str) -> Iterator[RedisStorage]:
    made = RedisStorage(address, timeout=5.0)
    made.clear()
    yield made
    made.close()


def stored(text: str = "x", variant: str = "") -> StoredResponse:
    """A stored response."""
    return StoredResponse(200, "OK", (("A", text),), text.encode(), 1.0, 2.0, (("v", variant),))


def test_what_was_stored_is_found(storage: RedisStorage) -> None:
    """By URL and partition; one response for each variant, the last one."""
    storage.set("url", "ann", stored("old"))
    storage.set("url", "ann", stored("new"))
    storage.set("url", "ann", stored("other", "de"))
    storage.set("url", "bob", stored("bob"))
    assert sorted(storage.get("url", "ann")) == sorted([stored("new"), stored("other", "de")])
    assert (storage.get("url", "bob"), storage.get("other", "ann")) == ([stored("bob")], [])


def test_what_is_deleted_is_gone(storage: RedisStorage) -> None:
    """Of one partition, of a URL in all of them, or everything with the prefix."""
    for key in ("url", "other"):
        for partition in ("ann", "bob"):
            storage.set(key, partition, stored())
    storage.delete("url", "ann")
    assert (storage.get("url", "ann"), storage.get("url", "bob")) == ([], [stored()])
    storage.delete("url")
    assert (storage.get("url", "bob"), storage.get("other", "ann")) == ([], [stored()])
    storage.clear()
    assert list(storage._redis.scan_iter()) == []


def test_clearing_spares_the_keys_of_others(address: str, storage: RedisStorage) -> None:
    """Whatever characters a prefix has."""
    prefixes = ["a*:", "a[b]:", "a\\:", "ab:", "abc:"]
    others = [RedisStorage(address, timeout=5.0, prefix=prefix) for prefix in prefixes]
    for each in others:
        each.set("url", "ann", stored())
    for number, each in enumerate(others):
        Cache(storage=each).clear()
        assert [len(one.get("url", "ann")) for one in others] == [0] * (number + 1) + [1] * (4 - number)
    for each in others:
        each.close()


def test_a_deleted_url_leaves_nothing_behind(storage: RedisStorage) -> None:
    """Neither a response nor the list of them."""
    storage.set("url", "ann", stored())
    storage.delete("url")
    assert list(storage._redis.scan_iter()) == []


def test_what_a_deletion_would_not_find_is_not_used(storage: RedisStorage) -> None:
    """Redis may evict the list of a URL's partitions, and keep the responses in it."""
    storage.set("url", "ann", stored("old"))
    storage.set("url", "ann", stored("old", "de"))
    storage.set("url", "bob", stored("old"))
    storage._redis.delete(storage._name("url"))
    storage.delete("url")
    assert storage.get("url", "ann") == []
    storage.set("url", "ann", stored("new"))
    assert (storage.get("url", "ann"), storage.get("url", "bob")) == ([stored("new")], [])


def test_everything_expires(storage: RedisStorage) -> None:
    """The list of a URL's partitions not before the responses in it."""
    storage.set("url", "ann", stored())
    times = {name: storage._redis.ttl(name) for name in storage._redis.scan_iter()}
    assert len(times) == 2
    assert all(0 < left <= 7 * 86400 for left in times.values())


def test_what_is_no_response_is_passed_over(storage: RedisStorage) -> None:
    """Such as one that another version wrote."""
    storage.set("url", "ann", stored())
    storage._redis.hset(f"{storage._name('url')}:ann", "x", b"something else")
    assert storage.get("url", "ann") == [stored()]


def test_clients_share_it(storage: RedisStorage, front_end: FrontEnd) -> None:
    """What one has stored another one uses, and a change by either ends it."""
    one = Cached(front_end, cached_for(60, "a"), cached_for(60, "b"), cache=Cache(storage=storage))
    other = Cached(front_end, HttpResponse(204), cache=Cache(storage=storage))
    one.get()
    assert other.get().text == "a"
    other.request("DELETE")
    assert one.get().text == "b"


def test_an_event_loop_does_not_wait_for_it(address: str, front_end: FrontEnd) -> None:
    """A thread does. A blocking call waits itself."""
    threads: list[threading.Thread] = []

    class Noting(RedisStorage):
        def get(self, key: str, partition: str) -> Sequence[StoredResponse]:
            threads.append(threading.current_thread())
            return super().get(key, partition)

    storage = Noting(address, timeout=5.0)
    Cached(front_end, cached_for(60, "x"), cache=Cache(storage=storage)).get()
    (thread,) = threads
    assert (thread is threading.current_thread()) == (not isinstance(front_end, AsyncioFrontEnd))
    storage.clear()
    storage.close()


def test_a_server_that_is_down_never_fails_a_call(front_end: FrontEnd, tmp_path: Path) -> None:
    """The call goes without, with an event for each operation."""
    cached = Cached(
        front_end, cached_for(60, "x"), cache=Cache(storage=RedisStorage(f"unix://{tmp_path}/nobody"))
    )
    response = cached.get()
    assert response.text == "x"
    assert [event.operation for event in failed(response)] == ["get", "set"]


@each_row(
    ("url", "settings", "message"),
    [
        ("nowhere", {}, "url must be that of a Redis server"),
        ("redis://localhost?decode_responses=True", {}, "decode_responses"),
        ("redis://localhost:x", {}, "url must be that of a Redis server"),
        ("redis://localhost?tiemout=1", {}, "url must be that of a Redis server"),
        ("rediss://localhost?ssl_cert_reqs=some", {}, "url must be that of a Redis server"),
        (5, {}, "url must be that of a Redis server, or a blocking redis.Redis, not a builtins.int$"),
        *(("redis://localhost", {"ttl": ttl}, "ttl must be") for ttl in (0, 0.5, -1, "60", None, math.nan)),
        *(("redis://localhost", {"timeout": wait}, "timeout (must be )?more") for wait in (0, 0.0)),
        *(("redis://localhost", {"timeout": wait}, "timeout must be") for wait in (-1, "1", None, math.nan)),
        ("redis://localhost", {"prefix": 1}, "prefix"),
    ],
)
def test_a_wrong_argument_is_an_error(url: Any, settings: dict[str, Any], message: str) -> None:
    """It names the argument, and shows no password."""
    with pytest.raises(ConfigurationError, match=message):
        RedisStorage(url, **settings)


def test_the_shortest_times() -> None:
    """Redis counts seconds; a connection may have less."""
    RedisStorage("redis://localhost", ttl=1, timeout=0.001).close()


def test_a_server_that_hangs_up_is_not_asked_again(tmp_path: Path) -> None:
    """A call is waiting. The cache goes without, and the next call asks."""
    path = str(tmp_path / "s")
    connections: list[socket.socket] = []

    def serve() -> None:
        for number in range(9):
            with suppress(OSError):
                accepted, _ = listener.accept()
                connections.append(accepted)
                if number < 2:
                    accepted.close()
                else:  # one too many: it has an answer
                    accepted.recv(9999)
                    accepted.sendall(b"-ERR enough\r\n" * 99)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        threading.Thread(target=serve, daemon=True).start()
        storage = RedisStorage(f"unix://{path}", timeout=5.0)
        for count in (1, 2):
            with pytest.raises(redis.ConnectionError):
                storage.get("url", "ann")
            assert len(connections) == count
        listener.shutdown(socket.SHUT_RDWR)
        for each in connections:
            each.close()


def test_closing_it_closes_its_connections(address: str) -> None:
    """The server has none of it any more."""
    with redis.Redis.from_url(address) as other:

        def ids() -> set[str]:
            return {client["id"] for client in other.client_list()}

        before = ids()
        storage = RedisStorage(address, timeout=5.0)
        storage.set("url", "ann", stored())
        (own,) = ids() - before
        storage.close()
        assert any(own not in ids() for _ in range(1000))


@pytest.mark.parametrize(
    ("client", "message"),
    [
        (lambda: redis.Redis(decode_responses=True), "decode_responses=True"),
        (lambda: redis.asyncio.Redis(), "a blocking redis.Redis, not a redis.asyncio"),
    ],
    ids=["decodes", "asyncio"],
)
def test_a_client_that_cannot_serve_is_refused(client: Callable[[], Any], message: str) -> None:
    """It would store each response, and never find one again."""
    with pytest.raises(ConfigurationError, match=message):
        RedisStorage(client())


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'http-service-client\[redis\]'"):
        RedisStorage("redis://localhost")
