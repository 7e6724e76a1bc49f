"""A real S3 server on loopback, and a proxy before it that can be slow to serve, refuse, or be down."""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FORBIDDEN = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
BUCKET = "bucket"


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server of this machine.

    Attributes:
      fails_every: Every n-th request is answered with an error of the server; 0 for none.
      is_down: Connections are closed without an answer.
      forbids: Every request is refused.
      num_requests, num_failed: So far.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.fails_every = port, 0
        self.is_down = self.forbids = False
        self.num_requests = self.num_failed = 0
        self.counting = threading.Lock()

    def uri(self, prefix: str) -> str:
        """Of a store, for pyarrow.fs."""
        return f"s3://{BUCKET}/{prefix}?endpoint_override=127.0.0.1:{self.server_port}&scheme=http&region=us-east-1"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        proxy = self.server
        assert isinstance(proxy, Proxy)
        body = self._body()
        with proxy.counting:
            proxy.num_requests += 1
            fails = bool(proxy.fails_every) and proxy.num_requests % proxy.fails_every == 0
            proxy.num_failed += fails or proxy.is_down
        if proxy.is_down:
            self.close_connection = True
            self.connection.close()
            return
        if proxy.forbids or fails:
            self._answer(403 if proxy.forbids else 503, FORBIDDEN if proxy.forbids else b"", {})
            return
        behind = http.client.HTTPConnection("127.0.0.1", proxy.behind, timeout=30)
        hop = ("transfer-encoding", "content-length", "expect", "connection")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in hop}
        behind.request(self.command, self.path, body=body or None, headers=headers)
        answer = behind.getresponse()
        self._answer(answer.status, answer.read(), dict(answer.getheaders()))
        behind.close()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b""
        while length := int(self.rfile.readline().split(b";")[0], 16):
            content += self.rfile.read(length)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return content

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        length = headers.get("Content-Length", str(len(content))) if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - as the base class calls them

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def served() -> Iterator[Proxy]:
    """A server with an empty bucket, behind a proxy; credentials are to be in the environment."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1").create_bucket(Bucket=BUCKET)
    proxy = Proxy(port)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield proxy
    proxy.shutdown()
    server.stop()
