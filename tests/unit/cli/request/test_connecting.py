"""How a request command connects: proxies, certificates of its own, sockets of this machine."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from http_service_client.testing import LoopbackServer, respond
from kit.command_line import run_piped


def test_a_proxy_is_used(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """That of the option, else that of the environment, unless --proxy is none."""
    server.script("*", respond(body=b"by proxy"))
    url = "http://api.example.invalid/x"
    assert run_piped("get", url, "--proxy", server.url, *front_end_flag).output == b"by proxy"
    assert run_piped("get", url, *front_end_flag, http_proxy=server.url).output == b"by proxy"
    assert [request.target for request in server.requests] == [url, url]
    alone = run_piped("get", url, "--proxy", "none", "--retries", "0", *front_end_flag, http_proxy=server.url)
    assert alone.code == 1


def test_a_certificate_of_its_own_is_shown(tmp_path: Path, front_end_flag: list[str]) -> None:
    """To a server that wants one."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ours = authority.issue_cert("client.example.com")
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in ours.cert_chain_pems))
    ours.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with LoopbackServer(tls=context) as server:
        server.script("/x", respond(body=b"tea"))
        arguments = ["get", f"{server.url}/x", "--cacert", str(tmp_path / "ca.pem"), "--retries", "0"]
        assert run_piped(*arguments, *front_end_flag).code in (1, 6)
        files = ["--cert", str(tmp_path / "cert.pem"), "--key", str(tmp_path / "key.pem")]
        assert run_piped(*arguments, *files, *front_end_flag) == (0, b"tea", "")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_a_unix_socket_is_used(tmp_path: Path, front_end_flag: list[str]) -> None:
    """Whatever the URL."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(65536)
                accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntea")

        thread = threading.Thread(target=serve)
        thread.start()
        done = run_piped("get", "http://docker/v1/info", "--unix-socket", path, *front_end_flag)
        thread.join()
    assert done == (0, b"tea", "")


def test_http2_is_used_where_it_is_wanted(tmp_path: Path, front_end_flag: list[str]) -> None:
    """The status line says so."""
    pytest.importorskip("h2", reason="the extra http2 is not installed")
    from kit.http2_server import Http2Server

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Http2Server(context) as server:
        server.on("/x", lambda exchange: exchange.respond(body=b"tea"))
        arguments = ["get", f"{server.url}/x", "--http2", "--cacert", str(tmp_path / "ca.pem"), "-i"]
        done = run_piped(*arguments, *front_end_flag)
    assert (done.code, done.errors) == (0, "")
    assert done.output.startswith(b"HTTP/2 200")
    assert done.output.endswith(b"\n\ntea")
