"""The evening from beginning to end: two worlds, one story, a view of it, and the report."""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TextIO

from .report import print_report
from .runners import WORKERS, Runner, TaskRunner, ThreadRunner
from .screen import Ink, Screen, is_terminal, wants_colour
from .script import Act, write_story
from .services import Street
from .views import LiveView, PlainView

__all__ = ["Settings", "run"]

_TICK = 0.02  # seconds between two looks
_PATIENCE = 5.0  # seconds after the last act until all that waits must have come to its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What evening it shall be.

    orders: in each world.  seed: decides who orders what and meets which mishap.
    tempo: factor on the time that the acts take.
    sabotage: "forget-keys", a gateway that charges again; "stay-down", an outage without end; None.
    """

    orders: int = 60
    seed: int = 1
    tempo: float = 1.0
    sabotage: str | None = None


def run(settings: Settings, stream: TextIO, *, plain: bool = False, colour: bool = True) -> int:
    """Play the evening; 0, or 1 when an invariant is broken. Ctrl-C leaves a clean terminal."""
    is_live = not plain and is_terminal(stream)
    ink = Ink(is_live and colour and wants_colour(stream))
    story = write_story(settings.orders, settings.seed, settings.tempo)
    news: deque[tuple[float, str, str]] = deque()
    started = time.monotonic()

    def tell(world: str, text: str) -> None:
        news.append((time.monotonic() - started, world, text))

    with ExitStack() as stack:
        worlds: list[Runner] = []
        for world_type in (ThreadRunner, TaskRunner):
            street = stack.enter_context(
                Street(
                    story,
                    forgets_keys=settings.sabotage == "forget-keys",
                    stays_down=settings.sabotage == "stay-down",
                )
            )
            worlds.append(world_type(street, settings.seed, tell))
            stack.callback(worlds[-1].close)
        # Entered last, left first: after Ctrl-C the cursor is back before the last call has ended.
        screen = stack.enter_context(Screen(stream, is_live=is_live))
        _greet(screen, settings, ink)
        evening = _Evening(
            worlds, LiveView(screen, worlds, ink) if is_live else PlainView(screen, worlds), news, started
        )
        for number, act in enumerate(story.acts, 1):
            evening.play(f"act {number} of {len(story.acts)}: {act.title}", act)
        evening.close(_PATIENCE)
        for world in worlds:
            world.close()
        left_open = [world.street.open_connections(patience=2.0) for world in worlds]
        return 0 if print_report(screen, worlds, left_open, ink) else 1


def _greet(screen: Screen, settings: Settings, ink: Ink) -> None:
    orders = "1 order" if settings.orders == 1 else f"{settings.orders} orders"
    screen.print(
        *screen.wrapped(
            f"{orders} by {WORKERS} worker threads, and the same {orders} by {WORKERS} asyncio tasks; "
            f"each world has its own client and its own failing services. Seed {settings.seed}.",
            "",
        ),
        "",
    )


class _Evening:
    """Conducts both worlds in step: an act begins in both when all that was begun in both is done."""

    def __init__(
        self,
        worlds: list[Runner],
        view: LiveView | PlainView,
        news: deque[tuple[float, str, str]],
        started: float,
    ) -> None:
        self._backends, self._view, self._news, self._started = worlds, view, news, started

    def play(self, title: str, act: Act) -> None:
        """Let the orders of an act come in, evenly over its time, and see each through."""
        begun = self._begin(title)
        for world in self._backends:
            world.street.enter(act)
        for index, order in enumerate(act.orders):
            self._wait_until(begun + act.seconds * index / len(act.orders))
            for world in self._backends:
                world.take(order)
        self._wait_until(begun + act.seconds)
        self._wait_until_idle()

    def close(self, patience: float) -> None:
        """Go on with what waits, and call the services, until all is settled or patience ends."""
        ends_at = self._begin("last orders: what had to wait is done now") + patience
        while self._now() < ends_at:
            for world in self._backends:
                world.take_from_shelf()
                world.call_until_closed(patience=0.3)
            if all(world.is_idle() for world in self._backends):
                break
            self._wait_until_idle()
            self._wait_until(self._now() + 0.1)
        self._tell_news()
        self._view.end(self._now())

    def _begin(self, title: str) -> float:
        self._tell_news()
        now = self._now()
        self._view.begin(now, title)
        return now

    def _wait_until_idle(self) -> None:
        while not all(world.is_idle() for world in self._backends):
            self._wait_until(self._now() + _TICK)

    def _wait_until(self, at: float) -> None:
        while True:
            self._tell_news()
            self._view.look(self._now())
            left = at - self._now()
            if left <= 0:
                return
            time.sleep(min(left, _TICK))

    def _tell_news(self) -> None:
        while self._news:
            self._view.tell(*self._news.popleft())

    def _now(self) -> float:
        return time.monotonic() - self._started
