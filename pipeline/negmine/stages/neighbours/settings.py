"""What a mining run is made of, and the recipes: score source x range x filters x sampling, by name."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from math import inf
from pathlib import Path
from typing import Any, Final

from negmine.base.documents import parse_yaml, read_settings
from negmine.base.errors import UsageError
from negmine.contract.records import DIRECTIONS
from negmine.encoders import DEFAULTS
from negmine.encoders.base import Modality
from negmine.stages.neighbours.filters import FILTERS
from negmine.stages.neighbours.pieces import complete, read_piece
from negmine.stages.neighbours.sampling import SAMPLERS

MODALITY: Final[dict[str, Modality]] = {"t": "text", "i": "image"}
LEXICAL: Final = "bm25"
CROSS: Final = "cross"
DEFAULT: Final = "default"

POSITIVES: Final = ("typical", "lowest")


@dataclass(frozen=True)
class Source:
    """Where scores come from.

    Attributes:
        direction: what is asked with, and for what.
        name: an encoder, ``bm25``, or ``cross:FILE.py:FUNCTION``.
        weight: of this source in a sum.
    """

    direction: str
    name: str
    weight: float = 1.0

    @property
    def query(self) -> Modality:
        return MODALITY[self.direction[0]]

    @property
    def target(self) -> Modality:
        return MODALITY[self.direction[2]]


@dataclass(frozen=True)
class RetrieveSettings:
    """How neighbours are mined.

    Attributes:
        scores: sources (``DIRECTION``, ``DIRECTION:NAME`` or ``WEIGHT*DIRECTION:NAME``) whose weighted sum is searched.
        encoder: of the sources that name none; None for the default of the modality.
        rescore: a source that gives the candidates found their final score; None to keep the search's.
        positive: the truth's score: ``typical`` (see `records.NEIGHBOURS`), or the ``lowest`` of all truths.
        candidates: rows of other images looked at for each pair, the best first.
        skip: of these, how many stand before the range.
        filters: name to thresholds, from `negmine.stages.neighbours.filters.FILTERS`.
        sampling: name from `negmine.stages.neighbours.sampling.SAMPLERS`; `options` its numbers.
        neighbours: K, rows selected of those that pass every filter.
        refill: fill up with random pairs where fewer than K pass.
        index: a FAISS index in place of exact search: a preset or a factory string.
        progress: of training, 0 to 1, for numbers that move with it.
    """

    scores: tuple[str, ...] = ("t2t",)
    encoder: str | None = None
    rescore: str | None = None
    positive: str = "typical"
    candidates: int = 100
    skip: int = 0
    filters: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sampling: str = "top"
    options: Mapping[str, float] = field(default_factory=dict)
    neighbours: int = 10
    refill: bool = False
    index: str | None = None
    progress: float = 1.0
    seed: int = 0

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that are summed.

        Raises:
            UsageError: an unknown direction, an encoder is missing, or sources that cannot be summed.
        """
        sources = tuple(read_source(text, self.encoder) for text in self.scores)
        if not sources:
            raise UsageError("no score source is named", fix="add --score t2t")
        if len(sources) > 1 and any(source.name == LEXICAL for source in sources):
            raise UsageError(
                "bm25 cannot be summed with an encoder", why="its scores have no scale in common with cosines",
                fix="search with bm25 and order what it finds: --score t2t:bm25 --rescore t2t:minilm",
            )  # fmt: skip
        if any(source.name.partition(":")[0] == CROSS for source in sources):
            raise UsageError("a cross-scorer cannot search", fix="search with an encoder, and --rescore with it")
        return sources

    @property
    def rescorer(self) -> Source | None:
        return None if self.rescore is None else read_source(self.rescore, self.encoder)


def read_source(text: str, encoder: str | None = None) -> Source:
    """A source as a person writes it.

    Raises:
        UsageError: no such direction, or an encoder of both captions and pictures is needed and none is named.
    """
    before, _, name = text.partition(":")  # what follows may be a path
    weight, star, direction = before.rpartition("*")
    if direction not in DIRECTIONS:
        raise UsageError(f"no direction {direction!r}", where=text, fix=f"choose one of {', '.join(DIRECTIONS)}")
    name = name or encoder or ""
    if not name and direction[0] != direction[2]:
        raise UsageError(
            f"{direction} needs an encoder of captions and pictures", fix="add --encoder open_clip:MODEL:WEIGHTS"
        )
    if name == LEXICAL and direction != "t2t":
        raise UsageError(f"bm25 does not score {direction}", fix="use t2t:bm25")
    try:
        factor = float(weight) if star else 1.0
    except ValueError:
        factor = -1.0
    if not 0 < factor < inf:
        raise UsageError(f"{weight!r} is no weight", where=text, fix="write it as 0.5*t2t:minilm")
    return Source(direction, name or DEFAULTS[MODALITY[direction[0]]], factor)


# --- recipes ---------------------------------------------------------------------------------------------------------

_FIELDS: Final = frozenset(RetrieveSettings.__dataclass_fields__) - {"options", "encoder", "index", "progress", "seed"}
_ABOUT: Final = ("title", "source", "evidence", "plan")


@dataclass(frozen=True)
class Recipe:
    """A method's settings.

    Attributes:
        plan: name of the batch plan that belongs to the method; None where it has none.
    """

    settings: RetrieveSettings
    plan: str | None


def recipe_names() -> list[str]:
    """The recipes that come with negmine."""
    folder = resources.files("negmine.stages.neighbours").joinpath("recipes")
    return sorted(path.name.removesuffix(".yaml") for path in folder.iterdir() if path.name.endswith(".yaml"))


def load_recipe(name: str, progress: float = 1.0) -> Recipe:
    """A recipe by name, or from a YAML file.

    Raises:
        UsageError: there is none, or it says what no recipe can say.
    """
    body = _read_recipe(name)
    unknown = sorted(set(body) - _FIELDS - set(_ABOUT))
    if unknown:
        raise UsageError(
            f"recipe {name} sets {', '.join(unknown)}", fix=f"a recipe has {', '.join(sorted(_FIELDS | set(_ABOUT)))}"
        )
    filters = {
        filter_: _options("filter", filter_, given, FILTERS, progress)
        for filter_, given in (body.get("filters") or {}).items()
    }
    sampling, options = _sampling(body.get("sampling", "top"), progress)
    plain = {name: body[name] for name in _FIELDS - {"filters", "sampling", "scores"} if name in body}
    settings = RetrieveSettings(
        scores=tuple(body.get("scores", ("t2t",))), filters=filters, sampling=sampling, options=options,
        progress=progress, **plain,
    )  # fmt: skip
    return Recipe(_checked(settings), body.get("plan"))


def _read_recipe(name: str) -> dict[str, Any]:
    path = Path(name)
    packaged = resources.files("negmine.stages.neighbours").joinpath("recipes", f"{name}.yaml")
    if path.suffix in (".yaml", ".yml") and path.is_file():
        text = read_settings(path)
    elif packaged.is_file():
        text = packaged.read_text()
    else:
        raise UsageError(
            f"no recipe is called {name!r}", fix=f"choose from {', '.join(recipe_names())}, or name a YAML file"
        )
    body = parse_yaml(text, name)
    for field_, value in body.items():
        if field_ in _KINDS and not _KINDS[field_][1](value):
            raise UsageError(
                f"{field_} is no {_KINDS[field_][0]}",
                where=f"recipe {name}",
                why=f"it is {reprlib.repr(value)}",
                fix="mend the file",
            )
    return body


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_KINDS: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "scores": ("list of sources", lambda value: isinstance(value, list) and all(map(_is_text, value))),
    "rescore": ("source", lambda value: isinstance(value, str | None)),
    "positive": ("name", _is_text),
    "plan": ("name", lambda value: isinstance(value, str | None)),
    "candidates": ("whole number", _is_whole),
    "skip": ("whole number", _is_whole),
    "neighbours": ("whole number above 0", lambda value: _is_whole(value) and value > 0),
    "refill": ("true or false", lambda value: isinstance(value, bool)),
    "filters": ("table of filters", lambda value: isinstance(value, dict | None)),
    "sampling": ("name, or one name with its options",
                 lambda value: _is_text(value) or (isinstance(value, dict) and len(value) == 1)),
}  # fmt: skip
"""What a recipe's field holds, and whether a value is that."""


def _options(kind: str, name: str, given: Any, registry: Any, progress: float) -> dict[str, float]:
    """Options as YAML has them: a table, one value for the first of them, or nothing."""
    options = given if isinstance(given, dict) else {} if given is None else {"": given}
    return complete(kind, name, options, registry, progress)


def _sampling(given: Any, progress: float) -> tuple[str, dict[str, float]]:
    name, options = next(iter(given.items())) if isinstance(given, dict) else (given, None)
    return name, _options("sampling", name, options, SAMPLERS, progress)


def _checked(settings: RetrieveSettings) -> RetrieveSettings:
    if settings.positive not in POSITIVES:
        raise UsageError(f"positive is {settings.positive!r}", fix=f"choose one of {', '.join(POSITIVES)}")
    if not 0 <= settings.skip < settings.candidates:
        raise UsageError(
            f"{settings.candidates} candidates, of which the first {settings.skip} are skipped",
            fix="look at more --candidates, or --skip fewer",
        )
    return settings


def override(
    settings: RetrieveSettings,
    *,
    filters: Sequence[str] = (),
    without: Sequence[str] = (),
    sampling: str | None = None,
    **fields: Any,
) -> RetrieveSettings:
    """Settings with what the command line says in place of the recipe's.

    Args:
        filters: pieces to add or to change.
        without: names of filters to leave out; ``all`` for all of them.
        fields: other fields; None leaves one as it is.

    Raises:
        UsageError: an unknown piece, or settings that exclude each other.
    """
    progress = settings.progress
    chosen = {} if "all" in without else {n: o for n, o in settings.filters.items() if n not in without}
    for name in without:
        if name not in (*FILTERS, "all"):
            raise UsageError(f"no filter is called {name!r}", fix=f"choose from {', '.join(FILTERS)}")
    for text in filters:
        name, given = read_piece(text)
        chosen[name] = complete("filter", name, given, FILTERS, progress)
    given_fields = {name: value for name, value in fields.items() if value is not None}
    settings = replace(settings, filters=chosen, **given_fields)
    if sampling is not None:
        name, given = read_piece(sampling)
        settings = replace(settings, sampling=name, options=complete("sampling", name, given, SAMPLERS, progress))
    return _checked(settings)
