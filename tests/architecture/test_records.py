"""Every record of the package is immutable, and the fields that a comparison, a hash or a repr leaves out are listed."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import pytest

import http_service_client

NAME = http_service_client.__name__

# Class, field: what leaves it out. A hash leaves out what a comparison does, and what cannot be hashed; a repr what is
# secret, or is not a setting.
LEFT_OUT = {
    "AwsSigV4.credentials": "hash",
    "AwsSigV4._botocore": "init compare hash",
    "ConnectionPoolConfig.ssl_key_password": "repr",
    "Digest._sessions": "init compare hash",
    "EgressPolicy._allowed": "init repr compare hash",
    "EgressPolicy._denied": "init repr compare hash",
    "HistogramSample.exemplars": "repr",
    "HmacSignature.headers": "hash",
    "HmacSignature.clock": "compare hash",
    "HmacSignature._keys": "init compare hash",
    "HmacSignature._parts": "init compare hash",
    "MessageSignature.components": "hash",
    "MessageSignature.clock": "compare hash",
    "MessageSignature._signer": "init compare hash",
    "OAuth2RefreshToken._current": "init compare hash",
    "Problem.extensions": "hash",
    "Received.raw": "repr",
    "RetryPolicy.random": "repr compare hash",
    "RetryPolicy.clock": "repr compare hash",
    "RetryPolicy.budget": "repr",
    "Sample.exemplar": "repr",
    "_Files.key_password": "repr",
    "_OAuth2.parameters": "hash",
    "_OAuth2.cache": "init compare hash",
}


@pytest.fixture(scope="module")
def records() -> list[type]:
    """The dataclasses of all modules that can be imported here; some need an extra."""
    found: set[type] = set()
    for about in pkgutil.walk_packages(http_service_client.__path__, f"{NAME}."):
        if about.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(about.name)
        except ImportError:
            continue
        found.update(
            kind
            for kind in vars(module).values()
            if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == about.name
        )
    assert len(found) > 60
    return sorted(found, key=lambda kind: kind.__name__)


def test_no_record_can_be_changed(records: list[type]) -> None:
    """Inside the package as well: records pass between threads, calls and users."""
    assert [kind.__name__ for kind in records if not kind.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]


def test_only_the_listed_fields_are_left_out(records: list[type]) -> None:
    """Of the constructor, the repr, a comparison or the hash."""
    found = {}
    for kind in records:
        for field in dataclasses.fields(kind):
            is_hashed = field.compare if field.hash is None else field.hash
            parts = {"init": field.init, "repr": field.repr, "compare": field.compare, "hash": is_hashed}
            names = " ".join(name for name, is_in in parts.items() if not is_in)
            if names and field.name in inspect.get_annotations(kind):
                found[f"{kind.__name__}.{field.name}"] = names
    assert found == {name: parts for name, parts in LEFT_OUT.items() if name in found}
    missing = LEFT_OUT.keys() - found.keys()
    assert not [name for name in missing if name.partition(".")[0] in {kind.__name__ for kind in records}]
