"""What each library does beside sending a request, and what it does not: the one source for the terminal and for the page.

A figure says how fast a library is; this says what it does for that time. The entries are of the libraries' documentation, in
the versions that are measured, and about what they bring themselves. Two are measured, by `proofs.py`: whether a timeout bounds an
attempt of which the body arrives byte by byte, and whether a session of TLS is resumed, as the server sees it.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["COLUMNS", "FACTS", "Facts", "facts_lines", "lacking"]

NO = "no"
COLUMNS = {
    "retries": "retries with backoff",
    "breaker": "a circuit breaker",
    "bound": "a timeout for the whole attempt",
    "ways": "blocking and asyncio",
    "story": "an account of each call",
    "hooks": "hooks",
    "doubles": "test doubles",
    "egress": "rules for destinations",
    "resumes": "resumed TLS sessions",
}


class Facts(NamedTuple):
    """Of one library: "no", "yes", or how. sources: pages of its documentation."""

    retries: str
    breaker: str
    bound: str
    ways: str
    story: str
    hooks: str
    doubles: str
    egress: str
    resumes: str
    sources: tuple[str, ...] = ()


_REQUESTS = "https://requests.readthedocs.io/en/latest"
_URLLIB3 = "https://urllib3.readthedocs.io/en/stable/reference"
_AIOHTTP = "https://docs.aiohttp.org/en/stable"
_HTTPX = "https://www.python-httpx.org/advanced"
_CURL = "https://curl.se/libcurl/c"

FACTS = {
    "http_service_client": Facts(
        "yes", "yes", "yes, 30 s", "one client", "yes", "interceptors", "yes", "yes", "yes"
    ),
    "requests": Facts(
        "with urllib3's `Retry`", NO, NO, "blocking", NO, "of responses", "by others: responses, requests-mock", NO, NO,
        (f"{_REQUESTS}/user/quickstart/#timeouts", f"{_REQUESTS}/user/advanced/#event-hooks", f"{_REQUESTS}/api/#requests.adapters.HTTPAdapter"),
    ),
    "urllib3": Facts(
        "`Retry`", NO, NO, "blocking", "the history of retries", NO, NO, NO, NO,
        (f"{_URLLIB3}/urllib3.util.html",),
    ),
    "http.client": Facts(
        NO, NO, NO, "blocking", NO, NO, NO, NO, NO,
        ("https://docs.python.org/3/library/http.client.html",),
    ),
    "httpx": Facts(
        "of connecting", NO, NO, "two clients", NO, "yes", "yes", NO, NO,
        (f"{_HTTPX}/transports/", f"{_HTTPX}/timeouts/", f"{_HTTPX}/event-hooks/"),
    ),
    "httpx2": Facts(
        "of connecting", NO, NO, "two clients", NO, "yes", "yes", NO, NO,
        ("https://github.com/pydantic/httpx2",),
    ),
    "aiohttp": Facts(
        NO, NO, "yes, 5 min", "asyncio", NO, "middlewares, tracing", "by others: aioresponses", NO, NO,
        (f"{_AIOHTTP}/client_quickstart.html#timeouts", f"{_AIOHTTP}/client_advanced.html#client-middleware"),
    ),
    "aiosonic": Facts(
        NO, NO, "yes, 60 s", "asyncio", NO, "yes", NO, NO, NO,
        ("https://aiosonic.readthedocs.io/en/latest/reference.html",),
    ),
    "httpr": Facts(
        NO, NO, NO, "two clients, asyncio in threads", NO, NO, NO, NO, "yes",
        ("https://thomasht86.github.io/httpr",),
    ),
    "pyreqwest": Facts(
        NO, NO, "if it is set", "two clients", NO, "middlewares", "yes", NO, "yes",
        ("https://markussintonen.github.io/pyreqwest/pyreqwest.html",),
    ),
    "wreq": Facts(
        NO, NO, "if it is set", "two clients", NO, NO, NO, NO, NO,
        ("https://python.wreq.org",),
    ),
    "pycurl": Facts(
        NO, NO, "if it is set", "blocking", "how long each phase took", "callbacks", NO, "with a callback", "yes",
        (f"{_CURL}/CURLOPT_TIMEOUT.html", f"{_CURL}/CURLOPT_OPENSOCKETFUNCTION.html", "https://pycurl.github.io/docs/latest/"),
    ),
}  # fmt: skip


def lacking(facts: Facts) -> list[str]:
    """What a library does not do at all, and in which of the two ways of calling it cannot be used."""
    missing = [words for name, words in COLUMNS.items() if getattr(facts, name) == NO]
    if facts.ways in ("blocking", "asyncio"):
        missing.append("asyncio" if facts.ways == "blocking" else "blocking calls")
    return missing


def facts_lines() -> list[str]:
    """For the terminal: a line for each library."""
    return ["what each lacks:"] + [
        f"  {name:<20}{', '.join(lacking(facts)) or 'nothing of this list'}" for name, facts in FACTS.items()
    ]
