"""How texts are judged, and which of them are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from negmine.base.errors import UsageError
from negmine.base.options import Option, check
from negmine.llm.settings import EndpointSettings
from negmine.store.texts import check_name

_KEPT: Final = "What is kept"


@dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """Which texts are judged, by which model, and which of them are kept under a name of their own."""

    texts: Annotated[str, Option("NAME of the texts: work/texts/NAME", parser=check_name, argument=True)]
    name: Annotated[str, Option("of those that are kept: work/texts/NAME", parser=check_name)]
    pictures: Annotated[bool, Option("show the picture in place of the caption, to a model that takes some")] = False
    picture_size: Annotated[int, Option("of its longer side, pixels, at most", least=32, most=4096)] = 512
    most_still_true: Annotated[
        float, Option("probability to be true, of a text that shall be false", least=0, most=1, panel=_KEPT)
    ] = 0.5
    least_still_true: Annotated[
        float, Option("the same, of a text that shall be true", least=0, most=1, panel=_KEPT)
    ] = 0.5
    least_plausible: Annotated[float, Option("probability to be a caption", least=0, most=1, panel=_KEPT)] = 0.5
    endpoint: EndpointSettings

    def __post_init__(self) -> None:
        check(self)
        if self.texts == self.name:
            raise UsageError(
                "the texts that are kept have the name of those that are judged", fix="choose another --name"
            )
