"""Limits that an algorithm controls, at their start and after it."""

from __future__ import annotations

from http_service_client.core.machines.limits.limit_algorithms import LimitController, Window

__all__ = ["BY_LATENCY", "controller", "settled"]

BY_LATENCY = ["gradient", "vegas"]


def controller(
    algorithm: str = "gradient", initial: int = 20, least: int = 1, most: int = 200
) -> LimitController:
    return LimitController(algorithm, initial, least, most)


def settled(algorithm: str = "gradient", initial: int = 100, latency: float = 0.1) -> LimitController:
    """One that has left its start behind, with a baseline."""
    made = controller(algorithm, initial, most=1000)
    made.update(Window(latency, peak=initial, is_limited=False), 0.0)
    made._is_starting = False
    return made
