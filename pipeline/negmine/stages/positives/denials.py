"""True denials: beside each false one among the negatives, the same words of another image of the part.

What is denied is what a caption claims (`negmine.language.negations`), so that as many texts say "without a dog" truly
as falsely, and *without* tells nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import Final, NamedTuple

from negmine.base.counts import Counts
from negmine.base.hashing import hash64
from negmine.contract.records import Edit, apply_edits
from negmine.language.caption import Caption
from negmine.language.changes import Change, realise
from negmine.language.co_mention import concept_of, packaged_co_mention
from negmine.language.negations import Claim, claims
from negmine.language.vocabulary import NONE
from negmine.stages.positives.rewording import Words

Row = tuple[str, str, str]
"""Key, image id and caption of a pair."""

MOST: Final = 2
"""True denials of one caption, at most."""


class Denial(NamedTuple):
    """A text that truly says of an image what it does not show."""

    text: str
    edits: tuple[Edit, ...]


class _Place(NamedTuple):
    """A claim that may give way to a denial: of which row, and whose."""

    row: int
    claim: Claim


def true_denials(
    rows: Sequence[Row],
    captions: Mapping[str, Caption],
    false: Mapping[str, Sequence[str]],
    words: Words,
    seed: int,
) -> tuple[dict[str, list[Denial]], Counts]:
    """By key, denials that are true of its image, one for each false one that finds an image.

    Of the images of the part that are told of in the same form, of the same noun, else of one of its class, else of
    any, the first by hash takes it that no caption says to show such a thing, or anything that often is beside it.

    Args:
        captions: each distinct caption, parsed.
        false: key to those of its negatives that deny something.

    Returns:
        The denials, and ``denied`` = ``answered`` + ``unanswered`` + ``affirmed``, which deny nothing.
    """
    found, counts = defaultdict[str, list[Denial]](list), Counts()
    told = [list(claims(captions[text], words.vocabulary)) for _, _, text in rows]
    places = _Places(rows, captions, told, words, seed)
    for row, (key, _, text) in enumerate(rows):
        for negative in false.get(key, ()):
            counts["denied"] += 1
            claim = next((c for c in told[row] if _denied(captions[text], c)[0] == negative), None)
            if claim is None:
                counts["affirmed"] += 1
                continue
            place = places.take(row, claim)
            counts["unanswered" if place is None else "answered"] += 1
            if place is not None:
                other_key, _, other = rows[place.row]
                change = Change(place.claim.first, place.claim.last, claim.denial)
                edits = realise(captions[other], [change])
                found[other_key].append(Denial(apply_edits(other, edits), edits))
    return found, counts


def _denied(caption: Caption, claim: Claim) -> tuple[str, tuple[Edit, ...]]:
    """A caption with a claim of its own denied."""
    edits = realise(caption, [Change(claim.first, claim.last, claim.denial)])
    return apply_edits(caption.text, edits), edits


class _Places:
    """Where denials may go: the claims of a part's captions."""

    def __init__(
        self,
        rows: Sequence[Row],
        captions: Mapping[str, Caption],
        told: Sequence[Sequence[Claim]],
        words: Words,
        seed: int,
    ) -> None:
        self._rows, self._captions, self._words = rows, captions, words
        self._seen = defaultdict[str, set[str]](set)
        for _, image_id, text in rows:
            self._seen[image_id] |= captions[text].words
        self._near: dict[str, Set[str]] = {}
        self._taken = Counter[int]()
        self._used = set[_Place]()
        self._by_owner = defaultdict[tuple[str, str], list[_Place]](list)
        self._by_class = defaultdict[tuple[str, str], list[_Place]](list)
        self._by_form = defaultdict[str, list[_Place]](list)
        order = sorted(range(len(rows)), key=lambda row: hash64(f"{seed}\0{rows[row][0]}\0denial"))
        for row in order:
            for claim in told[row]:
                if self._may_give_way(captions[rows[row][2]], claim):
                    self._by_owner[claim.form, claim.owner].append(_Place(row, claim))
                    self._by_class[claim.form, self._class(claim.owner)].append(_Place(row, claim))
                    self._by_form[claim.form].append(_Place(row, claim))

    def take(self, row: int, claim: Claim) -> _Place | None:
        """The first place for the denial of a row's claim, used by none before."""
        same, alike = self._by_owner[claim.form, claim.owner], self._by_class[claim.form, self._class(claim.owner)]
        for places in (same, alike, self._by_form[claim.form]):
            for number, place in enumerate(places):
                if self._may_take(place) and self._is_true(self._rows[row][1], place, claim):
                    self._taken[place.row] += 1
                    self._used.add(place)
                    del places[number]
                    return place
        return None

    def _may_take(self, place: _Place) -> bool:
        return self._taken[place.row] < MOST and place not in self._used

    def _class(self, noun: str) -> str:
        return self._words.lexicon.broad_class(noun) if noun else ""

    def _may_give_way(self, caption: Caption, claim: Claim) -> bool:
        """Whether nothing that follows, or is denied already, depends on a claim."""
        after = caption.tokens[claim.last + 1 :]
        return not any(token.tag in ("PRP", "PRP$", "WDT", "WP") for token in after) and not caption.scopes

    def _is_true(self, image_id: str, place: _Place, claim: Claim) -> bool:
        """Whether the image of a place, another one, shows nothing of what is denied, for all that is said of it."""
        other = self._rows[place.row][1]
        if other == image_id or place.claim.noun == claim.noun:
            return False
        return self._signs(claim.noun).isdisjoint(self._seen[other])

    def _signs(self, noun: str) -> Set[str]:
        """Words by which a caption says that a thing may be there."""
        found = self._near.get(noun)
        if found is None:
            vocabulary, last = self._words.vocabulary, noun.rsplit(" ", 1)[-1]
            signs = {noun, last, *self._words.lexicon.implied(noun), *self._words.lexicon.implied(last)}
            for name in (noun, last):
                signs |= vocabulary.noun_signs.get(name, NONE) | vocabulary.overlapping.get(name, NONE)
            signs |= packaged_co_mention().get(concept_of(noun, vocabulary), NONE)
            found = self._near[noun] = frozenset(signs - vocabulary.function_words - _PEOPLE)
        return found


_PEOPLE: Final = frozenset({"man", "woman", "person", "people", "boy", "girl", "child", "animal", "artifact"})
"""What most captions speak of, and what says nothing of what is beside it."""
