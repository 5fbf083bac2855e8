"""Which language model is asked, where, how fast, and how much it may cost."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Final

from negmine.base.addresses import is_address
from negmine.base.errors import UsageError
from negmine.base.options import Option, check
from negmine.store.options import Seed
from negmine.store.places import address

ENDPOINT: Final = "Language model"
"""Panel of ``--help``."""

KEY_VARIABLE: Final = "OPENAI_API_KEY"
_OURS: Final = ("model", "messages", "response_format", "stream", "n", "logprobs", "top_logprobs", "seed")
"""Fields of a request that are no parameters of sampling."""


def endpoint_url(text: str) -> str:
    """The base address of an endpoint, such as ``http://127.0.0.1:8000/v1``.

    Raises:
        UsageError: it is no http or https address, or holds credentials or a query.
    """
    if not is_address(text) or not text.startswith(("http://", "https://")):
        raise UsageError(
            "this is no address of an endpoint", where=text, fix="write it as http://HOST:PORT/v1 or https://HOST/v1"
        )
    if "?" in text or "#" in text:
        raise UsageError(
            "an endpoint's address has no query", where=text, fix="leave it out; keys are set in the environment"
        )
    return address(text).rstrip("/")


def _parameters(text: str) -> str:
    """A JSON object, in one spelling.

    Raises:
        UsageError: it is none, or sets what is not for it to set.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UsageError("--llm-parameters is no JSON object", fix="""write it as '{"top_p": 0.95}'""")
    if ours := sorted(found.keys() & set(_OURS)):
        raise UsageError(f"--llm-parameters sets {', '.join(ours)}", fix="leave it to the options")
    return json.dumps(found, sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the model draws its words."""

    temperature: Annotated[float, Option("0: the likeliest words", least=0, most=2, panel=ENDPOINT)] = 0.7
    most_answer_tokens: Annotated[int, Option("a longer answer is cut, and refused", least=1, panel=ENDPOINT)] = 512
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What may be spent on all answers of one name, those of earlier runs included."""

    most_tokens: Annotated[
        int | None, Option("tokens read and written, at most", least=1, unset="no bound", panel=ENDPOINT)
    ] = None
    most_cost: Annotated[
        float | None, Option("money, by the prices below, at most", least=0, unset="no bound", panel=ENDPOINT)
    ] = None
    price_in: Annotated[float, Option("of a million tokens that are read", least=0, panel=ENDPOINT)] = 0.0
    price_out: Annotated[float, Option("of a million tokens that are written", least=0, panel=ENDPOINT)] = 0.0

    def __post_init__(self) -> None:
        check(self)
        if self.most_cost is not None and not (self.price_in or self.price_out):
            raise UsageError("--most-cost needs prices", fix="name --price-in and --price-out, of a million tokens")

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6

    def allows(self, tokens_in: int, tokens_out: int) -> bool:
        """Whether so much may be spent in all."""
        within = self.most_tokens is None or tokens_in + tokens_out <= self.most_tokens
        return within and (self.most_cost is None or self.cost(tokens_in, tokens_out) <= self.most_cost)


@dataclass(frozen=True, kw_only=True)
class EndpointSettings:
    """Where the model is, and how it is asked. Only `model` and `parameters` change what a question is."""

    url: Annotated[
        str,
        Option(
            "of an OpenAI-compatible endpoint, as http://127.0.0.1:8000/v1",
            name="llm_url",
            parser=endpoint_url,
            panel=ENDPOINT,
        ),
    ]
    model: Annotated[str, Option("its name there", name="llm_model", panel=ENDPOINT)]
    parameters: Annotated[
        str,
        Option(
            """more fields of each request, as '{"top_p": 0.95}'""",
            name="llm_parameters",
            parser=_parameters,
            panel=ENDPOINT,
        ),
    ] = "{}"
    key_variable: Annotated[
        str | None,
        Option(
            "environment variable that holds the key",
            name="llm_key_variable",
            unset=f"{KEY_VARIABLE}, over https or to this machine",
            panel=ENDPOINT,
        ),
    ] = None
    at_once: Annotated[int, Option("requests under way", least=1, most=4096, panel=ENDPOINT)] = 16
    requests_per_minute: Annotated[
        float | None, Option("at most, tries again included", least=0.01, unset="no bound", panel=ENDPOINT)
    ] = None
    attempts: Annotated[int, Option("tries of a request while its error may pass", least=1, panel=ENDPOINT)] = 8
    answer_timeout: Annotated[float, Option("seconds for one answer", least=0.01, panel=ENDPOINT)] = 300.0
    budget: Budget = field(default_factory=Budget)
    retry_failed: Annotated[bool, Option("ask again what failed before", panel=ENDPOINT)] = False
    wait: float = 0.5
    """Seconds before the second try; each further pause is twice as long."""

    def __post_init__(self) -> None:
        check(self)
        if not self.model:
            raise UsageError("--llm-model is empty", fix="name one of the endpoint's models")

    def fields(self, temperature: float, most_tokens: int) -> dict[str, object]:
        """Of a request. What `parameters` has, it has instead, as ``max_completion_tokens`` for ``max_tokens``."""
        more = json.loads(self.parameters)
        length = {} if "max_completion_tokens" in more else {"max_tokens": most_tokens}
        return {"temperature": temperature, **length, **more}
