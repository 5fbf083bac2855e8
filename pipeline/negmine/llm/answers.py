"""What was answered, kept by question: nothing is asked twice, in whichever run, and nothing that was paid for is lost.

An answer goes to the journal as soon as it is there. When all of a batch are answered the journal becomes a part, in
the order of the questions' names, so that neither the order of arrival nor a kill shows. The folder only grows: other
captions, prompts and models add parts. What failed stands in ``rejected.parquet`` until it is asked again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from negmine.base.counts import Counts
from negmine.base.errors import DamagedError, explain_os_error
from negmine.base.seal import journal_line, read_journal_line
from negmine.contract.records import ANSWERS, ANSWERS_FOLDER, FAILED_ANSWERS, to_table
from negmine.store import (
    JOURNAL,
    MANIFEST,
    REJECTED_FILE,
    Manifest,
    PartRecord,
    Spec,
    folder_at,
    load_manifest,
    locked,
    part_name,
    read_part,
    reading,
    remove_leftovers,
    write_table,
    write_text,
)
from negmine.store.files import broken_files, open_own
from negmine.store.stage_folder import SEND_EVERY

SPEC: Final = Spec(ANSWERS_FOLDER, {}, {})
_SYNC_EVERY: Final = 1.0
"""Seconds whose answers a power cut may take."""

_FIX: Final = "delete this file: what it holds is asked again"


@dataclass(frozen=True, slots=True)
class Answer:
    """A row of `negmine.contract.records.ANSWERS`."""

    question: str
    prompt: str
    caption: str
    text: str | None
    answer: str
    model: str
    served: str | None
    form: str
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A row of `negmine.contract.records.FAILED_ANSWERS`: `tries` in all, with what they cost."""

    question: str
    prompt: str
    caption: str
    text: str | None
    reason: str
    detail: str
    tries: int
    tokens_in: int
    tokens_out: int


class Answers:
    """The answers in a folder, open for more. Use `Answers.open`.

    Attributes:
        failed: by question.
        spent: what all answers and failures of the folder cost, ``tokens_in`` and ``tokens_out`` among other counts.
    """

    def __init__(self, folder: Path, *, retry_failed: bool) -> None:
        self.folder = folder
        self._parts: list[PartRecord] = []
        self.failed: dict[str, Failure] = {}
        self._new: dict[str, Answer] = {}
        self._known: set[bytes] = set()
        self._sent_at = self._synced_at = time.monotonic()
        self._read(retry_failed)

    @classmethod
    @contextmanager
    def open(cls, folder: Path, *, retry_failed: bool = False) -> Iterator[Answers]:
        """The answers of a folder, which is this run's alone.

        Args:
            retry_failed: what failed in earlier runs counts as not asked.

        Raises:
            ResourceError: another run holds it.
            DamagedError: what lies there is not what was written.
        """
        with locked(folder):
            folder_at(folder).refresh()
            remove_leftovers(folder)
            answers = cls(folder, retry_failed=retry_failed)
            try:
                yield answers
            finally:
                folder_at(folder).send(JOURNAL) if (folder / JOURNAL).exists() else None

    # --- what is there -----------------------------------------------------------------------------------------------

    def _read(self, retry_failed: bool) -> None:
        if (self.folder / MANIFEST).exists():
            manifest = load_manifest(self.folder)
            if problems := broken_files(self.folder, manifest.files, fast=True):
                raise DamagedError(
                    "answers are damaged",
                    where=str(self.folder),
                    why="; ".join(problems[:8]),
                    fix="bring the files back, or delete the folder: all is asked again",
                )
            self._parts = list(manifest.parts)
            for part in self._parts:
                questions = read_part(self.folder, part.index, ["question"])["question"]
                self._known.update(map(_short, questions.to_pylist()))
            if manifest.extra:
                self.failed = _read_failures(self.folder)
        if not retry_failed:
            self._known.update(map(_short, self.failed))
        self._resume()

    def _resume(self) -> None:
        """What the journal holds; a torn last line is an answer that did not arrive."""
        path = self.folder / JOURNAL
        content = path.read_bytes() if path.exists() else b""
        whole = content.rpartition(b"\n")[0]
        _, *lines = (
            [
                read_journal_line(line, f"{path}, line {number}", _FIX)
                for number, line in enumerate(whole.split(b"\n"), 1)
            ]
            if whole
            else [None]
        )
        for number, line in enumerate(lines, 2):
            self._enter(line, f"{path}, line {number}")
        if lines:
            write_text(self.folder, JOURNAL, whole.decode() + "\n")
        else:
            folder_at(self.folder).delete(JOURNAL)

    def _enter(self, found: object, where: str) -> None:
        body = found if isinstance(found, dict) else {}
        try:
            if "reason" in body:
                failure = Failure(**body)
                self.failed[failure.question] = failure
                self._known.add(_short(failure.question))
            elif not self.is_known(body["question"]) or body["question"] in self.failed:  # else a part has it
                self._take(Answer(**body))
        except (KeyError, TypeError, ValueError):
            raise DamagedError("the journal is damaged", where=where, why="this is no answer", fix=_FIX) from None

    def is_known(self, question: str) -> bool:
        """Whether it was answered, or failed and is not to be asked again."""
        return _short(question) in self._known

    def is_unsealed(self, question: str) -> bool:
        """Whether its answer is in no part yet."""
        return question in self._new

    @property
    def spent(self) -> Counts:
        total = Counts()
        for part in self._parts:
            total.update(part.counts)
        total.update(_counts(self._new.values()))
        total.update(self._counts_of_failures())
        return total

    def _counts_of_failures(self) -> Counts:
        counts = Counts()
        for failure in self.failed.values():
            counts.update(tokens_in=failure.tokens_in, tokens_out=failure.tokens_out)
            counts.add("rejected", failure.reason)
        return counts

    # --- what comes --------------------------------------------------------------------------------------------------

    def add(self, answer: Answer) -> None:
        """Keep an answer."""
        self._append(asdict(answer))
        self._take(answer)

    def fail(self, failure: Failure) -> None:
        """Keep that there is none."""
        self._append(asdict(failure))
        self.failed[failure.question] = failure
        self._known.add(_short(failure.question))

    def _take(self, answer: Answer) -> None:
        before = self.failed.pop(answer.question, None)
        if before is not None:  # what its failures cost is part of what it cost
            tokens_in, tokens_out = answer.tokens_in + before.tokens_in, answer.tokens_out + before.tokens_out
            answer = replace(answer, tokens_in=tokens_in, tokens_out=tokens_out)
        self._new[answer.question] = answer
        self._known.add(_short(answer.question))

    def _append(self, body: Mapping[str, object]) -> None:
        path = self.folder / JOURNAL
        try:
            if not path.exists():
                write_text(self.folder, JOURNAL, journal_line(asdict(SPEC)).decode())
            with os.fdopen(open_own(path, os.O_WRONLY | os.O_APPEND), "ab") as journal:
                journal.write(journal_line(body))
                journal.flush()  # from here on a kill loses nothing
                if time.monotonic() - self._synced_at > _SYNC_EVERY:
                    os.fsync(journal.fileno())
                    self._synced_at = time.monotonic()
        except OSError as error:
            raise explain_os_error(error, str(path)) from error
        if time.monotonic() - self._sent_at > SEND_EVERY:
            folder_at(self.folder).send(JOURNAL)
            self._sent_at = time.monotonic()

    def seal(self) -> None:
        """Make what is in the journal a part."""
        if not (self.folder / JOURNAL).exists():
            return
        if self._new:
            rows = [self._new[question] for question in sorted(self._new)]
            index = len(self._parts)
            file = write_table(self.folder, part_name(index), to_table(rows, ANSWERS))
            self._parts.append(PartRecord(index, (file,), dict(_counts(rows))))
        extra = []
        if self.failed:
            failures = [self.failed[question] for question in sorted(self.failed)]
            extra = [write_table(self.folder, REJECTED_FILE, to_table(failures, FAILED_ANSWERS))]
        counts = dict(self._counts_of_failures())
        write_text(self.folder, MANIFEST, Manifest(SPEC, tuple(self._parts), tuple(extra), counts).to_text())
        folder_at(self.folder).delete(JOURNAL)
        if not extra:
            folder_at(self.folder).delete(REJECTED_FILE)
        self._new = {}


def _short(question: str) -> bytes:
    """Enough of a question's name, of which there may be millions in memory."""
    return bytes.fromhex(question)[:16]


def _counts(answers: Collection[Answer]) -> Counts:
    counts = Counts(answers=len(answers), tokens_in=0, tokens_out=0)
    for answer in answers:
        counts.update(tokens_in=answer.tokens_in, tokens_out=answer.tokens_out)
        counts.add("prompt", answer.prompt)
        counts.add("form", answer.form)
    return counts


def _read_failures(folder: Path) -> dict[str, Failure]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(folder_at(folder).file(REJECTED_FILE)).cast(FAILED_ANSWERS)
    except (pa.ArrowException, ValueError, OSError) as error:
        why = str(error).partition("\n")[0]
        raise DamagedError("this table cannot be read", where=str(folder / REJECTED_FILE), why=why, fix=_FIX) from None
    return {row["question"]: Failure(**row) for row in table.to_pylist()}


def read_answers(folder: Path, questions: Collection[str]) -> dict[str, str]:
    """The answers to these questions, as far as there are any."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found, wanted = dict[str, str](), pa.array(sorted(questions), pa.string())
    with reading(folder) as manifest:
        for part in manifest.parts:
            table = read_part(folder, part.index, ["question", "answer"])
            table = table.filter(pc.is_in(table["question"], wanted))
            found |= dict(zip(table["question"].to_pylist(), table["answer"].to_pylist(), strict=True))
    return found


@contextmanager
def from_answers(folder: Path) -> Iterator[None]:
    """What is read off answers that are kept, and were looked at before they were.

    Raises:
        DamagedError: somebody has changed them.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, ZeroDivisionError, RecursionError) as error:
        raise DamagedError(
            "an answer is not what was asked for", where=str(folder), why=repr(error)[:200], fix="bring back its files"
        ) from None
