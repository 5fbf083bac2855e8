"""Which shards there are, and what their folders' indexes say of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final

from negmine.base.addresses import is_address
from negmine.base.errors import DamagedError, UsageError
from negmine.base.lfs import POINTER, PULL, is_pointer_file
from negmine.base.whole_files import read_whole
from negmine.contract.shard_format import INDEX_NAME, Index, begins_with_sample
from negmine.store.file_systems import file_system, request
from negmine.store.places import matches

from ahnpl.data.rows import TOGETHER, Indexed, Reading, Rows, index_rows

WRITE_AGAIN: Final = "run `negmine verify` on its folder, then `negmine shard` again"


@dataclass(frozen=True)
class Shard:
    """One tar, as its folder's index describes it.

    Attributes:
        beside: of a sidecar, the tar that the images lie in.
        rows: of somebody's file that has no index of shards, its rows.
    """

    url: str
    samples: int
    bytes: int
    sha256: str
    beside: str | None = None
    rows: Rows | None = None


@dataclass(frozen=True)
class ShardSet:
    """The shards a run reads.

    Attributes:
        shards: in the order given, each once.
        negatives: the most text negatives a sample has.
        kinds: text negatives by kind, over the folders named.
        image_negatives: the most image negatives a sample has.
        positives: the most true texts a sample has beside its caption.
        planned: size of the batches that follow each other in the shards; None where none were planned.
        refused: rows of somebody's files that cannot be used, by reason.
    """

    shards: tuple[Shard, ...]
    negatives: int
    kinds: dict[str, int]
    image_negatives: int = 0
    planned: int | None = None
    refused: Mapping[str, int] = field(default_factory=dict)
    positives: int = 0

    @property
    def samples(self) -> int:
        return sum(shard.samples for shard in self.shards)

    @property
    def is_plain(self) -> bool:
        """Whether somebody's files are among them, in which there are no negatives."""
        return any(shard.rows for shard in self.shards)

    @property
    def fingerprint(self) -> str:
        """Changes when any shard's content changes; the folder's name does not matter."""
        return hashlib.sha256(" ".join(shard.sha256 for shard in self.shards).encode()).hexdigest()[:16]


def open_shards(patterns: Sequence[str], images: str | None = None, reading: Reading | None = None) -> ShardSet:
    """Find shards and check each against the ``index.json`` beside it; look at the rows of files that have none.

    Args:
        patterns: paths, globs, brace expressions, or fsspec URLs of these.
        images: the folder of the tars that sidecars lie beside, or its address.
        reading: how somebody's tars and tables are read; None refuses them.

    Raises:
        UsageError: a pattern that matches nothing, or a sidecar without its tars.
        InputError: too many rows of somebody's file cannot be used.
        DamagedError: an index is missing or damaged, a shard is not in it, or its size differs.
    """
    urls = list(dict.fromkeys(url for pattern in patterns for url in _expand(pattern)))
    if not urls:
        raise UsageError("no shards were named", fix="give --shards data/*.tar")
    indexes: dict[str, Index] = {}
    shards: list[Shard] = []
    refused = Counter[str]()
    for url in urls:
        if reading is not None and _is_somebodys(url):
            found = index_rows(url, reading)
            refused.update(found.refused)
            shards += _of_rows(url, found)
            continue
        folder, name = _split(url)
        if folder not in indexes:
            indexes[folder] = _read_index(folder)
        shard = _check(url, name, indexes[folder])
        shards.append(replace(shard, beside=_beside(shard, name, images)) if indexes[folder].is_sidecar else shard)
    kinds: dict[str, int] = {}
    for index in indexes.values():
        for kind, count in index.kinds.items():
            kinds[kind] = kinds.get(kind, 0) + count
    most, most_images, most_positives = (
        max((getattr(index, name) for index in indexes.values()), default=0)
        for name in ("negatives_per_sample", "image_negatives_per_sample", "positives_per_sample")
    )
    planned = {folder: index.settings.get("planned_batch") for folder, index in indexes.items()}
    planned |= {shard.url: None for shard in shards if shard.rows}
    return ShardSet(tuple(shards), most, kinds, most_images, _planned(planned), refused, most_positives)


def _is_somebodys(url: str) -> bool:
    """Whether a file is a table, or a tar that `negmine shard` did not write: it has no index beside it, and its first
    sample none of our members."""
    if not url.endswith(".tar"):
        return True
    files, path = file_system(f"{_split(url)[0]}/{INDEX_NAME}")
    if request(lambda: bool(files.isfile(path)), url):
        return False
    with file_system(url)[0].open(file_system(url)[1], "rb") as stream:
        return not begins_with_sample(stream)


def _of_rows(url: str, found: Indexed) -> Iterator[Shard]:
    """A tar as one shard, so that it is read forwards; a table in short ones, so that its rows are shuffled."""
    size = found.samples if found.holds_images else TOGETHER
    for first in range(0, found.samples, size):
        rows = Rows(found.index, found.root, first)
        yield Shard(url, min(size, found.samples - first), 0, f"{found.digest} {first}", rows=rows)


def check_images(images: str | None, *sets: ShardSet | None) -> None:
    """Refuse a folder of images that nothing is looked for in.

    Raises:
        UsageError: none of the sets is a sidecar or somebody's file.
    """
    shards = [shard for one in sets if one for shard in one.shards]
    if images is not None and not any(shard.beside or shard.rows for shard in shards):
        raise UsageError("these shards have their images in them", where=f"--images {images}", fix="leave out --images")


def _beside(shard: Shard, name: str, images: str | None) -> str:
    """The tar of the same name that has the images of a sidecar's."""
    if images is None:
        raise UsageError(
            "this is a sidecar, whose images lie in other tars",
            where=shard.url,
            fix="name the folder of these, --images FOLDER, to ahnpl-train or ahnpl-eval; hard_negatives, and what "
            "else reads shards alone, needs some that were written without --sidecar",
        )
    url = f"{images.rstrip('/')}/{name}"
    files, path = file_system(url)
    if not request(lambda: bool(files.isfile(path)), url):
        raise UsageError(
            "the tar that this sidecar lies beside is not there",
            where=url,
            why=f"{shard.url} is for a tar of the same name",
            fix="name the folder that the sidecar was made for, or fewer --shards",
        )
    return url


def _planned(sizes: Mapping[str, int | None]) -> int | None:
    """The size of planned batches that all folders agree on."""
    if len(set(sizes.values())) > 1:
        raise UsageError(
            "shards with different batch plans cannot be trained on together",
            why=", ".join(f"{folder}: {size or 'none'}" for folder, size in sizes.items()),
            fix="write them again with one plan, or name one folder",
        )
    return next(iter(sizes.values()))


def _expand(pattern: str) -> list[str]:
    """The files that a pattern names."""
    remote = is_address(pattern)
    files, path = file_system(pattern)
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
        return read_whole(Path(where)).decode()
    files, path = file_system(where)
    return request(lambda: bytes(files.cat_file(path)), where).decode()


def _check(url: str, name: str, index: Index) -> Shard:
    entry = next((entry for entry in index.shards if PurePosixPath(entry.file).name == name), None)
    if entry is None:
        raise DamagedError("this shard is not in the index beside it", where=url, fix=WRITE_AGAIN)
    files, path = file_system(url)
    size = request(lambda: files.size(path), url)
    if size != entry.bytes and not is_address(url) and is_pointer_file(Path(url)):
        raise DamagedError("this shard is not there yet", where=url, why=POINTER, fix=PULL)
    if size != entry.bytes:
        raise DamagedError(
            "this shard is damaged",
            where=url,
            why=f"it has {size:,} bytes, the index says {entry.bytes:,}",
            fix=WRITE_AGAIN,
        )
    return Shard(url, entry.samples, entry.bytes, entry.sha256)
