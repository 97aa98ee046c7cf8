"""SDKs on requests: one line puts an adapter under each, and its calls survive two failures of three."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from http_service_client.integrations import ResilientAdapter, explain
from http_service_client.testing import reset, respond
from libraries.sdks.conftest import PAUSE, FailingService

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def session(service: FailingService) -> Iterator[requests.Session]:
    """A session with an adapter."""
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", ResilientAdapter(client=service.client))
        yield session


def test_stripe(service: FailingService, session: requests.Session) -> None:
    """A charge, which its key makes safe to repeat, with the same key."""
    stripe = pytest.importorskip("stripe")
    path = "/v1/payment_intents"
    service.responds(path, json={"id": "pi_1", "object": "payment_intent", "amount": 500})
    client = stripe.StripeClient(
        "sk_test_1",
        http_client=stripe.RequestsClient(session=session),
        max_network_retries=0,
        base_addresses={"api": service.url},
    )
    intent = client.v1.payment_intents.create({"amount": 500, "currency": "eur"})
    assert (intent.id, service.attempts(path)) == ("pi_1", 3)
    assert len(service.received(path, "Idempotency-Key")) == 1


def test_the_story_of_a_stripe_error(service: FailingService, session: requests.Session) -> None:
    """stripe's error stems from that of requests, which has the timeline."""
    stripe = pytest.importorskip("stripe")
    service.responds("/v1/balance", action=reset())
    client = stripe.StripeClient(
        "sk_test_1",
        http_client=stripe.RequestsClient(session=session),
        max_network_retries=0,
        base_addresses={"api": service.url},
    )
    with pytest.raises(stripe.APIConnectionError) as caught:
        client.v1.balance.retrieve()
    assert "attempt 3: ConnectionLostError" in explain(caught.value)


def test_python_gitlab(service: FailingService, session: requests.Session) -> None:
    """A project."""
    gitlab = pytest.importorskip("gitlab")
    service.responds("/api/v4/projects/7", json={"id": 7, "name": "client"})
    project = gitlab.Gitlab(service.url, private_token="t", session=session).projects.get(7)
    assert (project.name, service.attempts("/api/v4/projects/7")) == ("client", 3)


def test_hvac(service: FailingService, session: requests.Session) -> None:
    """A secret."""
    hvac = pytest.importorskip("hvac")
    path = "/v1/secret/data/payments"
    service.responds(path, json={"data": {"data": {"key": "s3"}, "metadata": {}}})
    vault = hvac.Client(url=service.url, token="t", session=session)
    secret = vault.secrets.kv.v2.read_secret_version(path="payments", raise_on_deleted_version=True)
    assert (secret["data"]["data"], service.attempts(path)) == ({"key": "s3"}, 3)


def test_docker(service: FailingService) -> None:
    """The containers of a daemon on TCP. Its API client is a session itself."""
    docker = pytest.importorskip("docker")
    service.responds("/v1.44/containers/json", json=[])
    daemon = docker.DockerClient(base_url=service.url.replace("http", "tcp"), version="1.44")
    daemon.api.mount("http://", ResilientAdapter(client=service.client))
    assert (daemon.containers.list(), service.attempts("/v1.44/containers/json")) == ([], 3)
    daemon.close()


def test_docker_on_a_unix_socket(service: FailingService) -> None:
    """The adapter sends by docker's own."""
    docker = pytest.importorskip("docker")
    daemon = docker.DockerClient(base_url="unix:///nowhere/docker.sock", version="1.44")
    own = daemon.api.get_adapter("http+docker://")
    daemon.api.mount("http+docker://", ResilientAdapter(client=service.client, adapter=own))
    with pytest.raises(requests.ConnectionError) as caught:
        daemon.containers.list()
    assert "attempt 3" in explain(caught.value)
    daemon.close()


def test_atlassian(service: FailingService, session: requests.Session) -> None:
    """An issue."""
    atlassian = pytest.importorskip("atlassian")
    path = "/rest/api/2/issue/PAY-1"
    service.responds(path, json={"key": "PAY-1"})
    jira = atlassian.Jira(url=service.url, token="t", session=session)
    assert (jira.issue("PAY-1")["key"], service.attempts(path)) == ("PAY-1", 3)


def test_a_post_without_a_key_is_repeated_only_if_it_was_refused(
    service: FailingService, session: requests.Session
) -> None:
    """A GitLab issue must not be opened twice."""
    gitlab = pytest.importorskip("gitlab")
    path = "/api/v4/projects/7/issues"
    issues = gitlab.Gitlab(service.url, private_token="t", session=session).projects.get(7, lazy=True).issues
    service.responds(path, failures=(PAUSE, PAUSE), status=201, json={"iid": 1})
    assert (issues.create({"title": "Late"}).iid, service.attempts(path)) == (1, 3)
    service.responds(path, failures=(respond(500), respond(500)), status=201, json={"iid": 2})
    with pytest.raises(gitlab.GitlabCreateError):
        issues.create({"title": "Late"})
    assert service.attempts(path) == 4
