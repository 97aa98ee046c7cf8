"""What will this configuration do? The real core against a modelled service, in virtual time.

report = simulate(HttpClientConfig(), Service(workers=20, faults=[Outage(start=60, seconds=30)]), rate=20)
assert report.success_share > 0.94 and not report.is_metastable
"""

from .check import Finding, check
from .compare import Comparison, compare
from .faults import Bursts, Errors, Fault, Flapping, Outage, Poison, RateLimit, Slowdown
from .fleet import Environment
from .latency import Constant, Empirical, Exponential, Latency, LogNormal, Uniform
from .replay import Replay, ReplayedCall, replay
from .report import Report
from .scenarios import SCENARIOS, Scenario
from .service import Service
from .simulate import NO_CLIENT, simulate
from .tally import Moment

__all__ = [
    "NO_CLIENT",
    "SCENARIOS",
    "Bursts",
    "Comparison",
    "Constant",
    "Empirical",
    "Environment",
    "Errors",
    "Exponential",
    "Fault",
    "Finding",
    "Flapping",
    "Latency",
    "LogNormal",
    "Moment",
    "Outage",
    "Poison",
    "RateLimit",
    "Replay",
    "ReplayedCall",
    "Report",
    "Scenario",
    "Service",
    "Slowdown",
    "Uniform",
    "check",
    "compare",
    "replay",
    "simulate",
]
