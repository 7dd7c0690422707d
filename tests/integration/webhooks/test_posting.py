"""A request goes to the address that was checked, with an end, whatever is there."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from academy.webhooks import posting
from academy.webhooks.posting import Post

Talk = Callable[[socket.socket], None]


@contextmanager
def listening(talk: Talk) -> Iterator[int]:
    """A server that does with each connection what `talk` does, at the port that this gives."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)

        def accept() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(30)
                        talk(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join(60)


def sent(url: str, seconds: float = 30.0) -> posting.Tried:
    """What came of a request that is aborted after so long, as the deliverer aborts it."""
    post = Post(url, b"{}", {"webhook-id": "evt_1"}, private=True)
    timer = threading.Timer(seconds, post.abort)
    timer.start()
    try:
        return post.send()
    finally:
        timer.cancel()


def until_closed(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def read_request(connection: socket.socket) -> None:
    """All of it: a connection that is closed with something unread is reset, the answer with it."""
    read = b""
    while not read.endswith(b"\r\n\r\n{}") and (piece := connection.recv(65536)):
        read += piece


def drip_status(connection: socket.socket) -> None:
    read_request(connection)
    connection.settimeout(0.05)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    is_open = True
    while is_open:
        connection.sendall(b"y")
        with suppress(TimeoutError):  # the other side is still there
            is_open = bool(connection.recv(1))


def test_who_answers_byte_by_byte_is_cut_off() -> None:
    with listening(drip_status) as port:
        tried = sent(f"http://127.0.0.1:{port}/", seconds=0.5)
    assert (tried.status, tried.error) == (None, "no answer within 15 s")


def test_who_never_answers_is_cut_off() -> None:
    with listening(until_closed) as port:
        tried = sent(f"http://127.0.0.1:{port}/", seconds=0.5)
    assert (tried.status, tried.error) == (None, "no answer within 15 s")


def test_who_never_begins_tls_is_cut_off() -> None:
    with listening(until_closed) as port:
        tried = sent(f"https://127.0.0.1:{port}/", seconds=0.5)
    assert (tried.status, tried.error) == (None, "no answer within 15 s")


@pytest.mark.parametrize(
    ("said", "status", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 9000, 200, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", 200, None),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503, "it answered 503"),
        (b"SSH-2.0-OpenSSH\r\n", None, "no answer: SSH-2.0-OpenSSH"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, None, "no answer: got more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000, None, "no answer: got more than 65536 bytes"),
        (b"", None, "no answer: Remote end closed connection without response"),
    ],
)
def test_whatever_is_said_is_bounded(said: bytes, status: int | None, error: str | None) -> None:
    def say(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(said)

    with listening(say) as port:
        tried = sent(f"http://127.0.0.1:{port}/")
    assert tried.status == status
    assert tried.error == error or str(tried.error).startswith(str(error))
    assert len(tried.answer or "") <= 300


def test_nobody_is_there(free_port: int) -> None:
    tried = sent(f"http://127.0.0.1:{free_port}/")
    assert (tried.status, tried.error) == (None, "no answer: nobody listens there")


def test_a_name_that_leads_elsewhere_by_now_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: the resolver's answers change, and with them what a name stands for."""
    reached: list[bytes] = []
    with listening(lambda connection: reached.append(connection.recv(10))) as port:
        for addresses in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]):
            monkeypatch.setattr(
                socket,
                "getaddrinfo",
                lambda *_, found=addresses, **__: [(0, 0, 0, "", (each, port)) for each in found],
            )
            post = Post(f"https://rebound.example:{port}/", b"{}", {}, private=False)
            tried = post.send()
            assert tried.status is None and "which is not public" in str(tried.error)
    assert reached == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the name localhost, with its key."""
    folder = tmp_path_factory.mktemp("certificate")
    made = folder / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "one.pem")),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    made.write_text((folder / "key.pem").read_text() + (folder / "one.pem").read_text())
    return made


@pytest.fixture
def over_tls(certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            read_request(wrapped)
            wrapped.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with listening(answer) as port:
        yield port


@pytest.fixture
def trusting(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What SSL_CERT_FILE names is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_name("one.pem")))
    posting._trust.cache_clear()
    yield
    posting._trust.cache_clear()


def test_a_certificate_of_the_name_is_taken(over_tls: int, trusting: None) -> None:
    tried = sent(f"https://localhost:{over_tls}/")
    assert (tried.status, tried.error) == (204, None)


def test_a_certificate_of_another_name_is_refused(over_tls: int, trusting: None) -> None:
    tried = sent(f"https://127.0.0.1:{over_tls}/")
    assert tried.status is None
    assert str(tried.error).startswith("its certificate was refused: IP address mismatch")


def test_a_certificate_that_nobody_vouches_for_is_refused(over_tls: int) -> None:
    tried = sent(f"https://localhost:{over_tls}/")
    assert tried.status is None
    assert str(tried.error).startswith("its certificate was refused: self-signed certificate")
