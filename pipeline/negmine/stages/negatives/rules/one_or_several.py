"""One thing or several: where a caption may tell of another number of things, and the words that do."""

from __future__ import annotations

from negmine.language.agreement import is_sure
from negmine.language.caption import NO, Caption, Phrase
from negmine.language.inflect import numbered, plural
from negmine.stages.negatives.proposal import Words, preposition_before

_COUNTABLE = frozenset({"person", "animal", "artifact", "food", "plant"})
_COMPANY = frozenset({"with", "of", "near", "to", "beside", "behind", "by"})
_PARTS = frozenset({"top", "side", "middle", "back", "edge", "end", "bottom", "corner", "center", "out", "inside"})
"""Words before "of" that make a place of it ("on top of a table")."""

_SINGLE_OBJECT = frozenset(
    {"wear", "ride", "swing", "play", "drive", "throw", "hit", "catch", "do", "make", "take", "fly", "use", "perform"}
)


def is_one_thing(caption: Caption, phrase: Phrase) -> bool:
    """Whether a phrase tells of one thing by its article."""
    return (
        phrase.determiner != NO
        and caption.tokens[phrase.determiner].text.lower() in ("a", "an")
        and not phrase.plural
        and caption.is_loose(phrase.unit, phrase.head)
    )


def is_counted_alone(caption: Caption, phrase: Phrase) -> bool:
    """Whether a number before the phrase would be its own: no "man's boot", no "both two men"."""
    within = caption.tokens[phrase.first : phrase.head]
    is_owned = any(token.tag == "POS" for token in within)
    return not is_owned and not (phrase.first and caption.tokens[phrase.first - 1].text.lower() == "both")


def is_uncounted(phrase: Phrase, words: Words) -> bool:
    """Whether a count before the noun makes a measure or an idiom of it: "two ways"."""
    return not words.vocabulary.uncounted.isdisjoint({phrase.name, phrase.name.split(" ")[-1]})


def is_described_by(caption: Caption, places: range, words: Words) -> bool:
    """Whether these tokens before a noun are known attributes, which one thing and several may have."""
    known = words.vocabulary.attributes
    return all(caption.tokens[i].text.lower() in known for i in places)


def is_subject(caption: Caption, head: int) -> bool:
    """Whether a noun is what its caption, or a verb, is about."""
    token = caption.tokens[head]
    if token.dep == "attr":
        return any(caption.tokens[child].dep == "expl" for child in caption.children[token.head])
    return token.dep in ("ROOT", "nsubj", "nsubjpass")


def may_be_several(caption: Caption, phrase: Phrase, words: Words) -> bool:
    """Whether "two" is as likely here as "a": of a subject or a companion, not of what somebody rides or sits on."""
    token = caption.tokens[phrase.head]
    if words.lexicon.broad_class(phrase.name) not in _COUNTABLE or not is_sure(caption, phrase.head):
        return False
    if token.dep == "pobj":
        previous = caption.tokens[max(0, caption.tokens[phrase.head].head - 1)].text.lower()
        return preposition_before(caption, caption.phrase_of[phrase.head]) in _COMPANY and previous not in _PARTS
    if token.dep == "dobj":
        return caption.tokens[token.head].lemma not in _SINGLE_OBJECT
    return token.dep in ("conj", "appos") or is_subject(caption, phrase.head)


def kin_of(noun: str, words: Words) -> frozenset[str]:
    """A noun, and the words of its concepts that may name the same thing."""
    vocabulary = words.vocabulary
    names = {place.concept for place in vocabulary.nouns["count"].get(noun, ())}
    return frozenset({noun}).union(*(vocabulary.noun_signs[name] for name in names))


def signs_of_several(noun: str, words: Words) -> frozenset[str]:
    """Words of a sibling caption that may mean several of what a noun names."""
    signs = frozenset(map(plural, kin_of(noun, words)))
    return signs | words.vocabulary.several_people if words.lexicon.broad_class(noun) == "person" else signs


def inflected_unit(caption: Caption, phrase: Phrase, is_plural: bool) -> str:
    """The unit in the other number; acronyms keep their capitals ("SUVs")."""
    text = caption.span(phrase.unit, phrase.head)
    if is_plural and caption.tokens[phrase.head].text.isupper() and not caption.text.isupper():
        return text + "s"
    return numbered(phrase.name, is_plural)
