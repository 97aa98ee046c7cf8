"""The evening from start to finish: threads and tasks play the same script, a view shows it, a report ends it."""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TextIO

from ..screen import Ink, Screen, is_terminal, wants_colour
from .metrics import serve_metrics
from .report import print_report
from .runners import WORKERS, Runner, TaskRunner, ThreadRunner
from .script import Act, write_story
from .services import Services
from .views import LiveView, PlainView

__all__ = ["Settings", "run"]

_TICK = 0.02  # seconds between two updates
_PATIENCE = 5.0  # seconds after the last act in which all postponed steps must finish


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The kind of evening.

    orders: for threads and tasks each.  seed: decides the orders and the mishap that each meets.
    tempo: factor on the time of the acts, and on that after which circuits and limits recover.
    sabotage: "forget-keys", a gateway that charges again; "stay-down", an outage without end; None.
    metrics_port: where the clients' metrics are shown, on loopback; 0 for any free port, None for nowhere.
    """

    orders: int = 60
    seed: int = 1
    tempo: float = 1.0
    sabotage: str | None = None
    metrics_port: int | None = None


def run(settings: Settings, stream: TextIO, *, plain: bool = False, colour: bool = True) -> int:
    """Play the evening; 0, or 1 if an invariant is broken. Ctrl-C leaves a clean terminal."""
    is_live = not plain and is_terminal(stream)
    ink = Ink(is_live and colour and wants_colour(stream))
    story = write_story(settings.orders, settings.seed, settings.tempo)
    news: deque[tuple[float, str, str, bool]] = deque()
    started = time.monotonic()

    def announce(runner: str, text: str, is_decisive: bool) -> None:
        news.append((time.monotonic() - started, runner, text, is_decisive))

    with ExitStack() as stack:
        runners: list[Runner] = []
        for runner_type in (ThreadRunner, TaskRunner):
            services = stack.enter_context(
                Services(
                    story,
                    forgets_keys=settings.sabotage == "forget-keys",
                    stays_down=settings.sabotage == "stay-down",
                )
            )
            runners.append(runner_type(services, settings.seed, settings.tempo, announce))
            stack.callback(runners[-1].close)
        address = None
        if settings.metrics_port is not None:
            clients = {runner.name: runner.client for runner in runners}
            address = stack.enter_context(serve_metrics(clients, settings.metrics_port))
        # Entered last, left first: after Ctrl-C the cursor is back before the last call has ended.
        screen = stack.enter_context(Screen(stream, is_live=is_live))
        _greet(screen, settings, address)
        view = LiveView(screen, runners, ink) if is_live else PlainView(screen, runners)
        evening = _Evening(runners, view, news, started)
        for number, act in enumerate(story.acts, 1):
            evening.play(f"act {number} of {len(story.acts)}: {act.title}", act)
        evening.close(_PATIENCE)
        for runner in runners:
            runner.close()
        left_open = [runner.services.open_connections(patience=2.0) for runner in runners]
        return 0 if print_report(screen, runners, left_open, ink) else 1


def _greet(screen: Screen, settings: Settings, address: str | None) -> None:
    orders = "1 order" if settings.orders == 1 else f"{settings.orders} orders"
    screen.print(
        *screen.wrapped(
            f"{orders} by {WORKERS} worker threads, and the same {orders} by {WORKERS} asyncio tasks. "
            f"Threads and tasks each have their own client and their own failing services. Seed {settings.seed}.",
            "",
        ),
        *([] if address is None else [f"Prometheus finds the metrics of both clients at {address}."]),
        "",
    )


class _Evening:
    """Runs threads and tasks in step: an act begins for both when both have finished the one before."""

    def __init__(
        self,
        runners: list[Runner],
        view: LiveView | PlainView,
        news: deque[tuple[float, str, str, bool]],
        started: float,
    ) -> None:
        self._runners, self._view, self._news, self._started = runners, view, news, started

    def play(self, title: str, act: Act) -> None:
        """Place the orders of an act, evenly over its time, and wait until all are done."""
        begun = self._begin(title)
        for runner in self._runners:
            runner.services.enter(act)
        for index, order in enumerate(act.orders):
            self._wait_until(begun + act.seconds * index / len(act.orders))
            for runner in self._runners:
                runner.take(order)
        self._wait_until(begun + act.seconds)
        self._wait_until_idle()

    def close(self, patience: float) -> None:
        """Resume postponed orders, and check the services, until all is settled or patience ends."""
        ends_at = self._begin("last orders: postponed steps are done now") + patience
        while self._now() < ends_at:
            for runner in self._runners:
                runner.resume_postponed()
                runner.call_until_closed(patience=0.3)
            if all(runner.is_idle() for runner in self._runners):
                break
            self._wait_until_idle()
            self._wait_until(self._now() + 0.1)
        self._show_news()
        self._view.end(self._now())

    def _begin(self, title: str) -> float:
        self._show_news()
        now = self._now()
        self._view.begin(now, title)
        return now

    def _wait_until_idle(self) -> None:
        while not all(runner.is_idle() for runner in self._runners):
            self._wait_until(self._now() + _TICK)

    def _wait_until(self, at: float) -> None:
        while True:
            self._show_news()
            self._view.update(self._now())
            left = at - self._now()
            if left <= 0:
                return
            time.sleep(min(left, _TICK))

    def _show_news(self) -> None:
        for _ in range(len(self._news)):  # what comes meanwhile is shown the next time
            self._view.announce(*self._news.popleft())

    def _now(self) -> float:
        return time.monotonic() - self._started
