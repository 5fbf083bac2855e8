"""One endpoint: requests in time, tried again while an error may pass, and errors in words without the key."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from negmine.base.documents import Document
from negmine.base.errors import ResourceError, UsageError
from negmine.base.extras import need
from negmine.base.names import pick
from negmine.llm.settings import KEY_VARIABLE, EndpointSettings
from negmine.store.file_systems import tell_of_retries

if TYPE_CHECKING:
    import httpx2

LONGEST_PAUSE: Final = 60.0
SHORTEST_PAUSE: Final = 0.01
LONGEST_ASKED_PAUSE: Final = 900.0
"""Seconds that a server may ask us to wait (Retry-After)."""

MAX_REPLY: Final = 8 * 1024 * 1024
"""Bytes of a reply; more is no answer."""

NOBODY: Final = "no_connection"
"""Reason of `Unanswered` where no server took the request."""

_SHOWN: Final = 300
_PASSING: Final = (408, 409, 425, 429)
_NO_MONEY: Final = ("insufficient_quota", "billing_hard_limit_reached")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    Attributes:
        text: of the message; empty where there is none.
        refusal: the model's own words where it refuses, in the protocol's field for them.
        ended: why it stopped: ``stop``, ``length``, ``content_filter``.
        likeliest: the likeliest first tokens with their natural log probabilities; empty where none were asked for.
        served: the model's name as the server has it.
    """

    text: str
    refusal: str | None
    ended: str | None
    likeliest: tuple[tuple[str, float], ...]
    served: str | None
    tokens_in: int
    tokens_out: int


class RequestRefused(Exception):
    """The endpoint takes this request for a wrong one (400, 413, 422, ...): asking again gives the same."""


class Unanswered(Exception):
    """No answer after all tries; `reason` is one word, for a count."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class _Passing(Unanswered):
    """An error that may pass; `wait` is the pause that the server asks for, in seconds."""

    wait: float | None = None


class Endpoint:
    """An endpoint that is open for questions: ``async with Endpoint(settings) as endpoint``.

    Attributes:
        retries: tries beyond the first, of all requests.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        need("httpx2", "httpx2", "llm")
        self.settings, self.retries = settings, 0
        self._key = read_key(settings)
        self._pace = _Pace(settings.requests_per_minute)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        import httpx2

        tell_of_retries()  # not in the words of stamina, which would log them
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx2.Limits(max_connections=self.settings.at_once, max_keepalive_connections=self.settings.at_once)
        try:
            client = httpx2.AsyncClient(headers=headers, limits=limits, timeout=None, follow_redirects=False)
        except (ValueError, httpx2.InvalidURL, ImportError) as error:  # of proxies in the environment
            raise UsageError(
                "requests cannot go out", why=self._hide(str(error)), fix="look at HTTP_PROXY, HTTPS_PROXY, ALL_PROXY"
            ) from None
        self._client = await self._open.enter_async_context(client)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._open.aclose()

    async def check_model(self) -> None:
        """See that somebody answers, and has the model, as far as the endpoint lists its models.

        Raises:
            ResourceError: nobody answers.
            UsageError: there is no such model, the key is refused, or this is another kind of server.
        """
        try:
            listed = await self._request("GET", "/models", None)
        except RequestRefused:
            return
        except Unanswered as error:
            raise ResourceError(
                "no endpoint answers here",
                where=self.settings.url,
                why=f"{error.reason}: {error.detail}",
                fix="start the server, or mend --llm-url",
            ) from None
        data = listed.get("data")
        names = [one["id"] for one in data if isinstance(one, dict) and isinstance(one.get("id"), str)] if data else []
        if names:
            pick("model", self.settings.model, map(self._hide, names))

    async def ask(self, request: Mapping[str, object]) -> Reply:
        """The answer to one chat request.

        Raises:
            RequestRefused: the endpoint does not take the request.
            Unanswered: no answer after all tries.
            UsageError, ResourceError: no request will do: the key, the model, the address, the account.
        """
        return self._reply(await self._request("POST", "/chat/completions", request))

    # --- one request -------------------------------------------------------------------------------------------------

    async def _request(self, method: str, path: str, body: Mapping[str, object] | None) -> Document:
        import stamina

        tries = stamina.retry_context(
            on=self._pause,
            attempts=self.settings.attempts,
            timeout=None,
            wait_initial=self.settings.wait,
            wait_jitter=self.settings.wait,
            wait_max=LONGEST_PAUSE,
        )
        async for attempt in tries:
            with attempt:
                self.retries += attempt.num > 1
                await self._pace.turn()
                return await self._try(method, path, body)
        raise AssertionError("a request ends in a result or an error")

    def _pause(self, error: Exception) -> bool | float:
        if not isinstance(error, _Passing):
            return False
        if error.wait is None:
            return True
        self._pace.hold(error.wait)  # for all: the server has had too much
        return error.wait

    async def _try(self, method: str, path: str, body: Mapping[str, object] | None) -> Document:
        import httpx2

        content = bytearray()
        try:
            async with (
                asyncio.timeout(self.settings.answer_timeout),
                self._client.stream(method, self.settings.url + path, json=body) as response,
            ):
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_REPLY:
                        raise Unanswered("too_long_reply", f"more than {MAX_REPLY:,} bytes")
        except TimeoutError:
            raise _Passing("timeout", f"no answer in {self.settings.answer_timeout:g} s") from None
        except httpx2.RequestError as error:
            said = self._hide(str(error)) or type(error).__name__
            raise _Passing(NOBODY if isinstance(error, httpx2.ConnectError) else "broken_reply", said) from None
        return self._read(response, path, bytes(content))

    def _read(self, response: httpx2.Response, path: str, content: bytes) -> Document:
        """The document of a reply."""
        try:
            found = self._without_key(json.loads(content))
        except (ValueError, RecursionError):
            found = None
        if response.is_success:
            if isinstance(found, dict):
                return found
            raise _Passing("broken_reply", f"no JSON object: {self._shown(content)}")
        status, said = response.status_code, self._said(found) or self._shown(content)
        where, why = self.settings.url + path, f"{status} {_phrase(status)}: {said}"
        if any(code in content.decode(errors="replace") for code in _NO_MONEY) or status == HTTPStatus.PAYMENT_REQUIRED:
            raise ResourceError("the account is out of money", where=where, why=why, fix="see to it, and run again")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            variable = self.settings.key_variable or KEY_VARIABLE
            fix = f"set {variable} to a key that may use this model"
            if not self._key:
                fix = f"no key was sent; name its variable with --llm-key-variable {variable}, and set it"
            raise UsageError("the endpoint refuses the key", where=where, why=why, fix=fix)
        if response.is_redirect:
            to = self._hide(response.headers.get("location", "?")).partition("?")[0]
            raise UsageError("the endpoint lies elsewhere", where=where, why=f"{status}, to {to}", fix="name that one")
        if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            error = _Passing(f"http_{status}", said)
            error.wait = _asked_pause(response.headers.get("retry-after"))
            raise error
        if status == HTTPStatus.NOT_FOUND and path != "/models":
            raise UsageError(
                "there is no such model or no such endpoint",
                where=where,
                why=why,
                fix="mend --llm-model, or --llm-url, which often ends in /v1",
            )
        raise RequestRefused(why)

    def _reply(self, found: Document) -> Reply:
        """Raises: Unanswered, it is no answer of a chat."""
        try:
            choice = found["choices"][0]
            message, usage = choice["message"], found.get("usage") or {}
            first = ((choice.get("logprobs") or {}).get("content") or [{}])[0]
            likeliest = [(one["token"], float(one["logprob"])) for one in first.get("top_logprobs") or ()]
            return Reply(
                message.get("content") or "",
                message.get("refusal"),
                choice.get("finish_reason"),
                tuple(likeliest),
                found.get("model"),
                int(usage.get("prompt_tokens") or 0),
                int(usage.get("completion_tokens") or 0),
            )
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise Unanswered("broken_reply", f"no answer of a chat: {json.dumps(found)[:_SHOWN]}") from None

    # --- words without the key ---------------------------------------------------------------------------------------

    def _hide(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text

    def _without_key(self, value: Any) -> Any:
        """A JSON value without the key in any text of it, however it was escaped."""
        if isinstance(value, dict):
            return {self._hide(name): self._without_key(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._without_key(one) for one in value]
        return self._hide(value) if isinstance(value, str) else value

    def _shown(self, content: bytes) -> str:
        return " ".join(self._hide(content.decode(errors="replace")).split())[:_SHOWN] or "nothing"

    def _said(self, found: Any) -> str | None:
        """The message of an error, where servers put it."""
        error = found.get("error", found) if isinstance(found, dict) else None
        said = error.get("message", error.get("detail")) if isinstance(error, dict) else error
        return " ".join(str(said).split())[:_SHOWN] if said else None


class _Pace:
    """When the next request may go out."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next = 0.0

    def hold(self, seconds: float) -> None:
        self._next = max(self._next, time.monotonic() + seconds)

    async def turn(self) -> None:
        now = time.monotonic()
        at = max(now, self._next)
        if self._gap:
            self._next = at + self._gap
        await asyncio.sleep(at - now)


def read_key(settings: EndpointSettings) -> str | None:
    """The key, from the environment; None where none is to be sent.

    That of the usual variable goes nowhere in the clear: who has one for a hosted model may also ask one next door.

    Raises:
        UsageError: the variable that was named is not set, or holds no key.
    """
    name = settings.key_variable or KEY_VARIABLE
    key = os.environ.get(name, "").strip()
    if not key and settings.key_variable is not None:
        raise UsageError("the key's variable is not set", where=settings.key_variable, fix="set it, or leave it out")
    if not re.fullmatch(r"[!-~]*", key):
        raise UsageError("this variable holds no key", where=name, fix="a key is of ASCII characters, without spaces")
    secure = settings.url.startswith("https://") or _is_here(urlsplit(settings.url).hostname or "")
    return key if key and (secure or settings.key_variable is not None) else None


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _asked_pause(text: str | None) -> float | None:
    """Seconds that a Retry-After asks for: a number, or a date."""
    if text is None:
        return None
    try:
        seconds = float(text) if text.strip().replace(".", "", 1).isdigit() else _until(text)
    except (ValueError, TypeError):
        return None
    return min(max(seconds, SHORTEST_PAUSE), LONGEST_ASKED_PAUSE)


def _until(date: str) -> float:
    when = parsedate_to_datetime(date)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
