"""Recipes: the settings of a method, by name or from a YAML file, and what the command line says in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Final

from negmine.base.documents import check_kind, fill, load_document, of_document, packaged
from negmine.base.errors import UsageError
from negmine.base.names import pick
from negmine.base.options import declared
from negmine.stages.neighbours.filters import FILTERS
from negmine.stages.neighbours.sampling import SAMPLERS
from negmine.stages.neighbours.settings import RECIPE, RetrieveSettings
from negmine.stages.neighbours.specs import complete, read_piece

FOLDER: Final = resources.files("negmine.stages.neighbours").joinpath("recipes")

_FIELDS: Final = tuple(
    name for name, one in declared(RetrieveSettings).items() if one.option and one.option.unset == RECIPE
)
_ABOUT: Final = ("title", "source", "evidence", "plan")


@dataclass(frozen=True)
class Recipe:
    """A method's settings, and the name of the batch plan that belongs to it, if one does."""

    settings: RetrieveSettings
    plan: str | None


def recipe_names() -> list[str]:
    """The recipes that come with negmine."""
    return packaged(FOLDER)


def load_recipe(name: str, progress: float = 1.0) -> Recipe:
    """A recipe by name, or from a YAML file.

    Raises:
        UsageError: there is none, or it says what no recipe can say.
    """
    table = load_document("recipe", name, FOLDER, ".yaml")
    with of_document(f"recipe {name}"):
        for field in table:
            pick("field of a recipe", field, (*_FIELDS, *_ABOUT))
        plan = table.pop("plan", None)
        check_kind("plan", plan, str | None)
        sampling, options = _sampling(table.pop("sampling", "top"), progress)
        filters = _filters(table.pop("filters", None), progress)
        plain = {field: value for field, value in table.items() if field not in _ABOUT}
        ready = {"filters": filters, "sampling": sampling, "options": options, "progress": progress}
        return Recipe(fill(RetrieveSettings, plain, **ready), plan)


def _filters(given: object, progress: float) -> dict[str, dict[str, float]]:
    """Each filter with its numbers: a table of them, one value for the first, or nothing."""
    if not isinstance(given, dict | None):
        raise UsageError(
            "filters is no table", why=f"it is {str(given)[:60]!r}", fix="write one `name: numbers` a line"
        )
    return {name: _numbers("filter", name, numbers, FILTERS, progress) for name, numbers in (given or {}).items()}


def _sampling(given: object, progress: float) -> tuple[str, dict[str, float]]:
    if not isinstance(given, str) and not (isinstance(given, dict) and len(given) == 1):
        raise UsageError(
            "sampling is no name, nor one name with its numbers",
            why=f"it is {str(given)[:60]!r}",
            fix="write `sampling: top`, or `sampling: {softmax: 0.05}`",
        )
    name, numbers = next(iter(given.items())) if isinstance(given, dict) else (given, None)
    return name, _numbers("sampling", name, numbers, SAMPLERS, progress)


def _numbers(
    kind: str, name: str, given: object, registry: Mapping[str, Callable[..., object]], progress: float
) -> dict[str, float]:
    options = given if isinstance(given, dict) else {} if given is None else {"": given}
    return complete(kind, name, options, registry, progress)


def override(
    settings: RetrieveSettings,
    *,
    filters: Sequence[str] = (),
    without: Sequence[str] = (),
    sampling: str | None = None,
    **fields: Any,  # each of its field's own type
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
        pick("filter", name, (*FILTERS, "all"))
    for text in filters:
        name, given = read_piece(text)
        chosen[name] = complete("filter", name, given, FILTERS, progress)
    given_fields = {name: value for name, value in fields.items() if value is not None}
    if sampling is not None:
        name, given = read_piece(sampling)
        given_fields |= {"sampling": name, "options": complete("sampling", name, given, SAMPLERS, progress)}
    return replace(settings, filters=chosen, **given_fields)
