"""Recipes: from a YAML file, a name or a mapping to a loss module.

A recipe file holds ``title``, ``source``, ``evidence``, ``parameters`` (name: default), ``forms`` (name: parameters it
sets) and ``terms`` (name: a term of `TERMS`, its ``weight`` and its options). ``$name`` stands for a parameter; a
weight that is a list is multiplied. A term whose weight is 0 is left out; one with ``during: [from, to]`` counts in
that share of the training only.

Every recipe has the parameter ``same_image``: by default samples of one image are never each other's candidates
(``masked``); with ``negatives`` nobody looks which image a sample is of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import signature
from math import isfinite, prod
from pathlib import Path
from typing import Any

import torch
from negmine.base.documents import Document, check_kind, find_document, of_document, packaged, parse_yaml, read_settings
from negmine.base.errors import UsageError
from negmine.base.names import pick
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ahnpl.losses.features import Features, LossOut, Part
from ahnpl.losses.lists import WassersteinList
from ahnpl.losses.margins import RunningMargins
from ahnpl.losses.mixers import shift_images
from ahnpl.losses.specs import Timed, make
from ahnpl.losses.teachers import TeacherSpec
from ahnpl.losses.terms import TERMS

RECIPE_FOLDER = Path(__file__).parents[1] / "recipes"
SAME_IMAGE = ("masked", "negatives")
_FIELDS = {"title", "source", "evidence", "parameters", "forms", "shift_images", "teacher", "terms"}


@dataclass(frozen=True)
class Recipe:
    """A recipe with every parameter settled; ``parameters`` is what a run records."""

    name: str
    body: Document
    parameters: Document

    def fill(self, value: object) -> Any:  # of the type of `value`, or of a parameter
        """`value` with each ``$name`` replaced by that parameter."""
        if isinstance(value, Mapping):
            return {key: self.fill(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.fill(inner) for inner in value]
        if isinstance(value, str) and value.startswith("$"):
            return self.parameters[pick("parameter", value[1:], self.parameters)]
        return value


class RecipeLoss(Timed):
    """The weighted sum of a recipe's terms. State (margins) lies in the module and so in the checkpoint.

    Attributes:
        recipe: name and settled parameters.
        knows_images: whether samples of one image are kept apart, see ``same_image``.
        weights: term name to weight.
        needs_negatives: whether any term asks for text negatives.
        needs_image_negatives: whether any term asks for image negatives as images.
        needs_positives: whether any term asks for true texts beside the caption.
        reads_bias: whether any term reads a model's logit bias.
        teacher: what the loop must make a teacher of; None where no term asks for one.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.knows_images = pick("same_image", recipe.parameters["same_image"], SAME_IMAGE) == "masked"
        self.weights: dict[str, float] = {}
        self.stages: dict[str, tuple[float, float]] = {}
        self.progress = 0.0
        self.terms = nn.ModuleDict()
        for name, options in recipe.fill(recipe.body["terms"]).items():
            weight = _weight(options)
            stage = tuple(options.pop("during", (0.0, 1.0)))
            if weight:
                self.stages[name] = _stage(name, stage)
                self.weights[name] = weight
                self.terms[name] = _build_term(name, options)
        if not self.terms:
            raise UsageError(f"recipe {recipe.name} has no term with a weight, so there is nothing to learn")
        if all(isinstance(term, WassersteinList) for term in self.terms.values()):
            raise UsageError(
                f"recipe {recipe.name} has no term besides the Wasserstein distance",
                why="it does not see which caption belongs to which image",
                fix="add a row",
            )
        self.shift: Document | None = recipe.fill(recipe.body.get("shift_images"))
        texts = any(bool(term.needs_negatives) for term in self.terms.values())
        images = any(bool(term.needs_image_negatives) for term in self.terms.values())
        self.needs_negatives = texts or (images and self.shift is not None)  # shifted images are made from texts
        self.needs_image_negatives = images and self.shift is None
        self.needs_positives = any(_is(term, "needs_positives") for term in self.terms.values())
        asked = any(bool(getattr(term, "needs_teacher", False)) for term in self.terms.values())
        self.teacher = _teacher(recipe) if asked else None
        self.reads_bias = any(bool(getattr(piece, "reads_bias", False)) for piece in self.terms.modules())

    @property
    def whole_terms(self) -> list[str]:
        """Terms that need all rows of the batch at once, and have a matrix over it."""
        return [name for name, term in self.terms.items() if not _is(term, "row_wise") and not _is(term, "small")]

    def forward(self, features: Features, rows_at_once: int | None = None) -> LossOut:
        """Compute the loss, in float32 at least and outside autocast.

        With `Features.rows` terms that are row-wise have these rows' loss; of all ranks' losses the mean is the
        batch's, and so are sums over ranks of the gradients at the features.

        Args:
            rows_at_once: rows whose logits stand at one time; they are computed again in the backward pass. None: all.

        Raises:
            UsageError: the recipe needs negatives that `features` lacks.
        """
        with torch.autocast(features.image.device.type, enabled=False):
            features = features.upcast() if self.knows_images else replace(features.upcast(), image_ids=None)
            if self.shift is not None and self.needs_negatives:
                with self._named("shift_images"):
                    features = shift_images(features, **self.shift)
            whole = replace(features, rows=None)
            done: dict[str, Part] = {}
            for name, term in self.terms.items():
                if self._counts(name):
                    with self._named(f"term {name}"):
                        done[name] = _by_rows(term, features, rows_at_once) if _is(term, "row_wise") else term(whole)
            start = _zero(features, features.logit_bias if self.reads_bias else None)
            total: Tensor = sum((self.weights[name] * part.value for name, part in done.items()), start)
        stats = {key: value for part in done.values() for key, value in part.stats.items()}
        return LossOut(total, {name: part.value for name, part in done.items()}, stats)

    @contextmanager
    def _named(self, piece: str) -> Iterator[None]:
        """Tell what a piece of the recipe lacks with its name."""
        try:
            yield
        except UsageError as error:
            where = f"{piece} of recipe {self.recipe.name}"
            raise UsageError(error.what, where=where, why=error.why, fix=error.fix) from None

    def _counts(self, name: str) -> bool:
        start, end = self.stages[name]
        return start <= self.progress and (self.progress < end or end == 1)

    def begin_epoch(self) -> None:
        """Tell the terms' margins that an epoch begins."""
        for module in self.modules():
            if isinstance(module, RunningMargins):
                module.begin_epoch()

    def begin_step(self, step: int, steps: int) -> None:
        """Tell the pieces that move with training that step `step` of `steps` begins."""
        super().begin_step(step, steps)
        for module in self.modules():
            if isinstance(module, Timed) and module is not self:
                module.begin_step(step, steps)


def build_loss(recipe: str | Path | Document) -> RecipeLoss:
    """The loss of a recipe.

    Args:
        recipe: a name (see `list_recipes`), the path of a YAML file, or a mapping; a mapping or file may say
            ``extends: NAME`` and set that recipe's parameters: ``{"extends": "ahnpl", "form": "released"}``.

    Raises:
        UsageError: an unknown recipe, key, form or option, with the nearest names; or values of another kind.
    """
    where = None if isinstance(recipe, Mapping) else f"recipe {recipe}"
    try:
        with of_document(where):
            return RecipeLoss(read_recipe(recipe))
    except (TypeError, ValueError, KeyError, AttributeError) as error:  # pieces say so of what they are given
        raise UsageError("this recipe cannot be built", where=where, why=str(error)) from None


def list_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return packaged(RECIPE_FOLDER)


def read_recipe(recipe: str | Path | Document) -> Recipe:
    """Resolve ``extends`` and settle all parameters: defaults, then the form's, then the caller's."""
    name, body, overrides = _resolve(recipe, ())
    defaults = {"same_image": SAME_IMAGE[0], **dict(body.get("parameters", {}))}
    forms = dict(body.get("forms", {}))
    for key in overrides:
        pick(f"parameter of recipe {name}", key, defaults)
    form = {**defaults, **overrides}.get("form")
    of_form = forms[pick(f"form of {name}", str(form), forms)] if forms else {}
    settled = {**defaults, **of_form, **overrides}
    for key, value in settled.items():
        default = defaults[pick("parameter", key, defaults)]
        check_kind(f"{key} of recipe {name}", value, _kind(default), repr(default))
    return Recipe(name, body, settled)


def _resolve(recipe: str | Path | Document, seen: tuple[Path, ...]) -> tuple[str, Document, Document]:
    """The name, the body that has terms, and the parameters set on the way to it."""
    if not isinstance(recipe, Mapping):
        path = Path(str(find_document("recipe", str(recipe), RECIPE_FOLDER, ".yaml")))
        if path.resolve() in seen:
            names = [one.stem for one in (*seen, path)]
            raise UsageError("recipes extend each other in a circle", where=" -> ".join(names))
        name, body, overrides = _resolve(_read(path), (*seen, path.resolve()))
        return path.stem, body, overrides
    if "extends" not in recipe:
        for key in recipe:
            pick("recipe key", key, _FIELDS)
        if "terms" not in recipe:
            raise UsageError("a recipe needs `terms`, or `extends` with the name of another recipe")
        return seen[-1].stem if seen else "recipe", recipe, {}
    own = {key: value for key, value in recipe.items() if key not in {*_FIELDS, "extends"}}
    name, body, overrides = _resolve(recipe["extends"], seen)
    return name, _add(body, recipe), {**overrides, **own}


def _add(body: Document, recipe: Document) -> Document:
    """`body` with the parameters, terms (or options of its terms), forms and teacher that `recipe` adds."""
    added = dict(body)
    for field in _FIELDS & recipe.keys() - {"title", "source", "evidence"}:
        value = recipe[field]
        if not isinstance(value, Mapping):
            raise UsageError(f"`{field}` of a recipe is a mapping, not {str(value)[:60]!r}")
        inner = dict(added.get(field) or {})
        for key, new in value.items():
            old = inner.get(key)
            inner[key] = {**old, **new} if isinstance(old, Mapping) and isinstance(new, Mapping) else new
        added[field] = inner
    return added


def _read(path: Path) -> Document:
    body = parse_yaml(read_settings(path), str(path))
    try:
        _check_shape(body)
    except ValueError as error:
        raise UsageError("cannot read this recipe", where=str(path), why=str(error)) from None
    return body


def _check_shape(body: Document) -> None:
    """Check that a recipe's sections are mappings with names for keys, and its numbers finite.

    Raises:
        ValueError: they are not.
    """
    waiting: list[object] = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{value} is no number to compute with")
        if isinstance(value, Mapping):
            odd = next((key for key in value if not isinstance(key, str)), None)
            if odd is not None:
                raise ValueError(f"{odd!r} is no name")
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    for field in _FIELDS & body.keys() - {"title", "source", "evidence"}:
        if not isinstance(body[field], Mapping) and body[field] is not None:
            raise ValueError(f"`{field}` is a mapping, not {str(body[field])[:60]!r}")
    for name, term in (body.get("terms") or {}).items():
        if not isinstance(term, Mapping):
            raise ValueError(f"term {name} is a mapping, not {str(term)[:60]!r}")


def _kind(default: object) -> type:
    """What a parameter is, by its default: whole numbers stand for others too."""
    return float if type(default) is int else type(default)


def _weight(options: Document) -> float:
    weight = options.pop("weight", 1.0)
    found = float(prod(weight)) if isinstance(weight, list) else float(weight)
    if not isfinite(found):
        raise ValueError(f"the weight {weight} is no number to compute with")
    return found


def _stage(name: str, stage: tuple[float, ...]) -> tuple[float, float]:
    if len(stage) != 2 or not 0 <= stage[0] < stage[1] <= 1:
        raise UsageError(f"{name} counts during {list(stage)}", fix="two shares of the training, such as [0, 0.5]")
    return stage[0], stage[1]


def _is(term: nn.Module, what: str) -> bool:
    return bool(getattr(term, what, False))


def _by_rows(term: nn.Module, features: Features, rows_at_once: int | None) -> Part:
    """A row-wise term, a few rows at a time."""
    start, stop, _ = (features.rows or slice(None)).indices(len(features.text))
    if rows_at_once is None or rows_at_once >= stop - start:
        part: Part = term(features)
        return part

    def mean_of(rows: slice) -> Tensor:
        value: Tensor = term(replace(features, rows=rows)).value
        return value

    total = features.image.new_zeros(())
    for first in range(start, stop, rows_at_once):
        rows = slice(first, min(first + rows_at_once, stop))
        value: Tensor = checkpoint(mean_of, rows, use_reentrant=False, preserve_rng_state=False)
        total = total + value * ((rows.stop - rows.start) / (stop - start))
    return Part(total)


def _build_term(name: str, options: Document) -> nn.Module:
    return make(f"term of {name}", {options.pop("term", "row"): options}, TERMS)


def _teacher(recipe: Recipe) -> TeacherSpec:
    spec = recipe.fill(recipe.body.get("teacher"))
    if not isinstance(spec, Mapping):
        raise UsageError(
            f"a term of recipe {recipe.name} needs a teacher and the recipe has none",
            fix="add `teacher: {kind: frozen}`, `{kind: ema, decay: 0.9996}` or `{kind: lagged, every: 1000}`",
        )
    for key in spec:
        pick("option of teacher", key, signature(TeacherSpec).parameters)
    return TeacherSpec(**spec)


def _zero(features: Features, bias: Tensor | None) -> Tensor:
    """0, with a gradient of 0 for a bias that the terms of the moment may not read: processes wait for one."""
    return features.image.new_zeros(()) if bias is None else 0 * bias
