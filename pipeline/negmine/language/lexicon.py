"""Word knowledge from WordNet 3.0: synonyms, hypernyms, antonyms and broad class of the words captions use.

The table ``data/wordnet.tsv.gz`` is made by ``scripts/build_lexicon.py``; a user's own WordNet gives the same table
through `negmine.language.wordnet.lexicon_from_wordnet`. One row a word: part of speech (n, v, a), lemma, WordNet's
lexicographer files of its kept senses (the first is the commonest), and three lists parted by ``|``.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from typing import Final, NamedTuple

NOUN, VERB, ADJECTIVE = "n", "v", "a"
TANGIBLE: Final = frozenset({"animal", "artifact", "body", "food", "object", "person", "plant"})
TOPMOST: Final = "Tops"
"""Lexicographer file of the nouns that stand above all others; some give their names to the other files."""

PLURAL_OF: Final = {"people": "person"}
"""Nouns of a file for collections, of which captions speak as of several of a class."""

TABLE: Final = "wordnet.tsv.gz"


class Entry(NamedTuple):
    """What WordNet says of one word.

    Attributes:
        classes: lexicographer files of the kept senses, commonest first: ``animal``, ``artifact``, ``person`` ...
        synonyms: other words of those senses.
        antonyms: words of the opposite senses.
        hypernyms: words up to four steps above those senses.
    """

    classes: tuple[str, ...]
    synonyms: frozenset[str]
    antonyms: frozenset[str]
    hypernyms: frozenset[str]


UNKNOWN: Final = Entry((), frozenset(), frozenset(), frozenset())


class Lexicon:
    """Entries by part of speech and lemma. Rows are split when they are first asked for."""

    def __init__(self, rows: Iterable[str]) -> None:
        self._rows: dict[tuple[str, str], str] = {}
        for row in rows:
            pos, word, rest = row.rstrip("\n").split("\t", 2)
            self._rows[pos, word] = rest
        self._entries: dict[tuple[str, str], Entry] = {}
        self._implied: dict[str, frozenset[str]] = {}
        self._classes: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __reduce__(self) -> tuple[object, ...]:
        return Lexicon, ([f"{pos}\t{word}\t{rest}" for (pos, word), rest in self._rows.items()],)

    def knows(self, word: str) -> bool:
        """Whether a lemma has an entry as any part of speech."""
        return any((pos, word) in self._rows for pos in (NOUN, VERB, ADJECTIVE))

    def entry(self, word: str, pos: str = NOUN) -> Entry:
        """The entry of a lemma, `UNKNOWN` where there is none."""
        key = pos, word
        found = self._entries.get(key)
        if found is None:
            rest = self._rows.get(key)
            found = self._entries[key] = UNKNOWN if rest is None else _parse(rest)
        return found

    def broad_class(self, noun: str) -> str:
        """WordNet's lexicographer file of a noun's commonest sense that can be touched, else of its commonest; or ''.

        An unknown compound is what its last word is; a noun that names a class ("person") is of that class.
        """
        found = self._classes.get(noun)
        if found is None:
            classes = self.entry(noun).classes or self.entry(noun.rsplit(" ", 1)[-1]).classes
            found = next((name for name in classes if name in TANGIBLE), classes[0] if classes else "")
            if TOPMOST in classes[:1]:
                found = noun if noun in TANGIBLE else found
            self._classes[noun] = found = PLURAL_OF.get(noun, found)
        return found

    def implied(self, noun: str) -> frozenset[str]:
        """The noun, its synonyms and hypernyms: the nouns that are true of an image that shows it."""
        found = self._implied.get(noun)
        if found is None:
            entry = self.entry(noun)
            found = self._implied[noun] = entry.synonyms | entry.hypernyms | {noun}
        return found

    def overlap(self, one: str, other: str, pos: str = NOUN) -> bool:
        """Whether one word may be true wherever the other is: equal, synonym, hypernym or hyponym."""
        first, second = self.entry(one, pos), self.entry(other, pos)
        return (
            one == other
            or other in first.synonyms
            or other in first.hypernyms
            or one in second.hypernyms
            or one in second.synonyms
        )


def _parse(rest: str) -> Entry:
    classes, synonyms, antonyms, hypernyms = (tuple(field.split("|")) if field else () for field in rest.split("\t"))
    return Entry(classes, frozenset(synonyms), frozenset(antonyms), frozenset(hypernyms))


@lru_cache(maxsize=1)
def packaged_lexicon() -> Lexicon:
    """The lexicon that comes with negmine."""
    packed = resources.files("negmine.language").joinpath("data", TABLE).read_bytes()
    return Lexicon(gzip.decompress(packed).decode().splitlines())
