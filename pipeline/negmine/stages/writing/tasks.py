"""The questions to be asked of captions, a task for each prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from negmine.base.errors import UsageError
from negmine.base.hashing import hash64
from negmine.llm.answers import Answers
from negmine.llm.client import Reply
from negmine.llm.prompts import Prompt, load_prompt, read_texts, texts_schema
from negmine.llm.questions import Messages, Question, Questions, Task
from negmine.stages.writing.settings import WriteSettings
from negmine.store import read_part


@dataclass(frozen=True)
class Writing:
    """A prompt, and the questions that are asked by it."""

    prompt: Prompt
    questions: Questions


def writings(settings: WriteSettings) -> list[Writing]:
    """One for each prompt.

    Raises:
        UsageError: there is no such prompt, or two of one name.
    """
    prompts = [load_prompt(name, settings.texts) for name in settings.prompts]
    if len({prompt.name for prompt in prompts}) < len(prompts):
        raise UsageError("two prompts have one name", fix="call their files differently")
    return [Writing(prompt, Questions(_task(prompt, settings))) for prompt in prompts]


def _task(prompt: Prompt, settings: WriteSettings) -> Task:
    def messages(caption: str, _: str | None) -> Messages:
        return [dict(turn) for turn in prompt.messages(caption)]

    def read(reply: Reply) -> str:
        if len(read_texts(reply.text)) > settings.texts:
            raise ValueError(f"more than {settings.texts} texts")
        return reply.text

    sampling, most = settings.sampling, settings.sampling.most_answer_tokens
    fields = settings.endpoint.fields(sampling.temperature, most)
    schema = texts_schema(settings.texts)
    return Task(prompt.name, settings.endpoint.model, messages, fields, most, sampling.seed, schema, read)


@dataclass(frozen=True)
class Asking:
    """The questions about all captions of a folder of pairs, each distinct caption once."""

    pairs: Path
    parts: int
    writings: Sequence[Writing]

    def batches(self) -> Iterator[list[Question]]:
        """A list for each part, those of one prompt after the other: servers remember how the last ones began."""
        seen = set[int]()
        for part in range(self.parts):
            captions = [one for one in captions_of(self.pairs, part) if hash64(one) not in seen]
            seen.update(map(hash64, captions))
            yield [writing.questions.about(caption) for writing in self.writings for caption in captions]

    def missing(self, answers: Answers) -> int:
        """How many of them are to be asked."""
        return sum(not answers.is_known(question.name) for batch in self.batches() for question in batch)


def captions_of(pairs: Path, part: int) -> list[str]:
    """The distinct captions of a part, in their order."""
    return list(dict.fromkeys(read_part(pairs, part, ["caption"])["caption"].to_pylist()))
