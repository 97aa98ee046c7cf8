"""What may be set of a bulkhead, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypedDict

from ....errors import ConfigurationError
from ...checks import check_count, check_duration, check_function, check_number, remedies, suggests_keywords
from ...priority import Priority
from ...refusals import COUNTS, Change, to

__all__ = [
    "BULKHEAD_RENAMED",
    "WAITS",
    "BulkheadChanges",
    "BulkheadRefusal",
    "BulkheadSettings",
    "BulkheadSnapshot",
    "PartitionBy",
]

# The remedy for a wrong max_wait.
WAITS = "use None for as long as the deadline allows, or max_waiting=0 for no queue"

_ROUNDING = 1e-9  # 0.7 + 0.2 + 0.1 are not more than 1

PartitionBy = Literal["name", "priority"] | Callable[[Any], "str | None"]

BULKHEAD_RENAMED = remedies(
    {
        "it is called max_concurrent": "capacity concurrency core_thread_pool_size limit max_calls"
        " max_concurrency max_concurrent_calls max_connections max_parallelization"
        " max_thread_pool_size max_workers permit_limit permits",
        "it is called max_waiting": "max_pending max_queue max_queue_size max_queuing_actions queue_capacity"
        " queue_limit queue_size",
        "it is called max_wait": "max_wait_duration timeout",
        "make a policy for each key, or share one by partitions": "key",
    }
)


class BulkheadChanges(TypedDict, total=False):
    """Settings to change: see `BulkheadSettings`."""

    max_concurrent: int
    max_waiting: int | None
    max_wait: float | None
    partitions: Mapping[str, float]
    partition_by: PartitionBy


@suggests_keywords(BULKHEAD_RENAMED)
@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadSettings:
    """How many calls may be in progress, and how many may wait.

    max_concurrent: calls in progress together, 1 or more.
    max_waiting: calls that wait for a permit, 0 or more; None for as many as `max_concurrent`. The last of them waits
        for about as long as one call takes, then.
    max_wait: seconds that a call may wait (> 0); None for as long as its deadline allows. A deadline that is nearer holds.
    partitions: a mapping of names to shares of the permits, above 0 and in sum at most 1, such as
        ``{"interactive": 0.7, "batch": 0.3}``. Each has that share when it needs it, and its share of `max_waiting`, rounded
        up. Calls of no partition have the rest, or, where there is none, one in a hundred.
    partition_by: finds a call's partition: "name" is the call's `name`, "priority" the name of its priority level, or a
        plain function of the call's `HttpContext` (of a guarded function: its `Operation`) that returns a partition's name.

    Raises `ConfigurationError` (a `ValueError`) naming the field, the value and what to write instead.
    """

    max_concurrent: int
    max_waiting: int | None = None
    max_wait: float | None = 1.0
    partitions: Mapping[str, float] = field(default_factory=dict, hash=False)
    partition_by: PartitionBy = "name"

    def __post_init__(self) -> None:
        check_count("max_concurrent", self.max_concurrent)
        if self.max_waiting is not None:
            check_count("max_waiting", self.max_waiting, least=0)
        check_duration("max_wait", self.max_wait, no_limit=WAITS)
        object.__setattr__(self, "partitions", _parse_partitions(self.partitions))
        if isinstance(self.partition_by, str):
            if self.partition_by not in ("name", "priority"):
                raise ConfigurationError(
                    f"partition_by must be 'name', 'priority' or a function, not {self.partition_by!r}"
                )
            if self.partition_by == "priority":
                _check_levels(self.partitions)
        else:
            check_function("partition_by", self.partition_by)

    @property
    def most_waiting(self) -> int:
        """Calls that may wait in all."""
        return self.max_concurrent if self.max_waiting is None else self.max_waiting

    def __reduce__(self) -> tuple[Any, ...]:
        values = {name: getattr(self, name) for name in _FIELDS}
        return _settings_of, (values | {"partitions": dict(self.partitions)},)


_FIELDS = tuple(item.name for item in fields(BulkheadSettings))


def _settings_of(values: dict[str, Any]) -> BulkheadSettings:
    return BulkheadSettings(**values)


def _parse_partitions(given: object) -> Mapping[str, float]:
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"partitions must be a mapping of names to shares, such as {{'interactive': 0.7, 'batch': 0.3}}, not {given!r}"
        )
    for name, share in given.items():
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise ConfigurationError(
                f"partitions must have printable names, such as 'interactive', not {name!r}"
            )
        check_number(f"partitions[{name!r}]", share, most=1)
        if not share:
            raise ConfigurationError(
                f"partitions[{name!r}] must be above 0, not {share!r}; leave the partition out: calls of no "
                "partition share what the others leave"
            )
    if sum(given.values()) > 1 + _ROUNDING:
        raise ConfigurationError(
            f"partitions must have shares that add up to at most 1, not {dict(given)!r}, which add up to "
            f"{sum(given.values()):g}"
        )
    return MappingProxyType({name: float(share) for name, share in given.items()})


def _check_levels(partitions: Mapping[str, float]) -> None:
    levels = [level.name.lower() for level in reversed(Priority)]
    for name in partitions:
        if name not in levels:
            raise ConfigurationError(
                f"partitions has {name!r}, which is no priority; with partition_by='priority' the names are "
                + ", ".join(levels)
            )


class BulkheadRefusal(NamedTuple):
    """Why a call got no permit.

    reason: "full", the queue has no room; "displaced" from it by a more important call; or "max_wait" was over.
    in_use, waiting: permits held in all, and calls waiting in the call's partition, when it was refused.
    max_waiting: those that may wait there.   level: the call's priority.
    displaceable: the priority of the waiter that a more important call would displace; None for no such waiter.
    limit: whose permits they are. Those of another limit than a bulkhead cannot be set.
    """

    reason: str
    in_use: int
    max_concurrent: int
    waiting: int
    max_waiting: int
    level: int
    displaceable: int | None = None
    limit: str = "bulkhead"

    def objection(self) -> str | None:
        """See `core.refusals.Decision`."""
        if self.in_use < self.max_concurrent:
            return None
        if self.reason != "full":
            return self.reason
        may_displace = self.displaceable is not None and self.displaceable < self.level
        return None if self.waiting < self.max_waiting or may_displace else self.reason

    def changes(self) -> Sequence[Change]:
        """See `core.refusals.Decision`."""
        permits: tuple[Change, ...] = ()
        if self.limit == "bulkhead":
            permits = (to("max_concurrent={} of the bulkhead", COUNTS, max_concurrent=...),)
        if self.reason != "full":
            return permits
        room = to(f"room for {{}} in the queue of the {self.limit} (max_waiting)", COUNTS, max_waiting=...)
        if self.displaceable is None:
            return room, *permits
        above = Priority(self.displaceable + 1)
        return to(f'priority("{above.name.lower()}")', level=above.value), room, *permits

    def consequence(self) -> str:
        """See `core.refusals.Decision`."""
        return "sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadSnapshot:
    """A bulkhead at one instant.

    in_use: permits held.   waiting: calls in the queue.
    granted: calls that had to wait and got a permit, so far.   refused: calls that found the queue full, or were displaced.
    partitions: permits held and calls waiting of each, by name; "" are the calls of no partition.
    """

    max_concurrent: int
    in_use: int
    waiting: int
    granted: int
    refused: int
    partitions: Mapping[str, tuple[int, int]]
