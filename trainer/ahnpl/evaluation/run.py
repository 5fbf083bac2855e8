"""Score items with a model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ahnpl.evaluation.diagnostics import Diagnostics, Sampled
from ahnpl.evaluation.encode import EncodedImage, Encoder, check_bad, chunks, open_encoder
from ahnpl.evaluation.items import Claim, Item, Twin
from ahnpl.evaluation.metrics import (
    RIGHT,
    WRONG,
    Accuracy,
    Marks,
    Measure,
    Pairs,
    area_under_curve,
    best_threshold,
    leads,
    macro,
    mean,
    micro,
    outcome,
    ranks,
)
from ahnpl.model.clip import ClipModel

__all__ = ["Report", "evaluate"]

FOILS = "caption above its foil"
OTHER_IMAGE = "the same, judged with another image"
ALL_FOILS = "caption above all its foils"
ALL_TRUE = "caption and its rewordings above all foils"
REWORDED = "rewording above all foils"
STEADY = "every rewording above all foils (what it lacks of 1 is brittleness)"
BOTH = "both true captions above the false one"
TEXT_ONLY = "text only: true captions nearer to each other"
CLAIMS = "true told from false, by the threshold of dev.jsonl"
GROUP, IMAGE, TEXT = (f"2x2 {name} score" for name in ("group", "image", "text"))
CHANCE = {
    FOILS: 1 / 2,
    OTHER_IMAGE: 1 / 2,
    ALL_FOILS: None,
    ALL_TRUE: None,
    REWORDED: None,
    STEADY: None,
    BOTH: 1 / 3,
    TEXT_ONLY: 1 / 3,
    CLAIMS: 1 / 2,
    GROUP: 1 / 6,
    IMAGE: 1 / 4,
    TEXT: 1 / 4,
}
"""What guessing reaches, in the order in which measures are shown."""
KS = (1, 5, 10)


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        measures: every question that the items allowed, in the order to show them.
        images: scored.
        captions: scored.
        bad: images left out, with the reason.
        numbers: what is no share of items, such as areas under a curve.
        diagnostics: of the features; None where it was not asked for, or where there were too few.
        authors: the averages that a benchmark's authors print, by name.
        dropped: rows that a benchmark's reader left out, by reason.
        context_length: tokens of a text that the model reads.
    """

    measures: tuple[Measure, ...]
    images: int
    captions: int
    bad: list[str] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    diagnostics: Diagnostics | None = None
    authors: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    context_length: int = 0

    def measure(self, name: str) -> Measure:
        """A measure by its name; an empty one if nothing allowed it."""
        return next((measure for measure in self.measures if measure.name == name), Measure(name, None, {}))

    @property
    def kinds(self) -> dict[str, Accuracy]:
        """Accuracy of the true caption against each false one, by kind."""
        return self.measure(FOILS).by_kind

    @property
    def other_image(self) -> dict[str, Accuracy]:
        """The same captions judged with somebody else's image: what a model reaches without looking."""
        return self.measure(OTHER_IMAGE).by_kind

    @property
    def micro(self) -> Accuracy:
        return micro(self.kinds.values())

    @property
    def macro(self) -> float:
        return macro(self.kinds.values())

    @property
    def pairs(self) -> dict[str, Pairs]:
        """Images against their twins, two by two, by kind."""
        text, image, group = (self.measure(name).by_kind for name in (TEXT, IMAGE, GROUP))
        return {k: Pairs(text[k].correct, image[k].correct, group[k].correct, group[k].total) for k in group}

    @property
    def retrieval(self) -> dict[str, float]:
        """Recall by direction and k; empty where it was not asked for."""
        return {measure.name: measure.micro.share for measure in self.measures if " R@" in measure.name}


def evaluate(
    model: ClipModel,
    items: Iterable[Item],
    *,
    retrieval: bool,
    diagnose: bool = False,
    max_bad: float = 0.01,
    batch_size: int = 64,
    workers: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> Report:
    """Every question that the items allow and, if asked, retrieval among all of them.

    Args:
        diagnose: look at the features too.
        max_bad: share of the images that may be missing or unreadable.
        workers: decoding threads.
        advance: told how many items were scored.

    Raises:
        InputError: no items, too many bad images, or features that are not finite.
    """
    with open_encoder(model, batch_size, workers) as encoder:
        scorer = _Scorer(encoder)
        for chunk in chunks(items, batch_size):
            scorer.add(chunk)
            advance(len(chunk))
        check_bad(list(scorer.bad.values()), len(scorer.place) + scorer.twins + len(scorer.bad), max_bad)
        return scorer.report(retrieval, diagnose)


class _Scorer:
    """Features so far, and the marks. Each image is encoded once, however many captions it has."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.place: dict[str, int] = {}
        self.bad: dict[str, str] = {}
        self.twins = 0
        self.images: list[Tensor] = []
        self.texts: list[Tensor] = []
        self.owners: list[int] = []
        self.marks: dict[str, dict[str, Marks]] = defaultdict(lambda: defaultdict(Marks))
        self.foil_counts: set[int] = set()
        self.claims: list[tuple[Claim, int, float]] = []
        self.sampled = Sampled()

    def add(self, items: list[Item]) -> None:
        self._add_images(items)
        good = [item for item in items if item.image_id in self.place]
        features, numbers = self.encoder.read([text for item in good for text in _texts(item)])
        places = [self.place[item.image_id] for item in good]
        start = 0
        for item, place, other in zip(good, places, others(places), strict=True):
            end = start + len(_texts(item))
            own = features[start:end]
            self._judge(item, own, self._alike(item, numbers[start:end]), place, other)
            start = end
            self.texts.append(own[0])
            self.owners.append(place)
            self.sampled.add(len(self.texts) - 1, own[1 : 1 + len(item.foils)])
        self._match([item for item in good if item.twins])

    def _alike(self, item: Item, read: list[int]) -> list[bool]:
        """For each foil, whether the model reads a true caption there; `read` is of `_texts`."""
        end = 1 + len(item.foils)
        others = self.encoder.numbers(item.also_true) if item.foils else []
        true = {read[0], *read[end:], *others}
        return [number in true for number in read[1:end]]

    def _judge(self, item: Item, texts: Tensor, alike: list[bool], place: int, other: int | None) -> None:
        """`texts`: the caption, its foils, then its paraphrase, or its rewordings; `alike` of the foils."""
        scores = (texts @ self.images[place]).tolist()
        if item.claim is not None:
            self.claims.append((item.claim, place, scores[0]))
            return
        end = 1 + len(item.foils)
        foils = scores[1:end]
        self._mark(FOILS, item, place, scores[0], foils, alike)
        if other is not None:
            elsewhere = (texts @ self.images[other]).tolist()
            self._mark(OTHER_IMAGE, item, place, elsewhere[0], elsewhere[1:end], alike)
        if len(foils) > 1:
            self.foil_counts.add(len(foils))
            kinds = {foil.kind for foil in item.foils}
            kind = kinds.pop() if len(kinds) == 1 else "several kinds"
            self.marks[ALL_FOILS][kind].add(outcome(scores[0] - max(foils)), place, any(alike))
        if item.rewordings and foils:
            self._judge_rewordings(item, scores, place, any(alike))
        if item.paraphrase is not None:
            self._judge_paraphrase(item.foils[0].kind, scores, (texts @ texts.T).tolist(), place, alike[0])

    def _judge_rewordings(self, item: Item, scores: list[float], place: int, alike: bool) -> None:
        """`scores` of the caption, its foils and its rewordings with the image."""
        end = 1 + len(item.foils)
        worst = max(scores[1:end])
        for rewording, score in zip(item.rewordings, scores[end:], strict=True):
            self.marks[REWORDED][rewording.kind].add(outcome(score - worst), place, alike)
        self.marks[STEADY]["all"].add(outcome(min(scores[end:]) - worst), place, alike)
        self.marks[ALL_TRUE]["all"].add(outcome(min(scores[0], *scores[end:]) - worst), place, alike)

    def _judge_paraphrase(
        self, kind: str, scores: list[float], between: list[list[float]], place: int, alike: bool
    ) -> None:
        """`scores` of the caption, one foil and the paraphrase with the image, `between` each other."""
        caption, foil, paraphrase = range(3)
        self.marks[BOTH][kind].add(outcome(min(scores[caption], scores[paraphrase]) - scores[foil]), place, alike)
        lead = between[caption][paraphrase] - max(between[caption][foil], between[paraphrase][foil])
        self.marks[TEXT_ONLY][kind].add(outcome(lead), place, alike)

    def _mark(
        self, name: str, item: Item, place: int, true: float, false: Sequence[float], alike: Sequence[bool]
    ) -> None:
        for foil, score, same in zip(item.foils, false, alike, strict=True):
            self.marks[name][foil.kind].add(outcome(true - score), place, same)

    def _match(self, items: list[Item]) -> None:
        """Each image and caption against each twin of theirs."""
        twins = [(item, twin) for item in items for twin in item.twins]
        found = self.encoder.images([EncodedImage(twin.image) for _, twin in twins])
        whole: list[tuple[Item, Twin, Tensor]] = []
        for (item, twin), feature in zip(twins, found, strict=True):
            if isinstance(feature, str):
                name = f"{item.image_id} (image negative)"
                self.bad[name] = f"{item.image_id} ({item.where}), image negative: {feature}"
            else:
                whole.append((item, twin, feature))
        self.twins += len(whole)
        captions, read = self.encoder.read([text for item, twin, _ in whole for text in (item.caption, twin.caption)])
        for n, (item, twin, feature) in enumerate(whole):
            place = self.place[item.image_id]
            self.sampled.add_twin(place, feature)
            text, image = leads(torch.stack([self.images[place], feature]) @ captions[2 * n : 2 * n + 2].T)
            for name, lead in ((GROUP, min(text, image)), (IMAGE, image), (TEXT, text)):
                self.marks[name][twin.kind].add(outcome(lead), place, read[2 * n] == read[2 * n + 1])

    def _add_images(self, items: list[Item]) -> None:
        new = {i.image_id: i for i in items if i.image_id not in self.place and i.image_id not in self.bad}
        found = self.encoder.images([EncodedImage(item.image, item.box) for item in new.values()])
        for (name, item), feature in zip(new.items(), found, strict=True):
            if isinstance(feature, str):
                self.bad[name] = f"{name} ({item.where}): {feature}"
            else:
                self.place[name] = len(self.images)
                self.images.append(feature)

    def report(self, retrieval: bool, diagnose: bool) -> Report:
        images, texts, owners = torch.stack(self.images), torch.stack(self.texts), torch.tensor(self.owners)
        numbers = self._judge_claims()
        measures = [
            Measure(name, self._chance(name), dict(sorted(self.marks[name].items())), detail=name != OTHER_IMAGE)
            for name in CHANCE
            if name in self.marks
        ]
        measures += _retrieval(images, texts, owners) if retrieval else []
        found = self.sampled.diagnose(images, texts, owners) if diagnose and not self.claims else None
        return Report(
            tuple(measures),
            len(images),
            len(texts),
            list(self.bad.values()),
            numbers,
            found,
            context_length=self.encoder.model.context_length,
        )

    def _chance(self, name: str) -> float | None:
        """Of a caption above all its foils it is known where all items have equally many."""
        if name == ALL_FOILS and len(self.foil_counts) == 1:
            return 1 / (1 + next(iter(self.foil_counts)))
        return CHANCE[name]

    def _judge_claims(self) -> dict[str, float]:
        """Areas under the curve of the statements that may be false and, if some are for fitting, their accuracy."""
        if not self.claims:
            return {}
        fitted = [(score, claim.true) for claim, _, score in self.claims if claim.fit]
        threshold = best_threshold(*zip(*fitted, strict=True)) if fitted else None
        by_kind: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        for claim, place, score in self.claims:
            if claim.fit:
                continue
            by_kind[claim.kind].append((score, claim.true))
            if threshold is not None:
                right = (score >= threshold) == claim.true
                self.marks[CLAIMS][claim.kind].add(RIGHT if right else WRONG, place)
        scored = [pair for pairs in by_kind.values() for pair in pairs]
        areas = [area_under_curve(*zip(*pairs, strict=True)) for pairs in by_kind.values()]
        whole = area_under_curve(*zip(*scored, strict=True)) if scored else float("nan")
        known = [area for area in areas if area == area]
        numbers = {"ROC area, all items together (a tie is a half)": whole, "ROC area, mean of kinds": mean(known)}
        return numbers if threshold is None else {**numbers, "threshold, a cosine": threshold}


def _texts(item: Item) -> list[str]:
    """Everything of an item that is encoded."""
    own = [item.caption, *(foil.text for foil in item.foils)]
    if item.paraphrase is not None:
        return [*own, item.paraphrase]
    return [*own, *(rewording.text for rewording in item.rewordings)]


def _retrieval(images: Tensor, texts: Tensor, owners: Tensor) -> list[Measure]:
    """Recall at k in both directions; each query is a mark of its image."""
    asked = {"image to text": range(len(images)), "text to image": owners.tolist()}
    found = []
    for direction, rank in ranks(images, texts, owners).items():
        for k in KS:
            marks = Marks()
            for right, image in zip((rank < k).tolist(), asked[direction], strict=True):
                marks.add(RIGHT if right else WRONG, image)
            found.append(Measure(f"{direction} R@{k}", None, {"all": marks}))
    return found


def others(places: Sequence[int]) -> list[int | None]:
    """For each image the next different one in the list, going round; None where all are the same."""
    size = len(places)
    following = ((places[(at + step) % size] for step in range(1, size)) for at in range(size))
    return [next((other for other in rest if other != own), None) for own, rest in zip(places, following, strict=True)]
