"""The cache of one token: who uses it, who fetches the next, and whose result counts."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.core.machines.caching.token_cache import ABANDONED, Fetch, Token, TokenCache
from http_service_client.drivers.locks import ForkSafeLock
from http_service_client.errors import ClientClosedError, Failure, HttpClientError, SentState, TokenError
from kit.rows import each_row

WALL = 1_700_000_000.0
LEASE = 40.0


def new_cache() -> TokenCache:
    return TokenCache(lock=ForkSafeLock(), lease=LEASE)


def token(
    lifetime: float | None = 100.0,
    at: float = 0.0,
    value: str = "t",
    refresh_ahead: float = 0.0,
    jitter: float = 0.0,
) -> Token:
    return Token(value, lifetime, at, WALL + at, refresh_ahead, jitter)


def filled(current: Token, now: float = 0.0) -> TokenCache:
    cache = new_cache()
    fetch = cache.look_up(now, WALL + now).fetch
    assert fetch is not None
    cache.finish(fetch, current, now)
    return cache


def failure(kind: type[HttpClientError] = TokenError, **details: Any) -> Failure:
    return Failure(kind, "no", SentState.NEVER_SENT, details=details)


def started(cache: TokenCache, now: float) -> Fetch:
    """The fetch that a look-up at this instant starts."""
    found = cache.look_up(now, WALL + now)
    assert found.is_new
    assert found.fetch is not None
    return found.fetch


def test_the_first_caller_starts_a_fetch_and_the_others_join_it() -> None:
    """One fetch, however many need a token."""
    cache = new_cache()
    first, second = cache.look_up(0.0, WALL), cache.look_up(0.0, WALL)
    assert (first.token, first.is_new, second.is_new) == (None, True, False)
    assert first.fetch is second.fetch


def test_a_token_is_used_until_shortly_before_its_end() -> None:
    """A request takes time to arrive: five seconds, or a tenth of a short life."""
    cache = filled(token(100.0))
    assert cache.look_up(94.9, WALL + 94.9).token is not None
    assert cache.look_up(95.0, WALL + 95.0).token is None
    assert token(10.0).is_expired(9.0, WALL + 9.0)
    assert not token(10.0).is_expired(8.9, WALL + 8.9)


@pytest.mark.parametrize("age", [0.0, 1e6, 1e12])
def test_a_token_of_unknown_life_is_used_until_it_is_refused(age: float) -> None:
    """Nothing is known of its end."""
    assert filled(token(None)).look_up(age, WALL + age).token is not None


@pytest.mark.parametrize(
    ("jitter", "begins_at"),
    [(0.0, 990.0), (1.0, 980.0), (0.5, 985.0)],
)
def test_the_next_token_is_fetched_ahead_while_the_old_one_is_used(jitter: float, begins_at: float) -> None:
    """From half to all of the time ahead, by the jitter; one caller starts the fetch, and none waits."""
    cache = filled(token(1000.0, refresh_ahead=20.0, jitter=jitter))
    assert not cache.look_up(begins_at - 0.1, WALL).is_new
    first, second = cache.look_up(begins_at, WALL), cache.look_up(begins_at, WALL)
    assert first.is_new
    assert first.token is not None
    assert not second.is_new
    assert second.token is first.token


def test_a_short_life_has_a_fetch_ahead_in_its_last_quarter() -> None:
    """A token of 40 s that was fetched 60 s ahead would be fetched for ever."""
    assert token(40.0, refresh_ahead=60.0, jitter=1.0).refresh_after == 30.0


def test_the_wall_clock_counts_when_the_machine_was_asleep() -> None:
    """The monotonic clock stands still then, and the token has expired all the same."""
    assert filled(token(100.0)).look_up(1.0, WALL + 3600.0).token is None


def test_a_wall_clock_that_is_set_back_changes_nothing() -> None:
    """The monotonic clock decides then."""
    cache = filled(token(100.0))
    assert cache.look_up(50.0, WALL - 3600.0).token is not None
    assert cache.look_up(95.0, WALL - 3600.0).token is None


def test_only_the_current_token_can_be_refused() -> None:
    """A hundred calls that were refused together cause one fetch; a late one causes none."""
    current = token()
    current.is_accepted = True
    cache = filled(current)
    assert cache.refuse(current, 1.0)
    fetch = started(cache, 1.0)
    assert cache.refuse(current, 1.0)
    assert not cache.look_up(1.0, WALL).is_new
    following = token(at=1.0)
    cache.finish(fetch, following, 1.0)
    assert cache.refuse(current, 2.0)
    assert cache.look_up(2.0, WALL).token is following


def test_tokens_that_are_refused_from_the_start_are_fetched_every_few_seconds_only() -> None:
    """Where each token is refused, another one is of no use, and the token service must not pay for it."""
    cache = filled(token())
    now = 10.0
    assert cache.refuse(cache.look_up(now, WALL).token, now)  # type: ignore[arg-type]
    cache.finish(started(cache, now), token(at=now), now)
    second = cache.look_up(now, WALL + now).token
    assert second is not None
    assert not cache.refuse(second, now + 4.9)
    assert cache.look_up(now, WALL + now).token is second
    assert cache.refuse(second, now + 5.0)


def test_a_token_that_was_accepted_is_replaced_whenever_it_is_refused() -> None:
    """It was revoked: that says nothing against the next one."""
    cache, now = filled(token()), 10.0
    for _ in range(3):
        current = cache.look_up(now, WALL + now).token
        assert current is not None
        current.is_accepted = True
        assert cache.refuse(current, now)
        cache.finish(started(cache, now), token(at=now), now)


def test_a_token_that_was_refused_at_once_is_replaced_every_few_seconds_only() -> None:
    """Though others accept it: another one would be refused by the same resource, too."""
    cache, now = filled(token()), 10.0
    for is_replaced in (True, False):
        current = cache.look_up(now, WALL + now).token
        assert current is not None
        current.is_accepted = current.was_in_vain = True
        assert cache.refuse(current, now) is is_replaced
        if is_replaced:
            cache.finish(started(cache, now), token(at=now), now)
    assert cache.refuse(current, now + 5.0)


def test_the_value_that_was_refused_is_kept_until_there_is_another() -> None:
    """A provider that reads a shared cache must not return it again."""
    cache = filled(token(value="old"))
    assert cache.refused is None
    cache.refuse(cache.look_up(0.0, WALL).token, 1.0)  # type: ignore[arg-type]
    assert cache.refused == "old"
    fetch = started(cache, 1.0)
    cache.finish(fetch, failure(), 1.0)
    assert cache.refused == "old"
    cache.finish(started(cache, 2.0), token(at=2.0), 2.0)
    assert cache.refused is None


@pytest.mark.parametrize("result", [failure(), ABANDONED])
def test_after_a_fetch_without_a_token_the_next_caller_starts_another(result: object) -> None:
    """Nobody waits for something that has ended."""
    cache = new_cache()
    fetch = started(cache, 0.0)
    cache.finish(fetch, result, 1.0)
    assert fetch.result is result
    assert fetch.is_over.is_open
    assert started(cache, 1.0) is not fetch


@each_row(
    ("code", "is_believed"),
    [
        # RFC 6749, 5.2
        ("invalid_request", True),
        ("invalid_client", True),
        ("invalid_grant", True),
        ("unauthorized_client", True),
        ("unsupported_grant_type", True),
        ("invalid_scope", True),
        ("server_error", False),
        ("temporarily_unavailable", False),
    ],
)
def test_a_client_that_is_wrong_is_not_checked_by_each_call(code: str, is_believed: bool) -> None:
    """For a second, callers get the same failure; a fault of the token service may be over by now."""
    cache = new_cache()
    fetch = started(cache, 0.0)
    cache.finish(fetch, failure(error_code=code), 5.0)
    assert (cache.look_up(5.9, WALL).fetch is fetch) is is_believed
    assert cache.look_up(6.0, WALL).fetch is not fetch


@each_row(
    ("lifetime", "age", "details", "pause"),
    [
        (1000.0, 985.0, {}, 3.75),
        (1000.0, 985.0, {"retry_after": 8.0}, 8.0),
        (1000.0, 985.0, {"retry_after": 0.5}, 3.75),
        (1000.0, 985.0, {"retry_after": "soon"}, 3.75),
        (20.0, 16.5, {}, 1.0),
        (100_000.0, 99_000.0, {}, 30.0),
        (100_000.0, 99_000.0, {"retry_after": 40}, 40.0),
    ],
)
def test_a_fetch_ahead_that_failed_is_not_repeated_at_once(
    lifetime: float, age: float, details: dict[str, Any], pause: float
) -> None:
    """The token is valid still: a quarter of what is left of it passes, from 1 to 30 s, or what the service asked for."""
    began_at = 50.0
    failed_at = began_at + age
    cache = filled(token(lifetime, at=began_at, refresh_ahead=lifetime - age, jitter=1.0), began_at)
    cache.finish(started(cache, failed_at), failure(**details), failed_at)
    before = cache.look_up(failed_at + pause - 0.1, WALL)
    assert before.token is not None
    assert not before.is_new
    assert cache.look_up(failed_at + pause, WALL).is_new


def test_a_fetch_ahead_that_its_client_ended_is_repeated_at_once() -> None:
    """By a client that is open: it says nothing of the token service."""
    cache = filled(token(1000.0, refresh_ahead=20.0, jitter=1.0))
    cache.finish(started(cache, 980.0), failure(ClientClosedError), 980.0)
    assert started(cache, 980.0)


def test_a_fetch_that_was_given_up_delays_no_other_when_it_fails() -> None:
    """Others have fetched since then, and know better."""
    cache = filled(token(1000.0, refresh_ahead=200.0, jitter=1.0))
    lost = started(cache, 800.0)
    cache.finish(started(cache, 800.0 + LEASE), ABANDONED, 900.0)
    cache.finish(lost, failure(), 900.0)
    assert started(cache, 900.0)


def test_a_failure_beside_a_late_token_of_unknown_life_changes_nothing() -> None:
    """The token came from a fetch that was given up, while another one was under way; it is used until it is refused."""
    cache = new_cache()
    lost = started(cache, 0.0)
    second = started(cache, LEASE)
    cache.finish(lost, token(None), LEASE)
    cache.finish(second, failure(), LEASE)
    found = cache.look_up(1e6, WALL + 1e6)
    assert (found.token, found.is_new) == (lost.result, False)


def test_a_pause_after_a_failed_fetch_ahead_ends_with_the_token() -> None:
    """Without a token, a caller fetches one, whatever the pause."""
    cache = filled(token(1000.0, refresh_ahead=20.0, jitter=0.5))
    cache.finish(started(cache, 985.0), failure(retry_after=3600.0), 985.0)
    assert started(cache, 996.0)


def test_a_fetch_that_shows_no_sign_of_life_is_given_up() -> None:
    """Its event loop may never run again; the others must not wait for ever."""
    cache = new_cache()
    lost = started(cache, 0.0)
    assert cache.look_up(LEASE - 0.1, WALL).fetch is lost
    second = started(cache, LEASE)
    cache.finish(second, token(value="new"), LEASE)
    cache.finish(lost, token(value="late"), LEASE + 1)
    found = cache.look_up(LEASE + 1, WALL).token
    assert found is not None
    assert found.value == "new"
    assert isinstance(lost.result, Token)


def test_a_late_token_is_better_than_none() -> None:
    """A fetch that was given up fills the cache if nothing else has."""
    cache = new_cache()
    lost = started(cache, 0.0)
    started(cache, LEASE)
    cache.finish(lost, token(value="late", at=LEASE), LEASE + 1)
    found = cache.look_up(LEASE + 1, WALL + LEASE + 1).token
    assert found is not None
    assert found.value == "late"


def test_a_fetch_ends_once() -> None:
    """What comes after its end changes nothing."""
    cache = new_cache()
    fetch = started(cache, 0.0)
    cache.finish(fetch, token(value="first"), 1.0)
    cache.finish(fetch, ABANDONED, 1.0)
    assert isinstance(fetch.result, Token)


def test_a_fetch_whose_start_was_interrupted_does_not_begin_later() -> None:
    """Another one has begun in its place."""
    cache = new_cache()
    fetch = started(cache, 0.0)
    cache.abandon(fetch)
    assert fetch.is_over.is_open
    assert not cache.begin(fetch)
    assert started(cache, 0.0) is not fetch


def test_a_fetch_that_has_begun_goes_on_when_its_start_is_interrupted() -> None:
    """It will end itself."""
    cache = new_cache()
    fetch = started(cache, 0.0)
    assert cache.begin(fetch)
    cache.abandon(fetch)
    assert not fetch.is_over.is_open
    assert cache.look_up(0.0, WALL).fetch is fetch


def test_a_forked_child_does_not_wait_for_its_parents_fetch() -> None:
    """The thread that makes it does not exist there."""
    cache = new_cache()
    lost = started(cache, 0.0)
    cache._reset_after_fork()
    assert started(cache, 0.0) is not lost


def test_reprs_show_no_token() -> None:
    """They are in logs and in tracebacks."""
    current = token(value="s3cret")
    shown = f"{current!r} {filled(current)!r} {filled(current).look_up(0.0, WALL)!r}"
    assert "s3cret" not in shown
