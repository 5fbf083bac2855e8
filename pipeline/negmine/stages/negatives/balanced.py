"""A balanced choice: phases over the parts of ``work/pairs``, each frozen before the next begins.

Count what the corpus says, propose candidates, judge how plausible they are, find the weights under which nothing flows
one way, choose. Where an encoder reads along, it reads before the weights are found, and is learnt from as they are
found. No phase carries anything from part to part, so nothing depends on their order or on the workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import numpy as np

from negmine.base.console import note
from negmine.engine import Engine, Phase, run_phase, run_stage
from negmine.stages.negatives.balance.choosing import ChoosePhase, Found
from negmine.stages.negatives.balance.corpus import table_bits
from negmine.stages.negatives.balance.counting import CountPhase, write_corpus
from negmine.stages.negatives.balance.judging import JudgePhase
from negmine.stages.negatives.balance.likelihood import LikelihoodPhase
from negmine.stages.negatives.balance.pool import MOST_BITS
from negmine.stages.negatives.balance.proposing import FIRST_WEIGHTS, ProposePhase, write_substitutions
from negmine.stages.negatives.balance.reading import (
    CAPTIONS_READ,
    FEWEST_READ,
    ReadPhase,
    write_lessons,
)
from negmine.stages.negatives.balance.rounds import (
    READ_ROUNDS,
    READER,
    WEIGHTS,
    Accuracy,
    RoundPhase,
    write_reader,
    write_weights,
)
from negmine.stages.negatives.balance.weights import CAUTIOUS_RATE, ENOUGH, RATE, ROUNDS
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import FileRecord, Manifest, Store, folder_at

COUNTS: Final = ".counts"
CANDIDATES: Final = ".candidates"
PLAUSIBLE: Final = ".plausible"
READINGS: Final = ".readings"
ROUND: Final = ".round-{:02d}"

LEARNT_FROM: Final = 200_000
"""Pairs that the corpus is counted from and the weights are found on: the first parts, which are a random sample."""


@dataclass(frozen=True)
class Balanced:
    """The phases of a balanced choice over the parts of ``work/pairs``.

    Attributes:
        sizes: pairs in each part.
    """

    store: Store
    settings: ParseSettings
    pairs: Path
    sizes: tuple[int, ...]
    engine: Engine

    def make(self) -> Manifest:
        store, candidates = self.store, self.store.folder / CANDIDATES
        proposed, plausible = self.propose(), store.folder / PLAUSIBLE
        judge_share = None if self.settings.judge is None else self.engine.share
        run_stage(plausible, store.spec, partial(self._judge, candidates=candidates), judge_share)
        found = self._found(candidates, plausible, self._readings(candidates, plausible))
        phase = ChoosePhase(self.settings, self.pairs, candidates, plausible, found)
        run(store, phase, self.engine, "choosing", self.sizes)
        made = store.finish(extra_counts={name: n for name, n in proposed.counts.items() if name != "pairs"})
        for name in (COUNTS, CANDIDATES, PLAUSIBLE, READINGS, *map(ROUND.format, range(ROUNDS))):
            folder_at(store.folder / name).delete_all()
        return made

    def propose(self) -> Manifest:
        """What is in the folder `CANDIDATES`: all candidates, and which nouns stand where."""
        store, bits = self.store, table_bits(sum(self.sizes[: self.sample]))
        counts = store.folder / COUNTS
        run_stage(counts, store.spec, partial(self._count, bits=bits), None)
        propose = partial(self._propose, counts=counts, bits=bits)
        return run_stage(store.folder / CANDIDATES, store.spec, propose, self.engine.share)

    @cached_property
    def sample(self) -> int:
        """How many parts, from the first on, have the pairs that are learnt from."""
        return 1 + int(np.searchsorted(np.cumsum(self.sizes), min(LEARNT_FROM, sum(self.sizes)))) if self.sizes else 0

    def _count(self, store: Store, bits: int) -> Manifest:
        phase = CountPhase(self.settings, self.pairs, bits)
        run(store, phase, self.engine, "counting words", self.sizes[: self.sample])
        return store.finish(write_corpus(store.folder, self.sample, bits))

    def _propose(self, store: Store, counts: Path, bits: int) -> Manifest:
        run(store, ProposePhase(self.settings, self.pairs, counts), self.engine, "parsing", self.sizes)
        return store.finish(write_substitutions(store.folder, self.sample, 1 << min(bits, MOST_BITS)))

    def _judge(self, store: Store, candidates: Path) -> Manifest:
        if self.settings.judge is None:
            run(store, JudgePhase(candidates, self.sizes), self.engine, "judging nouns", self.sizes[: self.sample])
        else:
            found = Found(candidates / FIRST_WEIGHTS)
            phase = LikelihoodPhase(self.settings, self.pairs, candidates, found, self.sizes)
            run(store, phase, self.engine, "judging texts", self.sizes)
        return store.finish()

    def _readings(self, candidates: Path, plausible: Path) -> Path | None:
        """Where that lies which an encoder has read of the sample, if one reads along."""
        if not self.settings.reads:
            return None
        learnt_from = sum(self.sizes[: self.sample])
        if learnt_from < FEWEST_READ:
            note(f"no encoder reads along: {learnt_from:,} captions are too few to learn from ({FEWEST_READ:,})")
            return None
        readings = self.store.folder / READINGS
        phase = ReadPhase(
            self.settings,
            self.settings.reader_here,
            CAPTIONS_READ / learnt_from,
            self.pairs,
            candidates,
            plausible,
            Found(candidates / FIRST_WEIGHTS),
            self.sizes,
        )

        def read(store: Store) -> Manifest:
            run(store, phase, self.engine, "reading candidates", self.sizes[: self.sample])
            return store.finish(write_lessons(store.folder, phase.encoder, candidates, self.sample))

        run_stage(readings, self.store.spec, read, None)
        return readings

    def _found(self, candidates: Path, plausible: Path, readings: Path | None) -> Found:
        """What the choice is made with, after as many rounds as it takes."""
        found = Found(candidates / FIRST_WEIGHTS)
        for number in range(ROUNDS):
            folder = self.store.folder / ROUND.format(number)
            reads = readings if number < READ_ROUNDS else None
            phase = RoundPhase(self.settings, candidates, plausible, found, reads, self.sizes)
            run_stage(folder, self.store.spec, partial(self._balance, number=number, phase=phase), None)
            accuracy = Accuracy.of(folder)
            if accuracy.ngrams <= ENOUGH and reads is None:
                note(f"balanced after {number} rounds: {accuracy}")
                return found
            found = Found(folder / WEIGHTS, found.reader if reads is None else folder / READER)
        note(f"balanced as far as {ROUNDS} rounds go: {accuracy}")
        return found

    def _balance(self, store: Store, number: int, phase: RoundPhase) -> Manifest:
        run(store, phase, self.engine, f"balancing, round {number + 1}", self.sizes[: self.sample])
        learnt, told = list[FileRecord](), None
        if phase.readings is not None:
            before = phase.found.reader and phase.found.reader.parent
            learnt, told = write_reader(store.folder, before, phase.readings, self.sample, self.settings.seed, number)
        rate = RATE if self.settings.complete else CAUTIOUS_RATE
        weights = write_weights(store.folder, phase.found.weights, phase.candidates, self.sample, rate, told)
        return store.finish([*learnt, *weights])


def run(store: Store, phase: Phase, engine: Engine, title: str, sizes: Sequence[int]) -> None:
    """Run a phase over parts of so many pairs."""
    run_phase(store, phase, engine, len(sizes), title=title, unit="pairs", total=sum(sizes))
