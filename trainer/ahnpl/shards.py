"""Which shards, what is in them, and their samples in a given order."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import stamina
from fsspec.implementations.local import LocalFileSystem
from negmine.addresses import is_address, readable
from negmine.errors import DamagedError, ResourceError, UsageError
from negmine.lfs import POINTER, PULL, is_pointer_file
from negmine.places import local, matches
from negmine.records import Sample
from negmine.shards.format import INDEX_NAME, Index, read_samples
from negmine.storage_errors import is_storage_error
from negmine.store.remote import ATTEMPTS, file_system, request, retrying

_READ_AHEAD: Final = 1 << 16
_BLOCK: Final = 8 << 20
"""Bytes of one request to a store."""
_AGAIN = "run `negmine verify` on its folder, then `negmine shard` again"


@dataclass(frozen=True)
class Shard:
    """One tar, as its folder's index describes it."""

    url: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardSet:
    """The shards a run reads.

    Attributes:
        shards: in the order given, each once.
        negatives: the most text negatives a sample has.
        kinds: text negatives by kind, over the folders named.
        image_negatives: the most image negatives a sample has.
        planned: size of the batches that follow each other in the shards; None where none were planned.
    """

    shards: tuple[Shard, ...]
    negatives: int
    kinds: dict[str, int]
    image_negatives: int = 0
    planned: int | None = None

    @property
    def samples(self) -> int:
        return sum(shard.samples for shard in self.shards)

    @property
    def fingerprint(self) -> str:
        """Changes when any shard's content changes; the folder's name does not matter."""
        return hashlib.sha256(" ".join(shard.sha256 for shard in self.shards).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Located:
    """A sample and the shard it came from."""

    sample: Sample
    shard: str


def open_shards(patterns: Sequence[str]) -> ShardSet:
    """Find shards and check each against the ``index.json`` beside it.

    Args:
        patterns: paths, globs, brace expressions, or fsspec URLs of these.

    Raises:
        UsageError: a pattern that matches nothing.
        DamagedError: an index is missing or damaged, a shard is not in it, or its size differs.
    """
    urls = list(dict.fromkeys(url for pattern in patterns for url in _expand(pattern)))
    if not urls:
        raise UsageError("no shards were named", fix="give --shards data/*.tar")
    indexes: dict[str, Index] = {}
    shards = []
    for url in urls:
        folder, name = _split(url)
        if folder not in indexes:
            indexes[folder] = _read_index(folder)
        shards.append(_check(url, name, indexes[folder]))
    kinds: dict[str, int] = {}
    for index in indexes.values():
        for kind, count in index.kinds.items():
            kinds[kind] = kinds.get(kind, 0) + count
    most, most_images = (
        max(getattr(index, name) for index in indexes.values())
        for name in ("negatives_per_sample", "image_negatives_per_sample")
    )
    return ShardSet(tuple(shards), most, kinds, most_images, _planned(indexes))


def _planned(indexes: Mapping[str, Index]) -> int | None:
    """The size of planned batches that all folders agree on."""
    sizes = {folder: index.settings.get("planned_batch") for folder, index in indexes.items()}
    if len(set(sizes.values())) > 1:
        raise UsageError(
            "shards with different batch plans cannot be trained on together",
            why=", ".join(f"{folder}: {size or 'none'}" for folder, size in sizes.items()),
            fix="write them again with one plan, or name one folder",
        )
    return next(iter(sizes.values()))


@dataclass(frozen=True)
class Share:
    """One of the equal stretches that each epoch is cut into: together they hold every sample once.

    Attributes:
        number: from 0 to ``count - 1``.
    """

    number: int = 0
    count: int = 1

    def size(self, total: int) -> int:
        """How many of `total` items are in this share."""
        return self._bound(total, self.number + 1) - self._bound(total, self.number)

    def ranges(self, counts: Sequence[int], shards: Sequence[int]) -> dict[int, range]:
        """Positions of this share by shard, where the shards are laid end to end and cut."""
        first, last = (self._bound(sum(counts), number) for number in (self.number, self.number + 1))
        found, start = {}, 0
        for shard in shards:
            own = range(max(first - start, 0), min(last - start, counts[shard]))
            if own:
                found[shard] = own
            start += counts[shard]
        return found

    def _bound(self, total: int, number: int) -> int:
        return total * number // self.count


WHOLE = Share()


def planned_order(
    counts: Sequence[int], batch: int, seed: int, epoch: int, window: int, share: Share = WHOLE, size: int | None = None
) -> Iterator[tuple[int, int]]:
    """`epoch_order` of whole batches: each run of `batch` samples of a shard stays together, in its order.

    Args:
        share: has its slice of every `size` samples (default: `batch`), so that the shares together hold a planned
            batch.
    """
    runs = [count // batch for count in counts]
    wanted = wanted_of_planned(size or batch, share)
    for shard, run in epoch_order(runs, seed, epoch, window // batch):
        for position in range(run * batch, (run + 1) * batch):
            if wanted(shard, position):
                yield shard, position


def wanted_of_planned(size: int, share: Share) -> Callable[[int, int], bool]:
    """Whether a (shard, position) is in the `planned_order` of a share; `size` divides the planned batch."""
    own = range(size * share.number // share.count, size * (share.number + 1) // share.count)
    return lambda shard, position: position % size in own


def epoch_order(
    counts: Sequence[int], seed: int, epoch: int, window: int, share: Share = WHOLE
) -> Iterator[tuple[int, int]]:
    """(shard, position) of every sample, each once: shards shuffled, then a shuffle buffer of `window` samples.

    A pure function of its arguments: workers, and where a run was stopped, change nothing. Each share is a stretch
    of the shuffled shards, so that a shard is read for one share, or for two where a stretch ends in it.
    """
    chance = random.Random(f"{seed}/{epoch}")
    buffer: list[tuple[int, int]] = []
    for shard, positions in _ranges(counts, chance, share).items():
        for position in positions:
            buffer.append((shard, position))
            if len(buffer) > window:
                drawn = chance.randrange(len(buffer))
                buffer[drawn], buffer[-1] = buffer[-1], buffer[drawn]
                yield buffer.pop()
    chance.shuffle(buffer)
    yield from buffer


def wanted_of(counts: Sequence[int], seed: int, epoch: int, share: Share) -> Callable[[int, int], bool]:
    """Whether a (shard, position) is in the `epoch_order` of a share."""
    own = _ranges(counts, random.Random(f"{seed}/{epoch}"), share)
    return lambda shard, position: position in own[shard]


def _ranges(counts: Sequence[int], chance: random.Random, share: Share) -> dict[int, range]:
    shards = list(range(len(counts)))
    chance.shuffle(shards)
    return share.ranges(counts, shards)


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
    try:
        source = Resuming(shard.url)
        stream = stack.enter_context(io.BufferedReader(source, _READ_AHEAD))
    except Exception as error:
        if not is_storage_error(error):
            raise
        raise DamagedError(
            "this shard cannot be opened", where=shard.url, why=readable(str(error)), fix=_AGAIN
        ) from None
    samples = read_samples(stream, shard.url)
    pending = next(samples, None)
    for count in range(1, shard.samples + 1):
        following = next(samples, None)
        ended = following is None
        if pending is None or ended != (count == shard.samples):
            raise DamagedError(
                "this shard is damaged",
                where=shard.url,
                why=f"it holds {'fewer' if ended else 'more'} than the {shard.samples} samples of its index",
                fix=_AGAIN,
            )
        if ended:
            stream.close()
            if source.sha256.hexdigest() != shard.sha256:
                raise DamagedError(
                    "this shard is damaged",
                    where=shard.url,
                    why="its bytes are not those that the index has a sha256 of: it was changed or exchanged",
                    fix=_AGAIN,
                )
        yield Located(pending, shard.url)
        pending = following


class Resuming(io.RawIOBase):
    """A file that is read forwards; where an address (``s3://...``) fails, it is opened again at the same place.

    Attributes:
        sha256: of all bytes up to `position`.

    Raises:
        ResourceError: it failed `ATTEMPTS` times at one place.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.position, self.sha256 = url, 0, hashlib.sha256()
        for attempt in self._attempts():
            with attempt:
                self._stream = self._opened()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            for attempt in self._attempts():
                with attempt:
                    if self._stream.closed:
                        self._stream = self._opened()
                    content = self._read(len(buffer))
        except Exception as error:
            if not is_storage_error(error):
                raise
            raise ResourceError(
                "this shard cannot be read on",
                where=f"{self.url}, byte {self.position:,}",
                why=readable(str(error)) or type(error).__name__,
                fix="look at the storage; the same command resumes from the last checkpoint",
            ) from None
        buffer[: len(content)] = content
        self.position += len(content)
        self.sha256.update(content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()

    def _attempts(self) -> Iterable[stamina.Attempt]:
        return retrying(ATTEMPTS if is_address(self.url) else 1)

    def _read(self, length: int) -> bytes:
        try:
            return bytes(self._stream.read(length))
        except Exception:
            with suppress(Exception):
                self._stream.close()
            raise

    def _opened(self) -> IO[bytes]:
        if is_address(self.url):
            files, path = file_system(self.url)
            stream: IO[bytes] = files.open(path, "rb", block_size=_BLOCK)
        else:
            stream = Path(self.url).open("rb")  # noqa: SIM115 - closed with this object
        stream.seek(self.position)
        return stream


def _expand(pattern: str) -> list[str]:
    """The files that a pattern names."""
    remote = is_address(pattern)
    files, path = file_system(pattern) if remote else (LocalFileSystem(), str(local(pattern).absolute()))
    try:
        found = request(lambda: matches(files, path), pattern)
    except UsageError as error:
        raise UsageError(
            "no such shard", where=error.where, fix="check the path; `negmine shard` writes to data/ by default"
        ) from None
    return [files.unstrip_protocol(path) if remote else path for path in found]


def _split(url: str) -> tuple[str, str]:
    folder, _, name = url.rpartition("/")
    return folder, name


def _read_index(folder: str) -> Index:
    where = f"{folder}/{INDEX_NAME}"
    try:
        text = _text_of(where)
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedError(
            "these shards have no readable index",
            where=where,
            why=str(error),
            fix=f"keep {INDEX_NAME} beside the tars; `negmine shard` writes it",
        ) from None
    return Index.from_json(text, where)


def _text_of(where: str) -> str:
    if not is_address(where):
        return Path(where).read_text(encoding="utf-8")
    files, path = file_system(where)
    return request(lambda: bytes(files.cat_file(path)), where).decode()


def _check(url: str, name: str, index: Index) -> Shard:
    entry = next((entry for entry in index.shards if PurePosixPath(entry.file).name == name), None)
    if entry is None:
        raise DamagedError("this shard is not in the index beside it", where=url, fix=_AGAIN)
    files, path = file_system(url) if is_address(url) else (LocalFileSystem(), url)
    size = request(lambda: files.size(path), url)
    if size != entry.bytes and not is_address(url) and is_pointer_file(Path(url)):
        raise DamagedError("this shard is not there yet", where=url, why=POINTER, fix=PULL)
    if size != entry.bytes:
        raise DamagedError(
            "this shard is damaged", where=url, why=f"it has {size:,} bytes, the index says {entry.bytes:,}", fix=_AGAIN
        )
    return Shard(url, entry.samples, entry.bytes, entry.sha256)
