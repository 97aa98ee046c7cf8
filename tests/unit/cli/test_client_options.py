"""What the options that all calls share mean for the client and for its calls."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpClientConfig
from http_service_client.cli import build_parser
from http_service_client.cli.client_options import ClientSettings, client_settings, count, read_text, seconds
from http_service_client.http.auth.digest import Digest
from http_service_client.policies.retry import RetryPolicy


def settings(*options: str) -> ClientSettings:
    return client_settings(build_parser("get").parse_args(["get", "u", *options]))


def file(folder: Path, text: str) -> list[str]:
    (folder / "a.json").write_text(text)
    return ["--config", str(folder / "a.json")]


def test_without_an_option_all_is_as_the_client_does() -> None:
    """Nothing is set."""
    assert settings() == (HttpClientConfig(), {})


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        (["--proxy", "http://p:1"], "proxy", "http://p:1"),
        (["--proxy", "none"], "proxy", {}),
        (["--netrc"], "netrc", True),
        (["--netrc-file", "f"], "netrc", "f"),
        (["--netrc", "--netrc-file", "f"], "netrc", "f"),
    ],
)
def test_an_option_is_a_setting_of_the_client(options: list[str], name: str, value: Any) -> None:
    """And no other one changes."""
    changed = settings(*options).config
    assert getattr(changed, name) == value
    assert settings(*options).keywords == {}
    assert getattr(HttpClientConfig(), name) != value


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        (["--cacert", "f"], "ssl_ca_file", "f"),
        (["--cert", "f"], "ssl_cert_file", "f"),
        (["--cert", "c", "--key", "f"], "ssl_key_file", "f"),
        (["--unix-socket", "/s"], "uds", "/s"),
        (["--insecure"], "ssl_verify", False),
        (["-k"], "ssl_verify", False),
    ],
)
def test_an_option_is_a_setting_of_the_connections(
    options: list[str], name: str, value: Any, tmp_path: Path
) -> None:
    """Beside those of a configuration file."""
    pool = settings(*options).config.connection_pool
    assert pool is not None
    assert getattr(pool, name) == value
    given = file(tmp_path, '{"connection_pool": {"keep_alive_timeout": 1.5}}')
    pool = settings(*given, *options).config.connection_pool
    assert pool is not None
    assert (getattr(pool, name), pool.keep_alive_timeout) == (value, 1.5)


@pytest.mark.parametrize(
    ("options", "total", "connect"),
    [
        (["--timeout", "2"], 2.0, 5.0),
        (["--connect-timeout", "250ms"], 30.0, 0.25),
        (["--timeout", "none"], None, 5.0),
        (["--timeout", "1m", "--connect-timeout", "none"], 60.0, None),
    ],
)
def test_a_time_of_an_attempt_changes_the_others_not(
    options: list[str], total: float | None, connect: float | None
) -> None:
    """What is not said is the client's."""
    config, keywords = settings(*options)
    assert (keywords["timeout"].total, keywords["timeout"].connect) == (total, connect)
    assert config == HttpClientConfig()
    assert set(keywords) == {"timeout"}


@pytest.mark.parametrize("option", ["--deadline", "--total-timeout"])
def test_a_deadline_is_that_of_the_call(option: str) -> None:
    """Or there is none, whatever the file says."""
    assert settings(option, "2m").keywords == {"total_timeout": 120.0}
    assert settings(option, "none").keywords == {"total_timeout": None}


def test_retries_are_attempts_after_the_first(tmp_path: Path) -> None:
    """The rest of the policy is that of the file, or the client's own."""
    policy = settings("--retries", "3").keywords["retry_policy"]
    assert policy.max_attempts == 4
    assert settings("--retries", "0").keywords["retry_policy"].max_attempts == 1
    given = file(tmp_path, '{"retry_policy_config": {"max_attempts": 9, "initial_delay": 0.125}}')
    config, keywords = settings(*given, "--retries", "1")
    assert config.retry is not None
    assert keywords["retry_policy"] == replace(config.retry, max_attempts=2)
    assert keywords["retry_policy"] != replace(RetryPolicy(), max_attempts=2)
    assert "retry_policy" not in settings(*given).keywords


def test_a_client_without_retries_can_be_given_some(tmp_path: Path) -> None:
    """By the option, once."""
    given = file(tmp_path, '{"enable_retry_policy": false}')
    assert settings(*given, "--retries", "1").keywords["retry_policy"].max_attempts == 2


def test_credentials_are_read_from_the_option_or_from_a_file(tmp_path: Path) -> None:
    """Without the line end that an editor leaves."""
    (tmp_path / "login").write_text("ann:p w\r\n")
    (tmp_path / "token").write_text(" abc\n")
    assert settings("-u", "ann:p:w").keywords == {"auth": ("ann", "p:w")}
    assert settings("-u", f"@{tmp_path}/login").keywords == {"auth": ("ann", "p w")}
    assert settings("-u", "ann:X").keywords == {"auth": ("ann", "X")}
    assert settings("-u", "ann:").keywords == {"auth": ("ann", "")}
    assert settings("--bearer", f"@{tmp_path}/token").keywords == {"auth": "abc"}
    auth = settings("-u", "ann:pw", "--digest").keywords["auth"]
    assert auth == Digest("ann", "pw")


@pytest.mark.parametrize("option", ["--auth", "--bearer"])
def test_a_file_that_cannot_be_read_is_named_with_its_option(option: str, tmp_path: Path) -> None:
    """And with the reason."""
    with pytest.raises(ConfigurationError) as caught:
        settings(option, "@/no/such")
    assert str(caught.value) == f"{option}: cannot read '/no/such': No such file or directory"
    (tmp_path / "a").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError) as caught:
        read_text(option, f"@{tmp_path}/a")
    assert str(caught.value) == f"{option}: cannot read {str(tmp_path / 'a')!r}: it is not UTF-8"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--client", "a"], "--client names a client of a file; add --config FILE"),
        (["--digest"], "--digest needs --auth USER:PASSWORD"),
        (["-u", "a:b", "--bearer", "c"], "--auth and --bearer are both credentials; give one of them"),
        (
            ["-u", "ann"],
            "--auth has no password, and there is no terminal to ask for it; write USER:PASSWORD",
        ),
    ],
)
def test_options_that_need_another_one_say_so(
    options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(ConfigurationError) as caught:
        settings(*options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "value"), [("0.5", 0.5), ("250ms", 0.25), ("2m", 120.0), ("1h", 3600.0), ("none", None)]
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, value: float | None) -> None:
    """Or there is no limit."""
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["0", "-1", "inf", "1e999", "nan", "soon", "true"])
def test_another_duration_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what it may be."""
    with pytest.raises(SystemExit):
        settings(f"--timeout={text}")
    message = f"argument --timeout: must be a positive duration such as 5, 250ms, 2m or none, not {text!r}\n"
    assert capsys.readouterr().err.endswith(message)


@pytest.mark.parametrize("text", ["-1", "1.5", "x", ""])
def test_another_number_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of retries, say; none is one."""
    assert count("0") == 0
    with pytest.raises(SystemExit):
        settings(f"--retries={text}")
    message = f"argument --retries: must be a whole number of 0 or more, not {text!r}\n"
    assert capsys.readouterr().err.endswith(message)
