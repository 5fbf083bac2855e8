"""Two questions about each text, and what their answers say: a phase for the parts of the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from negmine.base.counts import Counts
from negmine.contract.records import JUDGED, PairRow, TextRow
from negmine.engine import PartFunction
from negmine.images.locate import PLACE, ImageRoot, place_of
from negmine.llm.answers import Answers, from_answers, read_answers
from negmine.llm.pictures import Picture
from negmine.llm.questions import Question, Questions, Task
from negmine.llm.verdicts import PLAUSIBLE, STILL_TRUE, TRUE_OF_PICTURE, load_verdict, probability, read_yes
from negmine.stages.judging.settings import JudgeSettings
from negmine.store import PartRecord, part_name, read_part, write_table

ANSWER_TOKENS: Final = 1
"""The first token is all that is asked for."""


GROUPS: Final = ("of false texts", "of true texts")
"""Of texts, by whether they are offered as true."""


@dataclass(frozen=True)
class Judging:
    """The questions about the texts of a folder.

    Attributes:
        images: root of the pairs' images, where the pictures are shown.
    """

    settings: JudgeSettings
    texts: Path
    pairs: Path
    parts: int
    images: str | None = None

    def tasks(self) -> tuple[Questions, Questions]:
        """Whether a text is still true, and whether it is plausible."""
        truth = TRUE_OF_PICTURE if self.settings.pictures else STILL_TRUE
        return Questions(_task(truth, self.settings)), Questions(_task(PLAUSIBLE, self.settings))

    def asker(self) -> Callable[[int], list[tuple[Question, Question]]]:
        """From the number of a part to the two questions about each of its texts."""
        root = ImageRoot(self.images) if self.images is not None else None
        return partial(self._of_part, self.tasks(), root)

    def _of_part(
        self, tasks: tuple[Questions, Questions], root: ImageRoot | None, part: int
    ) -> list[tuple[Question, Question]]:
        still_true, plausible = tasks
        rows: list[TextRow] = read_part(self.texts, part, ["key", "caption", "text"]).to_pylist()
        pictures = {}
        if root is not None:
            pairs: list[PairRow] = read_part(self.pairs, part, ["key", *PLACE]).to_pylist()
            pictures = {pair["key"]: Picture(root, place_of(pair), self.settings.picture_size) for pair in pairs}
        found = []
        for row in rows:
            picture, text = pictures.get(row["key"]), row["text"]
            caption = row["caption"] if picture is None else ""  # what is asked of a picture does not show it
            found.append((still_true.about(caption, text, picture), plausible.about("", text)))
        return found

    def batches(self) -> Iterator[list[Question]]:
        """A list for each part, those of one kind after the other."""
        ask = self.asker()
        for part in range(self.parts):
            pairs = ask(part)
            yield [one for one, _ in pairs] + [other for _, other in pairs]

    def missing(self, answers: Answers) -> int:
        """How many distinct ones are to be asked."""
        seen = set[bytes]()
        for batch in self.batches():
            seen.update(bytes.fromhex(one.name)[:16] for one in batch if not answers.is_known(one.name))
        return len(seen)


def _task(name: str, settings: JudgeSettings) -> Task:
    verdict, endpoint = load_verdict(name), settings.endpoint
    fields = endpoint.fields(0.0, ANSWER_TOKENS)
    return Task(name, endpoint.model, verdict.messages, fields, ANSWER_TOKENS, 0, None, read_yes)


@dataclass(frozen=True)
class JudgedPhase:
    """What the answers say of the texts of a part."""

    judging: Judging
    answers: Path

    def setup(self) -> PartFunction:
        return partial(_judged_part, self.judging.asker(), self.judging.texts, self.answers)


def _judged_part(
    ask: Callable[[int], list[tuple[Question, Question]]], texts: Path, answers: Path, index: int, folder: Path
) -> PartRecord:
    asked = ask(index)
    found = read_answers(answers, {question.name for both in asked for question in both})
    table = read_part(texts, index, ["key", "caption", "text", "is_true", "kind"])
    for n, name in enumerate((STILL_TRUE, PLAUSIBLE)):
        with from_answers(answers):
            column = pa.array(_probabilities([both[n] for both in asked], found), pa.float32())
        table = table.append_column(JUDGED.field(name), column)
    file = write_table(folder, part_name(index), table.cast(JUDGED))
    counts = Counts(texts=table.num_rows)
    for name in (STILL_TRUE, PLAUSIBLE):
        counts["unanswered"] += table[name].null_count
    for is_true, group in enumerate(GROUPS):
        chosen = table.filter(pc.equal(table["is_true"], bool(is_true)))
        for name in (STILL_TRUE, PLAUSIBLE):
            counts.add_mean(f"{name} {group}", chosen[name].drop_null().to_pylist())
    return PartRecord(index, (file,), dict(counts))


def _probabilities(asked: Sequence[Question], answers: dict[str, str]) -> list[float | None]:
    found = (answers.get(question.name) for question in asked)
    return [None if answer is None else probability(answer) for answer in found]
