"""What goes wrong with services, ready to be simulated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..core.checks import check_count, check_duration, check_number, suggests_keywords
from ..errors import ConfigurationError
from .faults import Bursts, Errors, Flapping, Outage, Poison, RateLimit, Slowdown
from .latency import LogNormal
from .service import Service

__all__ = ["SCENARIOS", "Scenario"]


@suggests_keywords({})
@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A service, and how it is called.

    about: one sentence for people.   service, clients, rate, seconds, method, options: see `simulate`.

    Raises ConfigurationError for a wrong type or an impossible value.
    """

    service: Service
    about: str = ""
    clients: int = 10
    rate: float = 2.0
    seconds: float = 300.0
    method: str = "GET"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.service, Service):
            raise ConfigurationError(
                f"service must be a Service, not {self.service!r}; write for example Service(latency=0.05)"
            )
        for name in ("about", "method"):
            if not isinstance(value := getattr(self, name), str):
                raise ConfigurationError(f"{name} must be text, not {value!r}")
        if not isinstance(self.options, Mapping):
            raise ConfigurationError(
                f"options must be a mapping of the keywords of a call, not {self.options!r}"
            )
        check_count("clients", self.clients)
        check_number("rate", self.rate, unit="of calls a second ")
        check_duration("seconds", self.seconds, optional=False)


_FAST = LogNormal(median=0.05, p99=0.25)  # of a service in good health


def _storm() -> Scenario:
    """A retry storm, of which naive retries never recover.

    The timeout is shorter than the backlog that the retries at the end of the outage pile up, and the service goes on
    working for clients that have given up. So every attempt comes too late, and is repeated.
    """
    service = Service(latency=_FAST, workers=100, faults=[Outage(start=60, seconds=30)])
    return Scenario(
        about="10,000 clients, a service at 80 % of its capacity, down for 30 s",
        service=service,
        clients=10_000,
        rate=0.8 * service.capacity / 10_000,
        seconds=240,
        options={"timeout": 0.5},
    )


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        "healthy": Scenario(about="all is well", service=Service(latency=_FAST)),
        **{
            f"failing-{share:.0%}".rstrip("%"): Scenario(
                about=f"{share:.0%} of the requests fail, each by chance",
                service=Service(latency=_FAST, faults=[Errors(rate=share)]),
            )
            for share in (0.1, 0.3, 0.7)
        },
        **{
            f"outage-{how}": Scenario(
                about=f"down for 60 s: {what}",
                service=Service(latency=_FAST, faults=[Outage(how=how, start=60, seconds=60)]),
            )
            for how, what in (
                ("refused", "connections are refused"),
                ("silent", "requests get no response"),
                ("reset", "connections are lost after the request was sent"),
            )
        },
        "brown-out": Scenario(
            about="the work on each request takes 20 times as long for 60 s",
            service=Service(latency=_FAST, faults=[Slowdown(factor=20, start=60, seconds=60)]),
        ),
        "slow-poison": Scenario(
            about="for 60 s, 2 % of the requests keep one of 8 workers busy for 30 s",
            service=Service(
                latency=_FAST,
                workers=8,
                queue=200,
                faults=[Poison(share=0.02, work=30, start=60, seconds=60)],
            ),
        ),
        "rate-limited": Scenario(
            about="the service takes 10 requests a second, of 20, and says when to come back",
            service=Service(
                latency=_FAST, faults=[RateLimit(per_second=10, burst=20, start=60, seconds=120)]
            ),
        ),
        "flapping": Scenario(
            about="down for 5 s, up for 15 s, in turn",
            service=Service(latency=_FAST, faults=[Flapping(up=15, down=5, start=60, seconds=120)]),
        ),
        "bursts": Scenario(
            about="failures come together: 2 s bad, 20 s good on average",
            service=Service(latency=_FAST, faults=[Bursts(good=20, bad=2, start=30, seconds=210)]),
        ),
        "partial-outage": Scenario(
            about="one of four back ends behind the name is down for 60 s",
            service=Service(latency=_FAST, faults=[Outage(share=0.25, start=60, seconds=60)]),
        ),
        "rolling-deploy": Scenario(
            about="four back ends restart one after the other, and each drops its connections",
            service=Service(
                latency=_FAST,
                faults=[Outage(how="reset", share=0.25, start=60 + 15 * n, seconds=10) for n in range(4)],
            ),
        ),
        "overload": Scenario(
            about="twice as much work as the service can do, for 60 s",
            service=Service(
                latency=_FAST, workers=2, queue=100, faults=[Slowdown(factor=3, start=60, seconds=60)]
            ),
        ),
        "retry-storm": _storm(),
    }
)
"""The built-in scenarios, by name. In each, the service is in good health at first, but for those whose names begin with
`failing`; the fault that begins after a minute or less is over before the end."""
