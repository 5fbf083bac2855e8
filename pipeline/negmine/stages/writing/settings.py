"""What a language model is asked to write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from negmine.base.errors import UsageError
from negmine.base.options import Option, check
from negmine.llm.prompts import DEFAULT
from negmine.llm.settings import EndpointSettings, Sampling
from negmine.store.places import named
from negmine.store.texts import check_name


def _prompts(text: str) -> tuple[str, ...]:
    from negmine.llm.prompts import names

    return tuple(names()) if text == "all" else tuple(named(name.strip()) for name in text.split(","))


@dataclass(frozen=True, kw_only=True)
class WriteSettings:
    """What is asked for, of which model, and what the texts are called."""

    name: Annotated[str, Option("of the texts: work/texts/NAME, for `parse --texts NAME`", parser=check_name)]
    prompts: Annotated[
        tuple[str, ...],
        Option("kinds of texts by comma, `all`, or TOML files", typed=str, parser=_prompts, unset=", ".join(DEFAULT)),
    ] = DEFAULT
    texts: Annotated[int, Option("of a kind for a caption, at most", least=1, most=20)] = 2
    sampling: Sampling = field(default_factory=Sampling)
    endpoint: EndpointSettings

    def __post_init__(self) -> None:
        check(self)
        if not self.prompts or len(set(self.prompts)) < len(self.prompts):
            raise UsageError("--prompts names none, or one twice", fix="name each kind of text once")
