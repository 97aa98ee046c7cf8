"""The evening at Mario's Pizzeria: the acts, the orders, and the mishap that each order meets.

All of it follows from the number of orders and the seed, and is the same for threads and tasks. A mishap
belongs to an order and a request number ("the second payment request of order 9 is answered by a 503"),
never to a moment, so the speed of the workers does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from random import Random

__all__ = ["Act", "Fault", "Order", "Story", "write_story"]

PIZZAS = {
    "Margherita": 8.50,
    "Funghi": 9.90,
    "Diavola": 10.90,
    "Quattro Formaggi": 11.50,
    "Capricciosa": 12.20,
}
CUSTOMERS = ("Ada", "Barbara", "Dennis", "Edsger", "Grace", "Hedy", "Ken", "Margaret", "Radia", "Tony")


class Fault(Enum):
    """How a service misbehaves with one request."""

    RESET = "does its work, then resets the connection"
    BUSY = "503, and does nothing"
    SLOW_DOWN = "429 with Retry-After, and does nothing"
    DECLINE = "402: the card is declined"
    DRIP = "does its work, and sends the response one byte at a time"


# The service, and the faults of its first, second, … request for one order. The first row is the payment
# that the report explains; the seed decides the order of the others.
_MISHAPS: list[tuple[str, tuple[Fault, ...]]] = [
    ("payment", (Fault.RESET, Fault.BUSY)),
    ("payment", (Fault.RESET,)),
    ("payment", (Fault.SLOW_DOWN,)),
    ("payment", (Fault.DECLINE,)),
    ("payment", (Fault.BUSY,) * 9),
    ("delivery", (Fault.DRIP,)),
    ("delivery", (Fault.BUSY,)),
    ("email", (Fault.RESET,)),
    ("email", (Fault.BUSY,)),
    ("email", (Fault.SLOW_DOWN,)),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order of a customer. amount: in dollars."""

    number: int
    customer: str
    pizza: str
    amount: float

    @property
    def id(self) -> str:
        """Its id at the services."""
        return f"order-{self.number:03}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A part of the evening.

    seconds: its orders come in evenly over this time.  share: of all orders.
    has_mishaps: every second order meets one.  delivery_is_down: it refuses connections.
    sms_is_overloaded: it answers most requests with a 503.
    """

    title: str
    seconds: float
    share: float
    has_mishaps: bool = False
    delivery_is_down: bool = False
    sms_is_overloaded: bool = False
    orders: Sequence[Order] = ()


_ACTS = (
    Act(title="a quiet start", seconds=1.0, share=0.10),
    Act(title="small mishaps", seconds=2.6, share=0.40, has_mishaps=True),
    Act(title="the delivery service is down", seconds=2.4, share=0.20, delivery_is_down=True),
    Act(title="delivery is back, SMS is overloaded", seconds=2.0, share=0.20, sms_is_overloaded=True),
    Act(title="all is well again", seconds=1.0, share=0.10),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The acts with their orders.

    faults: by service and order id, one per request.  retry_after: seconds in the Retry-After of a 429.
    """

    acts: Sequence[Act]
    faults: Mapping[tuple[str, str], tuple[Fault, ...]]
    retry_after: int = 1


def write_story(order_count: int, seed: int, tempo: float = 1.0) -> Story:
    """The evening for so many orders. tempo: factor on the time of the acts, and on Retry-After (whole seconds).

    >>> story = write_story(60, seed=1)
    >>> [len(act.orders) for act in story.acts]
    [6, 24, 12, 12, 6]
    """
    chance = Random(seed)
    orders = [_some_order(number, chance) for number in range(1, order_count + 1)]
    mishaps = [_MISHAPS[0], *chance.sample(_MISHAPS[1:], len(_MISHAPS) - 1)]
    acts: list[Act] = []
    faults: dict[tuple[str, str], tuple[Fault, ...]] = {}
    share, start = 0.0, 0
    for act in _ACTS:
        share += act.share
        end = int(share * order_count + 0.5)
        mine = orders[start:end]
        start = end
        acts.append(replace(act, seconds=act.seconds * tempo, orders=mine))
        if act.has_mishaps:
            for index, order in enumerate(mine[::2]):
                service, met = mishaps[index % len(mishaps)]
                faults[service, order.id] = met
    return Story(acts=acts, faults=faults, retry_after=round(tempo))


def _some_order(number: int, chance: Random) -> Order:
    pizza = chance.choice(list(PIZZAS))
    count = chance.randint(1, 4)
    return Order(
        number=number, customer=chance.choice(CUSTOMERS), pizza=pizza, amount=round(PIZZAS[pizza] * count, 2)
    )
