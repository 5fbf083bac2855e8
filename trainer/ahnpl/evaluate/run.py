"""Score items with a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from negmine.errors import InputError
from open_clip.transform import PreprocessCfg, image_transform_v2
from torch import Tensor
from torchvision.transforms import Compose, Normalize, ToTensor

from ahnpl.evaluate.items import Item
from ahnpl.evaluate.metrics import Accuracy, Pairs, judge, macro, match, micro, recall
from ahnpl.images import BadImage, Pixels, evaluation_pixels
from ahnpl.model import ClipModel, load_tokenizer


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        kinds: accuracy of the true caption against each false one, by kind.
        retrieval: recall by direction and k; empty where it was not asked for.
        images: pictures scored.
        captions: true captions scored.
        bad: pictures left out, with the reason.
        pairs: pictures against their image negatives, two by two, by kind.
        other_picture: the same captions judged with somebody else's picture: what a model reaches without looking.
    """

    kinds: dict[str, Accuracy]
    retrieval: dict[str, float]
    images: int
    captions: int
    bad: list[str] = field(default_factory=list)
    other_picture: dict[str, Accuracy] = field(default_factory=dict)
    pairs: dict[str, Pairs] = field(default_factory=dict)

    @property
    def micro(self) -> Accuracy:
        return micro(self.kinds.values())

    @property
    def macro(self) -> float:
        return macro(self.kinds.values())


def evaluate(
    model: ClipModel,
    items: Iterable[Item],
    *,
    retrieval: bool,
    max_bad: float = 0.01,
    batch_size: int = 64,
    workers: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> Report:
    """Accuracy against false captions and, if asked, retrieval among all the items.

    Args:
        max_bad: share of the pictures that may be missing or unreadable.
        workers: decoding threads.
        advance: told how many items were scored.

    Raises:
        InputError: no items, or too many bad pictures.
    """
    scorer = _Scorer(model, batch_size, workers)
    with torch.inference_mode(), ThreadPoolExecutor(max(workers, 1)) as pool:
        was_training = model.training
        model.eval()
        for chunk in _chunks(items, batch_size):
            scorer.add(chunk, pool)
            advance(len(chunk))
        model.train(was_training)
        scorer.check(max_bad)
        return scorer.report(retrieval)


def load_transform(model: ClipModel) -> Callable[[Any], Any]:
    """The model's evaluation transform without its last steps, which `ClipModel.encode_image` does."""
    whole: Compose = image_transform_v2(PreprocessCfg(**model.preprocess), is_train=False)
    shortened: Callable[[Any], Any] = Compose(
        [step for step in whole.transforms if not isinstance(step, ToTensor | Normalize)]
    )
    return shortened


class _Scorer:
    """Features so far, and the tallies. Each picture is encoded once, however many captions it has."""

    def __init__(self, model: ClipModel, batch_size: int, workers: int) -> None:
        self.model, self.batch_size = model, batch_size
        self.transform = load_transform(model)
        self.tokenizer = load_tokenizer(model.spec.name)
        self.place: dict[str, int] = {}
        self.bad: dict[str, str] = {}
        self.images: list[Tensor] = []
        self.texts: list[Tensor] = []
        self.owners: list[int] = []
        self.kinds: dict[str, Accuracy] = {}
        self.other_picture: dict[str, Accuracy] = {}
        self.pairs: dict[str, Pairs] = {}

    def add(self, items: list[Item], pool: ThreadPoolExecutor) -> None:
        self._add_images(items, pool)
        good = [item for item in items if item.image_id in self.place]
        features = self._encode([text for item in good for text in (item.caption, *(f.text for f in item.foils))])
        places = [self.place[item.image_id] for item in good]
        start = 0
        for item, place, other in zip(good, places, others(places), strict=True):
            own = features[start : start + 1 + len(item.foils)]
            start += len(own)
            _judge(item, own @ self.images[place], self.kinds)
            if other is not None:
                _judge(item, own @ self.images[other], self.other_picture)
            self.texts.append(own[0])
            self.owners.append(place)
        self._match([item for item in good if item.twins], pool)

    def _match(self, items: list[Item], pool: ThreadPoolExecutor) -> None:
        """Each picture and caption against each twin of theirs."""
        twins = [(item, twin) for item in items for twin in item.twins]
        decoded = list(pool.map(self._decode_bytes, (twin.image for _, twin in twins)))
        for (item, _), result in zip(twins, decoded, strict=True):
            if isinstance(result, str):
                self.bad[f"{item.image_id} (image negative)"] = (
                    f"{item.image_id} ({item.where}), image negative: {result}"
                )
        whole = [(item, twin, p) for (item, twin), p in zip(twins, decoded, strict=True) if not isinstance(p, str)]
        if not whole:
            return
        pictures = self._encode_pixels([pixels for _, _, pixels in whole])
        captions = self._encode([text for item, twin, _ in whole for text in (item.caption, twin.caption)])
        for n, (item, twin, _) in enumerate(whole):
            images = torch.stack([self.images[self.place[item.image_id]], pictures[n]])
            found = match(images @ captions[2 * n : 2 * n + 2].T)
            self.pairs[twin.kind] = self.pairs.get(twin.kind, Pairs()) + found

    def _encode_pixels(self, pixels: Sequence[Pixels]) -> Tensor:
        """Features ``[N, D]`` on the CPU, a batch at a time."""
        parts = []
        for chunk in _chunks(pixels, self.batch_size):
            stacked = torch.stack([torch.from_numpy(p.copy()).permute(2, 0, 1) for p in chunk])
            parts.append(self.model.encode_image(stacked).float().cpu())
        return torch.cat(parts)

    def _add_images(self, items: list[Item], pool: ThreadPoolExecutor) -> None:
        new = {i.image_id: i for i in items if i.image_id not in self.place and i.image_id not in self.bad}
        decoded = list(pool.map(self._decode, new.values()))
        for item, result in zip(new.values(), decoded, strict=True):
            if isinstance(result, str):
                self.bad[item.image_id] = f"{item.image_id} ({item.where}): {result}"
        pixels = {name: p for name, p in zip(new, decoded, strict=True) if not isinstance(p, str)}
        if pixels:
            for name, row in zip(pixels, self._encode_pixels(list(pixels.values())), strict=True):
                self.place[name] = len(self.images)
                self.images.append(row)

    def _decode(self, item: Item) -> Pixels | str:
        return "the file is missing" if item.image is None else self._decode_bytes(item.image)

    def _decode_bytes(self, content: bytes) -> Pixels | str:
        try:
            return evaluation_pixels(content, self.transform)
        except BadImage as error:
            return str(error)

    def _encode(self, texts: list[str]) -> Tensor:
        device = self.model.mean.device
        parts = [
            self.model.encode_text(self.tokenizer(list(chunk)).to(device)).float().cpu()
            for chunk in _chunks(texts, 4 * self.batch_size)
        ]
        return torch.cat(parts) if parts else torch.zeros(0)

    def check(self, max_bad: float) -> None:
        total = len(self.place) + len(self.bad)
        if not total:
            raise InputError("there is nothing to evaluate", fix="check the path; held-out shards lie in data/heldout/")
        if len(self.bad) > max_bad * total:
            raise InputError(
                f"{len(self.bad)} of {total} pictures are missing or unreadable, more than --max-bad {max_bad:g}",
                where="; ".join(list(self.bad.values())[:5]) + ("; ..." if len(self.bad) > 5 else ""),
                fix="check --images, or allow more with --max-bad",
            )

    def report(self, retrieval: bool) -> Report:
        found = (
            recall(torch.stack(self.images), torch.stack(self.texts), torch.tensor(self.owners)) if retrieval else {}
        )
        kinds, other = dict(sorted(self.kinds.items())), dict(sorted(self.other_picture.items()))
        pairs = dict(sorted(self.pairs.items()))
        return Report(kinds, found, len(self.images), len(self.texts), list(self.bad.values()), other, pairs)


def _judge(item: Item, scores: Tensor, tally: dict[str, Accuracy]) -> None:
    """Compare the first score, the true caption's, with those of the item's foils."""
    for foil, score in zip(item.foils, scores[1:], strict=True):
        tally[foil.kind] = tally.get(foil.kind, Accuracy()) + judge(scores[0], score[None])


def others(places: Sequence[int]) -> list[int | None]:
    """For each picture the next different one in the list, going round; None where all are the same."""
    size = len(places)
    following = ((places[(at + step) % size] for step in range(1, size)) for at in range(size))
    return [next((other for other in rest if other != own), None) for own, rest in zip(places, following, strict=True)]


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
