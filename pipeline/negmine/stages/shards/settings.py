"""How shards are made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

from negmine.base.errors import UsageError
from negmine.base.options import Option, check
from negmine.images.decode import MAX_PIXELS
from negmine.store.options import Images, MaxBad, MaxPixels, Seed


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


@dataclass(frozen=True, kw_only=True)
class ShardSettings:
    """How shards are made; a shard with rejected samples has fewer than `shard_size`.

    `negatives` bounds the figures of a sample's group too. Without `images` the images are where the pairs were read
    with; without `image_size` their bytes are copied unchanged.
    """

    images: Images = None
    max_bad: MaxBad = 0.01
    shard_size: Annotated[int, Option("samples in a shard", least=1)] = 5_000
    train_fraction: Annotated[float, Option("share of the images; others are held out", least=0, most=1)] = 0.9
    negatives: Annotated[int, Option("K, text negatives of a sample, at most", least=0)] = 4
    image_negatives: Annotated[int, Option("pictures, and images of neighbours, in a sample, at most", least=0)] = 0
    pictures: Annotated[
        tuple[str, ...],
        Option("texts whose pictures are image negatives too: names by comma", typed=str, parser=_names, unset="none"),
    ] = ()
    sidecar: Annotated[bool, Option("texts alone, beside the tars that the images lie in")] = False
    plan: Annotated[bool, Option("training samples in the batches of `retrieve --plan`")] = False
    image_size: Annotated[int | None, Option("shrink to this short side, pixels", least=16)] = None
    max_pixels: MaxPixels = MAX_PIXELS
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(self)
        if self.pictures and not self.image_negatives:
            raise UsageError("--pictures are image negatives", fix="say how many of a sample: --image-negatives 1")
        copied = ("image_negatives", "pictures", "plan", "image_size", "shard_size", "max_pixels")
        refused = [f"--{name.replace('_', '-')}" for name in copied if getattr(self, name) != getattr(type(self), name)]
        if self.sidecar and refused:
            raise UsageError(
                f"--sidecar excludes {', '.join(refused)}",
                why="a sidecar has no images, and its samples are those of the tars beside it, in their order",
            )

    def chosen(self) -> dict[str, object]:
        """What changes the shards, apart from the images themselves."""
        unsaid = [name for name in ("sidecar", "pictures") if not getattr(self, name)]
        left_out = ("images", "max_bad", *unsaid)
        return {name: value for name, value in asdict(self).items() if name not in left_out}
