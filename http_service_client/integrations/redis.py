"""Responses in Redis, for all processes of a service at once (the extra `redis`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..core.checks import check_number
from ..errors import ConfigurationError
from ..http.caching.stored import StoredResponse

__all__ = ["RedisStorage"]

# A hash for each URL and partition, with a response in each field; and for each URL the set of its partitions. The
# braces keep the keys of a URL on one node of a cluster. Redis may evict the set before the hashes, and then no deletion
# would find them; so a partition that is not in the set counts as empty. Each is one step, since other processes store and
# delete meanwhile.
_STORE = """
if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then
    redis.call('DEL', KEYS[2])
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[4])
"""
_DELETE = """
for _, partition in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    redis.call('DEL', KEYS[1] .. ':' .. partition)
end
return redis.call('DEL', KEYS[1])
"""


class RedisStorage:
    """Responses in a Redis server: ``Cache(storage=RedisStorage("redis://localhost"))``. By redis-py.

    url: of the server, such as ``rediss://:password@host:6379/0``; or a `redis.Redis` of your own, with short timeouts and
        without `decode_responses`: a response is bytes, and would never be found again.
    prefix: of all its keys.   ttl: seconds after which Redis forgets a response that was not stored again.
    timeout: seconds to connect, and for each reply; after that the cache goes without.

    Redis bounds the memory: set `maxmemory` and an eviction policy there. A server that is down never fails a call.
    Raises ConfigurationError for a wrong argument, and without redis-py.
    """

    blocks = True

    def __init__(
        self,
        url: str | Any,
        *,
        prefix: str = "http-cache:",
        ttl: float = 7 * 86400.0,
        timeout: float = 0.25,
    ) -> None:
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise ConfigurationError(
                "RedisStorage needs redis-py: pip install 'http-service-client[redis]'"
            ) from None
        check_number("ttl", ttl, unit="of seconds ")
        check_number("timeout", timeout, unit="of seconds ")
        if ttl < 1 or not timeout:
            raise ConfigurationError("ttl must be 1 s or more, and timeout more than 0")
        if not isinstance(prefix, str):
            raise ConfigurationError(f"prefix must be text, not {prefix!r}")
        if isinstance(url, redis.Redis):
            self._redis: Any = url
        elif not isinstance(url, str):
            kind = f"{type(url).__module__}.{type(url).__qualname__}"  # redis.asyncio has a Redis, too
            raise ConfigurationError(
                f"url must be that of a Redis server, or a blocking redis.Redis, not a {kind}"
            )
        else:
            try:
                self._redis = redis.Redis.from_url(
                    url,
                    socket_timeout=timeout,
                    socket_connect_timeout=timeout,
                    retry=Retry(NoBackoff(), 0),  # a call is waiting
                )
                pool = self._redis.connection_pool
                # It looks at the options, and does not connect.
                pool.connection_class(**pool.connection_kwargs)
            except Exception as error:  # a password in the URL is not shown
                raise ConfigurationError(
                    f"url must be that of a Redis server, such as 'redis://localhost' ({type(error).__name__})"
                ) from None
        if self._redis.get_encoder().decode_responses:
            raise ConfigurationError(
                "the redis.Redis of a RedisStorage has decode_responses=True, but responses are bytes; "
                "make another one without it"
            )
        self._prefix = prefix
        self._ttl = int(ttl)
        self._store = self._redis.register_script(_STORE)
        self._delete = self._redis.register_script(_DELETE)

    def get(self, key: str, partition: str) -> Sequence[StoredResponse]:
        """The responses of a URL's digest for one partition."""
        name, found = self._name(key), []
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.sismember(name, partition)
            pipe.hvals(f"{name}:{partition}")
            is_listed, values = pipe.execute()
        for data in values if is_listed else ():
            try:
                found.append(StoredResponse.from_bytes(data))
            except ValueError:  # of another version: the next response replaces it
                pass
        return found

    def set(self, key: str, partition: str, response: StoredResponse) -> None:
        """Keep a response."""
        name = self._name(key)
        values = [partition, response.variant, response.to_bytes(), self._ttl]
        self._store(keys=[name, f"{name}:{partition}"], args=values)

    def delete(self, key: str, partition: str | None = None) -> None:
        """Forget the responses of a URL, of one partition or of all."""
        name = self._name(key)
        if partition is None:
            self._delete(keys=[name])
        else:
            self._redis.delete(f"{name}:{partition}")

    def clear(self) -> None:
        """Forget all responses with this prefix."""
        prefix = re.sub(r"([*?\[\]\\])", r"\\\1", self._prefix)  # they would match others, or not themselves
        for name in self._redis.scan_iter(match=f"{prefix}{{*", count=1000):
            self._redis.delete(name)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _name(self, key: str) -> str:
        return f"{self._prefix}{{{key}}}"

    def __repr__(self) -> str:
        return f"<RedisStorage {self._prefix!r}>"
