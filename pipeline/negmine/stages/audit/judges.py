"""The parts of an audit: every detector and every attacker is a judge that looks at the whole sample, by itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypedDict

from negmine.base.errors import DamagedError, ResourceError
from negmine.engine import PartFunction
from negmine.stages.audit.blind import ATTACKERS, FEWEST, Attacker, pairs_of
from negmine.stages.audit.defects import DETECTORS, Detector
from negmine.stages.audit.differences import Judged
from negmine.store import REDO, PartRecord, folder_at, part_name, write_text

JUDGES: Final[Mapping[str, Detector | Attacker]] = {**DETECTORS, **ATTACKERS}

UNIT: Final = "judges"


class Answer(TypedDict, total=False):
    """What a judge says, as plain data: of a detector the first two, of an attacker the third."""

    verdicts: list[bool | None]
    paraphrases: list[bool | None]
    margins: list[float]


def seated(items: Sequence[Judged], attackers: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of the judges that can look at a sample here, and why others cannot.

    Args:
        attackers: names of those that are wanted; all detectors are.
    """
    images = len({item.image_id for item in items})
    enough = images >= FEWEST
    wanted = [*DETECTORS, *(attackers if enough else ())]
    absent = [name for name in wanted if not JUDGES[name].available()]
    notes = [f"{JUDGES[name].title}: not installed" for name in absent]
    if attackers and not enough:
        notes.append(f"blind accuracy: only {images} images, {FEWEST} are needed")
    return [name for name in wanted if name not in absent], notes


def judge(name: str, items: Sequence[Judged], seed: int) -> Answer:
    """What one of `JUDGES` says of the items.

    Detectors of what may still be true also look at the paraphrases, where there are some, as if they were negatives.

    Raises:
        ResourceError: what the judge needs is not installed on this machine.
    """
    one = JUDGES[name]
    if not one.available():
        raise ResourceError(
            f"what the judge {name!r} needs is not installed on this machine, and was where the audit began",
            fix="install the same on all machines",
        )
    if isinstance(one, Attacker):
        return {"margins": one.attack(pairs_of(items, seed)).tolist()}
    turned = paraphrased(items) if one.true else []
    return {"verdicts": list(one.find(items)), "paraphrases": list(one.find(turned)) if turned else []}


def paraphrased(items: Iterable[Judged]) -> list[Judged]:
    """The items that have a paraphrase, with that as their negative."""
    return [
        Judged(i.key, i.image_id, i.caption, i.paraphrase, i.kind, tuple(t for t in i.siblings if t != i.paraphrase))
        for i in items
        if i.paraphrase
    ]


@dataclass(frozen=True)
class JudgePhase:
    """Part n is what judge n says."""

    judges: tuple[str, ...]
    items: tuple[Judged, ...]
    seed: int

    def setup(self) -> PartFunction:
        return partial(_judge_part, self)


def _judge_part(phase: JudgePhase, index: int, folder: Path) -> PartRecord:
    answer = judge(phase.judges[index], phase.items, phase.seed)
    return PartRecord(index, (write_text(folder, part_name(index, "json"), json.dumps(answer) + "\n"),), {UNIT: 1})


def read_answers(folder: Path, judges: Sequence[str]) -> dict[str, Answer]:
    """What the judges said, by name.

    Raises:
        DamagedError: a part is not what was written.
    """
    return {name: _read_answer(folder / part_name(index, "json")) for index, name in enumerate(judges)}


def _read_answer(path: Path) -> Answer:
    try:
        answer: Answer = json.loads(folder_at(path.parent).text(path.name))
        if not isinstance(answer, dict):
            raise TypeError("it is no table")
        return answer
    except (ValueError, TypeError) as error:
        raise DamagedError("this part cannot be read", where=str(path), why=repr(error), fix=REDO) from None
