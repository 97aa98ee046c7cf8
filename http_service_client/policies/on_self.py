"""`circuit_breaker.apply` and `retry_policy.apply`: decorators that find the policy on `self`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..errors import ConfigurationError
from .functions import wrap

__all__ = ["circuit_breaker", "retry_policy"]

F = TypeVar("F", bound=Callable[..., Any])


class _PolicyOnSelf:
    """A decorator for methods that finds the policy on `self` when the method is called.

    So a class may decorate its methods with a policy that its `__init__` makes.
    """

    def __init__(self, attribute: Literal["circuit_breaker", "retry_policy"], kind: str, mark: str) -> None:
        self._attribute = attribute
        self._kind = kind
        self._mark = mark  # an attribute that only this kind of policy has

    def apply(self, method: F) -> F:
        """The method, under the policy that is the attribute of this name on `self`."""

        def guard(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args, **kwargs: self._policy(args).call(function, *args, **kwargs)

        def guard_async(function: Callable[..., Any]) -> Callable[..., Any]:
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                return await self._policy(args).call_async(function, *args, **kwargs)

            return guarded

        return wrap(method, guard, guard_async)

    if not TYPE_CHECKING:  # type checkers say that it cannot be called

        def __call__(self, *args, **kwargs):
            """Say what to write in place of `@circuit_breaker`."""
            raise TypeError(
                f"{self._attribute} is not called itself; write @{self._attribute}.apply above the method"
            )

    def _policy(self, args: tuple[Any, ...]) -> Any:
        if not args:
            raise ConfigurationError(
                f"{self._attribute}.apply guards methods, and there is no self here; use a {self._kind}'s own apply"
            )
        owner = args[0]
        policy = getattr(owner, self._attribute, None)
        if not hasattr(policy, self._mark):
            raise ConfigurationError(
                f"{type(owner).__name__}.{self._attribute} must be a {self._kind}, not {policy!r}; "
                f"set self.{self._attribute} in __init__"
            )
        return policy


circuit_breaker = _PolicyOnSelf("circuit_breaker", "CircuitBreakerPolicy", "failure_threshold")
retry_policy = _PolicyOnSelf("retry_policy", "RetryPolicy", "max_attempts")
