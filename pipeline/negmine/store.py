"""Folders of immutable parts: atomic writing, a journal to resume from, a sealed manifest, locks, verification.

A stage writes each part to a temporary name, flushes it to the disk, renames it, and only then is the part entered in
the journal. When all parts are there the journal becomes the manifest. So whatever is listed is whole, and a stage
that was killed goes on with what is missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from negmine.errors import DamagedError, ResourceError, explain_os_error
from negmine.seal import canonical, digest, seal, unseal

MANIFEST: Final = "manifest.json"
JOURNAL: Final = ".journal.jsonl"
LOCK: Final = ".lock"
STATS: Final = "stats.json"
"""Timings of the last run; the only file of a store that may differ between two equal runs."""
TEMPORARY: Final = ".tmp-"
STORE_VERSION: Final = 1
REJECTED_STEM: Final = "rejected-"
REJECTED_FILE: Final = "rejected.parquet"
"""Rows that went no further, with their reasons; one file for all parts."""
_RESULT = re.compile(r"(part|shard|rejected)-\d{5,}\.\w+|rejected\.parquet|index\.json")

_REDO = "run the stage again with --overwrite"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file as the manifest lists it; ``file`` is relative to the store's folder."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PartRecord:
    """What a finished part left: its files, and what was counted while it was made."""

    index: int
    files: tuple[FileRecord, ...]
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> PartRecord:
        return cls(body["index"], tuple(FileRecord(**file) for file in body["files"]), dict(body["counts"]))


@dataclass(frozen=True)
class Spec:
    """What a stage is about to make. Equal specs make equal bytes.

    Attributes:
        stage: name of the stage.
        settings: everything that changes the result, the seed included.
        inputs: name to digest of what is read.
        packages: versions of the libraries whose behaviour shows in the result.
        context: facts worth keeping that do not change the result, such as the image root.
    """

    stage: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    packages: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        return digest({"stage": self.stage, "settings": self.settings, "inputs": self.inputs})


@dataclass(frozen=True)
class Manifest:
    """A finished stage.

    Attributes:
        extra: files that belong to no part.
        extra_counts: what was counted outside the parts.
    """

    spec: Spec
    parts: tuple[PartRecord, ...]
    extra: tuple[FileRecord, ...] = ()
    extra_counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def files(self) -> tuple[FileRecord, ...]:
        return (*(file for part in self.parts for file in part.files), *self.extra)

    @property
    def counts(self) -> dict[str, int]:
        return add_counts([self.extra_counts, *(part.counts for part in self.parts)])

    @property
    def digest(self) -> str:
        """Identity of the content; the next stage enters it as its input."""
        return digest([self.spec.fingerprint, [[file.file, file.sha256] for file in self.files]])

    def to_text(self) -> str:
        body = {
            "version": STORE_VERSION,
            **asdict(self.spec),
            "fingerprint": self.spec.fingerprint,
            "counts": self.counts,
            "records": [asdict(part) for part in self.parts],
            "extra": [asdict(file) for file in self.extra],
            "extra_counts": self.extra_counts,
        }
        return seal(json.loads(canonical(body)))

    @classmethod
    def from_text(cls, text: str, where: str) -> Manifest:
        body = unseal(text, where, _REDO)
        if body.get("version") != STORE_VERSION:
            raise DamagedError(
                f"a store of version {body.get('version')}, this negmine reads {STORE_VERSION}", where=where, fix=_REDO
            )
        return cls(
            _spec_of(body),
            tuple(PartRecord.from_json(part) for part in body["records"]),
            tuple(FileRecord(**file) for file in body["extra"]),
            body["extra_counts"],
        )


def _spec_of(body: Mapping[str, Any]) -> Spec:
    return Spec(**{name: body[name] for name in Spec.__dataclass_fields__})


def add_counts(counts: Iterator[Mapping[str, int]] | Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Sum of counters, keys sorted."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


def part_name(index: int, extension: str = "parquet", stem: str = "part") -> str:
    return f"{stem}-{index:05d}.{extension}"


# --- writing files ---------------------------------------------------------------------------------------------------


class _Hashing:
    """A binary stream that hashes and counts what passes through."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.sha256, self.bytes = stream, hashlib.sha256(), 0

    def write(self, data: Any) -> int:
        self._stream.write(data)
        view = memoryview(data)
        self.sha256.update(view)
        self.bytes += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        self._stream.flush()

    def tell(self) -> int:
        return self.bytes

    closed = False

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:  # the owner of the file closes it
        pass


def write_file(folder: Path, name: str, write: Callable[[IO[bytes]], int]) -> FileRecord:
    """Write a file so that it is either whole under its name or not there.

    Args:
        write: writes to the stream, front to back, and returns the number of rows.

    Raises:
        ResourceError: no space or no permission; nothing is left behind.
    """
    temporary = folder / f"{TEMPORARY}{os.getpid()}-{name}"
    try:
        with temporary.open("wb") as file:
            stream = _Hashing(file)
            rows = write(stream)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / name)
        sync_folder(folder)
    except OSError as error:
        raise explain_os_error(error, str(folder / name)) from error
    finally:
        temporary.unlink(missing_ok=True)
    return FileRecord(name, rows, stream.bytes, stream.sha256.hexdigest())


def write_text(folder: Path, name: str, text: str) -> FileRecord:
    """`write_file` for a small document."""

    def write(stream: IO[bytes]) -> int:
        stream.write(text.encode())
        return 0

    return write_file(folder, name, write)


def write_table(folder: Path, name: str, table: Any) -> FileRecord:
    """`write_file` for an Arrow table as Parquet."""
    import pyarrow.parquet as pq

    def write(stream: IO[bytes]) -> int:
        pq.write_table(table, stream, compression="zstd")
        return int(table.num_rows)

    return write_file(folder, name, write)


def read_part(folder: Path, index: int, columns: Sequence[str] | None = None) -> Any:
    """A part's Arrow table.

    Raises:
        DamagedError: its content is not what was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / part_name(index)
    try:
        return pq.read_table(path, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise DamagedError("this part cannot be read", where=str(path), why=str(error).strip(), fix=_REDO) from None


def merge_rejected(store: Store, gathered: Path | None = None) -> FileRecord:
    """Bring the rejected rows of all parts, and of an earlier phase, together in one ``rejected.parquet``.

    The parts' own files go: a run that is killed before the manifest is written makes those parts again.
    """
    import pyarrow.parquet as pq

    from negmine.records import REJECTED

    sidecars = [
        store.folder / file.file
        for index in sorted(store.parts)
        for file in store.parts[index].files
        if file.file.startswith(REJECTED_STEM)
    ]

    def write(stream: IO[bytes]) -> int:
        rows = 0
        with pq.ParquetWriter(stream, REJECTED, compression="zstd") as writer:
            for path in [*([gathered] if gathered else []), *sidecars]:
                for batch in pq.ParquetFile(path).iter_batches():
                    writer.write_batch(batch)
                    rows += batch.num_rows
        return rows

    record = write_file(store.folder, REJECTED_FILE, write)
    for path in sidecars:
        path.unlink()
    for index, part in store.parts.items():
        files = tuple(file for file in part.files if not file.file.startswith(REJECTED_STEM))
        store.parts[index] = PartRecord(part.index, files, part.counts)
    return record


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- locks -----------------------------------------------------------------------------------------------------------


@contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a store: one writer, or any number of readers. The kernel frees the lock when its holder dies.

    Raises:
        ResourceError: somebody else holds it; the message names host and process.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        read_only = shared and path.exists() and not os.access(path, os.W_OK)
        handle = os.open(path, os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise explain_os_error(error, str(folder)) from error
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 4096, 0).decode(errors="replace").strip() or "another reader"
            raise ResourceError(
                "another run is using this folder",
                where=str(folder),
                why=f"held by {holder}",
                fix="wait for it to end, stop it, or use another folder",
            ) from error
        if not read_only:
            _sign(handle, path)
        yield
    finally:
        os.close(handle)


def _sign(handle: int, path: Path) -> None:
    """Name the holder of a lock; of several readers the last one."""
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"host {socket.gethostname()}, process {os.getpid()}".encode(), 0)
    except OSError as error:
        raise explain_os_error(error, str(path)) from error


# --- the store of one stage ------------------------------------------------------------------------------------------


class Store:
    """A stage's folder while the stage runs. Use `Store.open`."""

    def __init__(self, folder: Path, spec: Spec, parts: dict[int, PartRecord], manifest: Manifest | None) -> None:
        self.folder, self.spec, self.parts, self.manifest = folder, spec, parts, manifest

    @classmethod
    @contextmanager
    def open(cls, folder: Path, spec: Spec, *, overwrite: bool = False) -> Iterator[Store]:
        """Lock a folder for this spec and find out what is already there.

        Raises:
            ResourceError: another run holds the folder.
            DamagedError: it holds results of other settings or other input, and `overwrite` is off.
        """
        with locked(folder):
            _remove_temporaries(folder)
            if overwrite:
                _remove_results(folder)
            before = load_manifest(folder) if (folder / MANIFEST).exists() else None
            if before is not None:
                _refuse_other(folder, before.spec, spec, finished=True)
                whole = {part.index: part for part in before.parts if not _broken(folder, part.files, fast=True)}
                if len(whole) == len(before.parts) and not _broken(folder, before.extra, fast=True):
                    yield cls(folder, spec, whole, before)
                    return
                yield cls._continued(folder, spec, {i: part for i, part in whole.items() if not _shared(before, part)})
                return
            yield cls._continued(folder, spec, _resume(folder, spec))

    @classmethod
    def _continued(cls, folder: Path, spec: Spec, parts: dict[int, PartRecord]) -> Store:
        """A store with a fresh journal that lists `parts`."""
        lines = [asdict(spec), *(asdict(part) for part in parts.values())]
        write_text(folder, JOURNAL, "".join(canonical(line).decode() + "\n" for line in lines))
        (folder / MANIFEST).unlink(missing_ok=True)
        return cls(folder, spec, parts, None)

    @property
    def finished(self) -> bool:
        return self.manifest is not None

    def missing(self, parts: int) -> list[int]:
        """Which of so many parts are still to be made."""
        return [index for index in range(parts) if index not in self.parts]

    def enter(self, part: PartRecord) -> None:
        """Enter a part whose files are already on the disk."""
        try:
            with (self.folder / JOURNAL).open("ab") as journal:
                journal.write(canonical(asdict(part)) + b"\n")
                journal.flush()
                os.fsync(journal.fileno())
        except OSError as error:
            raise explain_os_error(error, str(self.folder / JOURNAL)) from error
        self.parts[part.index] = part

    def finish(self, extra: Sequence[FileRecord] = (), extra_counts: Mapping[str, int] | None = None) -> Manifest:
        """Seal the stage: all parts are there."""
        parts = tuple(self.parts[index] for index in sorted(self.parts))
        manifest = Manifest(self.spec, parts, tuple(extra), extra_counts or {})
        write_text(self.folder, MANIFEST, manifest.to_text())
        (self.folder / JOURNAL).unlink(missing_ok=True)
        sync_folder(self.folder)
        self.manifest = manifest
        return manifest


def _resume(folder: Path, spec: Spec) -> dict[int, PartRecord]:
    """Parts of an unfinished run that are whole. A torn last line of the journal is a part that was not entered."""
    path = folder / JOURNAL
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    if not lines:
        return {}
    try:
        before = _spec_of(json.loads(lines[0]))
        parts = [PartRecord.from_json(json.loads(line)) for line in lines[1:]]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError("the journal is damaged", where=str(path), why=repr(error), fix=_REDO) from None
    if parts:  # else nothing is there that could be mixed
        _refuse_other(folder, before, spec, finished=False)
    return {part.index: part for part in parts if not _broken(folder, part.files, fast=False)}


def _shared(manifest: Manifest, part: PartRecord) -> bool:
    """Whether rows of a part lie in ``rejected.parquet`` only, which is written anew when a part is missing."""
    return any(file.file == REJECTED_FILE and file.rows for file in manifest.extra) and any(
        name.startswith("rejected:") for name in part.counts
    )


def _refuse_other(folder: Path, before: Spec, now: Spec, *, finished: bool) -> None:
    """Never mix two settings in one folder. Library versions only matter while parts are still to be made."""
    names = ["stage", "settings"] + ([] if finished else ["packages"])
    changes = [
        line
        for name in names
        for line in differences(
            json.loads(canonical(getattr(before, name))), json.loads(canonical(getattr(now, name))), name
        )
    ]
    other = (name for name in sorted({*before.inputs, *now.inputs}) if before.inputs.get(name) != now.inputs.get(name))
    changes += [f"inputs.{name}: not what it was" for name in other]  # digests tell a person nothing
    if changes:
        raise DamagedError(
            "this folder was made with other settings or from other input",
            where=str(folder),
            why="; ".join(changes[:8]) + (f"; and {len(changes) - 8} more" if len(changes) > 8 else ""),
            fix="use the same settings, another folder, or --overwrite to make it anew",
        )


def differences(before: Any, now: Any, name: str) -> list[str]:
    """Where two JSON values differ, as readable lines."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(before.keys() | now.keys())
            for line in differences(before.get(key), now.get(key), f"{name}.{key}")
        ]
    return [] if before == now else [f"{name}: {_short(before)} -> {_short(now)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _remove_temporaries(folder: Path) -> None:
    for path in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _remove_results(folder: Path) -> None:
    """Delete what a run of a stage and of its hidden phases leaves; other files in the folder are not ours."""
    for path in folder.iterdir():
        if path.name in (MANIFEST, JOURNAL, STATS) or _RESULT.fullmatch(path.name):
            path.unlink()
        elif path.name.startswith(".") and (path / LOCK).exists():
            shutil.rmtree(path)


# --- reading and verifying -------------------------------------------------------------------------------------------


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a finished stage.

    Raises:
        DamagedError: there is none, or it is damaged.
    """
    path = folder / MANIFEST
    if not path.exists():
        unfinished = (folder / JOURNAL).exists()
        raise DamagedError(
            "this stage is not finished" if unfinished else "there is no finished stage here",
            where=str(folder),
            fix="run its command again" if unfinished else "run its command first",
        )
    return Manifest.from_text(path.read_text(errors="replace"), str(path))  # the checksum tells


@contextmanager
def reading(folder: Path) -> Iterator[Manifest]:
    """A finished stage, locked against being rewritten while it is read.

    Raises:
        DamagedError: it is not finished, or a file is missing or has another size.
    """
    load_manifest(folder)  # before the lock, which would create the folder
    with locked(folder, shared=True):
        manifest = load_manifest(folder)
        problems = _broken(folder, manifest.files, fast=True)
        if problems:
            raise DamagedError("this stage is damaged", where=str(folder), why="; ".join(problems[:8]), fix=_REDO)
        yield manifest


def _broken(folder: Path, files: Sequence[FileRecord], *, fast: bool) -> list[str]:
    """What is wrong with these files: missing, another size, and unless `fast`, another content."""
    problems = []
    for file in files:
        path = folder / file.file
        if not path.is_file():
            problems.append(f"{file.file} is missing")
        elif (size := path.stat().st_size) != file.bytes:
            problems.append(f"{file.file} has {size:,} bytes, should have {file.bytes:,}")
        elif not fast and file_sha256(path) != file.sha256:
            problems.append(f"{file.file} has another content (sha256 differs)")
    return problems


def verify_files(folder: Path, files: Sequence[FileRecord], *, pattern: str, fast: bool) -> list[str]:
    """Problems of a folder that should hold exactly `files` among the names that match the glob `pattern`."""
    listed = {file.file for file in files}
    extra = sorted(path.name for path in folder.glob(pattern) if path.name not in listed and not _own(path))
    return [*_broken(folder, files, fast=fast), *(f"{name} is not listed" for name in extra)]


def _own(path: Path) -> bool:
    return path.name in (MANIFEST, JOURNAL, LOCK, STATS) or path.is_dir()


def verify_store(folder: Path, *, fast: bool) -> list[str]:
    """Problems of a stage's folder against its manifest; empty when it is as it was written.

    Raises:
        DamagedError: the manifest itself is missing, edited or damaged.
    """
    return verify_files(folder, load_manifest(folder).files, pattern="*", fast=fast)
