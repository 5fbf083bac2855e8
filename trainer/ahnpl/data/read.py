"""The samples of tars in a given order, each tar checked to its last byte.

Where the samples lie is found in the training process, which walks the headers; their bytes are read and parsed where
they are needed, in a worker. Tars behind an address are read once, forwards, and what is found has its bytes with it.
"""

from __future__ import annotations

import io
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO, Final, NamedTuple

from negmine.base.addresses import is_address, readable
from negmine.base.errors import DamagedError
from negmine.base.storage_errors import is_storage_error
from negmine.contract.records import Sample
from negmine.contract.shard_format import (
    decode_sample,
    decode_sidecar,
    group_members,
    read_members,
    read_run,
    sample_places,
)
from negmine.contract.tar_images import OBTAIN_AGAIN, TarImage, read_images
from negmine.images.locate import content_hash

from ahnpl.data.resuming import Resuming
from ahnpl.data.rows import Rows
from ahnpl.data.shards import WRITE_AGAIN, Shard

READ_AHEAD: Final = 1 << 20
"""Bytes that are read of a tar at a time."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes of a file of this machine."""

    file: str
    start: int
    end: int

    def read(self) -> bytes:
        """The bytes.

        Raises:
            DamagedError: the file is gone, or shorter than it was.
        """
        try:
            handle = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                content = os.pread(handle, self.end - self.start, self.start)
            finally:
                os.close(handle)
        except OSError as error:
            raise DamagedError(
                "this shard cannot be read on", where=self.file, why=str(error), fix=WRITE_AGAIN
            ) from None
        if len(content) < self.end - self.start:
            raise DamagedError("this shard was cut while it was read", where=self.file, fix=WRITE_AGAIN)
        return content


Members = tuple[str, dict[str, bytes]]
"""The key of a sample, and its members by extension."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a sidecar's sample."""

    extension: str
    content: Extent | bytes


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a sample lies.

    Attributes:
        members: those of its own tar; their bytes themselves if the tar lies behind an address.
        beside: the tar of its image, of a sidecar.
        image: in that tar; None where it has none.
    """

    shard: str
    members: Extent | Members
    beside: str | None = None
    image: Image | None = None

    def load(self) -> Located:
        """The sample.

        Raises:
            DamagedError: something is missing or malformed, or the tar is another by now.
        """
        key, members = read_run(self.members.read(), self.shard) if isinstance(self.members, Extent) else self.members
        if self.beside is None:
            return Located(decode_sample(key, members, self.shard), self.shard)
        sample, beside = decode_sidecar(key, members, self.shard)
        if self.image is None:
            return Located(
                sample, self.beside, Lack("no image under its key", f"there is no image under key {beside.key}")
            )
        content = self.image.content.read() if isinstance(self.image.content, Extent) else self.image.content
        lacks = None
        if beside.content is not None and beside.content != content_hash(content):
            detail = f"the image under key {beside.key} is another than the sidecar was made for"
            lacks = Lack("another image under its key", detail)
        return Located(replace(sample, image=content, extension=self.image.extension), self.beside, lacks)


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """Where a row of somebody's file lies."""

    shard: str
    rows: Rows
    position: int

    def load(self) -> Located:
        """The sample."""
        sample, problem = self.rows.read(self.position)
        return Located(sample, self.shard, None if problem is None else Lack(problem.reason, problem.detail))


@dataclass(frozen=True)
class Located:
    """A sample and the tar that its image came from.

    Attributes:
        lacks: why a sample of a sidecar has no image; None where it has.
    """

    sample: Sample
    shard: str
    lacks: Lack | None = None


Place = Placed | PlacedRow


class Lack(NamedTuple):
    """Why a sample of a sidecar has no image: as it is counted, and of this one."""

    kind: str
    detail: str


def places_in_order(
    shards: Sequence[Shard],
    order: Iterable[tuple[int, int]],
    skip: int = 0,
    wanted: Callable[[int, int], bool] | None = None,
    passed_over: dict[str, int] | None = None,
    *,
    keep: bool = False,
) -> Iterator[Place]:
    """Samples in `order` after its first `skip`. Each tar is read once, forwards, and only if something is wanted.

    Memory holds the samples read past and not yet asked for: at most the window of the order.

    Args:
        wanted: whether a (shard, position) occurs in `order` at all; None if all do.
        passed_over: gets the number of images that a sidecar does not know, by tar that was read to its end.
        keep: give the bytes of local tars too.

    Raises:
        DamagedError: a shard is cut, has not the number of samples that the index says, or was read to its end and
            has another sha256.
    """
    following = iter(order)
    skipped = set(islice(following, skip))
    held: dict[tuple[int, int], Place] = {}
    with ExitStack() as stack:
        readers: dict[int, Iterator[Place]] = {}
        at: dict[int, int] = {}
        for shard, position in following:
            if shard not in readers:
                readers[shard] = _Reader(stack, shards[shard], keep, {} if passed_over is None else passed_over).read()
                at[shard] = 0
            while (shard, position) not in held:
                place = (shard, at[shard])
                placed = next(readers[shard])
                at[shard] += 1
                if place not in skipped and (wanted is None or wanted(*place)):
                    held[place] = placed
            yield held.pop((shard, position))


def read_through(shards: Sequence[Shard]) -> Iterator[Located]:
    """All samples of all shards, in the order they lie."""
    order = ((s, p) for s, shard in enumerate(shards) for p in range(shard.samples))
    return (placed.load() for placed in places_in_order(shards, order, keep=True))


@dataclass(frozen=True)
class _Reader:
    """Finds the samples of one shard. See `places_in_order`."""

    stack: ExitStack
    shard: Shard
    keep: bool
    passed_over: dict[str, int]

    def read(self) -> Iterator[Place]:
        """The samples; the last is given out only when the tar has ended where it should, byte for byte."""
        shard = self.shard
        if shard.rows is not None:
            yield from (PlacedRow(shard.url, shard.rows, position) for position in range(shard.samples))
            return
        source, stream = self._opened(shard.url, WRITE_AGAIN)
        samples = self._samples(stream)
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

    def _opened(self, url: str, fix: str) -> tuple[Resuming, io.BufferedReader]:
        try:
            source = Resuming(url)
            return source, self.stack.enter_context(io.BufferedReader(source, READ_AHEAD))
        except Exception as error:
            if not is_storage_error(error):
                raise
            raise DamagedError("this shard cannot be opened", where=url, why=readable(str(error)), fix=fix) from None

    def _samples(self, stream: IO[bytes]) -> Iterator[Placed]:
        """The samples of an open shard, and of a sidecar with the images of the tar beside it."""
        url, beside = self.shard.url, self.shard.beside
        if beside is not None:
            images = read_images(self._opened(beside, OBTAIN_AGAIN)[1], beside, keep=self._keeps(beside))
            return self._joined(group_members(read_members(stream, url), url), images, beside)
        if self._keeps(url):
            return (Placed(url, members) for members in group_members(read_members(stream, url), url))
        return (Placed(url, Extent(url, *place)) for place in sample_places(stream, url))

    def _keeps(self, url: str) -> bool:
        return self.keep or is_address(url)

    def _joined(self, samples: Iterable[Members], images: Iterable[TarImage], tar: str) -> Iterator[Placed]:
        """Samples in the order of their images in a tar; at the end those whose image it does not have."""
        waiting: defaultdict[str, list[Members]] = defaultdict(list)
        for members in samples:
            waiting[decode_sidecar(*members, self.shard.url)[1].key].append(members)
        unknown = 0
        for image in images:
            content = image.content if self._keeps(tar) else Extent(tar, image.start, image.start + image.size)
            known = waiting.pop(image.key, ())
            unknown += not known
            for members in known:
                yield Placed(self.shard.url, members, tar, Image(image.extension, content))
        self.passed_over[tar] = unknown
        for left in waiting.values():
            yield from (Placed(self.shard.url, members, tar) for members in left)
