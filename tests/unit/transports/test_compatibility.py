"""Seams: what another library's code uses, and the one warning when that is not what we expect."""

from __future__ import annotations

import functools
import sys
import types
import warnings
from typing import Any

import pytest

from http_service_client.transports import compatibility
from http_service_client.transports.over_aiohttp.hooked import compatibility as of_aiohttp


class _Base:
    def __init__(self) -> None:
        self.inherited = 1


class _Owner(_Base):
    @property
    def shown(self) -> Any:
        return self.from_a_property  # type: ignore[attr-defined]

    @staticmethod
    def plain(other: Any) -> Any:
        return lambda: other.from_a_lambda

    @functools.cache  # noqa: B019  # it is never called
    def wrapped(self) -> Any:
        return self.from_a_wrapped_function  # type: ignore[attr-defined]

    compiled = len
    listed = ("only in a tuple",)

    def unused(self) -> None:
        """It uses nothing."""


def test_the_names_that_a_class_uses_are_those_of_all_its_code() -> None:
    """Methods, properties, functions within functions, and bases of the same package; not what it merely defines."""
    used = compatibility.names_used_by(_Owner)
    assert {"inherited", "from_a_property", "from_a_lambda", "from_a_wrapped_function"} <= used
    assert not {"unused", "shown", "listed", "only in a tuple"} & used
    assert compatibility.names_used_by(_Owner.plain) == {"from_a_lambda"}


def test_compiled_code_uses_no_name_that_we_can_see() -> None:
    """A library that is compiled counts as changed: nothing proves that it calls what we replace."""
    assert compatibility.names_used_by(len) == frozenset()
    assert compatibility.names_used_by(dict) == frozenset()


def test_the_names_in_a_module_are_those_of_its_source() -> None:
    """Also where something has hooked into its functions since it was loaded. A compiled one has none that we can see."""
    assert {"getattr", "unwrap", "signature", "co_consts"} <= compatibility.names_in(compatibility)
    assert compatibility.names_in(sys) == frozenset()
    assert compatibility.names_in(types.ModuleType("made")) == frozenset()


def _find_nothing(self: object, name: str, path: object, target: object = None) -> None:
    """It waits for another module."""


@pytest.mark.parametrize(
    ("imported", "finder", "waits"),
    [
        ("wrapt", "wrapt.importer", True),
        ("ddtrace", "ddtrace.internal.module", True),
        ("newrelic", "newrelic.api.import_hook", True),
        ("wrapt", None, False),
        (None, "wrapt.importer", False),
        ("wrapt", "somebody.else", False),
        ("wrapt", "wrapt2.importer", False),
    ],
)
def test_instrumentation_waits_where_it_has_a_finder(
    imported: str | None, finder: str | None, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its package alone may serve another purpose."""
    for name in ("wrapt", "ddtrace", "newrelic"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    if imported is not None:
        monkeypatch.setitem(sys.modules, imported, types.ModuleType(imported))
    found: list[Any] = (
        [] if finder is None else [type("Finder", (), {"__module__": finder, "find_spec": _find_nothing})()]
    )
    monkeypatch.setattr(sys, "meta_path", [*found, *sys.meta_path])
    assert compatibility.waits_for_imports() is waits


def test_the_parameters_of_what_has_gone_are_none() -> None:
    """So they differ from those that we expect."""
    assert compatibility.parameters_of(_Owner.plain) == ("other",)
    assert compatibility.parameters_of(None) == ()


@pytest.mark.parametrize("error", [TypeError, ValueError])
def test_the_parameters_of_what_does_not_tell_them_are_none(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of compiled functions."""

    def signature(function: Any) -> Any:
        raise error

    monkeypatch.setattr(compatibility, "inspect", types.SimpleNamespace(signature=signature))
    assert compatibility.parameters_of(_Owner.plain) == ()


def test_a_function_of_another_module_has_replaced_the_own_one() -> None:
    """Also something that is no function at all."""
    module = types.ModuleType("library")
    exec("def own(): pass", vars(module))
    assert not compatibility.is_replaced(module.own, module)
    assert compatibility.is_replaced(_Owner.plain, module)
    assert compatibility.is_replaced(functools.partial(module.own), module)


def test_a_notice_warns_once_and_names_the_version() -> None:
    """With what has gone, the effect, and the remedy."""
    notice = compatibility.SeamNotice(
        "aiohttp", "9.8", ["Session._a", "Session._b", "Session._a"], "calls are slower"
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        notice.warn()
        notice.warn()
    assert {(each.category, each.filename) for each in caught} == {(RuntimeWarning, __file__)}
    assert [str(each.message) for each in caught] == [
        "aiohttp 9.8 is not as this version of http-service-client expects it (Session._a, Session._b): calls are "
        "slower; upgrade http-service-client, or install an older aiohttp"
    ]
    assert notice.refusal("a proxy cannot be used") == (
        "a proxy cannot be used with aiohttp 9.8 (Session._a, Session._b changed); upgrade http-service-client, or "
        "install an older aiohttp"
    )


def test_a_notice_of_nothing_is_silent() -> None:
    """Until something is added to it."""
    notice = compatibility.SeamNotice("aiohttp", "9.8", [], "calls are slower")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        notice.warn()
        assert not caught
        notice.add(["Session._a"])
        notice.warn()
        notice.warn()
    assert len(caught) == 1


def test_a_warning_that_is_an_error_is_raised_once() -> None:
    """Later clients work."""
    notice = compatibility.SeamNotice("aiohttp", "9.8", ["Session._a"], "calls are slower")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            notice.warn()
        notice.warn()


@pytest.mark.parametrize(
    ("sees", "keeps", "makes", "changed", "effect"),
    [
        (
            False, False, True, "TCPConnector.connect",
            "each request has a new connection; SOCKS proxies, calls under an egress policy are refused",
        ),
        (True, False, True, "Connection.add_callback", "each request has a new connection"),
        (
            True, True, False, "TCPConnector(socket_factory=...)",
            "SOCKS proxies, Unix sockets, and options of sockets are refused",
        ),
        (
            False, False, False, "TCPConnector.connect, TCPConnector(socket_factory=...)",
            "each request has a new connection; SOCKS proxies, Unix sockets, and options of sockets, calls under an "
            "egress policy are refused",
        ),
    ],
)  # fmt: skip
def test_what_is_gone_of_aiohttp_is_named_with_what_follows(
    sees: bool, keeps: bool, makes: bool, changed: str, effect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For exchanges that a library has hooked into."""
    for name, value in (("SEES_CONNECTIONS", sees), ("KEEPS_ALIVE", keeps), ("MAKES_SOCKETS", makes)):
        monkeypatch.setattr(of_aiohttp, name, value)
    notice = compatibility.SeamNotice("aiohttp", "9.8", of_aiohttp._gone(), of_aiohttp._effect())
    with pytest.warns(RuntimeWarning) as caught:
        notice.warn()
    assert [str(each.message) for each in caught] == [
        f"aiohttp 9.8 is not as this version of http-service-client expects it ({changed}): in asyncio calls that "
        f"another library has hooked into, {effect}; upgrade http-service-client, or install an older aiohttp"
    ]


def test_nothing_is_gone_of_the_aiohttp_that_is_installed() -> None:
    """So nobody is warned."""
    assert list(of_aiohttp._gone()) == []
