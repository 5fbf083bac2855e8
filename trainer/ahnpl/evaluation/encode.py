"""Images and texts to unit features on the CPU, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from negmine.base.errors import InputError
from torch import Tensor

from ahnpl.data.images import BadImage, Pixels, evaluation_pixels
from ahnpl.data.worklist import text_numbers
from ahnpl.evaluation.items import Box
from ahnpl.model.clip import ClipModel

Thing = TypeVar("Thing")
MISSING = "the file is missing"


@dataclass(frozen=True)
class EncodedImage:
    """Encoded bytes, None where the file is missing, and the part that is meant."""

    content: bytes | None
    box: Box | None = None


class Encoder:
    """A model in evaluation mode, with its transform and tokenizer; made by `open_encoder`."""

    def __init__(self, model: ClipModel, batch_size: int, pool: ThreadPoolExecutor) -> None:
        self.model, self.batch_size, self.pool = model, batch_size, pool
        self.transform = model.transform()
        self.tokenizer = model.tokenizer()()

    def images(self, images: Sequence[EncodedImage]) -> list[Tensor | str]:
        """A feature ``[D]`` for each image, or why there is none.

        Raises:
            InputError: a feature is not finite.
        """
        pixels = list(self.pool.map(self._decode, images))
        good = [p for p in pixels if not isinstance(p, str)]
        encoded = iter(self._encode_pixels(good))
        return [p if isinstance(p, str) else next(encoded) for p in pixels]

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Features ``[N, D]``.

        Raises:
            InputError: a feature is not finite.
        """
        return self.read(texts)[0]

    def read(self, texts: Sequence[str]) -> tuple[Tensor, list[int]]:
        """Features ``[N, D]``, and N numbers that are equal where the model reads the same.

        Raises:
            InputError: a feature is not finite.
        """
        features, numbers = [], list[int]()
        for some in chunks(texts, 4 * self.batch_size):
            tokens = self.tokenizer(some)
            numbers += text_numbers(tokens).tolist()
            features.append(_finite(self.model.encode_text(tokens.to(self.model.mean.device)), "a text", some))
        return (torch.cat(features) if features else torch.zeros(0)), numbers

    def numbers(self, texts: Sequence[str]) -> list[int]:
        """The numbers of `read`, without encoding."""
        return text_numbers(self.tokenizer(list(texts))).tolist() if texts else []

    def _encode_pixels(self, pixels: Sequence[Pixels]) -> Iterator[Tensor]:
        for some in chunks(pixels, self.batch_size):
            stacked = torch.stack([torch.from_numpy(p.copy()).permute(2, 0, 1) for p in some])
            yield from _finite(self.model.encode_image(stacked), "an image", ["one of the images"] * len(some))

    def _decode(self, image: EncodedImage) -> Pixels | str:
        if image.content is None:
            return MISSING
        try:
            return evaluation_pixels(image.content, self.transform, image.box)
        except BadImage as error:
            return str(error)


@contextmanager
def open_encoder(model: ClipModel, batch_size: int = 64, workers: int = 1) -> Iterator[Encoder]:
    """The model in evaluation mode and without gradients, and as it was afterwards.

    Args:
        workers: decoding threads.
    """
    was_training = model.training
    with torch.inference_mode(), ThreadPoolExecutor(max(workers, 1)) as pool:
        model.eval()
        try:
            yield Encoder(model, batch_size, pool)
        finally:
            model.train(was_training)


def check_bad(bad: Sequence[str], total: int, max_bad: float) -> None:
    """Refuse too many missing images, and nothing at all.

    Raises:
        InputError: more than `max_bad` of `total`, or all of them.
    """
    if not total:
        raise InputError("there is nothing to evaluate", fix="check the path; held-out shards lie in data/heldout/")
    if len(bad) > max_bad * total or len(bad) == total:
        limit = "all there are" if len(bad) == total else f"more than --max-bad {max_bad:g}"
        raise InputError(
            f"{len(bad)} of {total} images are missing or unreadable, {limit}",
            where="; ".join(bad[:5]) + ("; ..." if len(bad) > 5 else ""),
            fix="check --images, or allow more with --max-bad",
        )


def chunks(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    """Lists of `size` things; the last may be shorter."""
    iterator = iter(things)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _finite(features: Tensor, what: str, names: Sequence[str]) -> Tensor:
    features = features.float().cpu()
    broken = ~torch.isfinite(features).all(dim=1)
    if broken.any():
        raise InputError(
            f"the model's features of {what} are not finite",
            where=names[int(broken.nonzero()[0, 0])],
            why=f"{int(broken.sum())} of {len(features)} in this batch",
            fix="its weights have diverged: use an earlier checkpoint",
        )
    return features
