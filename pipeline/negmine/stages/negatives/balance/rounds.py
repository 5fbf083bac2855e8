"""The third phase of a balanced choice, several times: choose, count what flows one way, weigh against it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from negmine.engine import PartFunction
from negmine.stages.negatives.balance.choosing import Chooser
from negmine.stages.negatives.balance.corpus import Tally
from negmine.stages.negatives.balance.judging import read_plausibility
from negmine.stages.negatives.balance.proposing import read_pool
from negmine.stages.negatives.balance.weights import RATE, count_detected, log_ratio, take_put_counts
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import FileRecord, PartRecord, fetch_local, part_name, write_text
from negmine.store.arrays import read_array, read_arrays, write_array, write_arrays

WEIGHTS: Final = "weights.npy"
ATTACKER_ACCURACY: Final = "attacker_accuracy.json"
JUDGED_PARTS: Final = 10
"""Parts whose choices a round is judged by."""


@dataclass(frozen=True)
class RoundPhase:
    """What flows one way, in a part, with the weights so far."""

    settings: ParseSettings
    candidates: Path
    plausible: Path
    weights: Path
    sizes: tuple[int, ...]

    def setup(self) -> PartFunction:
        chooser = Chooser.read(self.settings, self.candidates, self.weights)
        return partial(_round_part, chooser, self.candidates, self.plausible, self.sizes)


def _round_part(
    chooser: Chooser, candidates: Path, plausible: Path, sizes: tuple[int, ...], index: int, folder: Path
) -> PartRecord:
    pool = read_pool(candidates, index)
    chosen, _ = chooser.choose(pool, read_plausibility(plausible, index))
    files = (
        write_arrays(folder, part_name(index, "npy"), take_put_counts(pool, chosen)),
        write_array(folder, part_name(index, "npy", "chosen"), chosen),
    )
    return PartRecord(index, files, {"pairs": sizes[index]})


def write_weights(folder: Path, before: Path, candidates: Path, parts: int) -> list[FileRecord]:
    """The weights after a round, and how many of the round's choices its flows tell from their captions."""
    weights = read_array(before)
    flows = (read_arrays(folder / part_name(index, "npy"), Tally) for index in range(parts))
    ratio, detected, chosen = log_ratio(flows, weights.shape[1]), 0.0, 0
    for index in range(min(parts, JUDGED_PARTS)):
        pool, taken = read_pool(candidates, index), read_array(folder / part_name(index, "npy", "chosen"))
        detected, chosen = detected + count_detected(pool, taken, ratio), chosen + len(taken)
    return [
        write_array(folder, WEIGHTS, weights + np.float32(RATE) * ratio),
        write_text(folder, ATTACKER_ACCURACY, json.dumps(detected / max(chosen, 1))),
    ]


def read_attacker_accuracy(folder: Path) -> float:
    """The share of a round's choices that its flows tell from their captions."""
    return float(json.loads(fetch_local(folder / ATTACKER_ACCURACY).read_text()))
