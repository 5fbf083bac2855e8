"""Presets: which rules are used and how their candidates are chosen. A new one is a TOML file here, or anywhere."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator

from negmine.base.documents import parse_toml, read_settings
from negmine.base.errors import UsageError
from negmine.stages.negatives.rules import RULES


class Preset(BaseModel):
    """One configuration of `negmine parse`.

    Attributes:
        rules: names from `negmine.stages.negatives.rules.RULES`.
        per_caption: the most negatives of one caption.
        balanced: whether the choice is balanced over the corpus, so that texts alone do not tell; else it is varied.
        weights: rule to log weight: 0.7 makes its candidates about twice as likely to be chosen, and keeps twice as
            many of those that are thinned because few flow back. Only where balanced.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[str, ...] = Field(min_length=1)
    per_caption: int = Field(ge=1)
    balanced: bool
    weights: dict[str, FiniteFloat] = {}

    @field_validator("rules", "weights")
    @classmethod
    def _known(cls, value: Any) -> Any:
        unknown = [rule for rule in value if rule not in RULES]
        if unknown:
            raise ValueError(f"there is no rule {', '.join(unknown)}; the rules are {', '.join(RULES)}")
        return value

    def changed(self, rules: str | None, per_caption: int | None) -> Preset:
        """This preset with other rules, given by comma (or ``all``), or another number of negatives.

        Raises:
            UsageError: a rule is unknown.
        """
        changes: dict[str, Any] = {} if per_caption is None else {"per_caption": per_caption}
        if rules is not None:
            changes["rules"] = tuple(RULES) if rules == "all" else tuple(rule.strip() for rule in rules.split(","))
        return _validated({**self.model_dump(), **changes}, "--rules" if rules else "--per-caption")


def names() -> list[str]:
    """The presets that come with negmine."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_preset(name: str) -> Preset:
    """A preset by its name, or by the path of a TOML file with the same fields.

    Raises:
        UsageError: there is none, or a field is unknown, missing or wrong.
    """
    if name in names():
        text = resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8")
    elif Path(name).is_file():
        text = read_settings(Path(name))
    else:
        raise UsageError(f"there is no preset {name!r}", fix=f"choose one of {', '.join(names())}, or name a TOML file")
    return _validated(parse_toml(text, name), name)


def _validated(fields: dict[str, Any], where: str) -> Preset:
    try:
        return Preset.model_validate(fields)
    except ValidationError as error:
        why = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise UsageError("this choice of rules is wrong", where=where, why=why, fix="mend these fields") from None
