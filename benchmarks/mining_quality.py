"""Do the filters find false negatives, and do they leave the others?

    python benchmarks/mining_quality.py planted CAPTIONS.jsonl IMAGES    one line a caption: image, caption
    python benchmarks/mining_quality.py single CAPTIONS.jsonl IMAGES
    python benchmarks/mining_quality.py paraphrases SUGARCREPE_PP_FOLDER CAPTIONS.json
    python benchmarks/mining_quality.py evidence CAPTIONS.json

planted: every caption becomes an image of its own, with a copy of its image that was scaled and compressed again; so
what shows the same image is a known false negative. One table for captions (MiniLM), one for images
(EfficientNet): how many false negatives are among the ten best candidates, alone and after each filter, and how many
of them and of all others each filter refuses.
single: images with one caption each, nothing planted. The same tables for suspects: captions of at least 0.9 MiniLM
similarity, and images whose signatures differ in at most 8 bits (which near_image refuses by definition).
paraphrases: SugarCrepe++ in COCO captions, text only. With the threshold at which a measure refuses a tenth of the true
negatives, how many paraphrases does it refuse? True negatives are the captions made by hand, which differ in one word
or in order, or the ten nearest captions of other images.
evidence: against how many captions of an image, which are true of it, do the others speak as much as `doubtful` asks
for? The weights come from the images of one half, the captions from the other, both ways.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from negmine.encoders import make_encoder
from negmine.engine.local import LocalEngine
from negmine.language.analyse import load_model, parse
from negmine.language.vocabulary import packaged_vocabulary
from negmine.stages.neighbours.evidence import UNIT, View, untold, view, weight_of
from negmine.stages.neighbours.recipe import load_recipe, override
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.stage import retrieve
from negmine.stages.neighbours.word_sets import Sets, Texts, parsed_sets, plain_sets, to_columns
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.store import load_manifest
from PIL import Image
from rich.console import Console
from rich.table import Table

TOP = 10
ALONE = (
    "near_image",
    "same_text",
    "same_words",
    "near_text",
    "near_truth",
    "concept",
    "structure",
    "percentage",
    "adaptive_margin",
)
SUSPECT, BITS = 0.9, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["planted", "single", "paraphrases", "evidence"])
    parser.add_argument("captions", type=Path)
    parser.add_argument("other", type=Path, nargs="?")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        if options.what == "evidence":
            true_captions(options.captions)
        else:
            {"planted": planted, "single": single, "paraphrases": paraphrases}[options.what](
                options.captions, options.other, Path(folder)
            )


# --- pairs -----------------------------------------------------------------------------------------------------------


def planted(captions: Path, images: Path, folder: Path) -> None:
    rows = [json.loads(line) for line in captions.read_text().splitlines()]
    (folder / "copies").mkdir()
    lines, seen = [], Counter[str]()
    for number, row in enumerate(rows):
        seen[row["image"]] += 1
        name = f"{number}.jpg"
        copy_again(images / row["image"], folder / "copies" / name, seen[row["image"]])
        lines.append({"key": f"k{number}", "image": name, "caption": row["caption"]})
    work = make_work(lines, folder / "copies", folder)
    truth = {f"k{number}": row["image"] for number, row in enumerate(rows)}
    for score in ("t2t", "i2i"):
        title = f"{captions.parent.name}, planted copies, {score}"
        measure(work, score, lambda one, other: truth[one] == truth[other], title)


def copy_again(source: Path, target: Path, turn: int) -> None:
    """The image, smaller and of less quality with every turn."""
    image = Image.open(source).convert("RGB")
    scale = 1 - 0.1 * (turn - 1)
    size = (max(64, round(image.width * scale)), max(64, round(image.height * scale)))
    image.resize(size, Image.Resampling.BICUBIC).save(target, "JPEG", quality=95 - 12 * (turn - 1))


def single(captions: Path, images: Path, folder: Path) -> None:
    rows = [json.loads(line) for line in captions.read_text().splitlines()]
    lines = [{"key": f"k{n}", "image": row["image"], "caption": row["caption"]} for n, row in enumerate(rows)]
    work = make_work(lines, images, folder)
    pairs = [row for path in sorted((work / "pairs").glob("part-*")) for row in pq.read_table(path).to_pylist()]
    encoder = make_encoder("minilm", "text")
    encoder.load()
    texts = [pair["caption"] for pair in pairs]
    vectors = dict(zip((pair["key"] for pair in pairs), encoder.encode(texts, texts), strict=True))
    signature = {pair["key"]: pair["signature"] for pair in pairs}

    def suspect(one: str, other: str) -> bool:
        bits = (signature[one] ^ signature[other]).bit_count()
        return bool(vectors[one] @ vectors[other] >= SUSPECT or bits <= BITS)

    for score in ("t2t", "i2i"):
        measure(work, score, suspect, f"{captions.parent.name}, one caption an image, {score}")


def make_work(lines: list[dict[str, str]], images: Path, folder: Path) -> Path:
    source = folder / "pairs.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ingest(IngestSettings(str(source), images=str(images), max_bad=0.05), folder / "work", LocalEngine(1))
    return folder / "work"


def measure(work: Path, score: str, is_false: Any, title: str) -> None:
    """A table: each filter by itself, then the default recipe."""
    table = Table("filter", f"false among the {TOP} best", "false refused", "others refused", title=title)
    runs: dict[str, RetrieveSettings] = {"none": RetrieveSettings((score,), candidates=50)}
    runs |= {name: override(runs["none"], filters=[name]) for name in ALONE}
    runs["all of default"] = override(load_recipe("default").settings, scores=(score,), candidates=50)
    for name, settings in runs.items():
        rows = list(mine(work, settings))
        for row in rows:
            row |= {"false": is_false(row["key"], row["neighbour_key"]), "refused": not row["keep"]}
        top = list(first([row for row in rows if row["keep"]], TOP))
        false, others = ([row for row in rows if row["false"] is value] for value in (True, False))
        table.add_row(name, percent(top, "false"), percent(false, "refused"), percent(others, "refused"))
    Console().print(table)


def mine(work: Path, settings: RetrieveSettings) -> Iterator[dict[str, Any]]:
    """Candidates of other images."""
    retrieve(settings, work, LocalEngine(1), overwrite=True)
    for part in load_manifest(work / "neighbours").parts:
        for row in pq.read_table(work / "neighbours" / part.files[0].file).to_pylist():
            if row["reason"] not in ("itself", "same_image"):
                yield row


def first(rows: list[dict[str, Any]], number: int) -> Iterator[dict[str, Any]]:
    """The first rows of each key."""
    seen = Counter[str]()
    for row in rows:
        seen[row["key"]] += 1
        if seen[row["key"]] <= number:
            yield row


def percent(rows: list[dict[str, Any]], name: str) -> str:
    return f"{sum(row[name] for row in rows) / len(rows):.1%} of {len(rows):,}" if rows else "-"


# --- paraphrases -----------------------------------------------------------------------------------------------------


def paraphrases(sugarcrepe: Path, captions: Path, folder: Path) -> None:
    items = {path.stem: json.loads(path.read_text()) for path in sorted(sugarcrepe.glob("*.json"))}
    corpus = sorted({row["caption"].strip() for row in json.loads(captions.read_text())["annotations"]})
    encoder = make_encoder("minilm", "text")
    encoder.load()
    vectors = encoder.encode(corpus, corpus)
    table = Table(
        "measure",
        *(f"{kind} ({len(rows)})" for kind, rows in items.items()),
        "mined neighbours",
        title="paraphrases refused, of SugarCrepe++, when 10 % of true negatives are",
    )
    scores: dict[str, list[str]] = {}
    for rows in items.values():
        for name, (same, other) in compare(rows, encoder).items():
            scores.setdefault(name, []).append(f"{recall(same, other):.0%}")
    everything = [row for rows in items.values() for row in rows]
    mined = nearest(everything, corpus, vectors, encoder)
    for name, (same, other) in compare(mined, encoder).items():
        scores[name].append(f"{recall(same, other):.0%}")
    for name, cells in scores.items():
        table.add_row(name, *cells)
    Console().print(table)


def nearest(rows: list[dict[str, str]], corpus: list[str], vectors: Any, encoder: Any) -> list[dict[str, str]]:
    """The items with each of their nearest captions as the negative; the caption itself and its paraphrase are none."""
    asked = encoder.encode([row["caption"] for row in rows], [row["caption"] for row in rows])
    order = np.argsort(-(asked @ vectors.T), axis=1)[:, : TOP + 5]
    made = []
    for row, places in zip(rows, order, strict=True):
        own = row["caption"].lower().strip(" .")
        others = [corpus[place] for place in places if corpus[place].lower().strip(" .") != own]
        made += [{**row, "negative_caption": other} for other in others[:TOP]]
    return made


def compare(rows: list[dict[str, str]], encoder: Any) -> dict[str, tuple[Any, Any]]:
    """By measure: scores of the paraphrases and of the negatives."""
    texts = [[row[name] for row in rows] for name in ("caption", "caption2", "negative_caption")]
    distinct = sorted({text for some in texts for text in some})
    place = {text: number for number, text in enumerate(distinct)}
    vectors = encoder.encode(distinct, distinct)
    sets = to_columns(plain_sets(distinct) | parsed_sets(distinct))
    query, same, other = (np.array([place[text] for text in some]) for some in texts)
    found = {}
    for name in ("MiniLM cosine", "near_text", "concept", "structure"):
        found[name] = tuple(similarity(name, query, others, vectors, sets) for others in (same, other))
    return found  # type: ignore[return-value]


def similarity(name: str, query: Any, others: Any, vectors: Any, sets: Any) -> Any:
    if name == "MiniLM cosine":
        return np.vecdot(vectors[query], vectors[others])
    own = {column: Sets.of(sets[column]) for column in sets.column_names}
    texts = Texts(lambda n: own[n].take(query), lambda n: own[n].take(others), (len(query), 1))
    measures = {
        "near_text": lambda: texts.jaccard("words"),
        "concept": lambda: texts.jaccard("concepts"),
        "structure": texts.structure,
    }
    return measures[name]().ravel()


def recall(same: Any, other: Any) -> float:
    """Share of `same` at or above the threshold that a tenth of `other` is at or above."""
    return float(np.mean(same > np.quantile(other, 0.9)))


# --- evidence --------------------------------------------------------------------------------------------------------

NATS, OTHERS = (1.0, 2.0, 3.0, 4.0, 5.0), (1, 2, 4)


def true_captions(captions: Path) -> None:
    images: dict[int, list[str]] = {}
    for row in json.loads(captions.read_text())["annotations"]:
        images.setdefault(row["image_id"], []).append(" ".join(row["caption"].split()))
    parsed = parse(load_model(None), [text for texts in images.values() for text in texts], packaged_vocabulary())
    halves = [[[parsed[text] for text in texts] for texts in list(images.values())[half::2]] for half in (0, 1)]
    reached = {number: np.zeros(len(NATS)) for number in OTHERS}
    asked = Counter[int]()
    for half, others in (halves, halves[::-1]):
        weights = untold(others)
        for image in half:
            seen = [view(caption) for caption in image]
            for place, one in enumerate(seen):
                rest = seen[:place] + seen[place + 1 :]
                for number in (number for number in OTHERS if number <= len(rest)):
                    asked[number] += 1
                    reached[number] += np.array(NATS) <= evidence(one, rest[:number], weights)
    table = Table("at least, nats", "e^-nats", *(f"{number} others" for number in OTHERS), title="true captions")
    for place, nats in enumerate(NATS):
        shares = (f"{reached[number][place] / asked[number]:.1%}" for number in OTHERS)
        table.add_row(str(nats), f"{np.exp(-nats):.1%}", *shares)
    Console().print(table)


def evidence(one: View, others: list[View], weights: Mapping[str, float]) -> float:
    """What speaks against a caption by what others leave out, in nats."""
    whole = View((), *(frozenset().union(*sets) for sets in zip(*(other[1:] for other in others), strict=True)))
    left_out = (g for g in one.grounds if whole.applies(g) and g.claim not in whole.told)
    return float(sum(weight_of(ground, weights) for ground in left_out) / UNIT * np.sqrt(len(others)))


if __name__ == "__main__":
    main()
