"""Draws the pictures of docs/simulation.md into docs/_static: `python docs/pictures.py`, in a few minutes.

It needs the extra `simulation`. Run it again when a default changes; the same code draws the same files.
"""

from __future__ import annotations

from pathlib import Path

from http_service_client import HttpClientConfig
from http_service_client.simulation import NO_CLIENT, compare

_STATIC = Path(__file__).resolve().parent / "_static"

# Three attempts whatever happens, as a loop around a plain HTTP library makes them.
NAIVE = HttpClientConfig(enable_circuit_breaker=False, enable_retry_budget=False, enable_throttle_gate=False)


def main() -> None:
    """Simulate, and write the files."""
    configs = {"naive retries": NAIVE, "defaults": HttpClientConfig()}
    storm = compare(configs, ["retry-storm"])
    storm.plot(_STATIC / "retry-storm.svg")
    print(storm)
    outage = compare({"no client": NO_CLIENT, "defaults": HttpClientConfig()}, ["outage-refused"])
    outage.plot(_STATIC / "outage-refused.svg")
    print(outage)


if __name__ == "__main__":
    main()
