"""Negatives of any origin as one stream: a work folder's, JSONL, NegCLIP's TSV, SugarCrepe's JSON."""

from __future__ import annotations

import ast
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from negmine.base.addresses import readable
from negmine.base.errors import InputError, UsageError
from negmine.base.seal import digest
from negmine.base.whole_files import read_whole
from negmine.sources.table import split
from negmine.store.input_files import numbered_lines
from negmine.store.texts import texts_stage, texts_there
from negmine.store.work_folder import Stage, WorkFolder

UNNAMED: Final = "unnamed"
"""Kind of negatives whose file names none."""

_NEGATIVE: Final = ("negative", "negative_caption", "neg_caption", "foil", "negatives")
_CAPTION: Final = ("caption", "title", "text")
_IMAGE: Final = ("image_id", "image", "filepath", "filename", "image_file")
_PARAPHRASE: Final = "caption2"

MAX_CAPTION: Final = 2_000
"""Characters of a text; longer ones are skipped, for parsing takes time that grows with their square."""

_PAIR: Final = ("key", "image_id", "caption")
_LONGEST_LIST: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listed:
    """A caption with the negatives that one row, or one caption of a work folder, gives it.

    Attributes:
        negatives: (text, kind) each; may be empty.
        paraphrase: a true caption in other words, where the source has one.
    """

    key: str
    image_id: str
    caption: str
    negatives: tuple[tuple[str, str], ...]
    paraphrase: str | None = None


class Source(Protocol):
    """Where negatives come from; may be read several times."""

    name: str
    skipped: Counter[str]
    """Rows that could not be used in the last pass, by reason."""

    def inputs(self) -> dict[str, str]:
        """Digests of what is read."""
        ...

    def rows(self) -> Iterator[Listed]: ...


def open_source(work: Path, negatives: Path | None, texts: Sequence[str] = ()) -> Source:
    """The negatives of a file or folder, or those in a work folder, or texts by others that lie there.

    Raises:
        UsageError: no such file, or nothing here reads it.
        InputError: no row of the work folder's input could be used.
        DamagedError: the work folder has no finished ``pairs`` and ``negatives``.
    """
    if texts:
        return TextsSource(work, texts)
    if negatives is None:
        return WorkSource(work)
    if not negatives.exists():
        raise UsageError(
            "no such file", where=str(negatives), fix="name a JSONL, TSV or JSON file, or a folder of JSON"
        )
    files = sorted(negatives.glob("*.json")) if negatives.is_dir() else [negatives]
    unread = [file for file in files if file.suffix not in READERS]
    if unread or not files:
        raise UsageError(
            "this is no file of negatives that negmine knows",
            where=str(unread[0] if unread else negatives),
            fix=f"give it as {', '.join(READERS)}, or a folder of .json files",
        )
    for file in files:
        if not file.is_file():
            raise UsageError("this is no file", where=str(file), why="it is a pipe, a device or a folder")
    return FileSource(str(negatives), files)


# --- a work folder ---------------------------------------------------------------------------------------------------


class WorkSource:
    """``work/negatives`` joined with ``work/pairs``, part by part."""

    def __init__(self, work: Path) -> None:
        self.name, self.skipped, self._work = readable(str(work)), Counter[str](), work
        with WorkFolder.open(work, needs=[Stage.NEGATIVES]) as folder:
            self._inputs = {str(name): manifest.digest for name, manifest in folder.stages.items()}

    def inputs(self) -> dict[str, str]:
        return self._inputs

    def rows(self) -> Iterator[Listed]:
        with WorkFolder.open(self._work, needs=[Stage.NEGATIVES]) as folder:
            for part in folder.pairs.parts:
                for pair, rows in folder.with_negatives(part.index, _PAIR, ["negative", "kind"]):
                    negatives = tuple((row["negative"], row["kind"]) for row in rows)
                    yield Listed(pair["key"], pair["image_id"], pair["caption"], negatives)


class TextsSource:
    """False texts of ``work/texts``, as they came: before guards and choice.

    Attributes:
        skipped: texts that are offered as true.
    """

    def __init__(self, work: Path, names: Sequence[str]) -> None:
        self.name, self.skipped = f"{readable(str(work))}: {', '.join(names)}", Counter[str]()
        self._work, self._names, there = work, tuple(names), texts_there(work)
        if missing := [name for name in names if name not in there]:
            raise UsageError(
                f"there are no texts {missing[0]!r} here",
                where=str(work),
                why=f"there are {', '.join(there) or 'none'}",
                fix=f"make them first: negmine import TABLE --name {missing[0]}",
            )
        with WorkFolder.open(work, [texts_stage(name) for name in names]) as folder:
            self._inputs = {str(name): manifest.digest for name, manifest in folder.stages.items()}

    def inputs(self) -> dict[str, str]:
        return self._inputs

    def rows(self) -> Iterator[Listed]:
        """The pairs with their texts; where there are several sources, a text's kind is its source."""
        self.skipped = Counter()
        stages = [texts_stage(name) for name in self._names]
        with WorkFolder.open(self._work, stages) as folder:
            for part in folder.pairs.parts:
                found: dict[str, list[tuple[str, str]]] = {}
                for name, stage in zip(self._names, stages, strict=True):
                    for row in folder.rows(stage, part.index, ["key", "text", "is_true", "kind"]).to_pylist():
                        if row["is_true"]:
                            self.skipped["offered as true"] += 1
                        else:
                            kind = row["kind"] if len(stages) == 1 else name
                            found.setdefault(row["key"], []).append((row["text"], kind))
                for pair in folder.rows(Stage.PAIRS, part.index, _PAIR).to_pylist():
                    yield Listed(pair["key"], pair["image_id"], pair["caption"], tuple(found.get(pair["key"], ())))


# --- files -----------------------------------------------------------------------------------------------------------


class FileSource:
    """One or several files of somebody else's negatives."""

    def __init__(self, name: str, files: Iterable[Path]) -> None:
        self.name, self._files, self.skipped = name, tuple(files), Counter[str]()

    def inputs(self) -> dict[str, str]:
        from negmine.store import file_sha256

        return {"negatives": digest([[file.name, file_sha256(file)] for file in self._files])}

    def rows(self) -> Iterator[Listed]:
        self.skipped = Counter()
        read = 0
        for file in self._files:
            for row in READERS[file.suffix](file):
                read += 1
                found = _listed(row, file.stem if file.suffix == ".json" else UNNAMED)
                if isinstance(found, str):
                    self.skipped[found] += 1
                else:
                    yield found
        if not read or read == sum(self.skipped.values()):
            reasons = ", ".join(f"{reason} {n:,}" for reason, n in self.skipped.most_common()) or "the file is empty"
            raise InputError(
                "no row has a caption and a negative",
                where=self.name,
                why=reasons,
                fix=f"name the columns {_CAPTION[0]} and one of {', '.join(_NEGATIVE)}",
            )


def _listed(row: Mapping[str, object] | None, kind: str) -> Listed | str:
    """A row's caption and negatives, or the reason it has none."""
    if row is None:
        return "no object"
    caption, negatives = _first(row, _CAPTION), _first(row, _NEGATIVE)
    if not isinstance(caption, str) or not caption.strip():
        return "no caption"
    texts = [negatives] if isinstance(negatives, str) else negatives if isinstance(negatives, list) else []
    if not all(isinstance(text, str) for text in texts):
        return "negative is no text"
    paraphrase = row.get(_PARAPHRASE)
    paraphrase = paraphrase if isinstance(paraphrase, str) else None
    said = [caption, *texts, *([paraphrase] if paraphrase else [])]
    image, named = str(_first(row, _IMAGE) or _hash(caption)), str(row.get("kind") or kind)
    key = str(row.get("key") or _hash(f"{image}\n{caption}"))
    if not all(map(_is_unicode, (*said, image, named, key))):
        return "not UTF-8"
    if max(map(len, said)) > MAX_CAPTION:
        return f"longer than {MAX_CAPTION:,} characters"
    return Listed(
        key,
        image,
        caption,
        tuple((text, named) for text in texts if text.strip()),
        paraphrase,
    )


def _is_unicode(text: str) -> bool:
    """Whether it has no halves of surrogate pairs, which escapes and bytes that are no UTF-8 become."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _first(row: Mapping[str, object], names: Iterable[str]) -> object:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()


def read_jsonl(path: Path) -> Iterator[Mapping[str, object] | None]:
    """One JSON object a line; None where a line is none."""
    with path.open("rb") as stream:
        for _, line in numbered_lines(stream):
            if line is None or line.strip():
                yield None if line is None else _object(line)


def _object(line: bytes) -> Mapping[str, object] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_tsv(path: Path) -> Iterator[Mapping[str, object] | None]:
    """NegCLIP's columns ``title``, ``filepath`` and ``neg_caption``, a list in Python's or JSON's notation.

    A line is a row and a quote is a character, as in PAIRS; None where a line has more or fewer cells than the first.
    """
    with path.open("rb") as stream:
        lines = (
            None if line is None else line.decode("utf-8", "surrogateescape") for _, line in numbered_lines(stream)
        )
        names = split(next(lines, None) or "", "\t")
        for line in lines:
            if line is not None and not line.strip():
                continue
            cells = split(line or "", "\t")
            if len(cells) == len(names):
                row = dict(zip(names, cells, strict=True))
                yield {**row, "neg_caption": _list(row.get("neg_caption") or "")}
            else:
                yield None


def _list(text: str) -> list[object]:
    if len(text) > _LONGEST_LIST:
        return [text]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = text
    return list(value) if isinstance(value, list | tuple) else [text] if text else []


def read_json(path: Path) -> Iterator[Mapping[str, object] | None]:
    """SugarCrepe's and VALSE's form: an object of objects, or a list of them."""
    try:
        content = json.loads(read_whole(path))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError("this is no JSON", where=str(path), why=str(error)) from None
    rows = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    for row in rows:
        yield row if isinstance(row, dict) else None


READERS: Final = {".jsonl": read_jsonl, ".tsv": read_tsv, ".json": read_json}
"""By ending. A new format is a function and a line here."""
