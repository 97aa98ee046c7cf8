"""Orders at a warehouse that knows its customers by OAuth 2.0: a login for each, one fetch of its token for all calls."""

from __future__ import annotations

from dataclasses import dataclass, field

from http_service_client import HttpClientConfig, HttpServiceClient, TokenError
from http_service_client.auth import OAuth2ClientCredentials

TOKEN_URL = "https://id.warehouse.com/oauth/token"


@dataclass
class Warehouse:
    """Calls for several branches, which have credentials, and thus tokens, of their own.

    secrets: the client secret of each branch, whose name is its client id.
    """

    client: HttpServiceClient
    secrets: dict[str, str]
    _logins: dict[str, OAuth2ClientCredentials] = field(default_factory=dict)

    def login(self, branch: str) -> OAuth2ClientCredentials:
        """The login of a branch. It is kept: the object is what calls share a token by."""
        return self._logins.setdefault(
            branch,
            OAuth2ClientCredentials(
                token_url=TOKEN_URL,
                client_id=branch,
                client_secret=self.secrets[branch],
                scope="orders:write",
            ),
        )

    async def order(self, branch: str, article: str) -> str:
        """Order an article; returns the number of the order, or when to try again.

        Each branch has a circuit and a throttle gate of its own (`key`): one with a wrong secret troubles no other.
        """
        try:
            response = await self.client.post_async(
                "/orders", json={"article": article}, auth=self.login(branch), key=branch
            )
        except TokenError as error:  # nothing was sent
            if error.retry_after is None:
                raise
            return f"try again in {error.retry_after:.0f} s"
        number: str = response.raise_for_status().json()["number"]
        return number


def warehouse_config() -> HttpClientConfig:
    """The settings of a client for the warehouse. A POST that may have been processed is repeated under its key only."""
    return HttpClientConfig(auto_idempotency_key=True)
