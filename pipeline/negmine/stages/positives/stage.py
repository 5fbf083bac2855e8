"""``work/positives``: the parts of ``work/pairs`` in, texts that stay true of their images out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from negmine.contract.records import POSITIVES, Edit, to_table
from negmine.engine import Engine, PartFunction, run_phase, run_stage
from negmine.language.analyse import find_model, load_model, parse
from negmine.language.negations import RULE as NEGATE
from negmine.stages.positives.choose import OFFERED, Candidate, positives_of
from negmine.stages.positives.denials import true_denials
from negmine.stages.positives.rewording import Words
from negmine.stages.positives.settings import PositiveSettings
from negmine.store import Manifest, PartRecord, Spec, Store, part_name, read_part, write_table
from negmine.store.texts import texts_stage
from negmine.store.work_folder import Stage, WorkFolder

STAGE: Final = Stage.POSITIVES


def make_positives(settings: PositiveSettings, work: Path, engine: Engine, *, overwrite: bool = False) -> Manifest:
    """Make ``work/positives`` unless it is there.

    Raises:
        UsageError: the spaCy model is missing.
        DamagedError: the folder was made from other pairs or with other settings.
    """
    settings = replace(settings, model=find_model(settings.model))
    packages = {name: version(name) for name in ("spacy", "lemminflect", settings.model or "")}
    texts = [texts_stage(name) for name in settings.texts]
    with WorkFolder.open(work, texts, [Stage.NEGATIVES]) as folder:
        inputs = {str(Stage.PAIRS): folder.pairs.digest, **{name: folder.stages[name].digest for name in texts}}
        negatives = folder.stages.get(Stage.NEGATIVES)
        denies = negatives is not None and negatives.counts[f"kind:{NEGATE}"] > 0
        if negatives is not None and denies:
            inputs[str(Stage.NEGATIVES)] = negatives.digest
        phase = PositivePhase(settings, folder.path / Stage.PAIRS, folder.path / Stage.NEGATIVES if denies else None)
        sizes = folder.pair_counts

        def make(store: Store) -> Manifest:
            run_phase(store, phase, engine, len(sizes), title="rewording", unit="pairs", total=sum(sizes))
            return store.finish()

        chosen = {name: value for name, value in asdict(settings).items() if name != "texts" or value}
        spec = Spec(STAGE, chosen, inputs, packages)
        return run_stage(work / STAGE, spec, make, engine.share, overwrite=overwrite)


@dataclass(frozen=True)
class PositivePhase:
    """Positives for the captions of a part.

    Attributes:
        negatives: where false denials lie, each to be answered by a true one; None where there are none.
    """

    settings: PositiveSettings
    pairs: Path
    negatives: Path | None = None

    def setup(self) -> PartFunction:
        load_model(self.settings.model)
        return partial(_part, self, Words.packaged())


def _part(phase: PositivePhase, words: Words, index: int, folder: Path) -> PartRecord:
    table, settings = read_part(phase.pairs, index, ["key", "image_id", "caption"]), phase.settings
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    captions = parse(load_model(settings.model), (caption for _, _, caption in rows), words.vocabulary)
    false = _false_denials(phase.negatives, index)
    denials, answered = true_denials(rows, captions, false, words, settings.seed)
    offered = _offered(phase.pairs.parent, settings.texts, index)
    positives, counts = positives_of(rows, captions, words, settings.positives, settings.seed, denials, offered)
    counts.update(answered)
    return PartRecord(index, (write_table(folder, part_name(index), to_table(positives, POSITIVES)),), dict(counts))


def _offered(work: Path, names: Sequence[str], index: int) -> dict[str, list[Candidate]]:
    """By key, the texts of a part that these sources offer as true."""
    found: dict[str, list[Candidate]] = {}
    for name in names:
        for row in read_part(work / texts_stage(name), index, ["key", "text", "is_true", "edits"]).to_pylist():
            if row["is_true"]:
                edits = tuple(Edit(**edit) for edit in row["edits"])
                found.setdefault(row["key"], []).append(Candidate(OFFERED, name, row["text"], edits))
    return found


def _false_denials(negatives: Path | None, index: int) -> dict[str, list[str]]:
    """By key, the negatives of a part that deny something."""
    found: dict[str, list[str]] = {}
    for row in [] if negatives is None else read_part(negatives, index, ["key", "negative", "kind"]).to_pylist():
        if row["kind"] == NEGATE:
            found.setdefault(row["key"], []).append(row["negative"])
    return found
