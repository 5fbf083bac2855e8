"""The same words in another order: conjuncts, and the two sides of a relation that holds both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from negmine.language.caption import NO, Caption, Phrase
from negmine.language.changes import Change, moved, realise
from negmine.stages.positives.rewording import Rewording, Words, last_word

_HELD: Final = frozenset({"with", "with a"})
_HOLDING: Final = frozenset({"hold", "carry", "have", "watch", "see", "show", "contain"})
_BESIDE: Final = frozenset({"next to", "beside", "near", "close to", "alongside", "adjacent to"})
_PLACES: Final = frozenset({"on", "in", "at", "near", "by", "next", "along", "outside", "inside"})
_LIVING: Final = frozenset({"person", "animal"})


def exchange_conjuncts(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a man and a woman" -> "a woman and a man"."""
    for one, other in sorted(caption.conjuncts):
        if one not in caption.phrase_of or other not in caption.phrase_of:
            continue
        left, right = caption.phrases[caption.phrase_of[one]], caption.phrases[caption.phrase_of[other]]
        between = caption.tokens[left.whole + 1 : right.first]
        listed = sorted({i for pair in caption.conjuncts if one in pair for i in pair})
        if len(between) != 1 or between[0].text.lower() != ("and" if len(listed) == 2 else ","):
            continue
        if len(listed) > 2 and other == listed[-1]:
            continue
        if (
            _stand_alike(caption, left, right)
            and _may_turn(caption, left, right, words)
            and (len(listed) > 2 or _ends(caption, right))
        ):
            yield _exchanged(caption, left, right)


def exchange_colours(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a red and blue kite" -> "a blue and red kite"."""
    tokens, vocabulary = caption.tokens, words.vocabulary
    for i in range(1, len(tokens) - 2):
        pair = tokens[i - 1], tokens[i + 1]
        are_colours = all(vocabulary.is_of("colour", t.text.lower()) and t.tag in ("JJ", "NN") for t in pair)
        if tokens[i].text.lower() != "and" or not are_colours or not {i - 1, i, i + 1}.isdisjoint(caption.bound):
            continue
        is_inside = any(phrase.first <= i - 1 and i + 1 < phrase.unit for phrase in caption.phrases)
        before = tokens[i - 2] if i > 1 else None
        is_plain = before is None or (before.text != "," and before.pos != "ADJ")
        if is_inside and is_plain and tokens[i + 2].pos == "NOUN" and caption.is_loose(i - 1, i + 1):
            one, other = (moved(caption, at, at) for at in (i - 1, i + 1))
            edits = realise(caption, (Change(i - 1, i - 1, other), Change(i + 1, i + 1, one)))
            yield Rewording(edits, range(i - 1, i + 2), (f"{one} {other}".lower(), f"{other} {one}".lower()))


def turn(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a dog next to a cat" -> "a cat next to a dog"."""
    end = last_word(caption)
    for relation in caption.relations:
        if relation.verb or relation.subject == NO or relation.name not in _BESIDE:
            continue
        left, right = caption.phrases[relation.subject], caption.phrases[relation.object]
        told = caption.tokens[left.whole + 1 : relation.first]
        is_plain = not told or (
            len(told) == 1 and told[0].text.lower() in ("standing", "sitting", "lying", "laying", "parked")
        )
        if left.first or right.whole != end or not is_plain or right.first != relation.last + 1:
            continue
        if _named(caption, left, words) and _named(caption, right, words):
            text = (
                f"{moved(caption, right.first, right.whole)} {relation.name} {moved(caption, left.first, left.whole)}"
            )
            yield Rewording(realise(caption, [Change(0, end, text)]), range(end + 1))


# --- which ones ------------------------------------------------------------------------------------------------------


def _named(caption: Caption, phrase: Phrase, words: Words) -> bool:
    """Whether a phrase names a thing that may stand first: no place, no part, nothing told by another."""
    first = caption.tokens[phrase.first].text.lower()
    vocabulary = words.vocabulary
    is_general = phrase.name in vocabulary.vague | vocabulary.scenes or not vocabulary.names_concept(phrase.name)
    is_counted = phrase.plural and (phrase.numeral != NO or first in ("some", "several"))
    return not is_general and (first in ("a", "an") or is_counted) and phrase.whole == phrase.head


def _stand_alike(caption: Caption, left: Phrase, right: Phrase) -> bool:
    """Whether both have words of their own before them, or neither has any."""
    starts = [caption.tokens[phrase.first].text.lower() for phrase in (left, right)]
    if all(
        start in ("a", "an") or phrase.numeral == phrase.first
        for start, phrase in zip(starts, (left, right), strict=True)
    ):
        return True
    return all(phrase.first == phrase.unit == phrase.head == phrase.whole for phrase in (left, right))


def _may_turn(caption: Caption, left: Phrase, right: Phrase, words: Words) -> bool:
    """Whether what a caption says of the first it also says of the second, whatever the parser made of it."""
    token, lexicon = caption.tokens[left.head], words.lexicon
    alike = lexicon.broad_class(left.name) == lexicon.broad_class(right.name)
    if any(words.vocabulary.is_of("colour", name) for name in (left.name, right.name)):
        return False
    if token.dep in ("nsubj", "ROOT", "nsubjpass"):
        return left.first == 0 and left.plural == right.plural and alike
    if token.dep == "pobj":
        preposition = caption.tokens[token.head].text.lower()
        is_bare = left.first == left.head and right.first == right.head
        if preposition in ("between", "of"):
            return alike and is_bare
        return alike and (lexicon.broad_class(left.name) not in _LIVING or preposition in ("with", "near", "beside"))
    if token.dep == "dobj":
        return alike and (lexicon.broad_class(left.name) not in _LIVING or caption.tokens[token.head].lemma in _HOLDING)
    return False


def _ends(caption: Caption, right: Phrase) -> bool:
    """Whether nothing follows that could be said of the second alone."""
    following = caption.tokens[right.whole + 1] if right.whole + 1 < len(caption.tokens) else None
    if following is None or not following.text[0].isalnum():
        return right.whole == last_word(caption)
    return (following.tag in ("VBP", "VBG") and following.lemma not in ("wear", "hold", "carry", "have")) or (
        following.text.lower() in _PLACES and caption.tokens[right.head].dep == "conj"
    )


def _exchanged(caption: Caption, left: Phrase, right: Phrase) -> Rewording:
    texts = [moved(caption, phrase.first, phrase.whole) for phrase in (left, right)]
    edits = realise(caption, (Change(left.first, left.whole, texts[1]), Change(right.first, right.whole, texts[0])))
    return Rewording(
        edits, range(left.first, right.whole + 1), (f"{left.name} {right.name}", f"{right.name} {left.name}")
    )
