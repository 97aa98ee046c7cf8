"""SDKs on aiohttp: one line puts a middleware under each, and its calls survive two failures of three."""

from __future__ import annotations

import aiohttp
import pytest

from http_service_client.integrations import resilience_middleware
from libraries.sdks.conftest import PAUSE, FailingService

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


def session(service: FailingService) -> aiohttp.ClientSession:
    """A session with a middleware."""
    return aiohttp.ClientSession(middlewares=[resilience_middleware(client=service.client)])


async def test_slack_sdk(service: FailingService) -> None:
    """A message, which is a POST: Slack asked for a pause, so it was not posted."""
    slack = pytest.importorskip("slack_sdk.web.async_client")
    service.responds("/chat.postMessage", failures=(PAUSE, PAUSE), json={"ok": True, "ts": "1"})
    async with session(service) as http:
        client = slack.AsyncWebClient("xoxb-1", base_url=f"{service.url}/", session=http)
        posted = await client.chat_postMessage(channel="#pay", text="paid")
    assert (posted["ts"], service.attempts("/chat.postMessage")) == ("1", 3)


async def test_gidgethub(service: FailingService) -> None:
    """A user."""
    gidgethub = pytest.importorskip("gidgethub.aiohttp")
    service.responds("/users/octocat", json={"login": "octocat"})
    async with session(service) as http:
        github = gidgethub.GitHubAPI(http, "requester", base_url=service.url)
        user = await github.getitem("/users/octocat")
    assert (user["login"], service.attempts("/users/octocat")) == ("octocat", 3)


async def test_gcloud_aio_storage(service: FailingService) -> None:
    """An object, by its bytes."""
    storage = pytest.importorskip("gcloud.aio.storage")
    path = "/storage/v1/b/bucket/o/report"
    service.responds(path, body="content")
    async with session(service) as http:
        bucket = storage.Storage(session=http, api_root=service.url, token=NoToken())
        content = await bucket.download("bucket", "report")
    assert (content, service.attempts(path)) == (b"content", 3)


class NoToken:
    """A token that needs no service."""

    async def get(self) -> str:
        return "t"
