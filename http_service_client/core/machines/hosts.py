"""Which of several base URLs a request goes to.

A client may have alternate base URLs of the same service, in another region for example. Their order is that of preference:

    1   the first host that this call has not tried, and that takes requests now
    2   the first one that takes requests now, but for the one tried last
    3   the first one that takes requests now
    4   no host takes any: the first one that has not refused this attempt

A host *takes requests* while its circuit lets one pass, its throttle gate is open, and not all connections to it are in use:
all calls would queue for those of a host that hangs. There is no other list of bad hosts. The circuit of each origin counts its
failures already, refuses for a time that grows, and finds out by single trials whether the host works again. As the first
host is asked first, its trials are made by the calls themselves, and all calls return to it when its circuit closes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from ...http.urls import normalise_url, origin_of

__all__ = ["Hosts", "choose_host"]


def choose_host(
    count: int, tried: Sequence[int], is_available: Callable[[int], bool], refused: Container[int] = ()
) -> int | None:
    """The number of the host for the next request of a call, by the rules above.

    count: of the hosts.   tried: those that this call has been sent to, in this order.   is_available: see above.
    refused: hosts that refused the request just now. None when all have.

    >>> choose_host(2, [], [True, True].__getitem__), choose_host(2, [0], [True, True].__getitem__)
    (0, 1)
    >>> choose_host(2, [0, 1], [True, True].__getitem__), choose_host(2, [0], [True, False].__getitem__)
    (0, 0)
    """
    left = [number for number in range(count) if number not in refused]
    able = [number for number in left if is_available(number)]
    for number in able:
        if number not in tried:
            return number
    for number in able:
        if number != tried[-1]:
            return number
    return next(iter(able or left), None)


class Hosts:
    """The base URLs of a client, each of another origin. The first one is that of the request as it is built.

    origins: theirs, in the same order.
    """

    __slots__ = ("_bases", "origins")

    def __init__(self, base_urls: Sequence[str]) -> None:
        self._bases = [normalise_url(base_url) for base_url in base_urls]
        self.origins = [origin_of(base) for base in self._bases]

    def __len__(self) -> int:
        return len(self._bases)

    def url_at(self, url: str, number: int) -> str:
        """A URL under the first base URL, under the one of this number.

        >>> hosts = Hosts(["https://a.test/v1", "https://b.test"])
        >>> hosts.url_at("https://a.test/v1/items?x=1", 1), hosts.url_at("https://a.test/v1?x=1", 1)
        ('https://b.test/items?x=1', 'https://b.test/?x=1')
        """
        first, base = self._bases[0], self._bases[number]
        rest = url[len(first) :]
        if first.endswith("/") and rest and rest[0] != "?":
            rest = f"/{rest}"
        return f"{base[:-1] if rest.startswith('/') and base.endswith('/') else base}{rest}"
