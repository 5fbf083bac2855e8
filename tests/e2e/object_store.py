"""An S3-speaking server on this machine, and a proxy before it that does what networks and servers do."""

from __future__ import annotations

import hashlib
import http.client
import logging
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from s3fs import S3FileSystem

KEY, SECRET = "test-key-id-5Zq8", "test-secret-w7Rk2mVx"
_HOP = ("connection", "transfer-encoding", "keep-alive", "content-length", "server", "date")


def _error(code: str, message: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


class Proxy:
    """Hands requests on to a server.

    Attributes:
        rate: share of the requests that fail, each in one of three ways.
        refusal: code and message that every request gets instead of an answer.
        done: faults by their kind.
    """

    def __init__(self, server: int) -> None:
        self.server, self.rate, self.refusal = server, 0.0, None  # type: int, float, tuple[str, str] | None
        self.done, self._chance, self._lock = Counter[str](), random.Random(0), threading.Lock()
        self._http = self._listen(0)
        self.port = self._http.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def direct(self) -> S3FileSystem:
        """The server itself, which does not fail."""
        url = f"http://127.0.0.1:{self.server}"
        return S3FileSystem(
            endpoint_url=url, key=KEY, secret=SECRET, skip_instance_cache=True, use_listings_cache=False
        )

    def hashes(self) -> dict[str, str]:
        """sha256 of each object of the bucket."""
        return {
            str(key).removeprefix("bkt/"): hashlib.sha256(self.direct.cat_file(key)).hexdigest()
            for key in self.direct.find("bkt")
        }

    def draw(self) -> str | None:
        with self._lock:
            if self._chance.random() >= self.rate:
                return None
            fault = self._chance.choice(["500", "reset", "half an upload", "half an answer"])
            self.done[fault] += 1
            return fault

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def restart(self, seconds: float) -> None:
        """Refuse connections for a while."""
        self.stop()
        threading.Timer(seconds, self._again).start()

    def _again(self) -> None:
        self._http = self._listen(self.port)
        self.done["restart"] += 1

    def _listen(self, port: int) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"proxy": self})
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        fault = self.proxy.draw()
        length = int(self.headers.get("Content-Length") or 0)
        if fault == "half an upload":
            self.rfile.read(length // 2)
        if fault in ("reset", "half an upload"):
            self._reset()
            return
        body = self.rfile.read(length) if length else self._chunks()
        if fault == "500":
            self._answer(500, {}, _error("InternalError", "injected"))
            return
        if self.proxy.refusal:
            self._answer(403, {}, _error(*self.proxy.refusal))
            return
        onward = http.client.HTTPConnection("127.0.0.1", self.proxy.server, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "transfer-encoding")}
        onward.request(self.command, self.path, body, headers)
        answer = onward.getresponse()
        content = answer.read()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP}
        if self.command == "HEAD":
            kept["Content-Length"] = answer.getheader("Content-Length") or "0"
        self._answer(answer.status, kept, content, half=fault == "half an answer")
        onward.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any  # noqa: N815 - names that http.server asks for

    def _chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return b""
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, headers: dict[str, str], content: bytes, half: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if half else content)
        if half:
            self._reset()

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def object_store() -> Iterator[Proxy]:
    """A server with an empty bucket ``bkt``, behind its proxy."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    proxy = Proxy(server.get_host_and_port()[1])
    forget = http.client.HTTPConnection("127.0.0.1", proxy.server)
    forget.request("POST", "/moto-api/reset")  # servers of one process share what they hold
    assert forget.getresponse().status == 200
    proxy.direct.mkdir("bkt")
    try:
        yield proxy
    finally:
        proxy.stop()
        server.stop()
