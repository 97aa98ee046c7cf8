"""One fetch for all callers, though some are cancelled, late, closed or gone: by threads, tasks and event loops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from http_service_client import (
    ClientClosedError,
    DeadlineExceededError,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    TokenError,
    deadline,
)
from http_service_client.auth import BearerToken, OAuth2ClientCredentials
from http_service_client.core.machines.limits.semaphore import Latch
from http_service_client.core.timeouts import Timeout
from kit.fakes import Harness
from kit.forks import in_a_child, needs_fork
from kit.front_ends import BlockingFrontEnd, FrontEnd, run_task

TOKEN_URL = "https://id.example.com/token"
API = "https://api.example.com/charges"
PATIENCE = 20.0  # seconds; a test that hangs fails


class Network:
    """An API and a token service whose responses wait until `gate` is open, on threads and in event loops alike.

    refuses_together: so many refused requests get their 401 at the same time; 0 for one by one, at once.
    failures: so many token requests are answered with `failure_status`.
    """

    def __init__(self, *, is_open: bool = False, refuses_together: int = 0) -> None:
        self.gate = threading.Event()
        if is_open:
            self.gate.set()
        self.fetch_began = threading.Event()
        self.fetches = 0
        self.failures, self.failure_status = 0, 400
        self.accepted: set[str] = set()
        self.calls: list[str | None] = []
        self._lock = threading.Lock()
        self._refused = threading.Barrier(refuses_together) if refuses_together else None

    def send(self, request: HttpRequest, timeout: Timeout) -> HttpResponse:
        if request.url == TOKEN_URL:
            self.fetch_began.set()
            assert self.gate.wait(PATIENCE)
        response = self._respond(request)
        if response.status_code == 401 and self._refused is not None:
            self._refused.wait(PATIENCE)
        return response

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> HttpResponse:
        if request.url == TOKEN_URL:
            self.fetch_began.set()
            assert await asyncio.to_thread(self.gate.wait, PATIENCE)
        await asyncio.sleep(0)
        return self._respond(request)

    def _respond(self, request: HttpRequest) -> HttpResponse:
        with self._lock:
            if request.url == TOKEN_URL:
                self.fetches += 1
                if self.failures:
                    self.failures -= 1
                    return HttpResponse(self.failure_status, url=TOKEN_URL, request=request)
                token = f"t{self.fetches}"
                self.accepted = {f"Bearer {token}"}
                content = f'{{"access_token": "{token}", "expires_in": 100}}'.encode()
                return HttpResponse(200, content=content, url=TOKEN_URL, request=request)
            sent = request.headers.get("Authorization")
            self.calls.append(sent)
            status = 200 if sent in self.accepted else 401
            return HttpResponse(status, url=request.url, request=request)


def login(**settings: Any) -> OAuth2ClientCredentials:
    return OAuth2ClientCredentials(token_url=TOKEN_URL, client_id="shop", client_secret="s3cret", **settings)


@contextmanager
def client_of(network: Network, auth: Any, **settings: Any) -> Iterator[HttpServiceClient]:
    client = HttpServiceClient(HttpClientConfig(auth=auth, **settings), transport=network)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def when_waiting(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Calls a function as soon as so many callers wait for a fetch."""
    wait_later = Latch.wait_later
    targets: list[tuple[int, Callable[[], object]]] = []
    counts = iter(range(1, 10_000))

    def counted(latch: Latch) -> Any:
        waiter = wait_later(latch)
        number = next(counts)
        for target, function in targets:
            if number == target:
                function()
        return waiter

    monkeypatch.setattr(Latch, "wait_later", counted)
    return lambda number, function: targets.append((number, function))


def in_a_loop(client: HttpServiceClient, calls: int) -> list[HttpResponse]:
    async def all_of_them() -> list[HttpResponse]:
        return await asyncio.gather(*(client.get_async(API) for _ in range(calls)))

    return run_task(all_of_them())  # type: ignore[no-any-return]


def test_two_hundred_callers_in_threads_and_tasks_make_one_fetch(when_waiting: Any) -> None:
    """A hundred threads, and a hundred tasks on two event loops, through two clients, one token."""
    network, auth = Network(), login()
    when_waiting(200, network.gate.set)
    with (
        client_of(network, auth) as one,
        client_of(network, auth) as other,
        ThreadPoolExecutor(102) as pool,
    ):
        threads = [pool.submit((one if n % 2 else other).get, API) for n in range(100)]
        loops = [pool.submit(in_a_loop, client, 50) for client in (one, other)]
        responses = [each.result(PATIENCE) for each in threads]
        responses += [response for each in loops for response in each.result(PATIENCE)]
    assert [response.status_code for response in responses] == [200] * 200
    assert (network.fetches, network.calls) == (1, ["Bearer t1"] * 200)


def test_a_storm_of_401_causes_one_fetch() -> None:
    """All calls were refused before the first of them asks for another token."""
    calls = 50
    network, auth = Network(is_open=True, refuses_together=calls), login()
    limits = {"max_connections": 100, "max_connections_per_host": 100}
    with client_of(network, auth, **limits) as client, ThreadPoolExecutor(calls) as pool:
        client.get(API)
        network.accepted = set()
        responses = list(pool.map(lambda _: client.post(API, json={}), range(calls)))
    assert {response.status_code for response in responses} == {200}
    assert network.fetches == 2
    assert network.calls.count("Bearer t1") == 1 + calls
    assert network.calls.count("Bearer t2") == calls


def test_a_storm_of_401_in_tasks_causes_one_fetch() -> None:
    """On one event loop, too."""
    network, auth = Network(is_open=True), login()
    with client_of(network, auth) as client:
        client.get(API)
        network.accepted = {"nothing"}
        responses = in_a_loop(client, 50)
    assert {response.status_code for response in responses} == {200}
    assert network.fetches == 2


def test_the_caller_that_started_the_fetch_may_be_cancelled() -> None:
    """The others get its token, by the same fetch."""
    network, auth = Network(), login()

    async def scenario() -> list[HttpResponse]:
        starter = asyncio.create_task(client.get_async(API))
        await asyncio.to_thread(network.fetch_began.wait, PATIENCE)
        others = [asyncio.create_task(client.get_async(API)) for _ in range(10)]
        await asyncio.sleep(0)
        starter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starter
        network.gate.set()
        return await asyncio.gather(*others)

    with client_of(network, auth) as client:
        responses = run_task(scenario())
    assert {response.status_code for response in responses} == {200}
    assert network.fetches == 1


def test_a_thread_that_started_the_fetch_may_run_out_of_time() -> None:
    """The others get its token, by the same fetch."""
    network, auth = Network(), login()
    with client_of(network, auth) as client:
        with pytest.raises(DeadlineExceededError):
            client.get(API, total_timeout=0.01)
        network.gate.set()
        assert client.get(API).status_code == 200
    assert network.fetches == 1


def test_a_task_that_started_the_fetch_may_run_out_of_time() -> None:
    """The others get its token, by the same fetch, in threads as well."""
    network, auth = Network(), login()

    async def scenario() -> int:
        with pytest.raises(DeadlineExceededError):
            await client.get_async(API, total_timeout=0.01)
        waiting = asyncio.create_task(asyncio.to_thread(client.get, API))
        network.gate.set()
        return (await waiting).status_code

    with client_of(network, auth) as client:
        assert run_task(scenario()) == 200
    assert network.fetches == 1


def test_when_the_event_loop_of_the_fetch_ends_another_caller_takes_over(when_waiting: Any) -> None:
    """`asyncio.run` cancels what still runs at its end."""
    network, auth = Network(), login()
    is_waiting = threading.Event()
    when_waiting(2, is_waiting.set)

    async def leave() -> None:
        task = asyncio.create_task(client.get_async(API))
        while not network.fetch_began.is_set():
            await asyncio.sleep(0)
        thread.start()
        assert await asyncio.to_thread(is_waiting.wait, PATIENCE)
        task.cancel()

    statuses: list[int] = []
    with client_of(network, auth) as client:
        thread = threading.Thread(target=lambda: statuses.append(client.get(API).status_code))
        opener = threading.Timer(0.2, network.gate.set)  # the loop's own thread waits for the gate
        opener.start()
        run_task(leave())
        thread.join(PATIENCE)
        opener.join()
    assert statuses == [200]


def test_when_the_client_of_the_fetch_is_closed_another_client_takes_over(when_waiting: Any) -> None:
    """Its calls end with ClientClosedError; those of the other client get their token."""
    network, auth = Network(), login()
    with client_of(network, auth) as one, client_of(network, auth) as other, ThreadPoolExecutor(2) as pool:
        started = pool.submit(one.get, API)
        assert network.fetch_began.wait(PATIENCE)
        network.failures, network.failure_status = 1, 503  # to be sent again, which a closed client does not

        def close_and_go_on() -> None:
            one.close()
            network.gate.set()

        when_waiting(2, close_and_go_on)
        assert pool.submit(other.get, API).result(PATIENCE).status_code == 200
        with pytest.raises(ClientClosedError):
            started.result(PATIENCE)
    assert network.fetches == 2


def test_a_failed_fetch_fails_all_who_waited_for_it(when_waiting: Any) -> None:
    """Each with an error of its own; the next call fetches again."""
    network, auth = Network(), login()
    network.failures = 1
    when_waiting(20, network.gate.set)
    with client_of(network, auth) as client, ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(client.get, API) for _ in range(20)]
        errors = [each.exception(PATIENCE) for each in calls]
        assert {type(error) for error in errors} == {TokenError}
        assert len({id(error) for error in errors}) == 20
        assert network.fetches == 1
        assert network.calls == []
        assert client.get(API).status_code == 200


def test_nobody_waits_for_a_fetch_ahead_of_expiry(front_end: FrontEnd) -> None:
    """The token that is still valid is used while the next one is fetched."""
    network, auth = Network(is_open=True), login(refresh_ahead=1e6)
    with client_of(network, auth) as client:

        def calls() -> list[Any]:
            return [front_end.calling(client, "GET", API) for _ in range(3)]

        async def in_one_loop() -> None:
            for call in calls():
                assert (await call()).status_code == 200
            network.gate.set()

        client.get(API)
        network.gate.clear()
        network.fetch_began.clear()
        token = auth.cache._token
        assert token is not None
        token.refresh_after = 0.0
        if front_end.name == "blocking":
            for call in calls():
                assert call().status_code == 200
            network.gate.set()
        else:
            run_task(in_one_loop())
        assert network.fetch_began.wait(PATIENCE)
    assert network.calls == ["Bearer t1"] * 4


def test_a_fetch_needs_no_connection_of_the_call_that_waits_for_it() -> None:
    """With a single connection in all, a refused call has released it before it asks for another token."""
    network, auth = Network(is_open=True), login()
    with client_of(network, auth, max_connections=1, max_connections_per_host=1) as client:
        client.get(API)
        network.accepted = set()
        assert client.get(API, total_timeout=10).status_code == 200


def test_a_provider_may_make_calls_that_need_another_token() -> None:
    """Such as one that exchanges the token of a first service for that of a second."""
    network, first = Network(is_open=True), login()
    with client_of(network, first) as inner:
        second = BearerToken(lambda: "t1" if inner.get(API).status_code == 200 else "")
        with client_of(network, second) as outer:
            assert outer.get(API).status_code == 200
    assert network.fetches == 1


def test_a_fetch_ignores_the_deadline_of_the_block_around_its_caller() -> None:
    """The others need its result, too."""
    seen: list[float | None] = []

    class Times(Network):
        def send(self, request: HttpRequest, timeout: Timeout) -> HttpResponse:
            if request.url == TOKEN_URL:
                seen.append(timeout.total)
            return super().send(request, timeout)

    with client_of(Times(is_open=True), login()) as client, deadline(5):
        assert client.get(API).status_code == 200
    assert seen[0] is not None
    assert seen[0] > 5


def test_a_loop_that_ends_before_the_fetch_has_begun_leaves_none_behind() -> None:
    """`asyncio.run` cancels the task of the fetch before its first step: the next caller starts one, and does not wait."""
    source = BearerToken(lambda: "token")
    client = HttpServiceClient(HttpClientConfig(auth=source), transport=Network(is_open=True))
    tasks = []

    async def run() -> None:
        tasks.append(asyncio.ensure_future(client.get_async(API)))

    asyncio.run(run())
    assert tasks[0].cancelled()
    assert source.cache._fetch is None


@needs_fork
def test_a_forked_child_does_not_wait_for_the_fetch_of_its_parent() -> None:
    """Which does not exist there. It makes one of its own."""
    codes: list[int] = []
    is_forked: list[bool] = []

    def call() -> None:
        assert Harness(BlockingFrontEnd(), 200, auth=auth).request(total_timeout=5).status_code == 200

    def provide() -> str:
        if not is_forked:
            is_forked.append(True)
            codes.append(in_a_child(call))
        return "t1"

    auth = BearerToken(provide)
    call()
    assert codes == [0]
