"""The folder of one stage: a journal to resume from, refusal of other settings, verification."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Final

from negmine.base.counts import Counts
from negmine.base.errors import DamagedError, UsageError, explain_os_error
from negmine.base.seal import canonical, journal_line, read_journal_line
from negmine.base.whole_files import read_whole
from negmine.store.files import RESULT, broken_files, open_own, sync_folder, write_text
from negmine.store.folder import TEMPORARY, folder_at
from negmine.store.lock import LOCK, locked
from negmine.store.manifest import MANIFEST, REDO, FileRecord, Manifest, PartRecord, Spec, differences, spec_of
from negmine.store.share import WHOLE, Share, ShareDone

SEND_EVERY: Final = 5.0
"""Seconds between two copies of a journal to an object store."""

JOURNAL: Final = ".journal.jsonl"
REJECTED_FILE: Final = "rejected.parquet"
_NAMES: Final = "names"
"""Of the files that a run may write, in the first line of its journal: what it writes before it is killed is known."""

_OF_RANK = re.compile(r"\.(journal|lock)-\d+-of-(\d+)(\.jsonl)?")


class Store:
    """A stage's folder while the stage runs. Use `Store.open`."""

    def __init__(
        self,
        folder: Path,
        spec: Spec,
        parts: dict[int, PartRecord],
        manifest: Manifest | None,
        share: Share = WHOLE,
        ranks: int | None = None,
    ) -> None:
        self.folder, self.spec, self.parts, self.manifest = folder, spec, parts, manifest
        self.share, self._ranks = share, ranks
        self._unsent, self._sent_at = 0, time.monotonic()

    @classmethod
    @contextmanager
    def open(
        cls,
        folder: Path,
        spec: Spec,
        share: Share = WHOLE,
        *,
        overwrite: bool = False,
        waits: bool = False,
        names: Sequence[str] | None = None,
    ) -> Iterator[Store]:
        """Lock a folder for this spec and find out what is already there, also of what ranks made.

        Args:
            share: which parts this run makes; several ranks may have the folder open, each with a journal of its own.
            waits: for another run that holds the folder.
            names: of the files that this run may write, where others' files may lie beside them (`check_own`). None:
                the folder is the stage's alone, and what lies in it is told by `RESULT`.

        Raises:
            ResourceError: another run holds the folder.
            DamagedError: it holds results of other settings or other input, and `overwrite` is off.
        """
        if share.is_rank:
            with locked(folder, shared=True):
                folder_at(folder).refresh()
                if (folder / MANIFEST).exists():
                    yield cls._for_reading(folder, spec, share)
                    return
                with locked(folder, f".lock-{share}"):
                    store = cls._of_rank(folder, spec, share, names)
                    try:
                        yield store
                    finally:
                        store.send_journal()
            return
        if not overwrite and _is_kept(folder):
            with locked(folder, shared=True):
                yield cls._for_reading(folder, spec, share)
                return
        with locked(folder, waits=waits):
            folder_at(folder).refresh()
            ranks = _ranks(folder)
            _remove_temporaries(folder)
            if overwrite:
                _remove_results(folder, None if names is None else own_files(folder))
            before = load_manifest(folder) if (folder / MANIFEST).exists() else None
            if before is not None:
                _refuse_other(folder, before.spec, spec, finished=True)
                is_broken = partial(broken_files, folder, fast=True, sizes=folder_at(folder).sizes())
                whole = {part.index: part for part in before.parts if not is_broken(part.files)}
                if len(whole) == len(before.parts) and not is_broken(before.extra):
                    if before.spec.context != spec.context:  # the same, from another place
                        before = replace(before, spec=replace(before.spec, context=spec.context))
                        write_text(folder, MANIFEST, before.to_text())
                    yield cls(folder, spec, whole, before, share)
                    return
                parts = {i: part for i, part in whole.items() if not _shared(before, part)}
            else:
                parts = _resume(folder, spec, _journals(folder))
            _write_journal(folder, JOURNAL, spec, parts.values(), names)
            folder_at(folder).delete(MANIFEST)
            for name in folder_at(folder).sizes():  # of ranks, and no rank is running
                if _OF_RANK.fullmatch(name):
                    folder_at(folder).delete(name)
            store = cls(folder, spec, parts, None, share, ranks)
            try:
                yield store
            finally:
                store.send_journal()

    @classmethod
    def _for_reading(cls, folder: Path, spec: Spec, share: Share) -> Store:
        """A finished store, for a rank or where nobody may write."""
        before = load_manifest(folder)
        _refuse_other(folder, before.spec, spec, finished=True)
        problems = broken_files(folder, before.files, fast=True)
        if problems:
            raise DamagedError(
                "this stage is damaged",
                where=str(folder),
                why="; ".join(problems[:8]),
                fix="run the command without --rank, and where it may write: it makes what is missing",
            )
        return cls(folder, spec, {part.index: part for part in before.parts}, before, share)

    @classmethod
    def _of_rank(cls, folder: Path, spec: Spec, share: Share, names: Sequence[str] | None) -> Store:
        """A store for one of several ranks: it knows what was joined and its own parts, and removes nothing."""
        journal = f".journal-{share}.jsonl"
        parts = _resume(folder, spec, [folder / JOURNAL, folder / journal])
        _write_journal(folder, journal, spec, (part for i, part in parts.items() if share.holds(i)), names)
        return cls(folder, spec, parts, None, share, share.count)

    @property
    def finished(self) -> bool:
        return self.manifest is not None

    def missing(self, parts: int) -> list[int]:
        """Which of so many parts this run has still to make."""
        return [index for index in self._lacking(parts) if self.share.holds(index)]

    def _lacking(self, parts: int) -> list[int]:
        return [index for index in range(parts) if index not in self.parts]

    def check_joined(self, parts: int, title: str) -> None:
        """Let a run go on that has all of so many parts.

        Raises:
            ShareDone: this run is a rank, or it joins and the ranks did not begin.
            DamagedError: some ranks did not make their parts.
        """
        lacking = self._lacking(parts)
        if self.share.is_rank:
            raise ShareDone(f"{title}: all parts of this rank are made, of {parts:,} in all")
        if not lacking:
            return
        if len(lacking) == parts:
            raise ShareDone(f"{title}: {parts:,} parts for the ranks to make")
        ranks = sorted({index % self._ranks for index in lacking}) if self._ranks else []
        raise DamagedError(
            f"{title}: {len(lacking):,} of {parts:,} parts are missing",
            where=str(self.folder),
            why=f"not made: {', '.join(map(str, lacking[:8]))}{', ...' if len(lacking) > 8 else ''}"
            + (f"; by rank {', '.join(map(str, ranks[:8]))} of {self._ranks}" if ranks else ""),
            fix="run those ranks again, then merge; or run the command without --rank, which makes them itself",
        )

    def commit(self, part: PartRecord) -> None:
        """Enter a part whose files are already on the disk."""
        journal_file = self._journal
        try:
            with os.fdopen(open_own(journal_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as journal:
                journal.write(journal_line(asdict(part)))
                journal.flush()
                os.fsync(journal.fileno())
        except OSError as error:
            raise explain_os_error(error, str(journal_file)) from error
        self.parts[part.index] = part
        self._unsent += 1
        if time.monotonic() - self._sent_at > SEND_EVERY:
            self.send_journal()

    @property
    def _journal(self) -> Path:
        return self.folder / (f".journal-{self.share}.jsonl" if self.share.is_rank else JOURNAL)

    def send_journal(self) -> None:
        """Let an object store know of the parts entered since the last time; objects cannot be appended to."""
        if self._unsent and self.manifest is None:
            folder_at(self.folder).send(self._journal.name)
        self._unsent, self._sent_at = 0, time.monotonic()

    def finish(self, extra: Sequence[FileRecord] = (), extra_counts: Mapping[str, int] | None = None) -> Manifest:
        """Seal the stage: all parts are there."""
        parts = tuple(self.parts[index] for index in sorted(self.parts))
        manifest = Manifest(self.spec, parts, tuple(extra), extra_counts or {})
        write_text(self.folder, MANIFEST, manifest.to_text())
        folder_at(self.folder).delete(JOURNAL)
        sync_folder(self.folder)
        self.manifest = manifest
        return manifest


def _write_journal(
    folder: Path, name: str, spec: Spec, parts: Iterable[PartRecord], names: Sequence[str] | None
) -> None:
    first = asdict(spec) | ({} if names is None else {_NAMES: names})
    lines = [first, *(asdict(part) for part in parts)]
    write_text(folder, name, b"".join(map(journal_line, lines)).decode())


def _journals(folder: Path) -> list[Path]:
    """The journal of an unfinished stage, and those of ranks that nobody has joined."""
    return [path for path in (folder / JOURNAL, *sorted(folder.glob(".journal-*-of-*.jsonl"))) if path.is_file()]


def _ranks(folder: Path) -> int | None:
    """How many ranks share a stage, if its journals agree on it."""
    counts = {int(found[2]) for path in _journals(folder) if (found := _OF_RANK.fullmatch(path.name))}
    return counts.pop() if len(counts) == 1 else None


def _resume(folder: Path, spec: Spec, journals: Iterable[Path]) -> dict[int, PartRecord]:
    """Parts of an unfinished run that are whole. A torn last line of a journal is a part that was not entered."""
    found: dict[int, PartRecord] = {}
    for path in journals:
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        if not lines:
            continue
        before = spec_of(_entry(lines[0], path, 1), str(path))
        parts = [
            PartRecord.from_json(_entry(line, path, n), f"{path}, line {n}") for n, line in enumerate(lines[1:], 2)
        ]
        if parts:  # else nothing is there that could be mixed
            _refuse_other(folder, before, spec, finished=False)
        found |= {part.index: part for part in parts}
    whole = folder_at(folder).address is not None  # an object is whole under its key: sent, measured, then moved there
    sizes = folder_at(folder).sizes() if found else {}
    return {i: part for i, part in found.items() if not broken_files(folder, part.files, fast=whole, sizes=sizes)}


def _entry(line: bytes, path: Path, number: int) -> object:
    """The JSON value of a journal's line.

    Raises:
        DamagedError: it is not what was written.
    """
    return read_journal_line(line, f"{path}, line {number}", REDO)


def _shared(manifest: Manifest, part: PartRecord) -> bool:
    """Whether rows of a part lie in ``rejected.parquet`` only, which is written anew when a part is missing."""
    written = any(file.file == REJECTED_FILE and file.rows for file in manifest.extra)
    return written and Counts(part.counts).total_of("rejected") > 0


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


def is_other(folder: Path, spec: Spec) -> bool:
    """Whether a folder holds, or holds a part of, what was made with another spec, or what cannot be read."""
    try:
        if (folder / MANIFEST).exists():
            return load_manifest(folder).spec.fingerprint != spec.fingerprint
        _resume(folder, spec, _journals(folder))
    except DamagedError:
        return True
    return False


def refuse_other_settings(folder: Path, stage: str, settings: Mapping[str, object]) -> None:
    """Refuse early, before costly inputs are made: a folder of this stage has, or was begun with, other settings.

    Raises:
        DamagedError: as `Store.open` would.
    """
    begun = []
    if (folder / MANIFEST).exists():
        begun.append(load_manifest(folder).spec)
    else:
        journals = ((path, path.read_bytes().split(b"\n")[:-1]) for path in _journals(folder))
        begun += [spec_of(_entry(lines[0], path, 1), str(path)) for path, lines in journals if len(lines) > 1]
    for before in begun:
        _refuse_other(folder, before, Spec(stage, settings, before.inputs, before.packages), finished=False)


def _is_kept(folder: Path) -> bool:
    """Whether a finished stage lies where this process may only read."""
    return folder_at(folder).address is None and (folder / MANIFEST).is_file() and not os.access(folder, os.W_OK)


def _remove_temporaries(folder: Path) -> None:
    for path in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in folder_at(folder).sizes():
        if name.startswith(TEMPORARY):
            folder_at(folder).delete(name)


def own_files(folder: Path) -> set[str]:
    """The files of a folder that its manifest and its journals list, written or about to be written.

    Where these cannot be read, or are an earlier version's, what is called like a file of a stage is one.
    """
    there = set(folder_at(folder).sizes())
    try:
        listed = {file.file for file in load_manifest(folder).files} if (folder / MANIFEST).exists() else set[str]()
        return there & listed.union(*map(_journal_names, _journals(folder)))
    except DamagedError:
        return set(filter(RESULT.fullmatch, there))


def _journal_names(journal: Path) -> set[str]:
    """The files that a journal lists.

    Raises:
        DamagedError: it is damaged, or of an earlier version.
    """
    lines = journal.read_bytes().split(b"\n")[:-1]
    if not lines:
        return set()
    first, *others = (_entry(line, journal, number) for number, line in enumerate(lines, 1))
    names = first.get(_NAMES) if isinstance(first, dict) else None
    if not isinstance(names, list):
        raise DamagedError("this journal does not say what is written", where=str(journal), fix=REDO)
    parts = [PartRecord.from_json(part, str(journal)) for part in others]
    return {*map(str, names), *(file.file for part in parts for file in part.files)}


def check_own(folder: Path, names: Iterable[str]) -> set[str]:
    """Refuse to write files in the place of somebody's. Gives back those that are the stage's own (`own_files`).

    Raises:
        UsageError: a file, a link or a folder of one of these names lies there that no manifest or journal lists.
    """
    there = set(folder_at(folder).sizes())  # before the journals: what a run writes is in its journal by then
    own = own_files(folder)
    others = [name for name in names if name not in own and (name in there or os.path.lexists(folder / name))]
    if others:
        more = f" and {len(others) - 1:,} more" if others[1:] else ""
        raise UsageError(
            "a file that this command did not write would be replaced",
            where=f"{folder / others[0]}{more}",
            why=f"no {MANIFEST} and no journal beside it lists it",
            fix="choose another --out, or move it away",
        )
    return own


def _remove_results(folder: Path, own: Collection[str] | None) -> None:
    """Delete what a run of a stage and of its hidden phases leaves; other files in the folder are not ours.

    Args:
        own: the stage's files; None where they are told by their names.
    """
    is_own = RESULT.fullmatch if own is None else own.__contains__
    for name in folder_at(folder).sizes():
        if name in (MANIFEST, JOURNAL) or is_own(name) or _OF_RANK.fullmatch(name):
            folder_at(folder).delete(name)
    for path in folder.iterdir():
        if path.is_dir() and path.name.startswith(".") and (folder_at(path).address or (path / LOCK).exists()):
            folder_at(path).delete_all()


# --- reading and verifying -------------------------------------------------------------------------------------------


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a finished stage.

    Raises:
        DamagedError: there is none, or it is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        unfinished = bool(_journals(folder))
        raise DamagedError(
            "this stage is not finished" if unfinished else "there is no finished stage here",
            where=str(folder),
            fix="run its command again" if unfinished else "run its command first",
        )
    try:
        content = read_whole(path)
    except OSError as error:
        raise DamagedError(
            "this file cannot be read", where=str(path), why=error.strerror or str(error), fix=REDO
        ) from None
    return Manifest.from_text(content.decode(errors="replace"), str(path))  # the checksum tells


@contextmanager
def reading(folder: Path) -> Iterator[Manifest]:
    """A finished stage, locked against being rewritten while it is read.

    Raises:
        DamagedError: it is not finished, or a file is missing or has another size.
    """
    folder_at(folder).refresh()
    load_manifest(folder)  # before the lock, which would create the folder
    with locked(folder, shared=True):
        folder_at(folder).refresh()
        manifest = load_manifest(folder)
        problems = broken_files(folder, manifest.files, fast=True)
        if problems:
            raise DamagedError("this stage is damaged", where=str(folder), why="; ".join(problems[:8]), fix=REDO)
        yield manifest


def verify_files(folder: Path, files: Sequence[FileRecord], *, pattern: str, fast: bool) -> list[str]:
    """Problems of a folder that should hold exactly `files` among the names that match the glob `pattern`."""
    listed = {file.file for file in files}
    there = [folder / name for name in folder_at(folder).sizes()]
    extra = sorted(path.name for path in there if path.match(pattern) and path.name not in listed and not _own(path))
    return [*broken_files(folder, files, fast=fast), *(f"{name} is not listed" for name in extra)]


def _own(path: Path) -> bool:
    return path.name in (MANIFEST, JOURNAL, LOCK) or bool(_OF_RANK.fullmatch(path.name)) or path.is_dir()


def verify_store(folder: Path, *, fast: bool) -> list[str]:
    """Problems of a stage's folder against its manifest; empty when it is as it was written.

    Raises:
        DamagedError: the manifest itself is missing, edited or damaged.
    """
    return verify_files(folder, load_manifest(folder).files, pattern="*", fast=fast)
