"""Jitter and chance come from the operating system: no seed of the program decides them, and they take nothing of its sequence."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator

import pytest

from http_service_client import ConnectError, ExponentialBackoff, RetryPolicy
from http_service_client.drivers.randomness import unseeded_random
from http_service_client.testing.server import LoopbackServer, respond
from kit.front_ends import FrontEnd
from kit.sources import imports, parse, sources


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


def test_the_numbers_are_spread_over_the_interval() -> None:
    numbers = [unseeded_random() for _ in range(1000)]
    assert 0.0 <= min(numbers) < 0.1
    assert 0.9 < max(numbers) < 1.0


def test_processes_with_the_same_seed_do_not_come_back_at_the_same_instants() -> None:
    """Training scripts and tests seed every worker with one number."""
    waits = []
    for _ in range(2):
        random.seed(42)
        delays = ExponentialBackoff().delays(RetryPolicy().random)
        waits.append([next(delays) for _ in range(3)])
    assert waits[0] != waits[1]


@pytest.mark.parametrize("work", ["a call", "a function"])
def test_what_the_program_draws_does_not_depend_on_its_retries(
    front_end: FrontEnd, server: LoopbackServer, work: str
) -> None:
    """An experiment with a seed has the same results whether or not a service was down for a moment."""
    policy = RetryPolicy(3, ExponentialBackoff(0.001, 0.002))
    client = front_end.client(retry_policy_config=policy)
    failures = [ConnectError("down"), ConnectError("down")]

    def fail_twice() -> str:
        if failures:
            raise failures.pop()
        return "done"

    state = random.getstate()
    if work == "a call":
        server.script("/", respond(503), respond(503), respond(200))
        front_end.request(client, "GET", f"{server.url}/")
        assert len(server.received("/")) == 3
    else:
        assert front_end.run(policy.apply(front_end.function(fail_twice))) == "done"
    assert random.getstate() == state


def test_processes_that_got_a_pickled_policy_draw_jitter_of_their_own() -> None:
    """With the state of a generator in the pickle, all of them would come back at the same instants."""
    assert pickle.loads(pickle.dumps(RetryPolicy())).random is unseeded_random


@pytest.mark.once
def test_nothing_draws_from_python_s_own_generator() -> None:
    """Only classes of `random` are used, each object with its own sequence."""
    taken = {
        name
        for file in sources()
        for _, name, _ in imports(parse(file), file)
        if name.split(".")[0] == "random"
    }
    assert taken == {"random.Random", "random.SystemRandom"}
