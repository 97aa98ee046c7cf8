"""`HttpMetrics`: correct numbers, from any thread, in bounded memory."""

from __future__ import annotations

import asyncio
import math
import os
import pickle
import threading
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client import ConfigurationError, HttpMetrics, SentState
from http_service_client.observability import DURATION_BUCKETS, HistogramSample, Sample
from kit.rows import each_row
from kit.threads import run_threads


class TestCounters:
    """Counters add up."""

    def test_have_a_series_for_each_set_of_labels(self) -> None:
        """The order of the labels makes no difference."""
        metrics = HttpMetrics()
        metrics.add("calls", {"service": "a", "code": 200})
        metrics.add("calls", {"code": 200, "service": "a"})
        metrics.add("calls", {"service": "a", "code": 503}, amount=3)
        assert metrics.snapshot().counters == (
            Sample("calls", (("code", "200"), ("service", "a")), 2),
            Sample("calls", (("code", "503"), ("service", "a")), 3),
        )

    @each_row(
        ("labels", "total"),
        [
            (None, 11),
            ({}, 11),
            ({"service": "a"}, 3),
            ({"code": 200}, 9),
            ({"code": "200"}, 9),
            ({"service": "a", "code": 503}, 2),
            ({"service": "c"}, 0),
            ({"host": "a"}, 0),
        ],
    )
    def test_are_summed_over_the_series_that_contain_the_labels(self, labels: Any, total: int) -> None:
        """The labels of a query are a filter."""
        metrics = HttpMetrics()
        metrics.add("calls", {"service": "a", "code": 200})
        metrics.add("calls", {"service": "a", "code": 503}, 2)
        metrics.add("calls", {"service": "b", "code": 200}, 8)
        assert metrics.total("calls", labels) == total

    def test_stay_whole_numbers(self) -> None:
        """Counts are not converted to floats, which could not hold 2**53 + 1."""
        metrics = HttpMetrics()
        metrics.add("calls", amount=2**53)
        metrics.add("calls")
        assert metrics.total("calls") == 2**53 + 1
        assert isinstance(metrics.total("nothing"), int)

    @each_row("amount", [-1, -0.5, math.nan, math.inf, True, "1", None, 10**400])
    def test_only_increase(self, amount: Any) -> None:
        """A negative amount, or a value that is not a number, is an error and changes nothing."""
        metrics = HttpMetrics()
        with pytest.raises(ConfigurationError, match=r"^amount must"):
            metrics.add("calls", amount=amount)
        assert metrics.snapshot().counters == ()

    @pytest.mark.parametrize("amount", [0, 0.25, 1])
    def test_increase_by_any_amount(self, amount: float) -> None:
        """By nothing, too: the series exists then."""
        metrics = HttpMetrics()
        metrics.add("calls", amount=amount)
        assert metrics.snapshot().counters == (Sample("calls", (), amount),)

    def test_lose_nothing_between_threads(self) -> None:
        """16 threads with 2,000 counts each, on new and known series."""
        metrics = HttpMetrics()

        def count(number: int) -> None:
            for turn in range(2000):
                metrics.add("calls", {"thread": number % 4, "turn": turn % 3})

        run_threads(count)
        assert metrics.total("calls") == 32_000
        assert metrics.total("calls", {"thread": 1}) == 8_000


class TestHistograms:
    """Histograms have a mean to read, and buckets to export."""

    def test_keep_count_sum_extremes_and_buckets(self) -> None:
        """A bucket counts the values up to its bound; the last one counts all."""
        metrics = HttpMetrics(buckets=[1, 2.5])
        for value in (0.5, 1.0, 2.0, 4.0):
            metrics.observe("seconds", value, {"service": "a"})
        assert metrics.snapshot().histograms == (
            HistogramSample(
                "seconds", (("service", "a"),), count=4, sum=7.5, min=0.5, max=4.0,
                buckets=((1.0, 2), (2.5, 3), (math.inf, 4)),
            ),
        )  # fmt: skip
        assert metrics.snapshot().histograms[0].mean == 1.875

    def test_have_the_buckets_that_dashboards_expect(self) -> None:
        """Those of Prometheus' clients up to 10 s, then 30 s and 60 s: a quantile drawn over years stays comparable."""
        prometheus = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
        assert (*prometheus, 30.0, 60.0) == DURATION_BUCKETS

    def test_have_a_mean_over_the_series_that_contain_the_labels(self) -> None:
        """It is the mean of the values, not of the series' means."""
        metrics = HttpMetrics()
        for value, service in ((1.0, "a"), (2.0, "a"), (6.0, "b")):
            metrics.observe("seconds", value, {"service": service})
        assert metrics.mean("seconds") == 3.0
        assert metrics.mean("seconds", {"service": "a"}) == 1.5

    def test_have_a_mean_of_zero_before_the_first_value(self) -> None:
        """A health report at start-up does not divide by zero."""
        assert HttpMetrics().mean("seconds") == 0.0

    @given(st.lists(st.floats(-1e6, 1e6), min_size=1))
    def test_agree_with_the_observed_values(self, values: list[float]) -> None:
        """For any values, the numbers are those of a list of them."""
        metrics = HttpMetrics()
        for value in values:
            metrics.observe("seconds", value)
        (sample,) = metrics.snapshot().histograms
        assert (sample.count, sample.min, sample.max) == (len(values), min(values), max(values))
        assert sample.sum == pytest.approx(math.fsum(values), abs=1e-3)
        assert sample.buckets == tuple(
            (bound, sum(value <= bound for value in values)) for bound in (*DURATION_BUCKETS, math.inf)
        )

    @pytest.mark.parametrize("value", [math.nan, math.inf, True, "1", None])
    def test_accept_only_finite_numbers(self, value: Any) -> None:
        """One NaN would make the sum NaN forever."""
        metrics = HttpMetrics()
        with pytest.raises(ConfigurationError, match="value must be a finite number"):
            metrics.observe("seconds", value)
        assert metrics.snapshot().histograms == ()


class TestGauges:
    """Gauges have the value that was set."""

    def test_hold_the_last_value(self) -> None:
        """A gauge may decrease."""
        metrics = HttpMetrics()
        metrics.set("connections", 5, {"host": "a"})
        metrics.set("connections", 3, {"host": "a"})
        metrics.set("connections", 4, {"host": "b"})
        assert metrics.value("connections", {"host": "a"}) == 3
        assert metrics.value("connections") == 7
        assert metrics.value("nothing") == 0
        assert metrics.snapshot().gauges[0] == Sample("connections", (("host", "a"),), 3)

    def test_accept_only_numbers(self) -> None:
        """The error names what it is about."""
        with pytest.raises(ConfigurationError, match=r"^value must be a finite number, not '5'$"):
            HttpMetrics().set("connections", "5")  # type: ignore[arg-type]  # the mistake


class TestNames:
    """Names and labels that could not be exported are errors at once."""

    @each_row("name", ["", "1st", "a-b", "http.requests", "ä", "a b", None, 3, "a\n"])
    def test_of_metrics_are_checked(self, name: Any) -> None:
        """By Prometheus' grammar; the message shows the name."""
        for use in (lambda m: m.add(name), lambda m: m.set(name, 1), lambda m: m.observe(name, 1)):
            with pytest.raises(ConfigurationError, match="a metric name must be letters"):
                use(HttpMetrics())

    @each_row("name", ["", "1st", "a-b", "__name", "a:b", 3])
    def test_of_labels_are_checked(self, name: Any) -> None:
        """Nothing is counted then."""
        metrics = HttpMetrics()
        with pytest.raises(ConfigurationError, match="a label name must be letters"):
            metrics.add("calls", {name: "x"})
        assert metrics.total("calls") == 0

    @pytest.mark.parametrize("labels", ["service", [("a", "b")], {3: "x", "a": "y"}])
    def test_labels_are_a_mapping_of_text(self, labels: Any) -> None:
        """Neither a list nor a string."""
        with pytest.raises(ConfigurationError, match="label"):
            HttpMetrics().add("calls", labels)

    def test_label_values_become_text(self) -> None:
        """Whatever their type; an enum becomes its value."""
        metrics = HttpMetrics()
        metrics.add("calls", {"code": 503, "state": SentState.ANSWERED, "none": None, "half": 0.5})
        assert dict(metrics.snapshot().counters[0].labels) == {
            "code": "503", "half": "0.5", "none": "None", "state": "answered",
        }  # fmt: skip

    def test_the_kind_of_a_name_never_changes(self) -> None:
        """The error of using it as another kind says which kind it is."""
        metrics = HttpMetrics()
        metrics.observe("seconds", 1.0)
        metrics.add("calls")
        for wrong in (
            lambda: metrics.add("seconds"),
            lambda: metrics.total("seconds"),
            lambda: metrics.set("seconds", 1),
            lambda: metrics.value("seconds"),
            lambda: asyncio.run(metrics.get_counter("seconds")),
        ):
            with pytest.raises(ConfigurationError, match=r"seconds is a histogram.*observe\(\) and mean\(\)"):
                wrong()
        for wrong in (lambda: metrics.mean("calls"), lambda: asyncio.run(metrics.get_gauge("calls"))):
            with pytest.raises(ConfigurationError, match="calls is a counter"):
                wrong()

    @pytest.mark.parametrize("max_series", [0, -1, 1.5, True, "1"])
    def test_the_limit_is_a_whole_number(self, max_series: Any) -> None:
        """Settings are checked as everywhere."""
        with pytest.raises(ConfigurationError, match="max_series must be"):
            HttpMetrics(max_series=max_series)

    @each_row("buckets", [[], [1, 1], [2, 1], [1, 3, 2], [math.nan], [math.inf], ["1"], 1])
    def test_buckets_are_increasing_numbers(self, buckets: Any) -> None:
        """Finite ones: the infinite bound is added."""
        with pytest.raises(ConfigurationError, match="bucket"):
            HttpMetrics(buckets=buckets)

    def test_a_text_is_no_list_of_buckets(self) -> None:
        """Its characters are not what is wrong."""
        with pytest.raises(
            ConfigurationError, match=r"^buckets must be a list of increasing numbers, not '12'$"
        ):
            HttpMetrics(buckets="12")  # type: ignore[arg-type]  # the mistake


class TestMemory:
    """Label values may come from user input, and memory must not grow with them."""

    def test_series_over_the_limit_are_counted_together(self) -> None:
        """Known series are counted as before, and the total is correct."""
        metrics = HttpMetrics(max_series=3)
        for number in range(10):
            metrics.add("calls", {"user": number})
        metrics.add("calls", {"user": 0})
        assert [(dict(one.labels), one.value) for one in metrics.snapshot().counters] == [
            ({"user": "0"}, 2), ({"user": "1"}, 1), ({"user": "2"}, 1), ({"overflow": "true"}, 7),
        ]  # fmt: skip
        assert metrics.total("calls") == 11
        assert metrics.total("calls", {"user": 9}) == 0

    def test_each_metric_has_its_own_limit(self) -> None:
        """A metric that overflows does not affect another. Histograms and gauges have the limit too."""
        metrics = HttpMetrics(max_series=1)
        for number in range(3):
            metrics.add("calls", {"user": number})
            metrics.set("connections", 1, {"user": number})
            metrics.observe("seconds", 1.0, {"user": number})
        snapshot = metrics.snapshot()
        for samples in (snapshot.counters, snapshot.gauges, snapshot.histograms):
            assert [dict(sample.labels) for sample in samples] == [{"user": "0"}, {"overflow": "true"}]
        assert metrics.mean("seconds") == 1.0

    def test_nothing_is_left_to_the_cycle_collector(self, no_reference_cycles: None) -> None:
        """Metrics are freed when the last reference to them is dropped."""
        metrics = HttpMetrics()
        metrics.add("calls")
        metrics.observe("seconds", 1.0)
        metrics.snapshot()


class TestSnapshots:
    """The numbers that an exporter reads do not change."""

    def test_are_plain_frozen_data(self) -> None:
        """They can be compared, hashed and pickled, and later counts do not change them."""
        metrics = HttpMetrics()
        metrics.add("calls", {"service": "a"})
        metrics.observe("seconds", 1.0)
        metrics.set("connections", 1)
        snapshot, again = metrics.snapshot(), metrics.snapshot()
        assert snapshot == again
        assert hash(snapshot) == hash(again)
        assert pickle.loads(pickle.dumps(snapshot)) == snapshot
        metrics.add("calls", {"service": "a"})
        assert snapshot == again != metrics.snapshot()
        with pytest.raises(AttributeError):
            snapshot.counters = ()  # type: ignore[misc]  # what the test is about

    def test_the_thread_that_holds_the_lock_can_count(self) -> None:
        """Inside any method, the garbage collector may end a call, which is counted then."""
        metrics = HttpMetrics()
        with metrics._lock:
            metrics.add("calls")
            assert metrics.total("calls") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_can_count() -> None:
    """Also if another thread of the parent held the lock at that instant."""
    metrics, held, done = HttpMetrics(), threading.Event(), threading.Event()

    def hold() -> None:
        with metrics._lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: what the test is about
        child = os.fork()
    if child == 0:
        # If the lock were not renewed, this would wait forever: an alarm ends the child.
        import signal

        signal.alarm(10)
        metrics.add("calls")
        os._exit(0 if metrics.total("calls") == 1 else 1)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.asyncio
async def test_each_awaited_method_does_what_the_plain_one_does() -> None:
    """Both read and write the same numbers."""
    metrics = HttpMetrics()
    await metrics.increment_counter("calls", {"service": "a"}, 2)
    await metrics.set_gauge("connections", 3, {"service": "a"})
    await metrics.observe_histogram("seconds", 1.5, {"service": "a"})
    assert await metrics.get_counter("calls", {"service": "a"}) == metrics.total("calls") == 2
    assert await metrics.get_gauge("connections", {"service": "a"}) == metrics.value("connections") == 3
    assert await metrics.get_gauge("seconds", {"service": "a"}) == metrics.mean("seconds") == 1.5
    assert await metrics.get_gauge("nothing") == 0.0
