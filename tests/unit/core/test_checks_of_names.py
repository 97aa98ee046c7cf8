"""Keywords and arguments that a function or a class does not have, and the remedy that the error names."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest

from http_service_client.core.checks import (
    did_you_mean,
    keyword_remedy,
    known_remedy,
    remedies,
    suggests_arguments,
    suggests_keywords,
)
from kit.front_ends import run_task
from kit.functions import iterating
from kit.rows import each_row


def test_a_misspelt_name_is_recognised() -> None:
    """If it is near enough to one."""
    assert did_you_mean("timout", ["timeout", "total"]) == "did you mean 'timeout'?"
    assert did_you_mean("xyz", ["timeout"]) is None
    assert did_you_mean(5, ["timeout"]) is None


@each_row(
    ("name", "remedy"),
    [
        ("maxWait", "did you mean 'max_wait'?"),
        ("MaxWait", "did you mean 'max_wait'?"),
        ("baseURL", "it is called url"),
        ("queueLimit", "it is called max_waiting"),
        ("TLSHandshake", "it is called connect"),
        ("max_wait_ms", "did you mean 'max_wait', in seconds?"),
        ("maxWaitMillis", "did you mean 'max_wait', in seconds?"),
        ("timeout_milliseconds", "it is called max_wait, in seconds"),
        ("_ms", None),
        ("xyz_ms", None),
    ],
)
def test_names_are_recognised_as_other_languages_write_them(name: str, remedy: str | None) -> None:
    """In camel case; and durations in milliseconds, since those here are in seconds."""
    others = remedies(
        {
            "it is called url": "base_url",
            "it is called max_waiting": "queue_limit queue_size",
            "it is called connect": "tls_handshake",
        }
    )
    assert known_remedy(name, ["max_wait"], others, {"timeout": "it is called max_wait"}) == remedy


@suggests_keywords({"old": "it is called new"})
@dataclass(frozen=True)
class Settings:
    """Settings with a name that was another library's."""

    new: int = 1
    other: int = 2


def test_an_unknown_keyword_has_a_remedy() -> None:
    """A name of other libraries, a misspelt one, or none; known ones pass."""
    assert Settings(3, other=4) == Settings(new=3, other=4)
    for name, remedy in (
        ("old", "; it is called new"),
        ("othr", "; did you mean 'other'?"),
        ("xyz", ""),
        ("selv", ""),
    ):
        with pytest.raises(TypeError) as caught:
            Settings(**{name: 1})
        assert str(caught.value) == f"Settings takes no keyword {name!r}{remedy}"
    assert keyword_remedy("old", ["new"], int, Settings) == "it is called new"
    assert keyword_remedy("nev", ["new"], Settings) == "did you mean 'new'?"
    assert keyword_remedy("old", ["new"]) is None


@suggests_keywords({})
class Policy:
    """As policies are: most settings by name."""

    def __init__(self, rate: float = 1.0, *, burst: int = 1, per: float = 1.0) -> None:
        self.rate = rate

    def apply(self) -> None:
        """What a policy has."""


def test_too_many_arguments_by_position_name_those_that_are_passed_by_name() -> None:
    """They would be the wrong settings."""
    assert Policy(5).rate == 5
    with pytest.raises(TypeError) as caught:
        Policy(5, 10)  # type: ignore[misc]
    assert str(caught.value) == (
        "Policy takes 1 argument by position, and 2 were given; write them by name: burst=…, per=…"
    )


def test_a_policy_that_decorates_before_it_is_made_says_how_it_is_written() -> None:
    """`@Policy` in place of `@Policy(…).apply`."""
    with pytest.raises(
        TypeError, match=r"Policy takes no function by position; .* write @Policy\(…\).apply$"
    ):
        Policy(lambda: None)  # type: ignore[arg-type]


@suggests_keywords({})
class Fallback:
    """A policy that takes a function."""

    def __init__(self, *, function: Any = None) -> None: ...

    def apply(self) -> None: ...


def test_a_policy_that_takes_a_function_takes_it_by_name() -> None:
    """Which of the two is meant, only the user knows."""
    Fallback(function=len)
    with pytest.raises(TypeError) as caught:
        Fallback(lambda: None)  # type: ignore[misc]
    assert str(caught.value) == (
        "Fallback takes no function by position; as a decorator write @Fallback(…).apply, or function=…"
    )
    with pytest.raises(TypeError, match=r"^Fallback takes no arguments by position, and 1 was given; "):
        Fallback(5)  # type: ignore[misc]
    with pytest.raises(TypeError, match=r"^Policy takes 1 argument by position, and 2 were given; "):
        Policy(5, lambda: None)  # type: ignore[misc]
    function: Any = iterating
    assert Settings(function).new is function  # it is no policy


def test_the_first_of_several_unknown_keywords_is_named() -> None:
    """In the order in which they are written."""
    with pytest.raises(TypeError, match="takes no keyword 'yyy'"):
        Settings(yyy=1, aaa=2)


def test_settings_cannot_be_assigned_to() -> None:
    """The error says what to write; a subclass of a user's may have attributes of its own."""
    with pytest.raises(FrozenInstanceError) as caught:
        Settings().new = 5  # type: ignore[misc]
    assert (
        str(caught.value) == "new of Settings cannot be assigned; write dataclasses.replace(settings, new=…)"
    )

    class Ours(Settings):
        pass

    ours: Any = Ours()
    ours.label = "a"
    assert ours.label == "a"


@suggests_keywords({})
@dataclass
class Draft:
    """Settings that may be assigned to."""

    new: int = 1


def test_settings_that_are_not_frozen_can_be_assigned_to() -> None:
    """And know what their keywords are called."""
    draft = Draft()
    draft.new = 5
    assert draft == Draft(5)
    with pytest.raises(TypeError, match=r"^Draft takes no keyword 'nev'; did you mean 'new'\?$"):
        Draft(nev=1)  # type: ignore[call-arg]


@suggests_arguments({}.get, several="write a list of them")
def taking_one(self: object, one: int = 0) -> object:
    return self


@suggests_arguments({}.get)
def taking_two(one: int, other: int) -> int:
    return one + other


def test_several_arguments_in_the_place_of_one_have_a_remedy() -> None:
    """A function that takes several is called with them."""
    assert taking_one(5) == 5
    assert taking_two(1, 2) == 3
    for values in ((1, 2), (1, 2, 3)):
        with pytest.raises(TypeError) as caught:
            taking_one(*values)
        assert str(caught.value) == (
            f"taking_one takes 1 argument by position, and {len(values)} were given; write a list of them"
        )


class Methods:
    @suggests_arguments({"old": "it is called new"}.get)
    def plain(self, new: int = 1) -> int:
        return new

    @suggests_arguments({"old": "it is called new"}.get)
    async def later(self, new: int = 1) -> int:
        return new


@each_row("name", ["plain", "later"])
@each_row(
    ("keyword", "remedy"),
    [
        ("old", "it is called new"),
        ("nev", "did you mean 'new'?"),
        ("selv", "see its docstring"),
        ("xyz", "see its docstring"),
    ],
)
def test_an_unknown_argument_of_a_method_has_a_remedy(name: str, keyword: str, remedy: str) -> None:
    """Of a plain one, and of an async one, which is still recognised as one."""
    method = getattr(Methods(), name)

    def call(**named: Any) -> Any:
        result = method(**named)
        return run_task(result) if inspect.iscoroutine(result) else result

    assert call(new=5) == 5
    assert call() == 1
    assert inspect.iscoroutinefunction(method) is (name == "later")
    with pytest.raises(TypeError) as caught:
        call(**{keyword: 1})
    assert str(caught.value) == f"{name} takes no keyword {keyword!r}; {remedy}"
