"""Guards: small pure functions, each refusing one way in which a positive goes wrong; its name is the reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from typing import Final

from negmine.language.caption import Caption
from negmine.stages.positives.rewording import Rewording

_TOLD_BY_ANOTHER: Final = frozenset(
    {"another", "other", "others", "each", "both", "same", "respectively", "only", "former", "latter"}
    | {"themselves", "himself", "herself", "itself", "one", "ones", "either", "neither", "else", "different", "rest"}
)
_COMPARED: Final = frozenset({"JJR", "JJS", "RBR", "RBS"})
_PRONOUNS: Final = frozenset({"PRP", "PRP$"})
_DENIALS: Final = frozenset({"no", "not", "n't", "without", "never", "none", "nothing", "nobody"})
_FEWEST: Final = 3
_WORD: Final = re.compile(r"\w+(?:['’-]\w+)*")

Guard = Callable[[Rewording, Caption, str, Set[str]], bool]
"""Whether a rewording of a caption, whose text and that of all captions of its image are given, is refused."""


def in_scope(rewording: Rewording, caption: Caption, text: str, said: Set[str]) -> bool:
    """A change of what is denied, counted with a bound, or left open: less said of it may be more."""
    return not caption.scopes.isdisjoint(rewording.touched) or not _DENIALS.isdisjoint(caption.words)


def reference(rewording: Rewording, caption: Caption, text: str, said: Set[str]) -> bool:
    """What is told by another thing that might go or move: "the other", "its", "both". What goes whole is no matter."""
    left = set(_WORD.findall(text.lower()))
    told = [i for i, t in enumerate(caption.tokens) if t.tag in _PRONOUNS or t.text.lower() in _TOLD_BY_ANOTHER]
    stay = any(caption.tokens[i].text.lower() in left for i in told)
    return stay and len(rewording.touched) > 1 and rewording.touched.start <= told[-1]


def comparison(rewording: Rewording, caption: Caption, text: str, said: Set[str]) -> bool:
    """A caption that compares: with a side of it gone or moved, something else is compared."""
    return any(token.tag in _COMPARED for token in caption.tokens) and "than" in caption.words


def too_short(rewording: Rewording, caption: Caption, text: str, said: Set[str]) -> bool:
    """Too little is left to say."""
    return len(_WORD.findall(text)) < _FEWEST


def said_already(rewording: Rewording, caption: Caption, text: str, said: Set[str]) -> bool:
    """The text is a caption of the image as it is."""
    return normalised(text) in said


def doubled(rewording: Rewording, caption: Caption, text: str, said: Set[str]) -> bool:
    """A word stands twice in a row, where it did not."""
    return bool(_DOUBLED.search(text.lower())) and not _DOUBLED.search(caption.text.lower())


def repeated(rewording: Rewording, caption: Caption, text: str, said: Set[str]) -> bool:
    """The word that is put in is in the caption already: "a lady and a woman" are two."""
    if len(rewording.flow) < 2 or rewording.flow[1] in rewording.flow[0]:
        return False
    return rewording.flow[1] in caption.words


_DOUBLED: Final = re.compile(r"\b(\w+) \1\b")

GUARDS: Final[tuple[Guard, ...]] = (in_scope, reference, comparison, too_short, said_already, doubled, repeated)


def normalised(text: str) -> str:
    """A text as one that ignores case, spacing and punctuation sees it."""
    return " ".join(_WORD.findall(text.lower()))


def refusal(rewording: Rewording, caption: Caption, text: str, said: Set[str]) -> str | None:
    """Name of the guard that refuses a rewording, if one does."""
    return next((guard.__name__ for guard in GUARDS if guard(rewording, caption, text, said)), None)
