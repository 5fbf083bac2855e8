"""SugarCrepe (Hsieh et al., NeurIPS 2023): one true and one false caption for a COCO val2017 picture.

Read are the official JSON (one file, or the folder of seven; the file's name is the kind) and JSONL with ``image``,
``caption``, ``negative_caption``, ``kind``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from negmine.errors import InputError, UsageError

from ahnpl.evaluate.items import Foil, Item


def read(path: Path, images: Path | None) -> Iterator[Item]:
    """Items of a SugarCrepe file or folder.

    Args:
        path: ``.json``, ``.jsonl``, or a folder of ``.json`` files.
        images: the folder of the pictures; for JSONL the file's own folder is the default.

    Raises:
        UsageError: no such path, or official files without `images`.
        InputError: a file that is not SugarCrepe.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise UsageError("no SugarCrepe file here", where=str(path), fix="name a .json, a .jsonl or a folder of .json")
    for file in files:
        root = images or (file.parent if file.suffix == ".jsonl" else None)
        if root is None or not root.is_dir():
            raise UsageError("the pictures of this benchmark are elsewhere", where=str(file), fix="give --images DIR")
        for number, row in _rows(file):
            yield _item(row, f"{file}, row {number}", file.stem, root)


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".jsonl":
            for number, line in enumerate(text.splitlines(), 1):
                if line.strip():
                    yield str(number), json.loads(line)
        else:
            yield from json.loads(text).items()
    except (ValueError, AttributeError) as error:
        raise InputError("this is not a SugarCrepe file", where=str(file), why=str(error)) from None


def _item(row: dict[str, Any], where: str, stem: str, root: Path) -> Item:
    try:
        name, caption, negative = str(row.get("image") or row["filename"]), row["caption"], row["negative_caption"]
    except (KeyError, AttributeError, TypeError) as error:
        raise InputError("this is not a SugarCrepe row", where=where, why=f"missing: {error}") from None
    return Item(name, _find(root, name), caption, (Foil(negative, row.get("kind", stem)),), where)


def _find(root: Path, name: str) -> bytes | None:
    """The picture's bytes, in the folder as named or directly in it; never outside of it."""
    for candidate in (root / name, root / Path(name).name):
        if candidate.resolve().is_relative_to(root.resolve()) and candidate.is_file():
            return candidate.read_bytes()
    return None
