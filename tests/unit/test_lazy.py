"""Names that are imported when they are first used."""

from __future__ import annotations

import ast
import re
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest

import http_service_client
from http_service_client.lazy import is_a, lazy_names, lazy_pattern

_compile = re.compile


@pytest.fixture
def package() -> ModuleType:
    """A package with two lazy names of the standard library."""
    module = ModuleType("some_package")
    module.__all__ = lazy_names(
        module.__dict__, {"colorsys": "rgb_to_hls hls_to_rgb", "fractions": "Fraction"}
    )  # type: ignore[attr-defined]
    return module


def test_a_name_is_imported_when_it_is_used(package: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before, and it is an attribute like any other from then on."""
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    assert "rgb_to_hls" not in vars(package)
    assert "colorsys" not in sys.modules
    value = package.rgb_to_hls
    assert vars(package)["rgb_to_hls"] is value is sys.modules["colorsys"].rgb_to_hls


def test_all_names_are_listed(package: ModuleType) -> None:
    """Those that are still to be imported too."""
    assert package.__all__ == ["Fraction", "hls_to_rgb", "rgb_to_hls"]
    assert {*package.__all__, "__name__"} <= set(dir(package))


def test_another_name_does_not_exist(package: ModuleType) -> None:
    """The error is that of any module, and names the package."""
    with pytest.raises(AttributeError, match=r"module 'some_package' has no attribute 'Fractions'"):
        package.Fractions  # noqa: B018


def test_a_value_is_judged_by_the_class_of_a_module_that_may_not_be_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is imported for it: without the module there are no such values."""
    number = Fraction(1, 2)
    assert is_a(number, "fractions", "Fraction")
    assert not is_a("1/2", "fractions", "Fraction")
    assert not is_a(number, "fractions", "Decimal")
    monkeypatch.delitem(sys.modules, "fractions")
    assert not is_a(number, "fractions", "Fraction")
    assert "fractions" not in sys.modules


def test_a_pattern_is_compiled_when_it_is_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It then has the methods of any pattern, found as fast as those."""
    pattern = lazy_pattern(rb"(A)b", re.IGNORECASE)
    compiled: list[object] = []
    monkeypatch.setattr(re, "compile", lambda *made_of: compiled.append(made_of) or _compile(*made_of))
    assert (pattern.fullmatch(b"ab"), pattern.search(b"c")) != (None, None)
    assert pattern.sub(b"x", b"cAB") == b"cx"
    found = pattern.fullmatch(b"AB")
    assert found is not None
    assert found[1] == b"A"
    assert {*compiled} == {(rb"(A)b", re.IGNORECASE)}
    assert "fullmatch" in vars(pattern)


def test_no_lazy_pattern_is_compiled_where_it_is_made() -> None:
    """`lazy_pattern(…).findall` would compile it at once: a method is looked up where it is used."""
    wrong = [
        f"{path.name}:{node.lineno}"
        for path in Path(http_service_client.__file__).parent.rglob("*.py")
        if "lazy_pattern(" in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and "lazy_pattern(" in ast.unparse(node.value)
    ]
    assert wrong == []
