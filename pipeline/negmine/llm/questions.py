"""A question to a model, and its name: the sha256 of model, prompt, parameters and caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from negmine.base.documents import Document
from negmine.base.hashing import derived_seed
from negmine.base.seal import canonical, digest
from negmine.llm.client import Reply
from negmine.llm.settings import Sampling

SCHEMA: Final = "json_schema"
OBJECT: Final = "json_object"
FORMS: Final = (SCHEMA, OBJECT)
"""Of answers in JSON: bound by a schema, or to be some object, which is then looked at."""

_SHOWN: Final = 200
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
        schema: of the answer; None where it is no JSON.
        read: what is kept of an answer. It raises ValueError where an answer is none.
    """

    name: str
    model: str
    sampling: Sampling
    messages: Callable[[str, str | None], Messages]
    schema: Document | None
    read: Callable[[Reply], str]
    forms: tuple[str, ...] = FORMS
    """How an answer may be bound, the best first."""
    asked: Mapping[str, object] = field(default_factory=dict)
    """More fields of a request, such as those that ask for probabilities."""

    @property
    def digest(self) -> str:
        """sha256 of all that an answer depends on, but the caption."""
        return digest([self.model, self.messages("", None), self.schema, self._fields, self.sampling.seed])

    @property
    def most_tokens(self) -> int:
        """Of an answer."""
        return self.sampling.most_answer_tokens

    @property
    def _fields(self) -> dict[str, object]:
        return {**self.sampling.fields(), **self.asked}

    def request(self, question: Question, form: str, tries: int) -> dict[str, object]:
        """What is sent.

        Args:
            tries: that failed before; each is seeded anew.
        """
        seed = derived_seed(self.sampling.seed, "language model", question.name, tries) % _SEEDS
        messages = self.messages(question.caption, question.text)
        request: dict[str, object] = {"model": self.model, "messages": messages, **self._fields, "seed": seed}
        if self.schema is not None:
            bound = {"name": "answer", "strict": True, "schema": self.schema}
            request["response_format"] = {"type": form} | ({"json_schema": bound} if form == SCHEMA else {})
        return request

    def answer(self, reply: Reply) -> str:
        """What is kept of a reply.

        Raises:
            Unusable: ``refusal``, ``content_filter``, ``cut``, ``empty`` or ``not_as_asked``.
        """
        if reply.refusal:
            raise Unusable("refusal", reply.refusal)
        if reply.ended == "content_filter":
            raise Unusable("content_filter", reply.text)
        if self.schema is not None and reply.ended == "length":
            raise Unusable("cut", f"after {reply.tokens_out:,} tokens: {reply.text}")
        if not reply.text:
            raise Unusable("empty", f"it ended by {reply.ended}")
        try:
            return self.read(reply)
        except (ValueError, RecursionError) as error:
            raise Unusable("not_as_asked", f"{error}: {reply.text}") from None


@dataclass(frozen=True, slots=True)
class Question:
    """One caption under one prompt, with another text where it is asked about.

    Attributes:
        name: sha256 of model, prompt, parameters, caption and text, in hexadecimal.
    """

    name: str
    task: Task
    caption: str
    text: str | None = None


class Questions:
    """Makes questions of a task: what they share is hashed once."""

    def __init__(self, task: Task) -> None:
        self.task, self._start = task, sha256(task.digest.encode())

    def about(self, caption: str, text: str | None = None) -> Question:
        name = self._start.copy()
        name.update(canonical([caption, text]))
        return Question(name.hexdigest(), self.task, caption, text)
