"""A question to a model, and its name: the sha256 of model, prompt, parameters and caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from negmine.base.documents import Document
from negmine.base.hashing import derived_seed
from negmine.base.seal import canonical, digest
from negmine.llm.client import Reply
from negmine.llm.pictures import TOKENS, NoPicture, Picture

SCHEMA: Final = "json_schema"
OBJECT: Final = "json_object"
PROBABILITIES: Final = "probabilities"
"""How an answer is bound: by a schema, to be some JSON object, which is then looked at, or as its first token."""

NO_PROBABILITIES: Final = "no_probabilities"
_LIKELIEST: Final = 20
"""Tokens whose probabilities servers give, at most."""

_SHOWN: Final = 200
_BYTES_A_TOKEN: Final = 2
"""At least, of English."""

_FRAME: Final = 100
"""Tokens around what is said."""

_SEEDS: Final = 2**31
"""Seeds that every server takes."""

Messages = list[dict[str, object]]


class Unusable(Exception):
    """An answer that is none; `reason` is one word, for a count."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, " ".join(detail.split())[:_SHOWN]


@dataclass(frozen=True)
class Task:
    """One prompt for one model, ready to be asked about captions.

    Attributes:
        name: of the prompt.
        messages: the talk about a caption and, where it is asked about, another text.
        fields: more of a request: how words are drawn.
        most_tokens: of an answer.
        schema: of the answer; None where the probabilities of its first token are wanted.
        read: what is kept of an answer. It raises ValueError where an answer is none.
    """

    name: str
    model: str
    messages: Callable[[str, str | None], Messages]
    fields: Mapping[str, object]
    most_tokens: int
    seed: int
    schema: Document | None
    read: Callable[[Reply], str]

    @property
    def digest(self) -> str:
        """sha256 of all that an answer depends on, but the caption."""
        return digest([self.model, self.messages("", None), self.schema, self.fields, self.seed])

    @property
    def forms(self) -> tuple[str, ...]:
        """How an answer may be bound, the best first."""
        return (PROBABILITIES,) if self.schema is None else (SCHEMA, OBJECT)

    def request(self, question: Question, form: str, tries: int) -> dict[str, object]:
        """What is sent.

        Args:
            tries: that failed before; each is seeded anew.

        Raises:
            Unusable: ``no_picture``.
        """
        seed = derived_seed(self.seed, "language model", question.name, tries) % _SEEDS
        messages = self.messages(question.caption, question.text)
        if question.picture is not None:
            try:
                messages[-1]["content"] = question.picture.beside(str(messages[-1]["content"]))
            except NoPicture as error:
                raise Unusable("no_picture", str(error)) from None
        request: dict[str, object] = {"model": self.model, "messages": messages, **self.fields, "seed": seed}
        if self.schema is None:
            request |= {"logprobs": True, "top_logprobs": _LIKELIEST}
        else:
            bound = {"name": "answer", "strict": True, "schema": self.schema}
            request["response_format"] = {"type": form} | ({"json_schema": bound} if form == SCHEMA else {})
        return request

    def most_cost(self, question: Question) -> tuple[int, int]:
        """Tokens that a question may cost at most, about: read, and written."""
        said = sum(len(str(turn["content"]).encode()) for turn in self.messages(question.caption, question.text))
        return said // _BYTES_A_TOKEN + (TOKENS if question.picture else 0) + _FRAME, self.most_tokens

    def answer(self, reply: Reply) -> str:
        """What is kept of a reply.

        Raises:
            Unusable: ``refusal``, ``content_filter``, ``cut``, ``empty``, ``no_probabilities`` or ``not_as_asked``.
        """
        if reply.refusal:
            raise Unusable("refusal", reply.refusal)
        if reply.ended == "content_filter":
            raise Unusable("content_filter", reply.text)
        if self.schema is not None and reply.ended == "length":
            raise Unusable("cut", f"after {reply.tokens_out:,} tokens: {reply.text}")
        if self.schema is None and not reply.likeliest:
            raise Unusable(NO_PROBABILITIES, f"none came with the answer {reply.text!r}")
        if self.schema is not None and not reply.text:
            raise Unusable("empty", f"it ended by {reply.ended}")
        try:
            return self.read(reply)
        except (ValueError, RecursionError) as error:
            raise Unusable("not_as_asked", f"{error}: {reply.text}") from None


@dataclass(frozen=True, slots=True)
class Question:
    """One caption under one prompt, with another text where it is asked about.

    Attributes:
        name: sha256 of model, prompt, parameters, caption, text and picture, in hexadecimal.
    """

    name: str
    task: Task
    caption: str
    text: str | None = None
    picture: Picture | None = None


class Questions:
    """Makes questions of a task: what they share is hashed once."""

    def __init__(self, task: Task) -> None:
        self.task, self._start = task, sha256(task.digest.encode())

    def about(self, caption: str, text: str | None = None, picture: Picture | None = None) -> Question:
        name = self._start.copy()
        name.update(canonical([caption, text, *([picture.identity] if picture else [])]))
        return Question(name.hexdigest(), self.task, caption, text, picture)
