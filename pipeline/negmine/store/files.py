"""Files that are whole under their name or not there, with their size and sha256 taken while they are written."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from negmine.base.errors import DamagedError, UsageError, explain_os_error
from negmine.base.lfs import POINTER, PULL, is_pointer_file
from negmine.store.folder import TEMPORARY, folder_at
from negmine.store.manifest import MANIFEST, REDO, FileRecord

if TYPE_CHECKING:
    import pyarrow as pa
    from _typeshed import ReadableBuffer


RESULT = re.compile(r"(part|shard|rejected|pictures)-\d{5,}\.\w+|rejected\.parquet|index\.json|examples\.html")
"""What stages leave in their folders beside a manifest."""


def part_name(index: int, extension: str = "parquet", stem: str = "part") -> str:
    return f"{stem}-{index:05d}.{extension}"


def temporary_name(name: str) -> str:
    """What a file is called while this process writes it; processes of two hosts may have one number."""
    host = re.sub(r"[^0-9A-Za-z.-]", "_", socket.gethostname())[:_LONGEST_HOST]
    return f"{TEMPORARY}{host}-{os.getpid()}-{name}"


_LONGEST_HOST = 64
"""Characters; a name of a file has 255 at most."""


def open_own(path: Path, flags: int) -> int:
    """A handle of a file that is ours: who hands on a folder may have put a link to somebody's file under its name.

    Raises:
        DamagedError: it is a link, or no regular file.
        OSError: as of `os.open`.
    """
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _not_ours(path) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _not_ours(path)
    return handle


def _not_ours(path: Path) -> DamagedError:
    return DamagedError(
        "this is none of negmine's files",
        where=str(path),
        why="it is a link, a folder or a device",
        fix="look where the folder comes from; delete this name, then run the same command",
    )


class _Hashing:
    """A binary stream that hashes and counts what passes through."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.sha256, self.bytes = stream, hashlib.sha256(), 0

    def write(self, data: ReadableBuffer) -> int:
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
        UsageError: a device or a pipe is called so: it would be replaced, for everybody on this machine.
        ResourceError: no space or no permission; nothing is left behind.
    """
    temporary = folder / temporary_name(name)
    _check_no_device(folder / name)
    try:
        temporary.unlink(missing_ok=True)  # an earlier process had this number, or it is a link
        with os.fdopen(open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
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
    folder_at(folder).send(name)
    return FileRecord(name, rows, stream.bytes, stream.sha256.hexdigest())


def _check_no_device(path: Path) -> None:
    with suppress(OSError):  # nothing is there, or what is there is told when it is written
        if path.parent.resolve() == _DEVICES or stat.S_IFMT(path.stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            raise UsageError(
                "this is a device or a pipe, and no file is put in its place", where=str(path), fix="name a file"
            )


_DEVICES = Path("/dev")
"""Links there, as ``stdout``, lead to files as well."""


def write_output(path: Path, write: Callable[[IO[bytes]], int]) -> FileRecord:
    """A file that somebody asked for by name: its folder is made, and what killed processes left of it goes.

    Args:
        write: as for `write_file`.

    Raises:
        UsageError: it would take the place of a file of a stage.
        ResourceError: no space or no permission; nothing is left behind.
    """
    ours = path.name == MANIFEST or RESULT.fullmatch(path.name)
    if ours and path.is_file() and (path.parent / MANIFEST).is_file():
        raise UsageError("this is a file of a finished stage", where=str(path), fix="name another file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent, path.name)
    except OSError as error:
        raise explain_os_error(error, str(path.parent)) from error
    return write_file(path.parent, path.name, write)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes of this host left when they wrote a file of this name, or any."""
    before = temporary_name("").rpartition(f"{os.getpid()}-")[0]
    for path in folder.iterdir():
        process, _, written = path.name.removeprefix(before).partition("-")
        ours = path.name.startswith(before) and process.isdecimal() and name in (None, written)
        if ours and not lives(int(process)):
            path.unlink(missing_ok=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in the temporary folder that goes away, and with it those that killed processes of this host left."""
    before = temporary_name("").removeprefix(TEMPORARY).rpartition(f"{os.getpid()}-")[0]
    for path in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}{before}*-*"):
        process = path.name.removeprefix(_SCRATCH + before).partition("-")[0]
        ours = not path.is_symlink() and path.is_dir() and path.stat().st_uid == os.getuid()
        if ours and process.isdecimal() and not lives(int(process)):
            shutil.rmtree(path, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{_SCRATCH}{before}{os.getpid()}-") as folder:
        yield Path(folder)


_SCRATCH = "negmine-"


def lives(process: int) -> bool:
    """Whether a process of this number runs on this host."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_text(folder: Path, name: str, text: str) -> FileRecord:
    """`write_file` for a small document."""

    def write(stream: IO[bytes]) -> int:
        stream.write(text.encode())
        return 0

    return write_file(folder, name, write)


def write_table(folder: Path, name: str, table: pa.Table) -> FileRecord:
    """`write_file` for an Arrow table as Parquet."""
    import pyarrow.parquet as pq

    def write(stream: IO[bytes]) -> int:
        pq.write_table(table, stream, compression="zstd")
        return int(table.num_rows)

    return write_file(folder, name, write)


def read_part(folder: Path, index: int, columns: Sequence[str] | None = None) -> pa.Table:
    """A part's Arrow table.

    Raises:
        DamagedError: its content is not what was written, or not what a part of this stage is.
    """
    from negmine.contract.records import ANSWERS_FOLDER, JUDGED_FOLDER, TABLES, TEXTS_FOLDER

    nested = folder.parent.name in (TEXTS_FOLDER, JUDGED_FOLDER, ANSWERS_FOLDER)
    stage = folder.parent.name if nested else folder.name
    return read_table(folder, part_name(index), TABLES.get(stage), columns)


def read_table(folder: Path, name: str, schema: pa.Schema | None, columns: Sequence[str] | None = None) -> pa.Table:
    """An Arrow table of a stage.

    Raises:
        DamagedError: its content is not what was written, or not of this schema.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(folder_at(folder).file(name), columns=columns)
        if schema is not None:
            _check_columns(table, schema)
    except (pa.ArrowException, OSError) as error:
        why = str(error).strip().partition("\n")[0]
        raise DamagedError("this part cannot be read", where=str(folder / name), why=why, fix=REDO) from None
    return table


def _check_columns(table: pa.Table, schema: pa.Schema) -> None:
    """Check the columns that are there: a manifest's checksums say nothing of who wrote it.

    Raises:
        pyarrow.ArrowInvalid: one is of another type, or is empty in a row where it must not be.
    """
    import pyarrow as pa

    for name in filter(set(table.column_names).__contains__, schema.names):
        column, wanted = table.column(name), schema.field(name)
        if column.type != wanted.type or (column.null_count and not wanted.nullable):
            raise pa.ArrowInvalid(f"column {name} is {column.type} with {column.null_count} empty")


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_sha256(path: Path) -> str:
    with folder_at(path.parent).file(path.name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def broken_files(
    folder: Path, files: Sequence[FileRecord], *, fast: bool, sizes: Mapping[str, int] | None = None
) -> list[str]:
    """What is wrong with these files: missing, another size, and unless `fast`, another content.

    Args:
        sizes: of all files in the folder, where the caller knows them.
    """
    problems, sizes = [], folder_at(folder).sizes() if sizes is None else sizes
    for file in files:
        size = sizes.get(file.file)
        if size is None:
            problems.append(f"{file.file} is missing")
        elif size != file.bytes and is_pointer_file(folder / file.file):
            problems.append(f"{file.file}: {POINTER}; {PULL}")
        elif size != file.bytes:
            problems.append(f"{file.file} has {size:,} bytes, should have {file.bytes:,}")
        elif not fast and file_sha256(folder / file.file) != file.sha256:
            problems.append(f"{file.file} has another content (sha256 differs)")
    return problems
