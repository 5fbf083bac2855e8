"""The samples of tars in a given order, each tar checked to its last byte."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO, Final

from negmine.base.addresses import readable
from negmine.base.errors import DamagedError
from negmine.base.storage_errors import is_storage_error
from negmine.contract.records import Sample
from negmine.contract.shard_format import Beside, read_samples, read_sidecar
from negmine.contract.tar_images import OBTAIN_AGAIN, read_images
from negmine.images.locate import content_hash

from ahnpl.data.resuming import Resuming
from ahnpl.data.shards import WRITE_AGAIN, Shard

_READ_AHEAD: Final = 1 << 16


@dataclass(frozen=True)
class Located:
    """A sample and the shard it came from.

    Attributes:
        lacks: why a sample of a sidecar has no image; None where it has.
    """

    sample: Sample
    shard: str
    lacks: str | None = None


def read_in_order(
    shards: Sequence[Shard],
    order: Iterable[tuple[int, int]],
    skip: int = 0,
    wanted: Callable[[int, int], bool] | None = None,
) -> Iterator[Located]:
    """Samples in `order` after its first `skip`. Each tar is read once, forwards, and only if something is wanted.

    Memory holds the samples read past and not yet asked for: at most the window of the order.

    Args:
        wanted: whether a (shard, position) occurs in `order` at all; None if all do.

    Raises:
        DamagedError: a shard is cut, has not the number of samples that the index says, or was read to its end and
            has another sha256.
    """
    following = iter(order)
    skipped = set(islice(following, skip))
    held: dict[tuple[int, int], Located] = {}
    with ExitStack() as stack:
        readers: dict[int, Iterator[Located]] = {}
        at: dict[int, int] = {}
        for shard, position in following:
            if shard not in readers:
                readers[shard] = _read(stack, shards[shard])
                at[shard] = 0
            while (shard, position) not in held:
                place = (shard, at[shard])
                located = next(readers[shard])
                at[shard] += 1
                if place not in skipped and (wanted is None or wanted(*place)):
                    held[place] = located
            yield held.pop((shard, position))


def read_through(shards: Sequence[Shard]) -> Iterator[Located]:
    """All samples of all shards, in the order they lie."""
    return read_in_order(shards, ((s, p) for s, shard in enumerate(shards) for p in range(shard.samples)))


def _read(stack: ExitStack, shard: Shard) -> Iterator[Located]:
    """The samples of one shard; the last is given out only when the tar has ended where it should, byte for byte."""
    source, stream = _opened(stack, shard.url, WRITE_AGAIN)
    samples = _samples(stack, shard, stream)
    pending = next(samples, None)
    for count in range(1, shard.samples + 1):
        following = next(samples, None)
        ended = following is None
        if pending is None or ended != (count == shard.samples):
            raise DamagedError(
                "this shard is damaged",
                where=shard.url,
                why=f"it holds {'fewer' if ended else 'more'} than the {shard.samples} samples of its index",
                fix=WRITE_AGAIN,
            )
        if ended:
            stream.close()
            if source.sha256.hexdigest() != shard.sha256:
                raise DamagedError(
                    "this shard is damaged",
                    where=shard.url,
                    why="its bytes are not those that the index has a sha256 of: it was changed or exchanged",
                    fix=WRITE_AGAIN,
                )
        yield pending
        pending = following


def _opened(stack: ExitStack, url: str, fix: str) -> tuple[Resuming, io.BufferedReader]:
    try:
        source = Resuming(url)
        return source, stack.enter_context(io.BufferedReader(source, _READ_AHEAD))
    except Exception as error:
        if not is_storage_error(error):
            raise
        raise DamagedError("this shard cannot be opened", where=url, why=readable(str(error)), fix=fix) from None


def _samples(stack: ExitStack, shard: Shard, stream: IO[bytes]) -> Iterator[Located]:
    """The samples of an open shard, and of a sidecar with the images of the tar beside it."""
    if shard.beside is None:
        return (Located(sample, shard.url) for sample in read_samples(stream, shard.url))
    images = read_images(_opened(stack, shard.beside, OBTAIN_AGAIN)[1], shard.beside)
    return _joined(read_sidecar(stream, shard.url), images, shard.beside)


def _joined(
    samples: Iterable[tuple[Sample, Beside]], images: Iterable[tuple[str, str, bytes]], tar: str
) -> Iterator[Located]:
    """Samples in the order of their images in a tar; at the end those whose image it does not have."""
    waiting: defaultdict[str, list[tuple[Sample, Beside]]] = defaultdict(list)
    for sample, beside in samples:
        waiting[beside.key].append((sample, beside))
    for key, extension, content in images:
        for sample, beside in waiting.pop(key, ()):
            is_other = beside.content is not None and beside.content != content_hash(content)
            lacks = f"the image under key {key} is another than the sidecar was made for" if is_other else None
            yield Located(replace(sample, image=content, extension=extension), tar, lacks)
    for key, left in waiting.items():
        yield from (Located(sample, tar, f"there is no image under key {key}") for sample, _ in left)
