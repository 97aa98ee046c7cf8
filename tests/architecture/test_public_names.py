"""The public names of the package exist, and importing it is cheap."""

from __future__ import annotations

import dataclasses
import importlib
import os
import subprocess
import sys
import textwrap

import http_service_client
from architecture.rooms import PUBLIC_MODULES
from kit.sources import INSTALLED, NAME


def run_apart(program: str) -> str:
    """The output of a program in a separate interpreter, with the package under test on its path."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(INSTALLED.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_no_http_library() -> None:
    """`import http_service_client` is cheap: a program pays only for the parts that it uses."""
    heavy = {"requests", "urllib3", "aiohttp", "asyncio", "backoff", "pydantic", "neuroglia", "ssl"}
    loaded = run_apart("""
        import sys
        import http_service_client
        print(*sys.modules)
    """)
    assert heavy.isdisjoint(loaded.split())


def test_every_public_name_resolves_and_is_listed() -> None:
    """Each name in `__all__` exists, is listed once, and shows in `dir()`."""
    names: list[str] = http_service_client.__all__
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(http_service_client, name)] == []
    assert set(names) <= set(dir(http_service_client))


def test_public_modules_export_only_names_that_exist() -> None:
    """Each `__all__` is true, so that `from … import *` and the reference work."""
    for name in PUBLIC_MODULES:
        module = importlib.import_module(f"{NAME}.{name}")
        assert [item for item in getattr(module, "__all__", []) if not hasattr(module, item)] == []


KEYWORD_ONLY = {
    *("Bursts", "Errors", "Flapping", "Outage", "Poison", "RateLimit", "Slowdown"),
    *(
        "ChaosSettings",
        "ChaosSnapshot",
        "CircuitBreakerSettings",
        "CircuitBreakerSnapshot",
        "FallbackSettings",
        "HedgingSettings",
        "BulkheadSettings",
        "BulkheadSnapshot",
        "Propagation",
    ),
    *("OAuth2ClientCredentials", "OAuth2Grant", "OAuth2RefreshToken"),
    *("AdaptiveLimitSettings", "AdaptiveLimitSnapshot"),
    *("LoadSheddingSettings", "LoadSheddingSnapshot"),
    *("DeadlineCheckSettings", "RateLimitSettings"),
    *(
        "Report",
        "RetryBudgetSettings",
        "ResultCacheSettings",
        "TimeoutSettings",
        "RetryQuotaSettings",
        "Scenario",
        "Service",
    ),
}


def test_public_records_cannot_be_changed() -> None:
    """They are shared by threads and clients. Those with many fields, or fields that are easily mixed up, take keywords only."""
    names = [NAME, *(f"{NAME}.{name}" for name in PUBLIC_MODULES)]
    modules = [importlib.import_module(name) for name in names]
    records = {
        kind
        for module in modules
        for name in getattr(module, "__all__", ())
        if isinstance(kind := getattr(module, name), type) and dataclasses.is_dataclass(kind)
    }
    assert len(records) > 30
    assert [kind.__name__ for kind in records if not kind.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]
    for kind in records:
        is_keyword_only = all(field.kw_only for field in dataclasses.fields(kind) if field.init)
        assert is_keyword_only is (kind.__name__ in KEYWORD_ONLY), kind
