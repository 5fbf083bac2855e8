"""A server on loopback that speaks the protocol of OpenAI's chat, and misbehaves as a test says."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "small-model"


@dataclass(frozen=True)
class Say:
    """One reply.

    Attributes:
        cut: bytes of the body that are sent; the rest never comes.
        after: seconds.
        hangs_up: nothing is sent at all.
    """

    body: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    after: float = 0.0
    hangs_up: bool = False


def chat(content: str | None, ended: str = "stop", **message: object) -> dict[str, Any]:
    """The document of an answer."""
    choice = {"index": 0, "finish_reason": ended, "message": {"role": "assistant", "content": content, **message}}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return {"model": f"{MODEL}-served", "object": "chat.completion", "choices": [choice], "usage": usage}


def texts(*written: str) -> dict[str, Any]:
    return chat(json.dumps({"texts": written}))


def verdict(**likeliest: float) -> dict[str, Any]:
    """The document of an answer by its first token, with probabilities of tokens."""
    found = chat(max(likeliest, key=likeliest.__getitem__), "length")
    tops = [{"token": token, "logprob": math.log(p)} for token, p in likeliest.items()]
    found["choices"][0]["logprobs"] = {"content": [{**tops[0], "top_logprobs": tops}]}
    return found


def caption_of(request: dict[str, Any]) -> str:
    """What a request asks about."""
    return str(request["messages"][-1]["content"])


def obliging(request: dict[str, Any], _: int) -> Say:
    """As a good model would."""
    return Say(texts(caption_of(request).replace("dog", "cat")))


Answer = Callable[[dict[str, Any], int], Say]
"""From a request, and how often the same talk was sent before, to a reply."""


class Scripted(ThreadingHTTPServer):
    """The server.

    Attributes:
        asked: every chat request, as it came.
        keys: what came as authorization, of every request.
        times: when each chat request came, seconds.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.models = answer, Say({"object": "list", "data": [{"id": MODEL}, {"id": "other-model"}]})
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.times: list[float] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def asked_about(self) -> list[str]:
        return [caption_of(request) for request in self.asked]

    def handle_error(self, *_: object) -> None:
        """Clients that go away are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    server: Scripted
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.keys.append(self.headers.get("authorization"))
        self._say(self.server.models)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            before = sum(one["messages"] == request["messages"] for one in self.server.asked)
            self.server.asked.append(request)
            self.server.keys.append(self.headers.get("authorization"))
            self.server.times.append(time.monotonic())
        self._say(self.server.answer(request, before))

    def _say(self, say: Say) -> None:
        time.sleep(say.after)
        if say.hangs_up:
            self.close_connection = True
            return
        body = say.body if isinstance(say.body, bytes) else json.dumps(say.body).encode()
        self.send_response(say.status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **say.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: say.cut])
        self.close_connection = say.cut is not None

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(answer: Answer = obliging) -> Iterator[Scripted]:
    with Scripted(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
