"""What OpenTelemetry adds to a scripted call: `python -m benchmarks.telemetry`.

    off            no telemetry: the pipeline has no layer of it
    API only       without an SDK: all of our own part, and the steps of the API that it takes
    the API alone  those steps, and nothing of ours. What API only takes beyond them is our own part: 15 µs are allowed
    SDK            with spans that are sampled, ended, and dropped by a processor that does nothing, and with metrics

The contenders take turns, so that other load disturbs all of them alike. A machine that is busy makes all of them slower:
compare the share then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from opentelemetry.context import attach, detach, get_current
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import NoOpTracerProvider, SpanKind, set_span_in_context

from http_service_client import HttpResponse, HttpServiceClient
from http_service_client.observability import OpenTelemetry

from .clients import Forgetful, repeated
from .measuring import Samples, Spread, Work, take_turns

ROUNDS, REPEAT = 21, 500
OFF, API, ALONE, SDK = "off", "API only", "the API alone", "SDK"
URL = "https://api.example.com/orders/42"
ALLOWED = 15.0  # µs, of our own part


def contenders() -> dict[str, Work]:
    """A blocking call by each client."""
    provider = TracerProvider()
    provider.add_span_processor(SpanProcessor())
    telemetries = {
        OFF: None,
        "off, once more": None,
        API: OpenTelemetry(tracer_provider=NoOpTracerProvider(), meter_provider=NoOpMeterProvider()),
        SDK: OpenTelemetry(
            tracer_provider=provider, meter_provider=MeterProvider(metric_readers=[InMemoryMetricReader()])
        ),
    }
    made, response = {}, HttpResponse(200, content=b"{}")
    for name, telemetry in telemetries.items():
        client = HttpServiceClient(transport=Forgetful(response), telemetry=telemetry)
        made[name] = repeated(partial(client.get, URL))
    made[ALONE] = repeated(steps_of_the_api())
    return made


def steps_of_the_api() -> Callable[[], object]:
    """What a call asks of the API: two spans, three contexts, the headers, and four metrics."""
    start_span = NoOpTracerProvider().get_tracer("benchmark").start_span
    histogram = NoOpMeterProvider().get_meter("benchmark").create_histogram("benchmark")
    attributes = {"server.address": "api.example.com", "server.port": 443, "http.request.method": "GET"}

    def steps() -> object:
        outer = get_current()
        span = start_span("GET", outer, SpanKind.INTERNAL, attributes)
        context = set_span_in_context(span, outer)
        first = attach(context)
        exchange = start_span("GET", context, SpanKind.CLIENT, attributes)
        inner = set_span_in_context(exchange, context)
        get_global_textmap().inject({}, inner)
        detach(attach(inner))
        for each in (span, exchange):
            if each.is_recording():
                each.set_attributes(attributes)
            each.end()
        for _ in range(4):
            histogram.record(1.0, attributes, inner)
        detach(first)
        detach(attach(context))
        return context

    return steps


def added(samples: Samples, name: str) -> Spread:
    """Microseconds that a contender adds, round by round."""
    pairs = zip(samples[name], samples[OFF], strict=True)
    return Spread.of([(ours.cpu - off.cpu) * 1e6 for ours, off in pairs])


def main() -> None:
    """Measure and print."""
    samples = take_turns(contenders(), rounds=ROUNDS, repeat=REPEAT)
    print(f"{'telemetry':<20}{'µs a call':>10}{'added, µs':>12}  quartiles")
    for name in samples:
        call = Spread.of([one.cpu * 1e6 for one in samples[name]])
        if name == ALONE:
            print(f"{name:<20}{call.median:>10.1f}")
            continue
        more = added(samples, name)
        print(f"{name:<20}{call.median:>10.1f}{more.median:>12.1f}  {more.low:.1f} to {more.high:.1f}")
    alone = Spread.of([one.cpu * 1e6 for one in samples[ALONE]]).median
    own = added(samples, API).median - alone
    share = own / Spread.of([one.cpu * 1e6 for one in samples[OFF]]).median
    verdict = "met" if own <= ALLOWED else "MISSED"
    print(
        f"our own part: {own:.1f} µs, allowed {ALLOWED:.0f}: {verdict}; {share:.2f} of a call without telemetry"
    )


if __name__ == "__main__":
    main()
