"""The modelled service is the queue that theory says: Poisson arrivals, so many workers, first come, first served."""

from __future__ import annotations

import math
from random import Random
from statistics import fmean, quantiles

import pytest

from http_service_client import HttpRequest, HttpResponse, Timeout
from http_service_client.simulation import (
    NO_CLIENT,
    Constant,
    Empirical,
    Exponential,
    Latency,
    LogNormal,
    Service,
    Slowdown,
    Uniform,
    simulate,
)
from http_service_client.simulation.service import LiveService
from kit.fakes import URL


def durations(service: Service, load: float) -> list[float]:
    """How long each of many requests takes, at this share of the service's capacity; infinite for a refused one."""
    live = LiveService(service, HttpRequest("GET", URL), Random(1))
    random, rate, no_limit, now, found = Random(2), load * service.capacity, Timeout(), 0.0, []
    for _ in range(20_000):
        now += random.expovariate(rate)
        exchange = live.exchange(now, no_limit)
        is_refused = isinstance(exchange.outcome, HttpResponse) and exchange.outcome.status_code == 503
        found.append(math.inf if is_refused else exchange.seconds)
    return found


def erlang_c(workers: int, load: float) -> float:
    """The share of requests that must wait (A. K. Erlang, 1917).   load: of the capacity."""
    offered = workers * load
    waiting = offered**workers / math.factorial(workers) / (1 - load)
    return waiting / (sum(offered**k / math.factorial(k) for k in range(workers)) + waiting)


@pytest.mark.parametrize(("workers", "load"), [(1, 0.5), (1, 0.7), (4, 0.8), (20, 0.9)])
def test_the_mean_time_of_a_call_is_that_of_an_m_m_c_queue(workers: int, load: float) -> None:
    """W = S + C · S / (c · (1 - load)), for exponential service times of mean S, and C by Erlang."""
    service = Service(latency=Exponential(0.1), workers=workers, network=0.0)
    expected = 0.1 + erlang_c(workers, load) * 0.1 / (workers * (1 - load))
    assert fmean(durations(service, load)) == pytest.approx(expected, rel=0.05)


def test_the_quantiles_of_a_call_are_those_of_an_m_m_1_queue() -> None:
    """The time in the system is exponential, with the rate μ - λ."""
    cuts = quantiles(durations(Service(latency=Exponential(0.1), workers=1, network=0.0), 0.5), n=100)
    assert cuts[49] == pytest.approx(math.log(2) / 5, rel=0.05)
    assert cuts[98] == pytest.approx(math.log(100) / 5, rel=0.05)


def test_a_constant_service_time_halves_the_wait() -> None:
    """The mean wait of an M/D/1 queue is half of that of M/M/1 (F. Pollaczek and A. Khinchin, 1930)."""
    found = durations(Service(latency=0.1, workers=1, network=0.0), 0.7)
    assert fmean(found) == pytest.approx(0.1 + 0.7 * 0.1 / (2 * 0.3), rel=0.05)


def test_a_full_queue_refuses_by_the_loss_formula() -> None:
    """Without a queue, the share of 503 is Erlang's B: (a^c / c!) / Σ a^k / k!."""
    offered, workers = 8.0, 10
    terms = [offered**k / math.factorial(k) for k in range(workers + 1)]
    found = durations(Service(latency=Exponential(0.1), workers=workers, queue=0, network=0.0), 0.8)
    assert found.count(math.inf) / len(found) == pytest.approx(terms[-1] / sum(terms), rel=0.05)


def test_a_queue_has_so_many_seats() -> None:
    """Of a burst, the requests beyond workers and queue get a 503 at once."""
    service = Service(latency=1000.0, workers=2, queue=3, network=0.0)
    report = simulate(NO_CLIENT, service, clients=10, rate=10, seconds=1.0, options={"timeout": None})
    assert report.succeeded == 5
    assert report.errors == {"503": report.calls - 5}


def test_any_number_of_workers_means_no_queue() -> None:
    """Each call takes the service's latency, and the network's there and back."""
    service = Service(latency=0.25, network=0.01)
    assert service.capacity == math.inf
    report = simulate(NO_CLIENT, service, clients=50, rate=10, seconds=2)
    assert report.mean_call == pytest.approx(0.27)
    assert report.worst_call == pytest.approx(0.27)


def test_work_goes_on_after_the_client_has_given_up() -> None:
    """All of the work on an abandoned request is wasted, and the requests behind it wait for it."""
    service = Service(latency=2.0, workers=1)
    report = simulate(NO_CLIENT, service, rate=0.25, seconds=400, options={"timeout": 1.0})
    assert report.succeeded == 0
    assert report.wasted_work == report.work == pytest.approx(2.0 * report.calls)


def test_a_service_may_stop_abandoned_work() -> None:
    """It learns of it a network delay later, and has no work with a request that was abandoned in the queue."""
    service = Service(latency=2.0, workers=1, stops_abandoned_work=True, network=0.01)
    report = simulate(NO_CLIENT, service, clients=50, rate=0.2, seconds=40, options={"timeout": 1.0})
    assert report.succeeded == 0
    assert report.work <= 1.01 * report.calls
    assert report.work == pytest.approx(40, rel=0.1)  # the worker is always busy


@pytest.mark.parametrize(
    ("latency", "mean"),
    [
        (0.2, 0.2),
        (Constant(0.2), 0.2),
        (Uniform(0.1, 0.3), 0.2),
        (Exponential(0.2), 0.2),
        (LogNormal(median=0.1, p99=0.5), 0.1 * math.exp((math.log(5) / 2.326348) ** 2 / 2)),
        (Empirical([0.1, 0.1, 0.4]), 0.2),
    ],
)
def test_a_latency_has_the_mean_that_it_names(latency: Latency | float, mean: float) -> None:
    """The capacity of a service follows from it."""
    assert Service(latency=latency, workers=10).capacity == pytest.approx(10 / mean, rel=1e-6)
    service = Service(latency=latency, network=0.0)
    report = simulate(NO_CLIENT, service, clients=50, rate=10, seconds=4)
    assert report.mean_call == pytest.approx(mean, rel=0.1)


def test_a_log_normal_latency_has_the_quantiles_that_it_names() -> None:
    """Half of the values are below the median, 99 % below p99."""
    service = Service(latency=LogNormal(median=0.1, p99=0.5), network=0.0)
    report = simulate(NO_CLIENT, service, clients=50, rate=10, seconds=10)
    assert report.p50_call == pytest.approx(0.1, rel=0.05)
    assert report.p99_call == pytest.approx(0.5, rel=0.15)


def test_a_brown_out_multiplies_the_work() -> None:
    """While it lasts, and not after it."""
    service = Service(latency=0.1, faults=[Slowdown(factor=5, start=10, seconds=10)], network=0.0)
    report = simulate(NO_CLIENT, service, clients=10, rate=5, seconds=30)
    during, after = report.between(11, 20), report.between(21, 30)
    assert [moment.p50 for moment in during] == pytest.approx([0.5] * len(during), rel=0.02)
    assert [moment.p50 for moment in after] == pytest.approx([0.1] * len(after), rel=0.02)
