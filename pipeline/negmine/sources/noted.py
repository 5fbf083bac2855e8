"""What a source decided on the way: no row and no refusal, but said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Note = Literal[
    "columns",  # which column of a file is what
    "folder",  # of a split of COCO below the root of the images
    "joined_lines",  # further lines of a cell in quotes
    "bare_delimiter",  # a caption with the delimiter in it, put together again
    "backslash_escapes",  # a line of CSV with `\\"` or `\\,`
    "several_captions_of_one_text",  # a text of several lines, each a caption
    "one_caption_of_several_lines",  # a text of several lines that is one caption
    "further_text",  # a `.caption` beside a `.txt`, which goes first
    "broken_json",  # beside a text that has the caption
    "extra_member",  # `x.mask.png` in a tar that has `x.png`
    "hidden_member",  # `.x`, `._x.jpg` in a tar
    "members_after_end",  # of a tar: two were joined
    "other_split",  # captions of other splits than the one that is asked for
]


@dataclass(frozen=True, slots=True)
class Noted:
    """Is counted as ``noted:WHAT``, with what was chosen behind it where there was a choice.

    Attributes:
        detail: the choice, in words.
    """

    what: Note
    number: int = 1
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.what}:{self.detail}" if self.detail else self.what
