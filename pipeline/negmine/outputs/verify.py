"""``negmine verify``: is a folder still what was written there?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from negmine.base.console import Summary
from negmine.base.errors import DamagedError, UsageError
from negmine.base.whole_files import read_whole
from negmine.contract.shard_format import HELDOUT, INDEX_NAME, Index, read_samples, read_sidecar
from negmine.store import JOURNAL, MANIFEST, FileRecord, folder_at, load_manifest, verify_files, verify_store

DEPTH: Final = 2
"""Levels of folders below the given one: ``work/embeddings/ENCODER`` is the deepest."""


@dataclass(frozen=True)
class Verified:
    """What was looked at: number of files and bytes, and what is wrong with them."""

    folder: str
    files: int
    bytes: int
    problems: tuple[str, ...]


def verify(path: Path, *, fast: bool = False) -> list[Verified]:
    """Verify a work folder, one stage's folder, or a folder of shards (held-out ones included).

    Args:
        fast: sizes and names only; otherwise sha256 of every file, and every sample of every shard is read.

    Raises:
        UsageError: there is nothing of negmine's at `path`.
    """
    if not path.is_dir():
        what = "this is a file; whole folders are verified" if path.exists() else "no such folder"
        raise UsageError(what, where=str(path), fix="name a work folder, a stage's folder, or a folder of shards")
    folders = list(_folders(path, DEPTH))
    found = [_verify_folder(folder, fast) for folder in folders if _ours(folder, inside=folder != path)]
    if not found:
        raise UsageError(
            "there is no work folder, stage or shard set here",
            where=str(path),
            fix="name a folder that a negmine command wrote",
        )
    return found


def problems_of(found: Sequence[Verified]) -> list[str]:
    """What is wrong, a line each."""
    return [f"{one.folder}: {problem}" for one in found for problem in one.problems]


def summary(found: Sequence[Verified], path: Path, *, fast: bool) -> Summary:
    """What is said of a folder in which nothing is wrong."""
    figures = {one.folder: {"files": one.files, "MB": round(one.bytes / 1e6, 1)} for one in found}
    headline = "sizes and names agree" if fast else "every byte is as it was written"
    return Summary(f"negmine verify {path}", headline, figures)


def _folders(path: Path, depth: int) -> Iterator[Path]:
    yield path
    for child in sorted(path.iterdir()) if depth else ():
        if child.is_dir() and not child.name.startswith("."):
            yield from _folders(child, depth - 1)


def _ours(folder: Path, *, inside: bool) -> bool:
    names = [MANIFEST, JOURNAL, INDEX_NAME]
    results = ["part-*.parquet", "part-*.npy"] + ([] if inside and folder.name != HELDOUT else ["*.tar"])
    return any((folder / name).exists() for name in names) or any(any(folder.glob(pattern)) for pattern in results)


def _verify_folder(folder: Path, fast: bool) -> Verified:
    try:
        stage = (folder / MANIFEST).exists()  # figures keep their images in tars, and are no shards
        shards = (folder / INDEX_NAME).exists() or (any(folder.glob("*.tar")) and not stage)
        files, problems = _shards(folder, fast) if shards else _stage(folder, fast)
    except DamagedError as error:
        return Verified(str(folder), 0, 0, (" ".join(str(error).split()),))
    return Verified(str(folder), len(files), sum(file.bytes for file in files), tuple(problems))


def _stage(folder: Path, fast: bool) -> tuple[tuple[FileRecord, ...], list[str]]:
    return load_manifest(folder).files, verify_store(folder, fast=fast)


def _shards(folder: Path, fast: bool) -> tuple[tuple[FileRecord, ...], list[str]]:
    path = folder / INDEX_NAME
    if not path.exists():
        raise DamagedError(f"{INDEX_NAME} is missing", where=str(folder))
    try:
        content = read_whole(path)
    except OSError as error:
        raise DamagedError("this file cannot be read", where=str(path), why=error.strerror or str(error)) from None
    index = Index.from_json(content.decode(errors="replace"), str(path))
    listed = tuple(FileRecord(shard.file, shard.samples, shard.bytes, shard.sha256) for shard in index.shards)
    problems = verify_files(folder, listed, pattern="*.tar", fast=fast)
    if (folder / MANIFEST).exists():
        others = [file for file in load_manifest(folder).files if not file.file.endswith(".tar")]
        problems += verify_files(folder, others, pattern=INDEX_NAME, fast=fast)
    if not fast and not problems:
        read = read_sidecar if index.is_sidecar else read_samples
        problems += [problem for shard in listed for problem in _samples(folder / shard.file, shard.rows, read)]
    return listed, problems


def _samples(path: Path, expected: int, read: Callable[[IO[bytes], str], Iterator[object]]) -> list[str]:
    """A shard whose bytes are as written may still have been written wrongly: read it as a trainer does."""
    try:
        with folder_at(path.parent).file(path.name).open("rb") as stream:
            found = sum(1 for _ in read(stream, path.name))
    except DamagedError as error:
        return [" ".join(str(error).split())]
    return [] if found == expected else [f"{path.name} has {found} samples, should have {expected}"]
