"""``negmine import``: a table of somebody's in, ``work/texts/NAME`` out.

The table is read once, from front to back, and its texts are brought to their pairs (`join`); then, part by part on all
workers, each becomes a `Text` with the edits that make it of the caption, or is refused with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from negmine.base.console import note
from negmine.base.counts import Counts
from negmine.base.errors import InputError
from negmine.base.storage_errors import explained
from negmine.contract.records import PICTURES, Picture, Rejected, Text, to_table
from negmine.engine import Engine, PartFunction, run_phase, run_stage
from negmine.images.decode import BadImageError
from negmine.images.locate import ImageRoot, inspect_image
from negmine.language.difference import edits_between
from negmine.language.kinds import kind_between
from negmine.language.spacing import spaced_as
from negmine.sources import digest
from negmine.sources.records import open_tables
from negmine.stages.texts.columns import Offer, choose_columns
from negmine.stages.texts.join import join
from negmine.stages.texts.settings import ImportSettings
from negmine.store import (
    REJECTED_FILE,
    Manifest,
    PartRecord,
    Spec,
    Store,
    folder_at,
    input_files,
    part_name,
    read_part,
    write_table,
)
from negmine.store.rejected import merge_rejected, write_rejected
from negmine.store.texts import PICTURES_ROOT, PICTURES_STEM, texts_stage, write_texts
from negmine.store.work_folder import Stage, WorkFolder

JOINED: Final = ".joined"


def import_texts(settings: ImportSettings, work: Path, engine: Engine, *, overwrite: bool = False) -> Manifest:
    """Make ``work/texts/NAME`` unless it is there.

    Raises:
        UsageError: no such table, or a column that is named is not in it.
        InputError: the table is damaged, has no texts, or none of them is for a pair of the work folder.
        DamagedError: the folder was made from other pairs, another table, or with other settings.
    """
    with WorkFolder.open(work) as folder:
        with explained(settings.path):
            inputs = {str(Stage.PAIRS): folder.pairs.digest, "table": digest(settings.path)}
        root = settings.negative_images or input_files.root(settings.path)
        spec = Spec(texts_stage(settings.name), settings.chosen(), inputs, context={PICTURES_ROOT: root})
        make = partial(_make, settings=settings, folder=folder, engine=engine)
        made = run_stage(work / texts_stage(settings.name), spec, make, engine.share, overwrite=overwrite)
    made.counts.check_sum("offers", "texts", groups=["rejected"])
    if (refused := made.counts.under("picture_refused")) and not made.counts["pictures"]:
        raise InputError(
            "none of the pictures could be read",
            where=root,
            why=", ".join(f"{reason} {n:,}" for reason, n in refused.items())
            + f"; {work / texts_stage(settings.name) / REJECTED_FILE} lists them",
            fix="name the folder that they lie in with --negative-images, and add --overwrite",
        )
    return made


def _make(store: Store, settings: ImportSettings, folder: WorkFolder, engine: Engine) -> Manifest:
    pairs, joined = folder.path / Stage.PAIRS, store.folder / JOINED
    counts = dict(run_stage(joined, store.spec, partial(_join, settings=settings, folder=folder), None).counts)
    counts.pop("joined")
    root = store.spec.context[PICTURES_ROOT]
    assert root is not None
    phase = TextsPhase(settings.name, pairs, joined, root)
    sizes = folder.pair_counts
    run_phase(store, phase, engine, len(sizes), title="comparing texts", unit="pairs", total=sum(sizes))
    made = store.finish([merge_rejected(store, joined / REJECTED_FILE)], counts)
    folder_at(joined).delete_all()
    return made


def _join(store: Store, settings: ImportSettings, folder: WorkFolder) -> Manifest:
    found = join(_offers(settings), folder.path / Stage.PAIRS, len(folder.pairs.parts), store.folder)
    if not found.record.counts["joined"]:
        raise _nothing_joined(settings, folder, found.example, Counts(found.record.counts))
    store.commit(found.record)
    return store.finish()


def _offers(settings: ImportSettings) -> Iterator[Offer | Rejected]:
    with explained(settings.path):
        for table in open_tables(settings.path, settings.delimiter):
            columns = choose_columns(table.names, table.file.path, settings)
            note(f"{table.file.name} is read as: {columns}")
            for record in table.records:
                if isinstance(record, Rejected):
                    yield record
                else:
                    yield from columns.offers(record)


def _nothing_joined(settings: ImportSettings, folder: WorkFolder, example: Offer | None, counts: Counts) -> InputError:
    """None of the texts is for a pair: what the table says of one, and what a pair is."""
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in counts.under("rejected").items()) or "the table has no rows"
    pair = folder.rows(Stage.PAIRS, 0, ["key", "image", "image_id", "caption"]).slice(0, 1).to_pylist()[0]
    told = ""
    if example is not None:
        names = {"key": example.key, "image": example.image, "caption": example.caption}
        told = "; the table says, for example: " + ", ".join(f"{n} {v!r}" for n, v in names.items() if v is not None)
    ours = f"; a pair: key {pair['key']!r}, image {pair['image'] or pair['image_id']!r}, caption {pair['caption']!r}"
    return InputError(
        "no text of this table is for one of the pairs",
        where=settings.path,
        why=reasons + told + ours,
        fix="name the columns with --caption-column, --image-column or --key-column; or import into the --work folder "
        "that was made of the captions this table was written for",
    )


@dataclass(frozen=True)
class TextsPhase:
    """The texts of a part, out of what was joined to its pairs."""

    name: str
    pairs: Path
    joined: Path
    pictures: str

    def setup(self) -> PartFunction:
        return partial(_texts_part, self, ImageRoot(self.pictures))


def _texts_part(phase: TextsPhase, root: ImageRoot, index: int, folder: Path) -> PartRecord:
    pairs = read_part(phase.pairs, index, ["key", "image_id", "caption"]).to_pylist()
    by_place: dict[int, list[dict[str, Any]]] = {}
    for offer in read_part(phase.joined, index).to_pylist():
        by_place.setdefault(offer["place"], []).append(offer)
    texts, rejected, pictured = list[Text](), list[Rejected](), list[tuple[Text, dict[str, Any]]]()
    for place, offers in by_place.items():
        for text, offer in _compare(pairs[place], offers, phase.name, rejected):
            texts.append(text)
            if offer["picture"] is not None:
                pictured.append((text, offer))
    part = write_texts(folder, index, len(pairs), texts)
    counts = Counts(part.counts)
    counts.add_each("rejected", (one.reason for one in rejected))
    pictures, refused = _looked_at(pictured, root)
    counts.update(pictures=len(pictures))
    counts.add_each("picture_refused", (one.reason for one in refused))
    name = part_name(index, stem=PICTURES_STEM)
    files = [write_table(folder, name, to_table(pictures, PICTURES))] if pictured else []
    files += write_rejected(folder, index, [*rejected, *refused])
    return replace(part, files=(*part.files, *files), counts=dict(counts))


def _looked_at(
    pictured: Sequence[tuple[Text, dict[str, Any]]], root: ImageRoot
) -> tuple[list[Picture], list[Rejected]]:
    """The pictures that can be decoded, and why the others cannot; their texts stay."""
    pictures, refused = list[Picture](), list[Rejected]()
    for text, offer in pictured:
        try:
            content = inspect_image(root.read(offer["picture"])).content
        except BadImageError as error:
            refused.append(Rejected(offer["row"], offer["source"], text.key, error.reason, error.detail))
        else:
            pictures.append(Picture(text.key, offer["picture"], content, text.text, text.kind, text.rule))
    return pictures, refused


def _compare(
    pair: dict[str, str], offers: Sequence[dict[str, Any]], name: str, rejected: list[Rejected]
) -> Iterator[tuple[Text, dict[str, Any]]]:
    """The texts of one pair: each text once, none that is the caption, none that is offered as both true and false."""
    caption = pair["caption"]
    said = [(spaced_as(caption, offer["text"]), offer) for offer in offers]
    both = {text for text, offer in said if offer["is_true"]} & {text for text, offer in said if not offer["is_true"]}
    seen = set[str]()
    for text, offer in said:
        reason = _unusable(text, caption, both, seen)
        if reason is not None:
            rejected.append(Rejected(offer["row"], offer["source"], pair["key"], reason, text))
            continue
        seen.add(text)
        kind = offer["kind"] or kind_between(caption, text)
        edits = edits_between(caption, text)
        said_of = (pair["key"], pair["image_id"], caption)
        yield Text(*said_of, text, offer["is_true"], kind, name, edits, offer["score"]), offer


def _unusable(text: str, caption: str, both: set[str], seen: set[str]) -> str | None:
    if text == caption:
        return "the_caption"
    if text in both:
        return "true_and_false"
    return "duplicate" if text in seen else None
