"""Many questions under way: within a rate and a budget, each answer kept at once, until all are answered.

A server that is gone stops the run, and so do an account without money, a refused key, and a model whose answers
cannot be used; what was answered is kept, and the same command asks the rest. A single question that fails is put aside
with its reason.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from negmine.base.console import Progress, note, progress
from negmine.base.counts import Counts
from negmine.base.errors import InputError, ResourceError, UsageError
from negmine.engine.stop import Stop, stop_request
from negmine.llm.answers import Answer, Answers, Failure
from negmine.llm.client import NOBODY, Endpoint, Reply, RequestRefused, Unanswered
from negmine.llm.questions import NO_PROBABILITIES, Question, Unusable
from negmine.llm.settings import Budget, EndpointSettings

_GONE: Final = 16
"""Questions in a row, and all that are under way, without an answer: the server is gone, not the questions bad."""

_LOOK_AFTER: Final = 64
_MOST_FAILED: Final = 0.75
"""Of so many answers of a run, the share that may be of no use."""


_REFUSED: Final = 3
"""Questions that are refused, however they are asked, before it is the endpoint's fault."""

_NOTHING: Final = Reply("", None, None, (), None, 0, 0)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Read and written."""

    read: int
    written: int

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.read + other.read, self.written + other.written)


@dataclass(frozen=True)
class Asked:
    """What a run asked.

    Attributes:
        counts: ``asked``, ``answered``, ``retries``, ``tokens_in``, ``tokens_out`` and ``failed:REASON``.
    """

    counts: Counts
    seconds: float

    @property
    def tokens_a_second(self) -> float:
        """Read and written."""
        return (self.counts["tokens_in"] + self.counts["tokens_out"]) / max(self.seconds, 1e-9)


def ask(batches: Iterable[Sequence[Question]], total: int, settings: EndpointSettings, answers: Answers) -> Asked:
    """Ask what is not answered yet, batch by batch, and seal the answers to each batch.

    Args:
        total: questions that are to be asked.

    Raises:
        ResourceError: nobody answers, the budget is spent, or the account is out of money.
        UsageError: the model, the key or the address is wrong, or answers cannot be bound by a schema.
        InputError: most answers are of no use.
        InterruptedRun: somebody asked to stop.
    """
    if not total:
        return Asked(Counts(), 0.0)
    with stop_request() as stop, progress(f"asking {settings.model}", total, "questions") as bar:
        asking = _Asking(settings, answers, stop, bar)
        try:
            asyncio.run(asking.all(batches))
        except BaseExceptionGroup as group:
            raise _first(group) from None
        stop.check()
        return Asked(asking.counts, time.monotonic() - asking.started)


def spent(counts: Counts, budget: Budget) -> dict[str, object]:
    """What answers cost, for a summary."""
    read, written = counts["tokens_in"], counts["tokens_out"]
    cost = budget.cost(read, written)
    return {"tokens read": read, "tokens written": written} | ({"money": round(cost, 4)} if cost else {})


def _first(group: BaseException) -> BaseException:
    return _first(group.exceptions[0]) if isinstance(group, BaseExceptionGroup) else group


class _Asking:
    """One run."""

    def __init__(self, settings: EndpointSettings, answers: Answers, stop: Stop, bar: Progress) -> None:
        self.settings, self.answers, self.stop, self.bar = settings, answers, stop, bar
        self.counts, self.started = Counts(), time.monotonic()
        self._endpoint = Endpoint(settings)
        self._form: str | None = None
        self._waiting: deque[Question] = deque()
        self._reserved: dict[str, Tokens] = {}
        self._gave_up: list[tuple[Question, Unanswered]] = []
        spent = answers.spent
        self._spent = Tokens(spent["tokens_in"], spent["tokens_out"])

    async def all(self, batches: Iterable[Sequence[Question]]) -> None:
        async with self._endpoint:
            await self._endpoint.check_model()
            for batch in batches:
                new = {question.name: question for question in batch if not self.answers.is_known(question.name)}
                self._waiting.extend(new.values())
                await self._settle_form()
                async with asyncio.TaskGroup() as workers:
                    for _ in range(min(self.settings.at_once, len(self._waiting))):
                        workers.create_task(self._work())
                if self.stop.requested:
                    return
                if self._waiting:
                    raise self._budget_spent()
                if any(self.answers.is_unsealed(question.name) for question in batch):
                    self.answers.seal()
            self._put_aside()
            self.answers.seal()

    async def _settle_form(self) -> None:
        """Ask one question alone, which tells how answers can be bound: some endpoints know no schema."""
        refused: list[tuple[Question, str]] = []
        while self._form is None and self._waiting and not self.stop.requested:
            question = self._waiting[0]
            if not self._reserve(question):
                raise self._budget_spent()
            said = []
            for form in question.task.forms:
                try:
                    await self._ask(question, form)
                except RequestRefused as error:
                    said.append(f"{form}: {error}")
                    continue
                if form != question.task.forms[0]:
                    note(f"this endpoint knows no {question.task.forms[0]}; asked by {form}, and looked at here")
                self._form = form
                break
            else:
                refused.append((question, "; ".join(said)))
            self._release(self._waiting.popleft())
            if self._form is None and (len(refused) == _REFUSED or not self._waiting):
                raise UsageError(
                    f"the endpoint does not take requests for an answer by {' or '.join(question.task.forms)}",
                    where=self.settings.url,
                    why=refused[-1][1],
                    fix="name an endpoint or a model that does; vLLM, SGLang and llama.cpp's server do",
                )
        for question, words in refused:
            self._fail(question, "request_refused", words)

    async def _work(self) -> None:
        assert self._form is not None
        while self._waiting and not self.stop.requested:
            question = self._waiting[0]
            if not self._reserve(question):
                return  # perhaps there is room when what is under way costs less than it may; who is left asks on
            self._waiting.popleft()
            try:
                await self._ask(question, self._form)
            except RequestRefused as error:
                self._fail(question, "request_refused", str(error))
            finally:
                self._release(question)

    async def _ask(self, question: Question, form: str) -> None:
        """Ask one question and keep what comes.

        Raises:
            RequestRefused: see `Endpoint.ask`.
        """
        try:
            request = question.task.request(question, form, self._tries(question))
            reply = await self._endpoint.ask(request)
        except Unusable as error:
            self._fail(question, error.reason, error.detail)
            return
        except Unanswered as error:
            self._give_up(question, error)
            return
        finally:
            self.counts["retries"] = self._endpoint.retries
        self._put_aside()
        self._spent = self._spent + Tokens(reply.tokens_in, reply.tokens_out)
        self.counts.update(tokens_in=reply.tokens_in, tokens_out=reply.tokens_out)
        try:
            answer = question.task.answer(reply)
        except Unusable as error:
            if error.reason == NO_PROBABILITIES and self._form is None:
                raise RequestRefused(error.detail) from None
            self._fail(question, error.reason, error.detail, reply)
            return
        self.answers.add(
            Answer(
                question.name,
                question.task.name,
                question.caption,
                question.text,
                answer,
                question.task.model,
                reply.served,
                form,
                reply.tokens_in,
                reply.tokens_out,
            )
        )
        self._count("answered")

    # --- what fails --------------------------------------------------------------------------------------------------

    def _tries(self, question: Question) -> int:
        before = self.answers.failed.get(question.name)
        return before.tries if before else 0

    def _fail(self, question: Question, reason: str, detail: str, reply: Reply | None = None) -> None:
        before, cost = self.answers.failed.get(question.name), reply or _NOTHING
        self.answers.fail(
            Failure(
                question.name,
                question.task.name,
                question.caption,
                question.text,
                reason,
                detail,
                self._tries(question) + 1,
                cost.tokens_in + (before.tokens_in if before else 0),
                cost.tokens_out + (before.tokens_out if before else 0),
            )
        )
        self._count(f"failed:{reason}")
        failed, settled = self.counts.total_of("failed"), self.counts.total_of("failed") + self.counts["answered"]
        if settled >= _LOOK_AFTER and failed > _MOST_FAILED * settled:
            raise InputError(
                f"{failed:,} of {settled:,} answers are of no use",
                where=str(self.answers.folder),
                why=f"{reason}, for example: {detail}",
                fix="choose another model, prompt or --most-answer-tokens; --retry-failed asks them again",
            )

    def _give_up(self, question: Question, error: Unanswered) -> None:
        """Remember a question without an answer; it is put aside when another gets one, for then the server is there.

        Raises:
            ResourceError: the server is gone.
        """
        self._gave_up.append((question, error))
        if len(self._gave_up) >= max(_GONE, self.settings.at_once):
            raise self._gone(error)

    def _put_aside(self) -> None:
        """Raises: ResourceError, the last ones got no answer for nobody is there."""
        gave_up, self._gave_up = self._gave_up, []
        for question, error in gave_up:
            if not self._reserved and error.reason == NOBODY:
                raise self._gone(error)
            self._fail(question, error.reason, error.detail)

    def _gone(self, error: Unanswered) -> ResourceError:
        return ResourceError(
            "the endpoint does not answer any more",
            where=self.settings.url,
            why=f"{error.reason}: {error.detail}",
            fix="see to the server, then run the same command: it asks only what is missing",
        )

    # --- what it costs -----------------------------------------------------------------------------------------------

    def _reserve(self, question: Question) -> bool:
        """Whether the budget has room for a question, at the most it may cost, beside those under way."""
        most = Tokens(*question.task.most_cost(question))
        total = sum(self._reserved.values(), self._spent) + most
        if not self.settings.budget.allows(total.read, total.written):
            return False
        self._reserved[question.name] = most
        return True

    def _release(self, question: Question) -> None:
        del self._reserved[question.name]

    def _budget_spent(self) -> ResourceError:
        spent = self._spent
        return ResourceError(
            "the budget is spent",
            where=str(self.answers.folder),
            why=f"{spent.read:,} tokens were read and {spent.written:,} written{self._money()}; "
            f"{len(self._waiting):,} or more questions are left",
            fix="raise --most-tokens or --most-cost and run the same command: it asks only what is missing",
        )

    def _money(self) -> str:
        cost = self.settings.budget.cost(self._spent.read, self._spent.written)
        return f", {cost:,.2f} in money" if cost else ""

    def _count(self, name: str) -> None:
        self.counts[name] += 1
        self.counts["asked"] += 1
        rate = (self.counts["tokens_in"] + self.counts["tokens_out"]) / (time.monotonic() - self.started)
        failed = self.counts.total_of("failed")
        told = f"{rate:,.0f} tokens/s{self._money()}" + (f", {failed:,} failed" if failed else "")
        retries = self.counts["retries"]
        self.bar.advance(1, told + (f", {retries:,} tries again" if retries else ""))
