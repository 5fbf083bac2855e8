"""The shard format: what lies in a tar, what lies in ``index.json``, and how both are read without trust.

A sample is a run of adjacent members that share a key::

    000000123.jpg        the image (jpg, png or webp), as it came where every reader sees it alike
    000000123.txt        the caption
    000000123.json       `Sample` without its bytes, with "version"
    000000123.neg0.jpg   an image negative

A sidecar is such a tar beside somebody else's of the same name: it has no images, and its JSON says under ``beside``
under which key of that tar the image lies.

Writing is deterministic: fixed member order, mode 0644, no owner, mtime 0. Reading accepts regular files with these
extensions only; nothing is unpickled, nothing is unpacked to disk, links and paths that leave the folder are refused.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import islice
from typing import IO, TYPE_CHECKING, Final, TypeVar

from negmine.base.errors import DamagedError
from negmine.base.options import Values
from negmine.base.seal import seal, unseal
from negmine.contract.records import (
    IMAGE_EXTENSIONS,
    KEY_PATTERN,
    MAX_MEMBER_BYTES,
    SCHEMA_VERSION,
    ImageNegative,
    Sample,
    TextNegative,
    TextPositive,
)
from negmine.contract.tar_headers import UNREADABLE
from negmine.contract.tar_members import Member, read_tar

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
M = TypeVar("M")

INDEX_NAME: Final = "index.json"
HELDOUT: Final = "heldout"
"""Sub-folder of a shard folder with the samples of held-out images."""

_FIRST: Final = 16
"""Members of a tar by which it is told."""

_REWRITE = "write the shards again with `negmine shard --overwrite`"
_MEMBER = re.compile(rf"({KEY_PATTERN.pattern})\.(txt|json|(?:neg\d+\.)?(?:{'|'.join(IMAGE_EXTENSIONS)}))")


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One tar as ``index.json`` lists it."""

    file: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Index:
    """``index.json``: what a folder of shards holds.

    Attributes:
        negatives_per_sample: K, the most text negatives a sample has.
        image_negatives_per_sample: the most image negatives a sample has.
        kinds: number of text negatives by kind.
        image_kinds: number of image negatives by kind.
        positives_per_sample: P, the most true texts that a sample has beside its caption.
        positive_kinds: number of these by kind.
        made_from: stage name to sha256 of its manifest.
        settings: how the shards were made.
    """

    shards: tuple[ShardEntry, ...]
    negatives_per_sample: int
    kinds: dict[str, int]
    image_kinds: dict[str, int]
    made_from: dict[str, str]
    settings: Values
    version: int = SCHEMA_VERSION
    image_negatives_per_sample: int = 0
    positives_per_sample: int = 0
    positive_kinds: dict[str, int] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return sum(shard.samples for shard in self.shards)

    @property
    def is_sidecar(self) -> bool:
        """Whether the images lie in somebody else's tars of the same names."""
        return self.settings.get("sidecar") is True

    def to_json(self) -> str:
        return seal(
            {
                "version": self.version,
                "negatives_per_sample": self.negatives_per_sample,
                "image_negatives_per_sample": self.image_negatives_per_sample,
                "samples": self.samples,
                "bytes": sum(shard.bytes for shard in self.shards),
                "kinds": self.kinds,
                "image_kinds": self.image_kinds,
                **self._of_positives(),
                "made_from": self.made_from,
                "settings": self.settings,
                "shards": [asdict(shard) for shard in self.shards],
            }
        )

    def _of_positives(self) -> dict[str, object]:
        """What shards without positives do not mention."""
        if not self.positives_per_sample:
            return {}
        return {"positives_per_sample": self.positives_per_sample, "positive_kinds": self.positive_kinds}

    @classmethod
    def from_json(cls, text: str, where: str) -> Index:
        """Parse ``index.json``.

        Raises:
            DamagedError: not an index, edited after it was written, or of another schema version.
        """
        from pydantic import ValidationError

        body = unseal(text, where, _REWRITE)
        if body.get("version") != SCHEMA_VERSION:
            raise DamagedError(
                f"shards of schema version {body.get('version')}, this negmine reads version {SCHEMA_VERSION}",
                where=where,
                fix=_REWRITE + ", or install the matching negmine",
            )
        try:
            index: Index = _validator(Index).validate_json(json.dumps(body), strict=True)
        except ValidationError as error:
            raise DamagedError("this is not a shard index", where=where, why=_first(error), fix=_REWRITE) from None
        numbers = [index.negatives_per_sample, index.image_negatives_per_sample, index.positives_per_sample]
        numbers += [*index.kinds.values(), *index.positive_kinds.values()]
        numbers += [number for shard in index.shards for number in (shard.samples, shard.bytes)]
        batch = index.settings.get("planned_batch")
        if min(numbers) < 0 or (batch is not None and (type(batch) is not int or batch < 1)):
            raise DamagedError("this is not a shard index", where=where, why="a number is out of range", fix=_REWRITE)
        return index


@dataclass(frozen=True, slots=True)
class Beside:
    """Where the image of a sidecar's sample lies in the tar of the same name.

    Attributes:
        key: of its member, see `negmine.contract.tar_images.split_name`.
        content: `negmine.images.locate.content_hash` of the encoded image; None if nobody looked.
    """

    key: str
    content: int | None = None


# --- writing ---------------------------------------------------------------------------------------------------------


def write_samples(stream: IO[bytes], samples: Iterable[Sample]) -> int:
    """Write samples as a tar to `stream`, which may be unseekable. Returns the number of samples.

    Raises:
        ValueError: a key that would be split or misread, or that occurred before.
    """
    return _write(stream, ((sample.key, _members(sample)) for sample in samples))


def write_sidecar(stream: IO[bytes], samples: Iterable[tuple[Sample, Beside]]) -> int:
    """Write samples without their images, each with the place of its image. See `write_samples`."""
    return _write(stream, ((sample.key, _texts(sample, beside)) for sample, beside in samples))


def _write(stream: IO[bytes], samples: Iterable[tuple[str, Iterable[tuple[str, bytes]]]]) -> int:
    seen: set[str] = set()
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for key, members in samples:
            if not KEY_PATTERN.fullmatch(key) or key in seen:
                raise ValueError(f"key {key!r} is {'duplicate' if key in seen else 'malformed'}")
            seen.add(key)
            for name, content in members:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return len(seen)


def _members(sample: Sample) -> Iterator[tuple[str, bytes]]:
    yield f"{sample.key}.{sample.extension}", sample.image
    yield from _texts(sample)
    for negative, content in zip(sample.image_negatives, sample.image_negative_bytes, strict=True):
        yield f"{sample.key}.{negative.member}", content


def _texts(sample: Sample, beside: Beside | None = None) -> Iterator[tuple[str, bytes]]:
    yield f"{sample.key}.txt", sample.caption.encode()
    yield f"{sample.key}.json", describe(sample, beside).encode()


def describe(sample: Sample, beside: Beside | None = None) -> str:
    """The sample's JSON member, and in a sidecar where its image lies."""
    body = {
        "version": SCHEMA_VERSION,
        "key": sample.key,
        "image_id": sample.image_id,
        "captions": sample.captions,
        "negatives": [asdict(negative) for negative in sample.negatives],
        "image_negatives": [asdict(negative) for negative in sample.image_negatives],
        "neighbours": sample.neighbours,
        **({"positives": [asdict(positive) for positive in sample.positives]} if sample.positives else {}),
        **({"beside": asdict(beside)} if beside else {}),
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


# --- reading ---------------------------------------------------------------------------------------------------------


def read_samples(stream: IO[bytes], where: str) -> Iterator[Sample]:
    """Samples of one tar, read forward only.

    Args:
        stream: bytes of the tar; need not be seekable.
        where: the shard's name for messages.

    Raises:
        DamagedError: a cut tar, members that are not adjacent, a duplicate key, a sample without image, caption or
            JSON, or JSON of another schema version.
    """
    return (decode_sample(key, members, where) for key, members in group_members(read_members(stream, where), where))


def read_sidecar(stream: IO[bytes], where: str) -> Iterator[tuple[Sample, Beside]]:
    """Samples of one tar of a sidecar, without their images, and where these lie.

    Raises:
        DamagedError: see `read_samples`.
    """
    return (decode_sidecar(key, members, where) for key, members in group_members(read_members(stream, where), where))


def begins_with_sample(stream: IO[bytes]) -> bool:
    """Whether a JSON member among the first of a tar is that of a sample; False too for what is no tar."""
    try:
        for _, content in islice(read_tar(stream, lambda member: member.name.endswith(".json")), _FIRST):
            if content:
                body = json.loads(content)
                return isinstance(body, dict) and {"version", "negatives", "neighbours"} <= body.keys()
    except (*UNREADABLE, UnicodeDecodeError):
        pass
    return False


def sample_places(stream: IO[bytes], where: str) -> Iterator[tuple[int, int]]:
    """Where the members of each sample of a tar begin and end, in bytes: a run of them is read by `read_run`.

    Raises:
        DamagedError: the tar is cut, its members are not adjacent, or a key occurs twice.
    """
    members = ((member.name, member) for member, _ in _members_of(stream, where, lambda _: False))
    for _, of in group_members(members, where):
        yield min(member.start for member in of.values()), max(member.end for member in of.values())


def read_run(content: bytes, where: str) -> tuple[str, dict[str, bytes]]:
    """The key of the sample whose members are these bytes of a tar, and its members by extension.

    Raises:
        DamagedError: they are not the members of one sample.
    """
    found = list(group_members(read_members(io.BytesIO(content + bytes(tarfile.RECORDSIZE)), where), where))
    if len(found) != 1:
        raise _damaged(where, f"there are {len(found)} samples where one was")
    return found[0]


def group_members(named: Iterable[tuple[str, M]], where: str) -> Iterator[tuple[str, dict[str, M]]]:
    """The members of each sample by extension."""
    key, members, seen = None, dict[str, M](), set[str]()
    for name, member in named:
        match = _MEMBER.fullmatch(name)
        if match is None:
            continue  # somebody's extra member: never decoded, whatever it is called
        if match[1] != key:
            if key is not None:
                yield key, members
            key, members = match[1], {}
            if key in seen:
                raise _damaged(where, f"key {key} occurs twice, or its members are not adjacent")
            seen.add(key)
        if match[2] in members:
            raise _damaged(where, f"member {name} occurs twice")
        members[match[2]] = member
    if key is not None:
        yield key, members


def read_members(stream: IO[bytes], where: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of the regular files of a tar, to the last byte of `stream`; other members are passed over.

    Raises:
        DamagedError: the tar is cut, is no tar, something follows its end, or a member is larger than
            `MAX_MEMBER_BYTES`.
    """
    return ((member.name, content) for member, content in _members_of(stream, where, lambda member: member.regular))


def _members_of(stream: IO[bytes], where: str, wanted: Callable[[Member], bool]) -> Iterator[tuple[Member, bytes]]:
    """The regular files of a tar, and the content of those that are wanted."""

    def checked(member: Member) -> bool:
        if member.end - member.content > MAX_MEMBER_BYTES + tarfile.BLOCKSIZE:
            raise _damaged(where, f"member {member.name!r} has {member.size:,} bytes")
        return wanted(member)

    try:
        yield from (found for found in read_tar(stream, checked) if found[0].regular)
    except UNREADABLE as error:
        raise _damaged(where, f"the tar is cut, is no tar, or goes on ({error})") from None


def decode_sample(key: str, members: dict[str, bytes], where: str) -> Sample:
    """Members of one key (extension to bytes) as a `Sample`.

    Raises:
        DamagedError: something is missing or malformed.
    """
    extension = next((e for e in IMAGE_EXTENSIONS if e in members), None)
    if extension is None:
        raise _damaged(where, f"sample {key} has {sorted(members)}, needs an image, txt and json")
    return _decoded(key, members, where, extension)[0]


def decode_sidecar(key: str, members: dict[str, bytes], where: str) -> tuple[Sample, Beside]:
    """Members of one key of a sidecar as a `Sample` without its image, and where that lies.

    Raises:
        DamagedError: something is missing or malformed.
    """
    sample, beside = _decoded(key, members, where, "")
    if beside is None:
        raise _damaged(where, f"sample {key} says no image beside it")
    return sample, beside


def _decoded(key: str, members: dict[str, bytes], where: str, extension: str) -> tuple[Sample, Beside | None]:
    if "txt" not in members or "json" not in members:
        raise _damaged(where, f"sample {key} has {sorted(members)}, needs {'an image, ' * bool(extension)}txt and json")
    body = _body(members["json"], key, where)
    try:
        caption = members["txt"].decode()
        images = tuple(members[negative.member] for negative in body.image_negatives)
    except (KeyError, UnicodeDecodeError) as error:
        raise _damaged(where, f"sample {key}: {error!r}") from None
    sample = Sample(
        key=key,
        image_id=body.image_id,
        caption=caption,
        image=members[extension] if extension else b"",
        extension=extension,
        captions=body.captions,
        negatives=body.negatives,
        image_negatives=body.image_negatives,
        image_negative_bytes=images,
        neighbours=body.neighbours,
        positives=body.positives,
    )
    return sample, body.beside


@dataclass(frozen=True)
class _Body:
    """A sample's JSON member, as far as it is read."""

    image_id: str
    captions: tuple[str, ...]
    negatives: tuple[TextNegative, ...]
    image_negatives: tuple[ImageNegative, ...]
    neighbours: tuple[str, ...]
    positives: tuple[TextPositive, ...] = ()
    beside: Beside | None = None


def _body(content: bytes, key: str, where: str) -> _Body:
    """The JSON member of a sample, its fields checked against the types of the data classes.

    Raises:
        DamagedError: a field is missing or of another type, or the schema version is another.
    """
    from pydantic import ValidationError
    from pydantic_core import from_json

    try:
        version = from_json(content)["version"]
        if version == SCHEMA_VERSION:
            body: _Body = _validator(_Body).validate_json(content, strict=True)
            if all(negative.slot >= 0 for negative in _text_negatives(body)):
                return body
            raise ValueError("a negative has a slot below 0")
    except ValidationError as error:
        raise _damaged(where, f"sample {key}: {_first(error)}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(where, f"sample {key}: {error!r}") from None
    raise DamagedError(
        f"sample of schema version {version}, this negmine reads {SCHEMA_VERSION}",
        where=f"{where}, key {key}",
        fix=_REWRITE,
    )


@cache
def _validator(kind: type[T]) -> TypeAdapter[T]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _first(error: ValidationError) -> str:
    """The place and the words of the first thing that is wrong."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place or 'its JSON'}: {first['msg']}"


def _text_negatives(body: _Body) -> Iterator[TextNegative]:
    yield from body.negatives
    for negative in body.image_negatives:
        yield from negative.negatives


def _damaged(where: str, why: str) -> DamagedError:
    return DamagedError(
        "this shard is damaged",
        where=where,
        why=why,
        fix="run `negmine verify` on its folder, then `negmine shard` again: it writes what is missing",
    )
