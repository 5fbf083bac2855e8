"""``negmine parse``: the parts of ``work/pairs`` in, ``work/negatives`` out.

A varied choice needs one phase. A balanced one needs four, each frozen before the next begins: count what the corpus
says, propose candidates, find the weights under which nothing flows one way, choose. No phase carries anything from
part to part, so nothing depends on their order or on the workers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa

from negmine.base.console import note
from negmine.contract.records import NEGATIVES, edits_column, to_table
from negmine.engine import Engine, PartFunction, Phase, run_phase
from negmine.language.analyse import find_model
from negmine.sources import digest
from negmine.stages.negatives.balance.corpus import FOLDS, Corpus, Tally, corpus_of, count, table_bits
from negmine.stages.negatives.balance.ngrams import as_texts
from negmine.stages.negatives.balance.pool import MOST_BITS, Pool, choose, fold_of, make_pool
from negmine.stages.negatives.balance.weights import (
    ENOUGH,
    RATE,
    ROUNDS,
    Exchanges,
    count_exchanges,
    flow,
    kept_share,
    log_ratio,
    log_weights,
    spotted,
)
from negmine.stages.negatives.candidates import ParseWorker, Row, no_collection, why_none
from negmine.stages.negatives.frequency import count_words, known_words
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import (
    FileRecord,
    Manifest,
    PartRecord,
    Spec,
    Store,
    delete_folder,
    here,
    part_name,
    read_part,
    reading,
    write_file,
    write_table,
    write_text,
)

STAGE: Final = "negatives"
COUNTS: Final = ".counts"
CANDIDATES: Final = ".candidates"
ROUND: Final = ".round-{:02d}"

LEARNT_FROM: Final = 200_000
"""Pairs that the corpus is counted from and the weights are found on: the first parts, which are a random sample."""


def parse_pairs(settings: ParseSettings, work: Path, engine: Engine, *, overwrite: bool = False) -> Manifest:
    """Make ``work/negatives`` unless it is there.

    Raises:
        UsageError: the spaCy model or the WordNet folder is missing.
        DamagedError: the folder was made from other pairs or with other settings.
    """
    model = find_model(settings.model)
    packages = {name: version(name) for name in ("spacy", "lemminflect", model)}
    with reading(work / "pairs") as pairs:
        inputs = {"pairs": pairs.digest}
        chosen = {name: value for name, value in asdict(settings).items() if name != "wordnet"}
        if settings.wordnet is not None:
            inputs["wordnet"] = digest(settings.wordnet)
        spec = Spec(STAGE, chosen, inputs, packages)
        with Store.open(work / STAGE, spec, engine.share, overwrite=overwrite) as store:
            if not store.finished:
                job = Job(store, settings, work / "pairs", tuple(part.files[0].rows for part in pairs.parts), engine)
                if settings.balanced:
                    job.balanced()
                else:
                    job.varied()
            assert store.manifest is not None
            return store.manifest


@dataclass(frozen=True)
class Job:
    """One run over the parts of ``work/pairs``.

    Attributes:
        sizes: pairs in each part.
    """

    store: Store
    settings: ParseSettings
    pairs: Path
    sizes: tuple[int, ...]
    engine: Engine

    def varied(self) -> None:
        self._run(self.store, VariedPhase(self.settings, self.pairs), "parsing", len(self.sizes))
        self.store.finish()

    def balanced(self) -> None:
        sample = self._sample()
        bits = table_bits(sum(self.sizes[:sample]))
        counts, candidates = self.store.folder / COUNTS, self.store.folder / CANDIDATES
        with Store.open(counts, self.store.spec, waits=True) as counting:
            if not counting.finished:
                self._run(counting, CountPhase(self.settings, self.pairs, bits), "counting words", sample)
                counting.finish(_write_corpus(counts, sample, bits))
        with Store.open(candidates, self.store.spec, self.engine.share) as proposing:
            if not proposing.finished:
                self._run(proposing, ProposePhase(self.settings, self.pairs, counts), "parsing", len(self.sizes))
                proposing.finish(_write_exchanges(candidates, sample, 1 << min(bits, MOST_BITS)))
            assert proposing.manifest is not None
            counts_of_candidates = dict(proposing.manifest.counts)
        weights = self._weights(sample, candidates)
        choosing = ChoosePhase(self.settings, self.pairs, candidates, weights)
        self._run(self.store, choosing, "choosing", len(self.sizes))
        del counts_of_candidates["pairs"]
        self.store.finish(extra_counts=counts_of_candidates)
        for name in (COUNTS, CANDIDATES, *map(ROUND.format, range(ROUNDS))):
            delete_folder(self.store.folder / name)

    def _weights(self, sample: int, candidates: Path) -> Path:
        """Where the weights lie that the choice is made with, after as many rounds as it takes."""
        weights = candidates / FIRST_WEIGHTS
        for number in range(ROUNDS):
            folder = self.store.folder / ROUND.format(number)
            with Store.open(folder, self.store.spec, waits=True) as balancing:
                if not balancing.finished:
                    phase = RoundPhase(self.settings, candidates, weights, self.sizes)
                    self._run(balancing, phase, f"balancing, round {number + 1}", sample)
                    balancing.finish(_write_weights(folder, weights, candidates, sample))
                told = _told(folder)
            if told <= ENOUGH:
                note(f"balanced after {number} rounds: an n-gram reader tells {told:.1%} of the choices from captions")
                return weights
            weights = folder / WEIGHTS
        note(f"balanced as far as {ROUNDS} rounds go: an n-gram reader tells {told:.1%} of the choices")
        return weights

    def _sample(self) -> int:
        """How many parts, from the first on, have the pairs that are learnt from."""
        return 1 + int(np.searchsorted(np.cumsum(self.sizes), min(LEARNT_FROM, sum(self.sizes)))) if self.sizes else 0

    def _run(self, store: Store, phase: Phase, title: str, parts: int) -> None:
        run_phase(store, phase, self.engine, parts, title=title, unit="pairs", total=sum(self.sizes[:parts]))


def _rows(pairs: Path, index: int) -> list[Row]:
    table = read_part(pairs, index, ["key", "image_id", "caption"])
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


# --- a varied choice -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VariedPhase:
    """Negatives for the captions of a part, chosen for variety."""

    settings: ParseSettings
    pairs: Path

    def setup(self) -> PartFunction:
        worker = ParseWorker(self.settings)
        worker.setup()
        return partial(_varied_part, self.pairs, worker)


def _varied_part(pairs: Path, worker: ParseWorker, index: int, folder: Path) -> PartRecord:
    with no_collection():
        negatives, counts = worker.negatives_of(_rows(pairs, index))
    return PartRecord(index, (write_table(folder, part_name(index), to_table(negatives, NEGATIVES)),), counts)


# --- what the corpus says --------------------------------------------------------------------------------------------

WORDS: Final = "words.json"
TALLIED: Final = "counts.npy"
SIZES: Final = "sizes.npy"


@dataclass(frozen=True)
class CountPhase:
    """N-grams, words of one caption, and how often known words are used, of a part."""

    settings: ParseSettings
    pairs: Path
    bits: int

    def setup(self) -> PartFunction:
        worker = ParseWorker(self.settings)
        return partial(_count_part, self.pairs, known_words(worker.words), self.bits)


def _count_part(pairs: Path, known: frozenset[str], bits: int, index: int, folder: Path) -> PartRecord:
    rows = _rows(pairs, index)
    texts = as_texts([caption for _, _, caption in rows])
    folds = np.array([fold_of(image) for _, image, _ in rows], dtype=np.int64)
    sizes = np.stack([np.bincount(folds, minlength=FOLDS), np.bincount(folds, np.diff(texts.starts), FOLDS)])
    words = count_words((caption for _, _, caption in rows), known)
    files = (
        write_file(folder, part_name(index, "npy"), count(texts, folds, bits).save),
        write_file(folder, part_name(index, "npy", "sizes"), partial(_save, sizes.astype(np.int64))),
        write_text(folder, part_name(index, "json", "words"), json.dumps(words, sort_keys=True)),
    )
    return PartRecord(index, files, {"pairs": len(rows)})


def _write_corpus(folder: Path, parts: int, bits: int) -> list[FileRecord]:
    words, sizes = Counter[str](), np.zeros((2, FOLDS), dtype=np.int64)
    for index in range(parts):
        words.update(json.loads(here(folder / part_name(index, "json", "words")).read_text()))
        sizes += np.load(here(folder / part_name(index, "npy", "sizes")))
    corpus = corpus_of(_load_all(Tally.load, folder, parts), sizes[0], sizes[1], bits)
    return [
        write_file(folder, TALLIED, partial(_save, corpus.counts)),
        write_file(folder, SIZES, partial(_save, np.stack([corpus.captions, corpus.words]))),
        write_text(folder, WORDS, json.dumps(words, sort_keys=True)),
    ]


def _read_corpus(folder: Path) -> Corpus:
    return Corpus(np.load(here(folder / TALLIED), mmap_mode="r"), *np.load(here(folder / SIZES)))


def _save(array: Any, stream: IO[bytes]) -> int:
    np.save(stream, array, allow_pickle=False)
    return len(array)


def _load_all(load: Callable[[IO[bytes]], Any], folder: Path, parts: int) -> Iterator[Any]:
    """What `load` reads of the arrays of each part, one at a time."""
    for index in range(parts):
        with here(folder / part_name(index, "npy")).open("rb") as stream:
            yield load(stream)


# --- candidates ------------------------------------------------------------------------------------------------------

EXCHANGES: Final = "exchanges.npy"
FIRST_WEIGHTS: Final = "no-weights.npy"


@dataclass(frozen=True)
class ProposePhase:
    """All candidates for the captions of a part: their texts as a table, what they are judged by as a pool."""

    settings: ParseSettings
    pairs: Path
    counts: Path

    def setup(self) -> PartFunction:
        words = json.loads(here(self.counts / WORDS).read_text())
        worker = ParseWorker(self.settings, counts=words)
        worker.setup()
        return partial(_propose_part, self.pairs, worker, _read_corpus(self.counts))


def _propose_part(pairs: Path, worker: ParseWorker, corpus: Corpus, index: int, folder: Path) -> PartRecord:
    with no_collection():
        return _proposed(_rows(pairs, index), worker, corpus, index, folder)


def _proposed(rows: list[Row], worker: ParseWorker, corpus: Corpus, index: int, folder: Path) -> PartRecord:
    found, counts = worker.candidates_of(rows)
    settings = worker.settings
    pool = make_pool(rows, found, settings.rules, corpus, settings.seed)
    flat = [candidate for several in found for candidate in several]
    texts = pa.table({"negative": [c.negative for c in flat], "edits": edits_column([c.edits for c in flat])})
    files = (
        write_table(folder, part_name(index), texts),
        write_file(folder, part_name(index, "npy"), pool.save),
    )
    return PartRecord(index, files, {"pairs": len(rows), **counts})


def _write_exchanges(folder: Path, parts: int, slots: int) -> list[FileRecord]:
    exchanges = count_exchanges(_load_all(Pool.load, folder, parts))

    def write(stream: IO[bytes]) -> int:
        np.save(stream, exchanges.exchange, allow_pickle=False)
        np.save(stream, exchanges.kept, allow_pickle=False)
        return len(exchanges.kept)

    nothing = np.zeros((FOLDS, slots), dtype=np.float32)
    return [write_file(folder, EXCHANGES, write), write_file(folder, FIRST_WEIGHTS, partial(_save, nothing))]


def _read_exchanges(folder: Path) -> Exchanges:
    with here(folder / EXCHANGES).open("rb") as stream:
        return Exchanges(np.load(stream), np.load(stream))


# --- weights ---------------------------------------------------------------------------------------------------------

WEIGHTS: Final = "weights.npy"
TOLD: Final = "told.json"
JUDGED_PARTS: Final = 10
"""Parts whose choices a round is judged by."""


@dataclass(frozen=True)
class Chooser:
    """What decides among the candidates of a pool."""

    settings: ParseSettings
    exchanges: Exchanges
    weights: Any

    @classmethod
    def read(cls, settings: ParseSettings, candidates: Path, weights: Path) -> Chooser:
        return cls(settings, _read_exchanges(candidates), np.load(here(weights), mmap_mode="r"))

    def choose(self, pool: Pool) -> tuple[Any, Any]:
        """Places of the chosen candidates, and the scores of all; a rule's weight counts against thinning too."""
        weights = dict(self.settings.weights)
        preference = np.array([weights.get(rule, 0.0) for rule in self.settings.rules])[pool.kind]
        score, kept = log_weights(pool, self.weights), kept_share(pool, self.exchanges)
        chosen = choose(pool, score + preference, np.minimum(1.0, kept * np.exp(preference)), self.settings.per_caption)
        return chosen, score


@dataclass(frozen=True)
class RoundPhase:
    """What flows one way, in a part, with the weights so far."""

    settings: ParseSettings
    candidates: Path
    weights: Path
    sizes: tuple[int, ...]

    def setup(self) -> PartFunction:
        chooser = Chooser.read(self.settings, self.candidates, self.weights)
        return partial(_round_part, chooser, self.candidates, self.sizes)


def _round_part(chooser: Chooser, candidates: Path, sizes: tuple[int, ...], index: int, folder: Path) -> PartRecord:
    pool = _pool(candidates, index)
    chosen, _ = chooser.choose(pool)
    files = (
        write_file(folder, part_name(index, "npy"), flow(pool, chosen).save),
        write_file(folder, part_name(index, "npy", "chosen"), partial(_save, chosen)),
    )
    return PartRecord(index, files, {"pairs": sizes[index]})


def _write_weights(folder: Path, before: Path, candidates: Path, parts: int) -> list[FileRecord]:
    """The weights after a round, and how many of the round's choices its flows tell from their captions."""
    weights = np.load(here(before))
    ratio = log_ratio(_load_all(Tally.load, folder, parts), weights.shape[1])
    told, chosen = 0.0, 0
    for index, pool in enumerate(_load_all(Pool.load, candidates, min(parts, JUDGED_PARTS))):
        taken = np.load(here(folder / part_name(index, "npy", "chosen")))
        told, chosen = told + spotted(pool, taken, ratio), chosen + len(taken)
    return [
        write_file(folder, WEIGHTS, partial(_save, weights + np.float32(RATE) * ratio)),
        write_text(folder, TOLD, json.dumps(told / max(chosen, 1))),
    ]


def _told(folder: Path) -> float:
    return float(json.loads(here(folder / TOLD).read_text()))


def _pool(candidates: Path, index: int) -> Pool:
    with here(candidates / part_name(index, "npy")).open("rb") as stream:
        return Pool.load(stream)


# --- choice ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChoosePhase:
    """The negatives of a part, out of its candidates."""

    settings: ParseSettings
    pairs: Path
    candidates: Path
    weights: Path

    def setup(self) -> PartFunction:
        chooser = Chooser.read(self.settings, self.candidates, self.weights)
        return partial(_choose_part, chooser, self.pairs, self.candidates)


def _choose_part(chooser: Chooser, pairs: Path, candidates: Path, index: int, folder: Path) -> PartRecord:
    rows, pool = _rows(pairs, index), _pool(candidates, index)
    chosen, score = chooser.choose(pool)
    texts, captions = read_part(candidates, index).take(chosen), pool.caption[chosen]
    kind = np.array(chooser.settings.rules)[pool.kind[chosen]]
    columns = read_part(pairs, index, ["key", "image_id", "caption"]).take(captions).to_pydict()
    columns |= {"negative": texts["negative"], "edits": texts["edits"], "kind": kind, "rule": kind}
    columns |= {"slot": np.arange(len(chosen)) - np.searchsorted(captions, captions), "score": score[chosen]}
    table = pa.table({name: columns[name] for name in NEGATIVES.names}).cast(NEGATIVES)
    kinds = Counter(kind.tolist())
    counts = Counter({f"kind:{kind}": number for kind, number in kinds.items()})
    given = np.unique(pool.caption[chosen])
    counts.update(
        pairs=len(rows), with_negatives=len(given), negatives=len(chosen), not_selected=len(pool) - len(chosen)
    )
    for place in sorted(set(range(len(rows))) - set(given.tolist())):
        counts[why_none(rows[place][2])] += 1
    return PartRecord(index, (write_table(folder, part_name(index), table),), dict(counts))
