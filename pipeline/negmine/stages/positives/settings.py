"""What positives depend on, beside the captions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated

from negmine.base.options import Option, check
from negmine.language.negations import RULE as NEGATE
from negmine.store.options import Seed


@dataclass(frozen=True, kw_only=True)
class PositiveSettings:
    """How many texts that stay true of the image a caption gets."""

    positives: Annotated[int, Option("true texts of a caption beside it, at most; 0 makes none", least=0)] = 2
    seed: Seed = 0
    texts: tuple[str, ...] = ()
    """Sources of texts by others, of which the true ones are chosen from too."""
    model: str | None = None
    """spaCy model; None for `negmine.language.analyse.DEFAULT_MODELS`."""

    def __post_init__(self) -> None:
        check(self)


def wanted(given: int | None, rules: Collection[str]) -> int:
    """How many positives to make where so many were asked for, or nobody said, beside negatives by these rules."""
    if given is not None:
        return given
    return PositiveSettings.positives if NEGATE in rules else 0
