"""Which netrc file has the logins of a client, and what is wrong with one that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConfigurationError
from http_service_client.client.config.proxies_and_logins import read_logins, read_proxies
from http_service_client.http.proxies.settings import ProxySettings


def written(path: Path, user: str) -> Path:
    """The path of a netrc file with a login of this user."""
    path.write_text(f"machine a.test login {user} password p\n", encoding="utf-8")
    return path


def user_of(netrc: Any) -> str | None:
    """The user of the login that is found."""
    logins = read_logins(netrc)
    found = None if logins is None else logins.find("a.test")
    return None if found is None else found[0]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory of the user's own."""
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_no_file_is_read_unless_it_is_asked_for(home: Path) -> None:
    """Not even the user's own."""
    written(home / ".netrc", "ann")
    assert read_logins(False) is None


def test_the_user_s_own_file_need_not_exist(home: Path) -> None:
    """It has either of two names, and the variable comes before both."""
    assert read_logins(True) is None
    written(home / "_netrc", "bob")
    assert user_of(True) == "bob"
    written(home / ".netrc", "ann")
    assert user_of(True) == "ann"


def test_the_variable_comes_before_the_user_s_own_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one counts as not set; one that names no file is an error."""
    written(home / ".netrc", "ann")
    monkeypatch.setenv("NETRC", "")
    assert user_of(True) == "ann"
    monkeypatch.setenv("NETRC", str(written(home / "other", "bob")))
    assert user_of(True) == "bob"
    monkeypatch.setenv("NETRC", "~/missing")
    with pytest.raises(ConfigurationError, match=r"^netrc '~/missing' cannot be used: .*No such file"):
        read_logins(True)


def test_a_file_is_given_by_its_path(home: Path) -> None:
    """As text or as a path; "~" is the user's directory. It may have any characters."""
    path = written(home / "logins", "jürgen")
    for given in (path, str(path), "~/logins"):
        assert user_of(given) == "jürgen"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"machine a.test login \xff", "it is not UTF-8$"),
        (b"machin", ".*error in line 1"),
        (None, ".*No such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_with_its_path(
    home: Path, content: bytes | None, problem: str
) -> None:
    """And with the reason."""
    if content is not None:
        (home / "logins").write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"^netrc '~/logins' cannot be used: {problem}"):
        read_logins("~/logins")


def test_the_proxies_of_the_environment_must_be_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else there are none."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert read_proxies(True).https == "http://proxy:3128"
    assert read_proxies(False) == ProxySettings()
