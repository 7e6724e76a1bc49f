"""The server: answers GET and HEAD to whoever may look, until it is told to stop."""

from __future__ import annotations

import http.server
import socket
import socketserver
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from ..errors import HarnessError
from .access import Access
from .site import SAFE, Answer, Site, refused

_SILENT_SECONDS = 10.0
"""After which a client that says nothing is left."""


class Server(http.server.ThreadingHTTPServer):
    """Serves a site.

    Args:
      host: The address it is at, or a name of it.
      port: 0 for any that is free.
      access: Who may look.

    Raises:
      HarnessError: If it cannot be at that address.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, *, access: Access, site: Site) -> None:
        self.access, self.site = access, site
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = family
            super().__init__((str(address[0]), port), _Handler)
        except (OSError, OverflowError) as error:
            raise HarnessError(
                f"--host {host} --port {port}: {getattr(error, 'strerror', None) or error}; --port 0 takes one that "
                "is free"
            ) from error

    @property
    def url(self) -> str:
        """With all that it takes to look."""
        host = str(self.server_address[0])
        if host in ("0.0.0.0", "::"):  # all addresses of this machine, of which this is a name
            host = socket.gethostname()
        token = "" if self.access.token is None else f"?token={quote(self.access.token)}"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}/{token}"

    def server_bind(self) -> None:
        """Without the look-up of a name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are no news."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "harness", ""
    timeout = _SILENT_SECONDS

    def do_GET(self) -> None:
        self._send(self._answer())

    do_HEAD = do_GET  # noqa: N815 - as the base class calls it

    def _refuse(self) -> None:
        allowed = "GET, HEAD"
        self._send(refused(HTTPStatus.METHOD_NOT_ALLOWED, f"this page is read-only: {allowed}", Allow=allowed))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse  # noqa: N815 - likewise

    def _answer(self) -> Answer:
        try:
            token = parse_qs(urlsplit(self.path).query).get("token", [""])[-1]
        except ValueError:
            return refused(HTTPStatus.BAD_REQUEST, "this is no address")
        problem = self.server.access.refusal(
            client=str(self.client_address[0]), host=self.headers.get("Host", ""), token=token
        )
        if problem is not None:
            return refused(HTTPStatus.FORBIDDEN, problem)
        return self.server.site.answer(self.path)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self._own: Mapping[str, str] = answer.headers
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    def end_headers(self) -> None:
        """Also of what the base class answers to requests that are none."""
        for name, value in {**SAFE, **getattr(self, "_own", {})}.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: addresses have the token in them."""
