"""The README shows what the code does: the output of `explain()`, the defaults, links that exist."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path
from threading import RLock

import pytest

from http_service_client import (
    ExponentialBackoff,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    RetryQuotaSettings,
)
from http_service_client.core.machines.retry.quota import new_budget
from http_service_client.testing import ScriptedTransport, VirtualClock, late

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for folder in (ROOT, *(ROOT / name for name in ("docs", "examples", ".github")))
    for page in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
    if "_build" not in page.parts
)
# Where the pages stand on the web. A package index shows the README alone, so its links must be absolute.
REPOSITORY = "https://github.com/http-service-client/http-service-client/blob/main/"


def test_the_sample_output_is_what_explain_prints() -> None:
    """The same call, to a service that answers as the README says, explains itself in the same words."""
    clock = VirtualClock()
    busy = HttpResponse(429, headers={"Retry-After": "2"}, reason_phrase="Too Many Requests")
    script = [
        late(0.042, HttpResponse(503, reason_phrase="Service Unavailable")),
        late(0.015, busy),
        late(0.131, HttpResponse(201, reason_phrase="Created")),
    ]
    transport = ScriptedTransport(script, clock=clock)
    with HttpServiceClient(transport=transport, clock=clock, random=lambda: 0.5) as client:
        charge = client.post(
            "https://payments.example.com/charges",
            json={"order": 42, "amount": 25.50},
            headers={"Idempotency-Key": "order-42"},
            total_timeout=10.0,
        )
    assert f"```text\n{charge.explain()}\n```" in README


def test_the_defaults_are_those_of_the_code() -> None:
    """The table says what a user gets without any setting."""
    config, backoff = HttpClientConfig(), ExponentialBackoff()
    timeout, retry, breaker, budget = config.timeout, config.retry, config.circuit_breaker, config.budget
    assert retry is not None
    assert breaker is not None
    assert isinstance(budget, RetryQuotaSettings)
    words = {5.0: "five"}
    assert (backoff.initial_delay, backoff.backoff_factor, backoff.jitter.value) == (1.0, 2.0, "full")
    actual = {
        "attempt timeout, ": f"{timeout.total:g} s, {timeout.connect:g} s",
        "wait for a free": "while connections become free" if timeout.pool is None else timeout.pool,
        "timeout of the whole call": "no limit" if config.total_timeout is None else config.total_timeout,
        "attempts": retry.max_attempts,
        "waits between": f"up to 1 s, 2 s, 4 s … {backoff.max_delay:g} s, at random",
        "retry budget": f"{new_budget(budget, lambda: 0.0, RLock()).balance} retries at first, and one for {words[budget.cost / budget.earned]} calls that succeed",
        "throttle gate": {True: "a pause that the host asks for holds for all calls"}[
            config.enable_throttle_gate
        ],
        "circuit": f"opens when nothing has succeeded for {breaker.settings.failure_duration:g} s and "
        f"{breaker.failure_threshold} attempts; trials after {breaker.recovery_timeout:g} s and then ever later",
        "connections, ": f"{config.pool.max_connections}, {config.pool.max_connections_per_host}",
        "response size": f"{(config.max_response_size or 0) / 2**20:g} MiB",
        "redirects": config.allowed_redirect_count,
    }
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| `", README, re.MULTILINE)
    assert len(rows) == len(actual)
    for (what, default), (start, value) in zip(rows, actual.items(), strict=True):
        assert what.startswith(start)
        assert default == str(value)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    text = re.sub(r"^(```+)\w.*?^\1", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_another_page_works(page: str) -> None:
    """The file exists, and so does the heading: relative links, and absolute ones to the repository."""
    here = ROOT / page
    broken = []
    for target in links(here):
        file, _, anchor = target.removeprefix(REPOSITORY).partition("#")
        if target.startswith(REPOSITORY):
            there = ROOT / file
        elif target.startswith(("https:", "http:")):
            continue
        else:
            there = here.parent / file if file else here
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


def test_the_readme_has_no_relative_links() -> None:
    """They would lead nowhere on a package index, which shows the README without the files beside it."""
    relative = [target for target in links(ROOT / "README.md") if not target.startswith(("https:", "#"))]
    assert not relative


def test_every_label_of_a_link_in_the_readme_is_defined() -> None:
    """Markdown shows a link whose label it does not know as plain text."""
    used = {label.lower() for label in re.findall(r"\]\[([\w-]+)\]", README)}
    assert used
    assert used <= {label.lower() for label in re.findall(r"^\[([^\]]+)\]: ", README, re.MULTILINE)}


def test_every_extra_is_listed() -> None:
    """A reader looks for an extra under "Install", which lists those of setup.cfg and no other."""
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    _, _, listed = README.partition("The extras are ")
    named = re.findall(r"`([^`]+)`", listed.partition(". ")[0])
    assert set(named) == set(settings["options.extras_require"])
    _, _, table = (ROOT / "docs" / "quickstart.md").read_text("utf-8").partition("| extra | for |\n")
    rows = table.partition("\n\n")[0].splitlines()[1:]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])} == set(named)


def test_the_source_of_the_readme_has_no_long_lines() -> None:
    """A change of a paragraph can be read as a difference. Tables, links and examples have lines of their own length."""
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    prose = [line for line in text.splitlines() if not line.startswith(("|", "["))]
    assert [line for line in prose if len(line) > 120] == []


def links(page: Path) -> list[str]:
    """The target of every link of a page."""
    inline_or_reference = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)
    return ["".join(found) for found in inline_or_reference.findall(page.read_text(encoding="utf-8"))]
