"""The third phase of a balanced choice, several times: choose, count what flows one way, weigh against it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from negmine.engine import PartFunction
from negmine.stages.negatives.balance.choosing import Chooser, Found
from negmine.stages.negatives.balance.corpus import Tally
from negmine.stages.negatives.balance.fast_reader import Vocabulary
from negmine.stages.negatives.balance.judging import read_plausibility
from negmine.stages.negatives.balance.proposing import read_pool
from negmine.stages.negatives.balance.reading import LESSONS, VOCABULARY, Readings
from negmine.stages.negatives.balance.teaching import Learnt, Lessons, fast_reader, teach
from negmine.stages.negatives.balance.weights import ENOUGH, count_detected, log_ratio, take_put_counts
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import FileRecord, PartRecord, folder_at, part_name, write_text
from negmine.store.arrays import read_array, read_arrays, write_array, write_arrays

WEIGHTS: Final = "weights.npy"
READER: Final = "reader.npy"
LEARNT: Final = "learnt.npy"
ACCURACY: Final = "accuracy.json"
JUDGED_PARTS: Final = 10
"""Parts whose choices a round is judged by."""

READ_ROUNDS: Final = 5
"""Rounds in which an encoder reads along, if one does."""

_CHOSEN, _READ = "chosen", "read"


@dataclass(frozen=True)
class RoundPhase:
    """What flows one way, in a part, with the weights so far.

    Attributes:
        readings: folder of what an encoder has read; None if none reads along.
    """

    settings: ParseSettings
    candidates: Path
    plausible: Path
    found: Found
    readings: Path | None
    sizes: tuple[int, ...]

    def setup(self) -> PartFunction:
        return partial(_round_part, self, Chooser.read(self.settings, self.candidates, self.found))


def _round_part(phase: RoundPhase, chooser: Chooser, index: int, folder: Path) -> PartRecord:
    pool, plausibility = read_pool(phase.candidates, index), read_plausibility(phase.plausible, index)
    chosen, _ = chooser.choose(pool, plausibility)
    files = [
        write_arrays(folder, part_name(index, "npy"), take_put_counts(pool, chosen)),
        write_array(folder, part_name(index, "npy", _CHOSEN), chosen),
    ]
    if phase.readings is not None:
        place = read_arrays(phase.readings / part_name(index, "npy"), Readings).place
        among, _ = chooser.choose(pool, plausibility, place)
        files.append(write_array(folder, part_name(index, "npy", _READ), np.searchsorted(place, np.sort(among))))
    return PartRecord(index, tuple(files), {"pairs": phase.sizes[index]})


@dataclass(frozen=True)
class Accuracy:
    """The share of a round's choices that are told from their captions: by what flows one way, by the encoder."""

    ngrams: float
    encoder: float | None = None

    @classmethod
    def of(cls, folder: Path) -> Accuracy:
        return cls(**json.loads(folder_at(folder).text(ACCURACY)))

    def __str__(self) -> str:
        reader = "" if self.encoder is None else f", the reader of meanings {self.encoder:.1%}"
        return f"n-grams tell {self.ngrams:.1%} of the choices from captions{reader}"


def write_weights(
    folder: Path, before: Path, candidates: Path, parts: int, rate: float, encoder: float | None = None
) -> list[FileRecord]:
    """The weights after a round, and how many of its choices are told from their captions.

    Args:
        rate: of the log ratio that is added.
        encoder: the share that the encoder told.
    """
    weights = read_array(before)
    flows = (read_arrays(folder / part_name(index, "npy"), Tally) for index in range(parts))
    ratio, detected, chosen = log_ratio(flows, weights.shape[1]), 0.0, 0
    for index in range(min(parts, JUDGED_PARTS)):
        pool, taken = read_pool(candidates, index), read_array(folder / part_name(index, "npy", _CHOSEN))
        detected, chosen = detected + count_detected(pool, taken, ratio), chosen + len(taken)
    accuracy = Accuracy(detected / max(chosen, 1), encoder)
    rate = rate if accuracy.ngrams > ENOUGH else 0.0  # further rounds, of the reader, need not overshoot
    return [
        write_array(folder, WEIGHTS, weights + np.float32(rate) * ratio),
        write_text(folder, ACCURACY, json.dumps(asdict(accuracy))),
    ]


def write_reader(
    folder: Path, before: Path | None, readings: Path, parts: int, seed: int, number: int
) -> tuple[list[FileRecord], float]:
    """The fast reader after a round, and the share of the choices that the encoder's reader told before.

    Args:
        before: folder of the round before; None for the first.
    """
    lessons, vocabulary = read_arrays(readings / LESSONS, Lessons), read_arrays(readings / VOCABULARY, Vocabulary)
    chosen, start = [], 0
    for index in range(parts):
        chosen.append(read_array(folder / part_name(index, "npy", _READ)) + start)
        start += len(read_arrays(readings / part_name(index, "npy"), Readings).place)
    known = None if before is None else read_arrays(before / LEARNT, Learnt)
    learnt, accuracy = teach(lessons, np.concatenate(chosen), known, seed, number)
    reader = fast_reader(learnt, vocabulary)
    return [write_arrays(folder, LEARNT, learnt), write_arrays(folder, READER, reader)], accuracy
