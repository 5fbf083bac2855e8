"""From answers to texts: a phase for the parts of the pairs, which asks nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from negmine.base.counts import Counts
from negmine.contract.records import PairRow, Rejected, Text
from negmine.engine import PartFunction
from negmine.language.difference import edits_between
from negmine.llm.answers import from_answers, read_answers
from negmine.llm.prompts import read_texts
from negmine.sources.clean import clean_caption
from negmine.stages.writing.settings import WriteSettings
from negmine.stages.writing.tasks import Writing, writings
from negmine.store import PartRecord, read_part
from negmine.store.rejected import write_rejected
from negmine.store.texts import write_texts

LONGEST: Final = 2_000
"""Characters of a text, as of a caption."""


@dataclass(frozen=True)
class TextsPhase:
    """The texts for the captions of a part, out of their answers."""

    settings: WriteSettings
    pairs: Path
    answers: Path

    def setup(self) -> PartFunction:
        return partial(_texts_part, self, writings(self.settings))


def _texts_part(phase: TextsPhase, asked: Sequence[Writing], index: int, folder: Path) -> PartRecord:
    pairs: list[PairRow] = read_part(phase.pairs, index, ["key", "image_id", "caption"]).to_pylist()
    captions = {pair["caption"] for pair in pairs}
    names = {(n, one): writing.questions.about(one).name for n, writing in enumerate(asked) for one in captions}
    answers = read_answers(phase.answers, set(names.values()))
    texts, rejected, counts = list[Text](), list[Rejected](), Counts()
    for pair in pairs:
        offered = {n: answers.get(names[n, pair["caption"]]) for n in range(len(asked))}
        counts["questions"] += len(asked)
        counts["unanswered"] += sum(answer is None for answer in offered.values())
        with from_answers(phase.answers):
            written = list(_texts(pair, asked, offered, phase.settings.name))
        for found in written:
            if isinstance(found, Text):
                texts.append(found)
            else:
                rejected.append(found)
                counts.add("rejected", found.reason)
    record = write_texts(folder, index, len(pairs), texts)
    files = (*record.files, *write_rejected(folder, index, rejected))
    return replace(record, files=files, counts={**record.counts, **counts})


def _texts(
    pair: PairRow, asked: Sequence[Writing], offered: Mapping[int, str | None], source: str
) -> Iterator[Text | Rejected]:
    """The texts for a caption; those that say nothing new are refused."""
    seen = {_plain(pair["caption"]): "the_caption"}
    for n, writing in enumerate(asked):
        seen = {_plain(shown): "the_example" for shown in writing.prompt.shown} | seen
        for written in read_texts(answer) if (answer := offered[n]) is not None else ():
            text, _ = clean_caption(written, LONGEST)
            reason = seen.get(_plain(text)) if text else "empty_text"
            if reason is not None:
                yield Rejected(None, writing.prompt.name, pair["key"], reason, text)
                continue
            seen[_plain(text)] = "duplicate"
            yield Text(
                pair["key"],
                pair["image_id"],
                pair["caption"],
                text,
                writing.prompt.is_true,
                writing.prompt.kind,
                source,
                edits_between(pair["caption"], text),
            )


def _plain(text: str) -> str:
    """A text as readers that look at no marks and capitals see it."""
    return " ".join(text.lower().rstrip(".!?").split())
