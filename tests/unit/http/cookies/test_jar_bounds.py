"""How many cookies a jar keeps and which it drops first; and threads and clients that share one."""

from __future__ import annotations

import threading

import pytest

from http_service_client.http.cookies.jar import CookieJar
from kit.cookies import NOW, jar_with


def test_a_jar_is_bounded() -> None:
    """A server that keeps setting cookies neither fills the memory nor displaces those of other hosts."""
    jar = CookieJar()
    for number in range(60):
        jar.store("https://h.test/", [f"k{number}=v"], NOW)
    assert [cookie.name for cookie in jar] == [f"k{number}" for number in range(10, 60)]
    for number in range(4000):
        jar.store(f"https://h{number}.test/", ["k=v"], NOW)
    assert len(jar) == len(list(jar)) == 3000


@pytest.mark.parametrize("hosts", [1, 100])
def test_plain_http_displaces_no_secure_cookie(hosts: int) -> None:
    """Neither by many cookies of its host nor by many hosts: it could then set one of that name (6265bis 5.7)."""
    jar = jar_with("https://h.test/", "first=1", "session=s; Secure", "last=1")
    for number in range(4000):
        name = "" if hosts == 1 else f"h{number % hosts}."
        jar.store(f"http://{name}h.test/", [f"k{number}=v"], NOW)
    jar.store("http://h.test/", ["session=evil"], NOW)
    assert [cookie.value for cookie in jar if cookie.name == "session"] == ["s"]
    assert "first" not in [cookie.name for cookie in jar]


def test_secure_cookies_make_room_for_each_other() -> None:
    """The oldest goes, where all are Secure."""
    jar = jar_with("https://h.test/", *(f"k{number}=v; Secure" for number in range(60)))
    assert [cookie.name for cookie in jar] == [f"k{number}" for number in range(10, 60)]


def test_a_full_jar_drops_its_oldest_cookie() -> None:
    """Not the newest cookie of the oldest host."""
    jar = CookieJar()
    for number in range(2999):
        jar.store(f"https://h{number}.test/", ["k=v"], NOW)
    jar.store("https://h0.test/", ["late=1"], NOW)
    for number in range(2):
        jar.store(f"https://new{number}.test/", ["k=v"], NOW)
    assert jar.header("https://h0.test/", NOW) == "late=1"
    assert jar.header("https://h1.test/", NOW) == ""
    assert jar.header("https://h2.test/", NOW) == "k=v"


def test_expired_cookies_are_dropped_before_live_ones() -> None:
    """However old the live ones are."""
    jar = jar_with("https://h.test/", *(f"k{number}=v" for number in range(49)), "brief=1; Max-Age=1")
    jar.store("https://h.test/", ["new=1"], NOW + 2)
    assert "brief" not in {cookie.name for cookie in jar}
    assert len(jar) == 50


def test_cookies_are_dropped_one_after_the_other_as_they_expire() -> None:
    """At the very instant; a full jar looks for them again then."""
    brief = ("brief=1; Max-Age=1", "longer=1; Max-Age=2", "longest=1; Max-Age=90")
    jar = jar_with("https://h.test/", *(f"k{number}=v" for number in range(47)), *brief)
    jar.store("https://h.test/", ["new1=1"], NOW + 1)
    jar.store("https://h.test/", ["new2=1"], NOW + 2)
    assert [cookie.name for cookie in jar][-4:] == ["k46", "longest", "new1", "new2"]
    assert len(jar) == 50


def test_nothing_is_left_of_an_expired_cookie() -> None:
    """Not even its host's name, which matters in a client that calls many hosts."""
    jar = jar_with("https://h.test/", "k=v; Max-Age=1")
    jar.header("https://h.test/", NOW + 2)
    assert jar._domains == {}


def test_clients_that_share_a_jar_share_its_lock() -> None:
    """Two locks would guard nothing."""
    jar, lock = CookieJar(), threading.RLock()
    jar.share(lock)
    jar.share(threading.RLock())
    assert jar._lock is lock


def test_threads_may_share_a_jar() -> None:
    """Nothing is lost, and nothing breaks while cookies expire during a read."""
    jar = CookieJar()
    jar.share(threading.RLock())
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(300):
                jar.store(f"https://h{number}.test/", [f"k{turn % 40}=v; Max-Age=1"], NOW + turn)
                jar.store(f"https://h{number}.test/", [f"of{turn % 40}={number}"], NOW + turn)
                jar.header(f"https://h{(number + 1) % 4}.test/", NOW + turn)
                list(jar)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(jar) == len(list(jar))
    # Each host has the cookies that its own thread stored; the other ones have expired.
    for number in range(4):
        found = jar.header(f"https://h{number}.test/", NOW + 1000)
        assert sorted((found or "").split("; ")) == sorted(f"of{turn}={number}" for turn in range(40))
