"""Are the negatives of `negmine parse` false? On drawn scenes nobody has to read them: what is drawn is known.

    python benchmarks/proof_on_scenes.py [--captions N] [--levels 1,2,3,4,5] [--rules all | --preset NAME] [--workers N]

Captions of N scenes of each difficulty are given to the rules. Each negative is read back by the sentences that the
renderer writes, and the oracle says whether the scene makes it true. With ``--rules`` every candidate that passes the
guards is judged, chosen or not; with ``--preset`` what `negmine parse` chooses.

A noun or an attribute of which nothing drawn can be called (*a banner*, *a plaid star*) fits nothing and makes its
sentence false, and so does a place that is not drawn (*in a field*). Another sentence that is none of the renderer's is
not read; the negative is then counted as unread, with the reason, unless another of its sentences is false. Undecided
is what the oracle finds too close to call.

A true negative is implied if it stays true when everything is taken away that the caption can do without, things and
what they are like: then the caption alone shows that it is true, and the rule is at fault. The others are true of what
the caption does not tell, which no reader of captions can know.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import pyarrow.parquet as pq
from negmine.engine.local import LocalEngine
from negmine.stages.figures.domain import Claim, Verdict, no, some
from negmine.stages.figures.group import make_group
from negmine.stages.figures.scenes import SCENES
from negmine.stages.figures.scenes.claims import NUMBERS
from negmine.stages.figures.scenes.figure import Item, Scene
from negmine.stages.figures.scenes.oracle import DIRECTIONS, EXTREMES, fitting, judge, words_of
from negmine.stages.figures.scenes.statements import COLOURS, PATTERNS, SHAPES, SIZES
from negmine.stages.figures.settings import SMALLEST, GroupSettings
from negmine.stages.negatives.candidates import ParseWorker
from negmine.stages.negatives.presets import load_preset
from negmine.stages.negatives.rules import RULES
from negmine.stages.negatives.settings import ParseSettings
from negmine.stages.negatives.stage import parse_pairs
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from rich.console import Console
from rich.table import Table

TRUE, UNDECIDED, UNREAD, FALSE = "true", "undecided", "unread", "false"
IMPLIED: Final = "implied"
BATCH: Final = 500
EXAMPLES: Final = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=10_000, help="of each difficulty")
    parser.add_argument("--levels", default="1,2,3,4,5")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--rules", default="all", help="names by comma, or all: every candidate")
    what.add_argument("--preset", help="what this preset chooses")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    levels = [int(level) for level in options.levels.split(",")]
    if options.preset:
        found = judge_preset(options.preset, levels, options.captions, options.workers)
    else:
        rules = tuple(RULES) if options.rules == "all" else tuple(options.rules.split(","))
        found = judge_candidates(rules, levels, options.captions, options.workers)
    show(found)


# --- scenes ----------------------------------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """A scene with its caption and what that claims."""

    key: str
    caption: str
    claims: tuple[Claim, ...]
    scene: Scene


def drawn(level: int, number: int) -> Drawn:
    """Scene number so and so of a difficulty: the base of a group of `negmine render`."""
    base = make_group(SCENES, GroupSettings(level=level, negatives=1, size=SMALLEST), number).members[0]
    return Drawn(f"{level}-{number}", base.caption, base.claims, base.figure)


_OTHERWISE: Final = (
    *({"colour": colour} for colour in COLOURS),
    *({"pattern": pattern} for pattern in PATTERNS),
    *({"shape": shape} for shape in SHAPES),
    {"half": sum(SIZES.values()) / len(SIZES)},
)
"""What else a thing might be like; a thing of middle size is neither small nor large."""


def bare(told: Drawn, negative: str) -> Scene:
    """The scene without all that its caption can do without: things are gone, and the others are like nothing that the
    caption does not ask of them, and least of all what the negative says."""
    scene = told.scene
    for item in told.scene.items:
        less = replace(scene, items=tuple(one for one in scene.items if one is not item))
        if less.items and _is_true(told, less):
            scene = less
    words = set(re.findall("[a-z]+", negative.lower()))
    for place in range(len(scene.items)):
        for change in _OTHERWISE:
            if words.isdisjoint(map(str, change.values())):
                other = _changed(scene, place, change)
                scene = other if _is_true(told, other) else scene
    return scene


def _changed(scene: Scene, place: int, change: Mapping[str, Any]) -> Scene:
    items = list(scene.items)
    items[place] = replace(items[place], **change)
    return replace(scene, items=tuple(items))


def _is_true(told: Drawn, scene: Scene) -> bool:
    return all(judge(claim, scene) is True for claim in told.claims)


# --- reading ---------------------------------------------------------------------------------------------------------

_MARKS: Final = ("x\ue000", "x\ue001", "x\ue002")
_LITTLE: Final = (
    "a an the is are be there that which and or not no it of to in on at by over under above below near with without "
    "between inside outside behind beside next left right top front one two three four five six seven eight nine ten "
    "several many stands floats touching can see exactly"
)
_WORD: Final = rf"(?!(?:{_LITTLE.replace(' ', '|')})\b)[a-z-]+"
_PHRASE: Final = f"{_WORD}(?: {_WORD})*?"

_VALUES: Final[Mapping[str, Sequence[str]]] = {
    "relation": tuple(DIRECTIONS),
    "stack": ("on", "over"),
    "between": ("between",),
    "count": tuple(map(str, range(len(NUMBERS)))),
    "least": tuple(f"{word} {number}" for word in ("least", "most") for number in range(1, 6)),
    "all": ("WORD", "not WORD"),
    "exists": ("yes", "no"),
    "extreme": tuple(EXTREMES),
    "box": ("inside", "outside"),
}
_PHRASES: Final = {"relation": 2, "stack": 2, "between": 3}

_SAME_PLACE: Final = {
    r"(?:under|underneath|beneath)\b": "below",
    r"on the (left|right) of\b": r"to the \1 of",
    r"outside of\b": "outside",
    r"(?:inside of|in)(?= the grey box)": "inside",
    r"(?:atop|on)(?= an? )": "on top of",
    r"exactly (?:several|many)\b": "at least three",
    r"can see (?:several|many)\b(.*) and no more$": r"can see at least three\1",
}
"""Other words of the rules for what the renderer says; *several* is more than two."""

_SAME_WORD: Final = {
    "spotted": "dotted",
    "polka-dotted": "dotted",
    "solid": "plain",
    "little": "small",
    "tiny": "small",
    "big": "large",
    "huge": "large",
    "thing": "object",
    "item": "object",
    "shape": "object",
    "figure": "object",
    "rhombus": "diamond",
    "rectangle": "square",
    "box": "square",
    "plus": "cross",
    "x": "cross",
    "violet": "purple",
    "disc": "circle",
    "dot": "circle",
    "ring": "circle",
}
"""What else a thing that is drawn might be called."""

_DOUBTFUL: Final = frozenset({"white", "empty", "clear", "gray", "grey"})
"""What one might say of a hollow thing, or of the box."""


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str, str], ...]:
    """Every sentence of the renderer: pattern, predicate, value."""
    return tuple(
        (re.compile(_pattern(say(Claim(what, _MARKS[: _PHRASES.get(what, 1)], value)))), what, value)
        for what, values in _VALUES.items()
        for say in SCENES.templates[what]
        for value in values
    )


def _pattern(sentence: str) -> str:
    """What matches a sentence in which marks stand for noun phrases."""
    pattern = re.escape(sentence.replace(" ,", ",")).replace(r"\ ", " ")
    for number, mark in enumerate(_MARKS):
        pattern = pattern.replace(f"a {mark}", f"an? {mark}", 1)
        pattern = pattern.replace(f"{mark}s", f"(?P<of{number}>{_PHRASE}s)").replace(mark, f"(?P<of{number}>{_PHRASE})")
    pattern = re.sub(r"\bis\b|\bare\b", "(?:is|are)", pattern)
    return pattern.replace("WORD", "(?P<word>[a-z]+)")


def read(sentence: str) -> Claim | None:
    """What a sentence claims, if it is one of the renderer's, or one but for a place."""
    text = sentence.strip().rstrip(".").lower()
    return _read(text) or next((claim for other in _other_places(text) if (claim := _read(other))), None)


def _other_places(text: str) -> Iterator[str]:
    for theirs, ours in _SAME_PLACE.items():
        yield re.sub(rf"\b{theirs}", ours, text)


def _read(text: str) -> Claim | None:
    for pattern, what, value in _patterns():
        found = pattern.fullmatch(text)
        if found is not None:
            groups = found.groupdict()
            word = groups.pop("word", None) or ""
            return Claim(
                what,
                tuple(_named(groups[of]) for of in sorted(groups)),
                value.replace("WORD", _SAME_WORD.get(word, word)),
            )
    return None


def _named(phrase: str) -> str:
    """A noun phrase in the renderer's words, in the singular."""
    *words, noun = phrase.split()
    for ending in ("sses", "xes"):
        if noun.endswith(ending):
            noun = noun[:-2]
    noun = noun[:-1] if noun.endswith("s") and not noun.endswith("ss") else noun
    return " ".join(_SAME_WORD.get(word, word) for word in (*words, noun))


# --- judging ---------------------------------------------------------------------------------------------------------

_SENTENCE: Final = re.compile(r"[^.]+\.")


def verdict(negative: str, scene: Scene) -> str:
    """`TRUE`, `FALSE`, `UNDECIDED` or `UNREAD`."""
    said = [_said(sentence, scene) for sentence in _SENTENCE.findall(negative)]
    if any(one is False for one in said):
        return FALSE
    if not said or UNREAD in said or len(_SENTENCE.sub("", negative).strip()):
        return UNREAD
    return UNDECIDED if None in said else TRUE


def _said(sentence: str, scene: Scene) -> Verdict | str:
    claim = read(sentence)
    if claim is not None:
        return None if _doubtful(claim, scene) else judge(claim, scene)
    denied = _denied(sentence, scene)
    return False if denied == UNREAD and _is_nowhere(sentence, scene) else denied


_PLACED: Final = re.compile(
    r".*\b(?:in|on|at|by|near|inside|outside|behind|beside|under|below|above|over|to|of) (?:an?|the) (?P<item>[a-z -]+)"
)
_DEPICTIONS: Final = frozenset({"picture", "image", "photo", "photograph", "painting", "drawing", "sketch", "poster"})
"""What a scene might be said to be in."""


def _is_nowhere(sentence: str, scene: Scene) -> bool:
    """Whether a thing is said to be somewhere that is not drawn; the grey box is."""
    found = _PLACED.fullmatch(sentence.strip().rstrip(".").lower())
    if found is None or _DENYING.search(sentence) or not _DOUBTFUL.isdisjoint(found["item"].split()):
        return False
    item = _named(found["item"])
    return not fitting(scene, item) and item.split()[-1] not in _DEPICTIONS


def _doubtful(claim: Claim, scene: Scene) -> bool:
    """Whether one of its words could be said of a hollow thing."""
    words = {word for phrase in claim.of for word in phrase.split()} | set(claim.value.split())
    return bool(words & _DOUBTFUL) and any("hollow" in words_of(item) for item in scene.items)


def _denied(sentence: str, scene: Scene) -> Verdict | str:
    """*There is no star above a circle*: false if there is one. *A star is not above a circle*: true of any star that
    is not. *The highest object is not a star*: false if it is one."""
    text = sentence.strip()
    none = re.sub(r"\bno (?=[a-z])", "a ", text, count=1)
    if none != text and (claim := read(none)) is not None:
        return no(judge(claim, scene))
    without = re.sub(r" (?:is|are) not ", " is ", text, count=1)
    claim = read(without) if without != text else None
    if claim is None or claim.what not in ("relation", "box", "extreme"):
        return UNREAD
    if text.startswith("The "):
        return no(judge(claim, scene))
    return some(no(judge(claim, _only(scene, item, claim.of[0]))) for item in fitting(scene, claim.of[0]))


_DENYING: Final = re.compile(r"\b(?:not|no)\b")


def why_unread(negative: str, caption: str) -> str:
    """What is in the way of reading a negative."""
    if sorted(_words_of(negative)) == sorted(_words_of(caption)):
        return "the caption's words in another order"
    sentences = [sentence.strip() for sentence in _SENTENCE.findall(negative)]
    unread = [one for one in sentences if read(one) is None and one not in caption]
    if any(map(_DENYING.search, unread)):
        return "a denial"
    places = [found["item"] for one in unread if (found := _PLACED.fullmatch(one.rstrip(".").lower()))]
    if any(not _DOUBTFUL.isdisjoint(item.split()) for item in places):
        return "beside the grey box"
    return "a relation that is not drawn" if places else "other words"


def _words_of(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())


def _only(scene: Scene, item: Item, phrase: str) -> Scene:
    """The scene in which one thing alone fits a phrase."""
    others = (one for one in scene.items if one is item or one not in fitting(scene, phrase))
    return replace(scene, items=tuple(others))


@dataclass(frozen=True)
class Found:
    """Verdicts by (difficulty, kind), why some were not read, by kind, and negatives to look at."""

    captions: Counter[str]
    verdicts: Counter[tuple[str, str, str]]
    reasons: Counter[tuple[str, str]]
    examples: Mapping[tuple[str, str], list[tuple[str, str]]]

    @classmethod
    def of(cls, several: Sequence[Found]) -> Found:
        captions, verdicts, examples = Counter[str](), Counter[tuple[str, str, str]](), defaultdict(list)
        reasons = Counter[tuple[str, str]]()
        for one in several:
            captions.update(one.captions)
            verdicts.update(one.verdicts)
            reasons.update(one.reasons)
            for key, pairs in one.examples.items():
                examples[key] = (examples[key] + pairs)[:EXAMPLES]
        return cls(captions, verdicts, reasons, examples)


def judged(told: Sequence[Drawn], negatives: Sequence[Sequence[tuple[str, str]]]) -> Found:
    """What the oracle says of (kind, negative) of each scene."""
    verdicts, reasons = Counter[tuple[str, str, str]](), Counter[tuple[str, str]]()
    examples = defaultdict[tuple[str, str], list[tuple[str, str]]](list)
    for one, several in zip(told, negatives, strict=True):
        level = one.key.partition("-")[0]
        for kind, negative in several:
            said = verdict(negative, one.scene)
            verdicts[level, kind, said] += 1
            if said == UNREAD:
                said = f"{UNREAD}: {why_unread(negative, one.caption)}"
                reasons[kind, said] += 1
            if said == TRUE:
                if implied := verdict(negative, bare(one, negative)) == TRUE:
                    verdicts[level, kind, IMPLIED] += 1
                said = IMPLIED if implied else said
            if said != FALSE and len(examples[kind, said]) < EXAMPLES:
                examples[kind, said].append((one.caption, negative))
    return Found(Counter(one.key.partition("-")[0] for one in told), verdicts, reasons, examples)


# --- every candidate -------------------------------------------------------------------------------------------------


def judge_candidates(rules: tuple[str, ...], levels: Sequence[int], number: int, workers: int) -> Found:
    """Every candidate of the rules."""
    jobs = [(level, range(first, min(first + BATCH, number))) for level in levels for first in range(0, number, BATCH)]
    with ProcessPoolExecutor(workers) as pool:
        return Found.of(list(pool.map(partial(_batch, rules), jobs)))


def _batch(rules: tuple[str, ...], job: tuple[int, range]) -> Found:
    level, numbers = job
    told = [drawn(level, number) for number in numbers]
    assert all(verdict(one.caption, one.scene) == TRUE for one in told)  # what is read is what was written
    candidates, _ = _worker(rules).candidates_of([(one.key, one.key, one.caption) for one in told])
    return judged(told, [[(c.rule, c.negative) for c in several] for several in candidates])


@cache
def _worker(rules: tuple[str, ...]) -> ParseWorker:
    worker = ParseWorker(ParseSettings(rules=rules))
    worker.setup()
    return worker


# --- what a preset chooses -------------------------------------------------------------------------------------------


def judge_preset(preset: str, levels: Sequence[int], number: int, workers: int) -> Found:
    """What `negmine parse --preset` chooses for all scenes together."""
    told = {one.key: one for level in levels for one in (drawn(level, n) for n in range(number))}
    with TemporaryDirectory() as folder:
        negatives = _parsed(load_preset(preset), told, Path(folder), workers)
    return judged(list(told.values()), [negatives.get(key, []) for key in told])


def _parsed(
    settings: ParseSettings, told: Mapping[str, Drawn], folder: Path, workers: int
) -> dict[str, list[tuple[str, str]]]:
    captions = folder / "captions.jsonl"
    lines = (json.dumps({"key": one.key, "image": f"{one.key}.png", "caption": one.caption}) for one in told.values())
    captions.write_text("\n".join(lines) + "\n")
    work, engine = folder / "work", LocalEngine(workers)
    ingest(IngestSettings(str(captions)), work, engine)
    parse_pairs(settings, work, engine)
    found = defaultdict[str, list[tuple[str, str]]](list)
    for key, kind, negative in _rows(work / "negatives"):
        found[key].append((kind, negative))
    return found


def _rows(folder: Path) -> Iterator[tuple[str, str, str]]:
    for part in sorted(folder.glob("part-*.parquet")):
        table = pq.read_table(part, columns=["key", "kind", "negative"])
        yield from zip(*(column.to_pylist() for column in table.columns), strict=True)


# --- showing ---------------------------------------------------------------------------------------------------------


def show(found: Found) -> None:
    console = Console(width=120)
    levels = sorted({level for level, _, _ in found.verdicts})
    kinds = sorted({kind for _, kind, _ in found.verdicts})
    console.print("captions " + ", ".join(f"{found.captions[level]:,} of difficulty {level}" for level in levels))
    table = Table(
        "kind", "negatives", "false", "unread", "undecided", "true", "% true", "implied", "% implied", box=None
    )
    for name, some_kinds, some_levels in (
        *((kind, [kind], levels) for kind in kinds),
        *((f"difficulty {level}", kinds, [level]) for level in levels),
        ("all", kinds, levels),
    ):
        n = Counter[str]()
        for (level, kind, said), number in found.verdicts.items():
            if kind in some_kinds and level in some_levels:
                n[said] += number
        decided = n[TRUE] + n[FALSE]
        table.add_row(
            name,
            f"{n.total() - n[IMPLIED]:,}",
            f"{n[FALSE]:,}",
            f"{n[UNREAD]:,}",
            f"{n[UNDECIDED]:,}",
            f"{n[TRUE]:,}",
            _percent(n[TRUE], decided),
            f"{n[IMPLIED]:,}",
            _percent(n[IMPLIED], decided),
        )
    console.print(table)
    for (kind, reason), number in sorted(found.reasons.items()):
        console.print(f"{kind}, {reason}: {number:,}", highlight=False)
    for (kind, said), pairs in sorted(found.examples.items()):
        console.print(f"\n{kind}: {said}", highlight=False)
        for caption, negative in pairs:
            console.print(f"  {caption}\n  -> {negative}", highlight=False)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}" if whole else "-"


if __name__ == "__main__":
    main()
