"""The documentation names public modules only, and the reference has every public name."""

from __future__ import annotations

import doctest
import inspect
import re
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from docs.loading import ROOT, load
from http_service_client import (
    ConstantBackoff,
    HttpResponse,
    SentState,
    StateChange,
    StreamedResponse,
    errors,
)
from http_service_client.policies import Jitter
from kit.rows import each_row

names = load("docs/_ext/public_names.py")

PACKAGE = "http_service_client"
PAGES = [
    "README.md",
    "CHANGELOG.md",
    *sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "docs").rglob("*.md")
        if "_build" not in path.parts
    ),
]
API = (ROOT / "docs/api.md").read_text(encoding="utf-8")


def named(dotted: str) -> object:
    """The object with a dotted name, looked up in the longest public module."""
    module = max(
        (name for name in names.PUBLIC_MODULES if f"{dotted}.".startswith(f"{PACKAGE}.{name}.") or not name),
        key=len,
    )
    found: Any = names.public_module(module)
    for part in dotted.removeprefix(f"{PACKAGE}.{module}".rstrip(".")).strip(".").split("."):
        found = getattr(found, part) if part else found
    return found


def documented() -> dict[str, object]:
    """Each name that the reference documents, by its dotted path."""
    found = re.findall(r"^\.\. (?:py:|auto)(?:class|function|data|exception):: (\S+)$", API, re.MULTILINE)
    for module in re.findall(rf"^\.\. automodule:: {PACKAGE}\.(\S+)$", API, re.MULTILINE):
        found += [f"{PACKAGE}.{module}.{name}" for name in names.public_module(module).__all__]
    return {dotted: named(dotted) for dotted in found}


@each_row("page", PAGES)
def test_no_page_names_an_internal_module(page: str) -> None:
    """A reader who imports what a page names depends on nothing that may move."""
    assert names.internal_names((ROOT / page).read_text(encoding="utf-8")) == []


@each_row("page", PAGES)
def test_samples_import_public_names_only(page: str) -> None:
    """`from http_service_client… import` names what the module exports."""
    text = (ROOT / page).read_text(encoding="utf-8")
    imports = re.findall(rf"from ({PACKAGE}[\w.]*) import (?:\(([^)]*)\)|((?:\w+, )*\w+))", text)
    imported = [
        f"{module}.{name}" for module, many, few in imports for name in re.findall(r"\w+", many or few)
    ]
    assert [name for name in imported if not names.is_public(name)] == []


@pytest.mark.parametrize("module", names.PUBLIC_MODULES)
def test_the_reference_has_every_public_name(module: str) -> None:
    """Under this path, or under another public one that is the same object."""
    known = documented()
    exported = {f"{PACKAGE}.{module}.{name}".replace("..", "."): name for name in _exported(module)}
    missing = [
        dotted
        for dotted in exported
        if dotted not in known and not any(named(dotted) is item for item in known.values())
    ]
    assert missing == []


@each_row("module", [name for name in names.PUBLIC_MODULES if name])
def test_the_reference_lists_every_public_module(module: str) -> None:
    """The table at its top says where names are imported from. A package without names of its own need not be there."""
    assert f"`{PACKAGE}.{module}`" in API or not _exported(module)


def test_a_name_is_documented_once() -> None:
    """Under the root where the root has it, as a reader would import it; errors and events in their modules."""
    known = list(documented().items())
    twice = [one for one, item in known for other, same in known if item is same and one < other]
    assert twice == []


def _exported(module: str) -> list[str]:
    return list(getattr(names.public_module(module), "__all__", []))


class TestTheCheckItself:
    """A check that cannot fail would be worse than no check."""

    @each_row(
        ("text", "found"),
        [
            ("see `http_service_client.core.layer_order`", ["http_service_client.core.layer_order"]),
            (
                "from http_service_client.policies.retry import RetryPolicy",
                ["http_service_client.policies.retry"],
            ),
            ("http_service_client.testing.actions.drip", ["http_service_client.testing.actions.drip"]),
            ("http_service_client.errors.innermost", ["http_service_client.errors.innermost"]),
            ("http_service_client.policies.RetryPolicy.apply and http_service_client.deadline", []),
            ("from http_service_client.integrations.neuroglia import install", []),
            ("`http_service_client.integrations`, logged under http_service_client.", []),
        ],
    )
    def test_internal_names_are_found(self, text: str, found: list[str]) -> None:
        """Modules, functions inside modules, and names that a public module does not export."""
        assert names.internal_names(text) == found

    def test_the_examples_of_the_extension_hold(self) -> None:
        """Its doctests are run as those of the package are."""
        assert doctest.testmod(names).failed == 0


class Unset:
    """Stands for the package's sentinel of this name."""


@dataclass
class Settings:
    """Settings as the package has them."""

    waits: ConstantBackoff = field(default_factory=ConstantBackoff)
    headers: dict[str, str] = field(default_factory=dict)


def sample(
    limit: int = 10 * 2**20,
    size: Any = Unset(),  # noqa: B008  # a sentinel
    clock: Any = time.monotonic,
    jitter: Any = Jitter.FULL,
    **options: Unpack[Options],  # type: ignore[name-defined]  # noqa: F821  # as the verbs have it
) -> None: ...


class TestSignatures:
    """Signatures in the reference are readable without the source."""

    def test_no_default_is_an_object_of_the_source(self) -> None:
        """No sentinel, no address, no long number; and no type of keywords that has no public name."""
        names.with_shown_defaults(sample)
        shown = [str(parameter) for parameter in inspect.signature(sample).parameters.values()]
        assert shown[:3] == [
            "limit: 'int' = 10_485_760",
            "size: 'Any' = ...",
            "clock: 'Any' = time.monotonic",
        ]
        assert shown[4] == "**options"

    def test_a_factory_is_shown_by_what_it_makes(self) -> None:
        """The default that a user gets."""
        names.with_shown_defaults(Settings.__init__)
        shown = str(inspect.signature(Settings))
        assert (
            shown == "(waits: 'ConstantBackoff' = ConstantBackoff(), headers: 'dict[str, str]' = {}) -> None"
        )

    @pytest.mark.parametrize(
        ("cls", "is_left_out"),
        [
            (errors.HttpClientError, False),
            (errors.ConnectError, True),
            (Jitter, True),
            (StreamedResponse, True),
            (HttpResponse, False),
        ],
    )
    def test_a_signature_that_says_nothing_is_left_out(self, cls: type, is_left_out: bool) -> None:
        """The root of the errors shows the arguments of all of them; only a client makes a stream."""
        assert names.has_no_signature(cls) is is_left_out


def test_a_member_of_an_enumeration_is_described_by_its_comment() -> None:
    """What the source says beside it is on the page."""
    first, *_ = names.member_lines(SentState)
    assert re.fullmatch(r'- ``NEVER_SENT`` = ``"never_sent"``: \S.*', first)


def test_fields_of_tuples_are_not_listed_twice() -> None:
    """They are in the signature; "Alias for field number 0" is of no use."""
    assert names.is_field_of_a_tuple(StateChange.key)
    assert not names.is_field_of_a_tuple(HttpResponse.text)
