"""One request to a webhook: to the address that was checked, with an end, and nowhere else."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from functools import cache

import httpx

import academy
from academy.store.webhooks.deliveries import Tried
from academy.webhooks import targets
from academy.webhooks.targets import Target, TargetRefused

#: A connection has to be there within this time, and all has to be over within that.
CONNECT_SECONDS, WHOLE_SECONDS = 5.0, 15.0
#: Addresses of one name that are tried.
_MOST_ADDRESSES = 3
#: So much of an answer is read, and so much of it kept.
_READ_BYTES, _KEPT_CHARACTERS = 4096, 300


class Post:
    """A request that one thread sends and another may abort; nothing of it outlasts its end."""

    def __init__(self, url: str, body: bytes, headers: Mapping[str, str], *, private: bool) -> None:
        self._url = url
        self._body = body
        self._headers = headers
        self._private = private
        self._socket: socket.socket | None = None
        self._is_aborted = False
        self.ends_at = time.monotonic() + WHOLE_SECONDS

    def send(self) -> Tried:
        """Send it, and what came of it. Raises nothing."""
        try:
            answer, text = self._ask(targets.parse(self._url))
            if self._is_aborted:  # the end of the answer was ours: http.client cannot tell
                raise TimeoutError
        except TargetRefused as refused:
            return Tried(None, f"its address was refused: {refused.fields['why']}")
        except ssl.SSLCertVerificationError as error:
            return Tried(None, f"its certificate was refused: {error.verify_message}")
        except TimeoutError:
            return Tried(None, f"no answer within {WHOLE_SECONDS:g} s")
        except (OSError, http.client.HTTPException, ValueError) as error:
            if self._is_aborted or time.monotonic() >= self.ends_at:
                return Tried(None, f"no answer within {WHOLE_SECONDS:g} s")
            return Tried(None, f"no answer: {_in_words(error)}")
        finally:
            self._close()
        if 200 <= answer < 300:
            return Tried(answer, None, text)
        redirected = ", a redirect, which is not followed" if 300 <= answer < 400 else ""
        return Tried(answer, f"it answered {answer}{redirected}", text)

    def abort(self) -> None:
        """Cut the connection, if there is one; `send` ends at once then."""
        self._is_aborted = True
        if (made := self._socket) is not None:
            with contextlib.suppress(OSError):  # it was not connected, or is closed
                socket.socket.shutdown(made, socket.SHUT_RDWR)

    def _ask(self, target: Target) -> tuple[int, str]:
        self._socket = self._connect(target)
        self._socket.settimeout(self._left())
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = self._socket
        headers = {
            "Host": target.host_header,
            "Content-Type": "application/json",
            "User-Agent": f"Academy/{academy.__version__} (webhooks)",
            "Connection": "close",
            **self._headers,
        }
        connection.request("POST", target.path, body=self._body, headers=headers)
        answer = connection.getresponse()
        try:
            read = answer.read(_READ_BYTES)
        except (OSError, http.client.HTTPException):
            read = b""  # the status is what counts, and it is there
        said = read.decode("utf-8", "replace")[:_KEPT_CHARACTERS]
        return answer.status, "".join(c if c.isprintable() else " " for c in said).strip()

    def _connect(self, target: Target) -> socket.socket:
        """A connection to an address that was checked just now, with TLS in the name's name."""
        failure: OSError = TimeoutError()
        for address in targets.resolve(target, private=self._private)[:_MOST_ADDRESSES]:
            try:
                made = socket.create_connection(
                    (address, target.port), timeout=min(CONNECT_SECONDS, self._left())
                )
            except TimeoutError:
                failure = ConnectionError(f"no connection within {CONNECT_SECONDS:g} s")
                continue
            except OSError as error:
                failure = error
                continue
            self._socket = made
            # Headers and body are two small pieces; the second is not to wait for the first's ACK.
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._is_aborted:
                raise TimeoutError
            if not target.is_tls:
                return made
            wrapped = _trust().wrap_socket(
                made, server_hostname=target.host, do_handshake_on_connect=False
            )
            self._socket = wrapped  # so that whoever aborts it has the one that is open
            wrapped.do_handshake()
            return wrapped
        raise failure

    def _left(self) -> float:
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _close(self) -> None:
        made, self._socket = self._socket, None
        if made is not None:
            with contextlib.suppress(OSError):  # what was not sent any more nobody waits for
                made.close()


@cache
def _trust() -> ssl.SSLContext:
    """Whose certificates count: those that httpx trusts, or SSL_CERT_FILE's."""
    return httpx.create_ssl_context()


def _in_words(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:200]
    return str(error)[:200] or type(error).__name__
