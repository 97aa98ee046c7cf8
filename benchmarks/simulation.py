"""How many attempts a second of CPU time a simulation makes: `python -m benchmarks.simulation`.

Each figure is the best of five runs: a busy machine makes the others slower. The target is 50,000 on one core for a
client with its defaults, also where 30 % of the requests fail, and are retried.
"""

from __future__ import annotations

import time

from http_service_client import HttpClientConfig
from http_service_client.simulation import NO_CLIENT, Errors, Service, simulate

RUNS = 5
HEALTHY, FAILING = Service(latency=0.05), Service(latency=0.05, faults=[Errors(rate=0.3)])
CASES = {
    "no client, healthy service": (NO_CLIENT, HEALTHY),
    "defaults, healthy service": (HttpClientConfig(), HEALTHY),
    "defaults, 30 % of the requests fail": (HttpClientConfig(), FAILING),
}


def attempts_a_second(config: HttpClientConfig, service: Service) -> float:
    """The figure of one run."""
    started = time.process_time()
    report = simulate(config, service, clients=50, rate=10, seconds=60)
    return report.exchanges / (time.process_time() - started)


def main() -> None:
    """Measure and print."""
    for name, (config, service) in CASES.items():
        best = max(attempts_a_second(config, service) for _ in range(RUNS))
        print(f"{name:<36}{best:>9,.0f} attempts a second")


if __name__ == "__main__":
    main()
