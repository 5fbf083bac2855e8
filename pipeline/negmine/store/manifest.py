"""What a finished stage says of itself: settings, inputs, files, counts, sealed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from negmine.errors import DamagedError
from negmine.seal import canonical, digest, seal, unseal

STORE_VERSION: Final = 1

REDO: Final = "run the stage again with --overwrite"
"""What to do about a stage that cannot be trusted."""


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
        body = unseal(text, where, REDO)
        if body.get("version") != STORE_VERSION:
            raise DamagedError(
                f"a store of version {body.get('version')}, this negmine reads {STORE_VERSION}", where=where, fix=REDO
            )
        return cls(
            spec_of(body),
            tuple(PartRecord.from_json(part) for part in body["records"]),
            tuple(FileRecord(**file) for file in body["extra"]),
            body["extra_counts"],
        )


def spec_of(body: Mapping[str, Any]) -> Spec:
    """A spec out of JSON that has its fields among others."""
    return Spec(**{name: body[name] for name in Spec.__dataclass_fields__})


def add_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sum of counters, keys sorted."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


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
