"""How a caption uses capitals, so that what is put in has them too."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from negmine.language.inflect import capitalised, is_inflected
from negmine.language.vocabulary import packaged_vocabulary

_WORD: Final = re.compile(r"[^\W\d_][\w'’]*")
FEWEST: Final = 3
"""English words with a capital, beside those of closed classes, that make a title of a text with no capital "The"."""


USUAL: Final = 4
"""Letters of a small word with a capital, where a title has none to tell: "Dog With a Ball in the Park"."""

MOST_SLIPS: Final = 20
"""Letters of a text all in capitals to one that is small by mistake."""


class Capitals(NamedTuple):
    """Which words of a text begin with a capital, beside names and the first.

    Attributes:
        upper: whether all letters are capitals.
        title: whether all words have one, but for small ones: those of closed classes with fewer letters than `small`.
        small: letters; 1: every word of a title has a capital.
    """

    upper: bool = False
    title: bool = False
    small: int = 1

    def write(self, text: str) -> str:
        """Words as they stand inside such a text."""
        if self.upper or not self.title:
            return text.upper() if self.upper else text
        return " ".join(word if self._is_small(word) else capitalised(word) for word in text.split(" "))

    def _is_small(self, word: str) -> bool:
        return len(word) < self.small and word in packaged_vocabulary().closed_class


NAMES: Final = Capitals()
"""As in a sentence."""


def capitals_of(text: str) -> Capitals:
    """What the words behind the first tell: a capital of "On" or "The" is no name's."""
    if _is_upper(text):
        return Capitals(upper=True)
    closed_class = packaged_vocabulary().closed_class
    first, *words = [match[0] for match in _WORD.finditer(text)] or [""]
    content = [word for word in words if word.lower() not in closed_class]
    if len(words) < 2 or not content or not all(word[0].isupper() for word in content):
        return NAMES
    small = [word for word in words if word.lower() in closed_class and word != "I"]
    capital = [word for word in small if word[0].isupper()]
    known = sum(is_inflected(word.lower()) for word in (first, *content))
    if not capital and (known < FEWEST or known * 3 < 2 * (1 + len(content))):
        return NAMES
    longest = max((len(word) for word in small if word[0].islower()), default=0)
    return Capitals(title=True, small=1 + longest if small else USUAL)


def _is_upper(text: str) -> bool:
    """Whether all letters are capitals, but for a slip: "tHERE IS A DOG"."""
    letters = sum(map(str.isalpha, text))
    return sum(map(str.isupper, text)) >= max(1, letters - letters // MOST_SLIPS)
