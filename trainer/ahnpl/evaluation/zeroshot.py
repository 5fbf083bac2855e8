"""Zero-shot classification (Radford et al., ICML 2021): images in one folder a class.

PATH is that folder (its folders' names are the classes, ``_`` a blank), or a JSON file with ``classes``, an object of
folder to name or names, and perhaps ``templates``, texts with ``{}`` for the name; the images are then below
``--images``. A class is the mean of its names in all templates. Papers print top-1, or the mean over classes, which
they call mean per class.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

import torch
from negmine.base.errors import InputError, UsageError
from negmine.base.whole_files import read_whole
from torch import Tensor

from ahnpl.evaluation.encode import EncodedImage, Encoder, check_bad, chunks, open_encoder
from ahnpl.evaluation.files import SUFFIXES, open_image_folder, read_json
from ahnpl.evaluation.metrics import RIGHT, TIE, WRONG, Marks, Measure
from ahnpl.evaluation.run import Report
from ahnpl.evaluation.settings import Settings
from ahnpl.model.clip import ClipModel

TEMPLATES: Final = ("a photo of a {}.",)
KS: Final = (1, 5)

SPLITS: Final = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
WORDNET_ID: Final = re.compile(r"[nN]\d{8}")


@dataclass(frozen=True)
class Classes:
    """What there is to choose from.

    Attributes:
        names: folder to the names of its class.
        templates: each with ``{}``.
    """

    names: dict[str, tuple[str, ...]]
    templates: tuple[str, ...] = TEMPLATES

    @property
    def labels(self) -> list[str]:
        """A name for each class, with its folder where two classes have the same."""
        joined = {folder: ", ".join(names) for folder, names in self.names.items()}
        common = Counter(joined.values())
        return [f"{name} ({folder})" if common[name] > 1 else name for folder, name in joined.items()]

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise UsageError("a choice needs at least two classes", why=f"{len(self.names)} found")
        for template in self.templates:
            if "{}" not in template:
                raise UsageError(f"the template {template!r} has no {{}} for the name of the class")


class ZeroShot:
    """The benchmark."""

    def score(self, path: Path, images: Path | None, model: ClipModel, settings: Settings) -> Report:
        """Top-1 and top-5 accuracy by class.

        Raises:
            UsageError: no such folder, fewer than two classes, a template without a place for the name.
            InputError: a class file that is none, too many bad images.
        """
        classes, root = read_classes(path, images)
        labels = classes.labels
        dropped: Counter[str] = Counter()
        bad: list[str] = []
        marks = {k: {label: Marks() for label in labels} for k in KS}
        with open_encoder(model, settings.batch_size, settings.workers) as encoder:
            weights = class_features(encoder, classes)
            files = islice(_images(root, classes, dropped), settings.limit)
            total = 0
            for some in chunks(files, settings.batch_size):
                found = encoder.images([EncodedImage(_content(file)) for _, file in some])
                for (place, file), feature in zip(some, found, strict=True):
                    total += 1
                    if isinstance(feature, str):
                        bad.append(f"{file}: {feature}")
                        continue
                    rank = rank_of(weights @ feature, place)
                    for k in KS:
                        marks[k][labels[place]].add(RIGHT if rank < k else WRONG, total)
                settings.advance(len(some))
        check_bad(bad, total, settings.max_bad)
        number = len(classes.names)
        measures = [Measure(f"zero-shot top-{k}", k / number, marks[k]) for k in KS if k < number]
        authors = {"top-1": measures[0].micro.share, "mean per class": measures[0].macro}
        return Report(tuple(measures), total - len(bad), number, bad, authors=authors, dropped=dict(dropped))


def read_classes(path: Path, images: Path | None) -> tuple[Classes, Path]:
    """The classes and the folder that holds theirs.

    Raises: see `ZeroShot.score`.
    """
    if path.is_dir():
        folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
        _check_folders(path, folders)
        return Classes({folder.name: (folder.name.replace("_", " "),) for folder in folders}), path
    if not path.is_file():
        raise UsageError("no such folder or class file", where=str(path), fix="name a folder that holds one a class")
    try:
        names, templates = _parts(read_json(path, "class"))
    except ValueError as error:
        raise InputError("this is not a class file", where=str(path), why=str(error)) from None
    classes, root = Classes(names, templates), open_image_folder(images, path).root
    missing = [folder for folder in classes.names if not _is_folder(root / folder)]
    if missing:
        raise UsageError(
            f"{len(missing)} of {len(classes.names)} classes have no folder",
            where=str(root),
            why=", ".join(missing[:5])[:300],
            fix="check --images and the names; an empty folder keeps a class without images among the choices",
        )
    return classes, root


def _parts(body: object) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Folder to names, and the templates, of a class file.

    Raises:
        ValueError: it is none, or two classes would share images.
    """
    if not isinstance(body, dict) or not isinstance(body.get("classes"), dict):
        raise ValueError("it has no object 'classes'")
    unknown = ", ".join(sorted(body.keys() - {"classes", "templates"}))
    if unknown:
        raise ValueError(f"it has {unknown[:100]}; known are classes and templates")
    names: dict[str, tuple[str, ...]] = {}
    for folder, name in body["classes"].items():
        path = PurePosixPath(folder)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in folder:
            raise ValueError(f"{folder[:100]!r} is no folder below the images'")
        if str(path) in names:
            raise ValueError(f"the folder {path} has two classes")
        names[str(path)] = _texts([name] if isinstance(name, str) else name, f"the names of {folder}")
    for folder in names:
        above = next((str(one) for one in PurePosixPath(folder).parents if str(one) in names), None)
        if above is not None:
            raise ValueError(f"the folder {folder} lies in {above}, which is a class too")
    return names, _texts(body.get("templates", list(TEMPLATES)), "templates")


def _texts(value: object, what: str) -> tuple[str, ...]:
    """
    Raises:
        ValueError: it is no list of texts, or one is blank.
    """
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one.strip() for one in value):
        raise ValueError(f"{what[:100]} should be texts, and not {value!r:.100}")
    return tuple(value)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long
        return False


def _check_folders(path: Path, folders: Sequence[Path]) -> None:
    """Folders that look like anything but classes are refused: scored, they would give a number all the same.

    Raises:
        UsageError: one holds no image, they are splits or hold the classes, or their names are numbers of WordNet.
    """
    names = [folder.name for folder in folders]
    empty = [folder.name for folder in folders if not any(map(_is_image, _files(folder)))]
    if empty:
        raise UsageError(
            f"{len(empty)} of {len(folders)} folders hold no image",
            where=str(path),
            why=f"{', '.join(empty[:5])}: is this one level above the classes?",
            fix=f"name the folder that holds one a class{_one_below(folders)}, or list the classes in a JSON file",
        )
    if names and {name.casefold() for name in names} <= SPLITS:
        raise UsageError(
            "these folders are splits and not classes",
            where=str(path),
            why=", ".join(names),
            fix=f"name one of them, e.g. {folders[0]}",
        )
    deeper = _deeper(folders)
    if len({folder.name for folder in deeper}) > 1:
        raise UsageError(
            "these folders hold no images but in folders of theirs",
            where=str(path),
            why=f"{', '.join(str(folder.relative_to(path)) for folder in deeper[:3])}: are these the classes?",
            fix='name the folder that holds one a class, or list them in a JSON file: {"classes": {FOLDER: NAME, ...}}',
        )
    numbers = [name for name in names if WORDNET_ID.fullmatch(name)]
    if numbers:
        raise UsageError(
            "these classes are called by numbers of WordNet, which no model knows",
            where=str(path),
            why=f"{', '.join(numbers[:3])} ({len(numbers)} of {len(names)})",
            fix='give names in a JSON file: {"classes": {"n01440764": "tench", ...}}, and the folder as --images',
        )


def _deeper(folders: Sequence[Path]) -> list[Path]:
    """The folders inside of these that hold all images; empty where one of these holds an image itself."""
    if any(_is_image(file) for folder in folders for file in folder.iterdir()):
        return []
    inner = (one for folder in folders for one in sorted(folder.iterdir()) if one.is_dir())
    return [one for one in inner if any(map(_is_image, _files(one)))]


def _one_below(folders: Sequence[Path]) -> str:
    """The folder among these that itself has folders, for a message."""
    deeper = [folder for folder in folders if any(inner.is_dir() for inner in folder.iterdir())]
    return f", perhaps {deeper[0]}" if len(deeper) == 1 else ""


def _files(folder: Path) -> Iterator[Path]:
    """All below a folder but folders, sorted. Linked folders are given and not entered."""
    return (path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _content(file: Path) -> bytes | None:
    """None where it cannot be read, or is too large to be an image."""
    try:
        return read_whole(file)
    except OSError:
        return None


def class_features(encoder: Encoder, classes: Classes) -> Tensor:
    """Unit features ``[C, D]``: of each class the mean of its prompts' unit features, made unit."""
    rows = []
    for names in classes.names.values():
        prompts = [template.replace("{}", name) for name in names for template in classes.templates]
        rows.append(torch.nn.functional.normalize(encoder.texts(prompts).mean(dim=0), dim=0))
    return torch.stack(rows)


def rank_of(scores: Tensor, place: int) -> int:
    """How many other classes score no less than the right one; within `TIE` is no less."""
    return int((scores >= scores[place] - TIE).sum()) - 1


def _images(root: Path, classes: Classes, dropped: Counter[str]) -> Iterator[tuple[int, Path]]:
    """(class, file) of every image, class after class; everything else in the folders is counted."""
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and folder.name not in classes.names:
            others = (path.relative_to(root).parents for path in _files(folder))
            outside = sum(classes.names.keys().isdisjoint(map(str, above)) for above in others)
            dropped.update({"files of folders that are no class": outside} if outside else {})
    for place, folder in enumerate(root / name for name in classes.names):
        for file in _files(folder):
            if any(part.startswith(".") for part in file.relative_to(folder).parts):
                dropped["hidden files"] += 1
            elif _is_image(file):
                yield place, file
            elif file.is_dir():
                dropped["linked folders in a class"] += 1
            else:
                dropped["files that are no images"] += 1


BENCHMARK: Final = ZeroShot()
