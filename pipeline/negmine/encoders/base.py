"""What every encoder is, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from negmine.base.arrays import Vectors
from negmine.base.errors import ResourceError
from negmine.images.decode import decode

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Modality = Literal["text", "image"]

BATCH: Final = 64
GPU_BATCH: Final = 1_024
"""Items that a GPU is given first; half as many each time that its memory is not enough."""

CHUNK: Final = 1_024
"""Items handed to an encoder at once; bounds the images in memory."""


Item = str | bytes
"""A caption, or an encoded image."""

T = TypeVar("T")


class Encoder(Protocol):
    """Turns items of one modality into unit rows. Nothing heavy happens before `load`."""

    modalities: tuple[Modality, ...]
    by_key: bool
    """Whether rows depend on the key, and not on what the item says or shows."""

    def identity(self) -> str:
        """A text that changes when other weights would be used."""
        ...

    def load(self) -> None:
        """Load weights, once a process.

        Raises:
            UsageError: a package or a file is missing.
        """
        ...

    def encode(self, keys: Sequence[str], items: Sequence[Item]) -> Vectors:
        """Unit rows [N, D], float32.

        Args:
            keys: of the pairs, one an item.
            items: all of one modality.
        """
        ...


def normalise(rows: ArrayLike) -> Vectors:
    """Rows scaled to unit length, in float32."""
    rows = np.asarray(rows, dtype=np.float32)
    with np.errstate(invalid="ignore"):  # a row of zeros becomes NaN, which whoever asked must look for
        scaled: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def device() -> str:
    """Where torch encodes. One thread a process, so that results do not depend on cores or workers."""
    import torch

    torch.set_num_threads(1)
    return "cuda" if torch.cuda.is_available() else "cpu"


def in_batches(items: Sequence[T], encode: Callable[[Sequence[T]], torch.Tensor], device: str) -> Vectors:
    """Unit rows of all items, encoded batch by batch.

    On a CPU batches have `BATCH` items, so that the same items give the same bytes. On a GPU they are as large as its
    memory allows, and products are in bfloat16 (float16 where there is none).

    Args:
        encode: makes rows [n, D], a torch tensor, of n items.
    """
    import torch

    size = BATCH if device == "cpu" else GPU_BATCH
    kind = torch.bfloat16 if device != "cpu" and torch.cuda.is_bf16_supported() else torch.float16
    rows, start = [], 0
    with torch.inference_mode(), torch.autocast(device, kind, enabled=device != "cpu"):
        while start < len(items):
            try:
                made = encode(items[start : start + size])
            except torch.cuda.OutOfMemoryError:
                if size == 1:
                    raise ResourceError(
                        "one item does not fit into the GPU's memory", fix="use a smaller encoder"
                    ) from None
                size //= 2
                continue
            rows.append(made.float().cpu().numpy())
            start += size
    return normalise(np.concatenate(rows))


def rgb(content: Item) -> Image:
    """An encoded image as an upright RGB Pillow image; its size was checked when the pairs were read."""
    assert isinstance(content, bytes)
    return decode(content, None).rgb
