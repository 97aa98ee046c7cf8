"""The cache of a client, as people hold it."""

from __future__ import annotations

from ..core.checks import check_count, check_flag, check_number, is_async, remedies, suggests_keywords
from ..core.machines.caching.response_cache import CacheStorage, ResponseCache
from ..drivers.forks import reset_in_forked_children
from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError
from ..http.caching.rules import CacheRules
from .cache_storages import MemoryStorage

__all__ = ["Cache"]

_METHODS = ("get", "set", "delete")


@suggests_keywords(
    remedies(
        {
            "a response says itself how long it is fresh": "ttl max_age expire_after",
            "pass it to the storage": "max_bytes path url",
            "it is called storage": "backend",
        }
    )
)
class Cache:
    """A cache of responses by RFC 9111: ``HttpServiceClient(cache=Cache())``. Clients may share it.

    A response is stored as its service allows (Cache-Control, Expires), used while it is fresh, and revalidated after
    that (ETag, Last-Modified). Requests with other credentials, or of calls with another `key`, do not see it.

    storage: a `MemoryStorage` of its own by default, a `SqliteStorage`, an `integrations.RedisStorage`, or an object
        with their methods.
    shared: keep only what all users may see, and let all see it, as a proxy does.
    stale_if_error: seconds for which a stale response stands in for one that could not be had, also where the service
        does not allow it by itself; must-revalidate forbids it.
    stale_while_revalidate: seconds for which a stale response is used at once and revalidated behind the call.
    heuristic: for a response that says nothing of its lifetime, the share of the time since its Last-Modified that it
        counts as fresh, such as 0.1; 0 revalidates it each time.
    max_entry_size: bytes of a response's body; a larger one is not stored.
    coalesce: equal GETs in flight make one exchange.
    single_user: the credentials that interceptors, auth flows and a jar add are always those of one user. By default,
        a response to a request with such credentials is stored only if it says that all may see it.

    Thread-safe. Raises ConfigurationError for a wrong setting.
    """

    def __init__(
        self,
        *,
        storage: CacheStorage | None = None,
        shared: bool = False,
        stale_if_error: float = 0.0,
        stale_while_revalidate: float = 0.0,
        heuristic: float = 0.0,
        max_entry_size: int = 5 * 1024 * 1024,
        coalesce: bool = True,
        single_user: bool = False,
    ) -> None:
        if storage is None:
            storage = MemoryStorage()
        if isinstance(storage, type) or not all(callable(getattr(storage, name, None)) for name in _METHODS):
            raise ConfigurationError(
                f"storage must be an object with get, set and delete, such as a MemoryStorage, not {storage!r}"
            )
        for name in _METHODS:
            if is_async(getattr(storage, name)):
                raise ConfigurationError(
                    f"storage.{name} must be a plain method, not an async one: blocking calls use it, too; "
                    "set blocks = True, and asyncio calls it in a thread"
                )
        if not hasattr(storage, "blocks"):
            raise ConfigurationError(
                "storage needs an attribute blocks: True if its methods wait for a disk or a network, else False"
            )
        check_flag("storage.blocks", storage.blocks)
        for name, value in (("shared", shared), ("coalesce", coalesce), ("single_user", single_user)):
            check_flag(name, value)
        if shared and single_user:
            raise ConfigurationError(
                "single_user does nothing in a shared cache, which keeps what all users may see; set one of the two"
            )
        check_number("stale_if_error", stale_if_error, unit="of seconds ")
        check_number("stale_while_revalidate", stale_while_revalidate, unit="of seconds ")
        check_number("heuristic", heuristic)
        if heuristic > 1:
            raise ConfigurationError(f"heuristic must be a share from 0 to 1, such as 0.1, not {heuristic!r}")
        check_count("max_entry_size", max_entry_size, unit="of bytes ")
        rules = CacheRules(shared, heuristic, stale_if_error, stale_while_revalidate, max_entry_size)
        self.state = ResponseCache(storage, rules, coalesce, single_user, ForkSafeLock)
        reset_in_forked_children(self.state)

    @property
    def storage(self) -> CacheStorage:
        """Where the responses are."""
        return self.state.storage

    def clear(self) -> None:
        """Forget all responses: after a deployment, say, or when a user leaves.

        A response that is on its way to this process is not stored when it arrives, since it may be older. One that another
        process is fetching, into the same file or server, may be.

        Call it in a thread from asyncio where the storage is a file or a server: ``await asyncio.to_thread(cache.clear)``.
        Raises what the storage raises, since a cache that is not empty then would be a surprise; and ConfigurationError for
        a storage of one's own that has no `clear`.
        """
        clear = getattr(self.state.storage, "clear", None)
        if not callable(clear):
            raise ConfigurationError(
                f"{self.state.storage!r} has no method clear(), which Cache.clear() needs"
            )
        self.state.flights.overtake(None)
        clear()

    def __repr__(self) -> str:
        return f"<Cache in {self.state.storage!r}>"
