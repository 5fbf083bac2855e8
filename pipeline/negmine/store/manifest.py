"""What a finished stage says of itself: settings, inputs, files, counts, sealed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, TypeGuard

from negmine.base.counts import Counts
from negmine.base.errors import DamagedError
from negmine.base.seal import canonical, digest, seal, unseal

STORE_VERSION: Final = 1
MANIFEST: Final = "manifest.json"

REDO: Final = "run the stage again with --overwrite"
"""What to do about a stage that cannot be trusted."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file as the manifest lists it; ``file`` is relative to the store's folder."""

    file: str
    rows: int
    bytes: int
    sha256: str

    @classmethod
    def from_json(cls, body: object, where: str) -> FileRecord:
        """Raises: DamagedError, a field is missing, unknown, or no such value."""
        file, rows, size, sha256 = _fields(body, ("file", "rows", "bytes", "sha256"), where)
        if not (isinstance(file, str) and isinstance(sha256, str) and _is_count(rows) and _is_count(size)):
            raise _damaged(where, f"{_short(body)} describes no file")
        return cls(file, rows, size, sha256)


@dataclass(frozen=True, slots=True)
class PartRecord:
    """What a finished part left: its files, and what was counted while it was made."""

    index: int
    files: tuple[FileRecord, ...]
    counts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, body: object, where: str) -> PartRecord:
        """Raises: DamagedError, as for `FileRecord.from_json`."""
        index, listed, counts = _fields(body, ("index", "files", "counts"), where)
        if not _is_count(index):
            raise _damaged(where, f"{_short(index)} is no number of a part")
        files = _files(listed, where)
        if not files:
            raise _damaged(where, f"part {index} has no files")
        return cls(index, files, _counts(counts, where))


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
    settings: Mapping[str, object]
    inputs: Mapping[str, str]
    packages: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, str | None] = field(default_factory=dict)

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
    def counts(self) -> Counts:
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
        body = unseal(text, where, REDO)
        if body.get("version") != STORE_VERSION:
            raise DamagedError(
                f"a store of version {body.get('version')}, this negmine reads {STORE_VERSION}", where=where, fix=REDO
            )
        records = body.get("records")
        if not isinstance(records, list):
            raise _damaged(where, "it lists no parts")
        parts = tuple(PartRecord.from_json(part, where) for part in records)
        if [part.index for part in parts] != list(range(len(parts))):
            raise _damaged(where, "its parts are not numbered from 0 on")
        extra, counts = _files(body.get("extra"), where), _counts(body.get("extra_counts"), where)
        return cls(spec_of(body, where), parts, extra, counts)


def spec_of(body: object, where: str) -> Spec:
    """A spec out of JSON that has its fields among others.

    Raises:
        DamagedError: a field is missing or no such value.
    """
    fields = body if isinstance(body, dict) else {}
    texts = [fields.get(name) for name in ("inputs", "packages", "context")]
    if not isinstance(fields.get("stage"), str) or not isinstance(fields.get("settings"), dict):
        raise _damaged(where, "it names no stage and its settings")
    if not all(isinstance(one, dict) and all(isinstance(v, str | None) for v in one.values()) for one in texts):
        raise _damaged(where, "its inputs, packages and context are not texts by name")
    return Spec(**{name: fields[name] for name in Spec.__dataclass_fields__})


def _fields(body: object, names: Sequence[str], where: str) -> list[object]:
    """The values of a JSON object that has just these fields."""
    if not isinstance(body, dict) or set(body) != set(names):
        raise _damaged(where, f"{_short(body)} has not the fields {', '.join(names)}")
    return [body[name] for name in names]


def _files(body: object, where: str) -> tuple[FileRecord, ...]:
    if not isinstance(body, list):
        raise _damaged(where, f"{_short(body)} is no list of files")
    return tuple(FileRecord.from_json(file, where) for file in body)


def _counts(body: object, where: str) -> dict[str, int]:
    if not isinstance(body, dict) or not all(map(_is_whole, body.values())):
        raise _damaged(where, f"{_short(body)} is no table of counts")
    return dict(body)


def _is_count(value: object) -> TypeGuard[int]:
    return _is_whole(value) and value >= 0


def _is_whole(value: object) -> TypeGuard[int]:
    """Sums of what was counted may be below 0: of similarities, in millionths."""
    return isinstance(value, int) and not isinstance(value, bool)


def _damaged(where: str, why: str) -> DamagedError:
    return DamagedError("this is not what a stage writes", where=where, why=why, fix=REDO)


def add_counts(counts: Iterable[Mapping[str, int]]) -> Counts:
    """Sum of counts, by name in order; what was never counted is 0."""
    total = Counts()
    for one in counts:
        total.update(one)
    return Counts(dict(sorted(total.items())))


def differences(before: object, now: object, name: str) -> list[str]:
    """Where two JSON values differ, as readable lines."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(before.keys() | now.keys())
            for line in differences(before.get(key), now.get(key), f"{name}.{key}")
        ]
    return [] if before == now else [f"{name}: {_short(before)} -> {_short(now)}"]


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
