"""Less of what a caption says: what follows from it by leaving something out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from negmine.language.analyse import subject_of
from negmine.language.caption import NO, Caption, Phrase
from negmine.language.changes import Change, realise, without
from negmine.stages.positives.rewording import Rewording, Words, ending_before, is_one_sentence, last_word

FEWEST: Final = 4
"""Words that are left, at least; of a noun phrase by itself one less."""

_NEEDED: Final = frozenset(
    {"of", "to", "by", "by (agent)", "between", "than", "like", "as", "from", "into", "onto", "for"}
)
"""Prepositions whose phrase a noun or verb does not do without."""

_PLACING: Final = frozenset(
    {
        "put",
        "place",
        "set",
        "lay",
        "turn",
        "cover",
        "fill",
        "point",
        "attach",
        "tie",
        "wrap",
        "dip",
        "stick",
        "let",
        "keep",
    }
    | {
        "get",
        "bring",
        "insert",
        "pour",
        "leave",
        "top",
        "surround",
        "line",
        "load",
        "pack",
        "hang",
        "pile",
        "stack",
        "dress",
        "base",
        "call",
    }
)
"""Verbs whose object needs a place or a tool."""

_BY_ITSELF: Final = frozenset(
    {
        "fly",
        "walk",
        "run",
        "stand",
        "sit",
        "lie",
        "play",
        "swim",
        "graze",
        "jump",
        "surf",
        "ski",
        "sleep",
        "travel",
        "drive",
    }
    | {
        "move",
        "eat",
        "wait",
        "pose",
        "smile",
        "skate",
        "skateboard",
        "snowboard",
        "rest",
        "swing",
        "drink",
        "cook",
        "dance",
    }
    | {"talk", "relax", "kneel", "crouch", "float", "race", "land", "gallop", "wade", "read", "bark", "laugh"}
)
"""Verbs that need neither object nor place."""

_MOVING: Final = frozenset({"fly", "travel", "drive", "move", "run", "race", "float", "land"})
"""What also a thing may do by itself."""

_MEASURES: Final = frozenset(
    {"group", "bunch", "herd", "flock", "crowd", "couple", "pair", "lot", "number", "row", "variety"}
)

_PICTURES: Final = frozenset(
    {"picture", "photo", "painting", "drawing", "image", "view", "statue", "figurine", "model", "side"}
)

_PLACES: Final = frozenset(
    {"front", "top", "side", "back", "middle", "edge", "next", "way", "place", "part", "look", "turn"}
)
"""Nouns that a caption does not end in."""

_PLAINER: Final = {
    "on top of": "on",
    "inside of": "inside",
    "in the middle of": "in",
    "in the center of": "in",
    "on the edge of": "on",
    "in the back of": "in",
    "on the back of": "on",
}
"""Prepositions to what is true with them, and says less."""

_EXACTLY: Final = frozenset(
    {"directly", "just", "right", "very", "slowly", "quickly", "calmly", "quietly", "closely", "really"}
)

_LOOKS: Final = frozenset(
    {"style", "fashioned", "type", "size", "sized", "colored", "coloured", "looking", "tone", "school"}
)
"""Words that make one attribute with the one before: "old style"."""

_SAFE: Final = frozenset({"colour", "size", "height", "length", "age", "pattern", "wetness", "shape"})
"""Dimensions of attributes that leave what their noun names as it is: a red bus is a bus, a toy bus is none."""

_LISTED: Final = frozenset({",", "and", "or", "&", "/", "-"})


def first_sentence(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "A dog runs. The sky is blue." -> "A dog runs." """
    stop = next((i for i, token in enumerate(caption.tokens) if token.text == "."), NO)
    end = last_word(caption)
    if (
        FEWEST <= stop < end - 2
        and len(caption.tokens[stop - 1].text) > 3
        and caption.tokens[stop + 1].text[0].isupper()
    ):
        yield Rewording(without(caption, stop + 1, len(caption.tokens) - 1), range(stop + 1, end + 1))


def drop_clause(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a man sits on a bench while a dog runs" -> "a man sits on a bench"."""
    start = next((i for i in range(len(caption.tokens) - 2) if _begins_clause(caption, i)), NO)
    if start < FEWEST or not is_one_sentence(caption):
        return
    first = start - 1 if caption.tokens[start - 1].text == "," else start
    yield _cut(caption, first)


def drop_ending(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a man riding a wave on a surfboard" -> "a man riding a wave"."""
    end = last_word(caption)
    if not is_one_sentence(caption) or any(t.pos == "VERB" and t.lemma in _PLACING for t in caption.tokens):
        return
    for relation in caption.relations:
        item, before = caption.phrases[relation.object], ending_before(caption, relation.first)
        if relation.verb or item.whole != end or relation.name in _NEEDED:
            continue
        if before is None:
            verb = caption.tokens[relation.first - 1] if relation.first else None
            is_whole = verb is not None and verb.pos == "VERB" and verb.lemma in _BY_ITSELF and verb.tag != "VBN"
            subject = subject_of(caption, relation.first - 1) if is_whole else NO
            does = subject != NO and _does(caption, subject, caption.tokens[relation.first - 1].lemma, words)
            if does and relation.first >= FEWEST and relation.name not in ("at", "with"):
                yield _cut(caption, relation.first)
            continue
        governor = caption.tokens[caption.tokens[relation.first].head]
        if governor.pos not in ("NOUN", "PROPN", "VERB") or (
            _is_measure(before, words) and before.whole == before.head
        ):
            continue
        if relation.first >= FEWEST and _stands_alone(caption, before, relation.first, words):
            yield _cut(caption, relation.first)


def drop_participle(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a man in a hat holding a cup" -> "a man in a hat"."""
    end = last_word(caption)
    if not is_one_sentence(caption):
        return
    for i, token in enumerate(caption.tokens):
        before = ending_before(caption, i)
        is_participle = token.tag == "VBG" and token.dep in ("acl", "advcl") and token.lemma not in ("be", "have")
        is_last = all(t.tag not in ("VBZ", "VBP", "CC", "VBD", "MD") for t in caption.tokens[i : end + 1])
        if not is_participle or not is_last or before is None or i < FEWEST:
            continue
        if _stands_alone(caption, before, i, words):
            yield _cut(caption, i)


def drop_conjunct(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a plate with a knife and a fork" -> "a plate with a knife"."""
    end = last_word(caption)
    for one in sorted({min(pair) for pair in caption.conjuncts}):
        others = [other for first, other in caption.conjuncts if first == one]
        if not {one, *others} <= caption.phrase_of.keys() or any(one == other for _, other in caption.conjuncts):
            continue
        listed = [caption.phrases[caption.phrase_of[i]] for i in sorted((one, *others))]
        told = {i for phrase in listed for i in range(phrase.first, phrase.whole + 1)}
        rest = {caption.tokens[i].text.lower() for i in range(one, end + 1) if i not in told}
        is_list = listed[-1].whole == end and rest <= {"and", ","} and "and" in rest
        is_object = caption.tokens[one].dep in ("pobj", "dobj") and listed[0].first > 2
        is_plain = (
            all(caption.tokens[phrase.head].pos == "NOUN" for phrase in listed) and "between" not in caption.words
        )
        alike = len(listed) > 2 or (listed[0].determiner == NO) == (listed[1].determiner == NO)
        governor = caption.tokens[caption.tokens[one].head].text.lower()
        first = caption.tokens[listed[0].first]
        is_shared = (
            governor == "of" or first.tag == "CD" or first.text.lower() in ("several", "many", "some", "various")
        )
        if is_shared:
            continue  # "a meal of meat [and potatoes]", "several cups [and plates]"
        if is_list and is_object and is_plain and alike and listed[0].whole + 1 >= FEWEST:
            yield _cut(caption, listed[0].whole + 1)


def drop_attribute(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a large red bus" -> "a red bus"."""
    heads = [caption.tokens[phrase.head].lemma for phrase in caption.phrases]
    for phrase in caption.phrases:
        for attribute in phrase.attributes:
            near = {caption.tokens[i].text.lower() for i in (attribute - 1, attribute + 1) if i >= 0}
            value = words.vocabulary.value_of(caption.tokens[attribute].text.lower())
            if value is None or value.dimension not in _SAFE or attribute in caption.bound or near & _LISTED:
                continue
            is_plain = caption.is_loose(attribute, attribute) and caption.tokens[attribute].pos == "ADJ"
            is_plain = is_plain and not _is_shade(caption, attribute, words)
            is_bare = phrase.first == attribute and not phrase.plural
            told_apart = heads.count(caption.tokens[phrase.head].lemma) > 1
            after = caption.tokens[attribute + 1]
            is_free = after.pos in ("NOUN", "ADJ") and after.lemma not in _LOOKS and "very" not in near
            is_free = is_free and not (value.name == "orange" and words.lexicon.broad_class(phrase.name) != "artifact")
            if is_plain and not is_bare and not told_apart and is_free:
                yield Rewording(without(caption, attribute, attribute), range(attribute, attribute + 1))


def plainer_place(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "on top of a table" -> "on a table"."""
    for relation in caption.relations:
        other = _PLAINER.get(relation.name)
        elsewhere = [t.text.lower() for t in (*caption.tokens[: relation.first], *caption.tokens[relation.last + 1 :])]
        if other is not None and other not in elsewhere and caption.phrases[relation.object].first == relation.last + 1:
            change = Change(relation.first, relation.last, other)
            yield Rewording(realise(caption, [change]), range(relation.first, relation.last + 1))


def drop_adverb(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "directly next to a table" -> "next to a table"."""
    for i in range(1, len(caption.tokens) - 1):
        token, after = caption.tokens[i], caption.tokens[i + 1]
        is_exact = token.text.lower() in _EXACTLY and token.tag == "RB" and caption.is_loose(i, i)
        is_whole = after.text.lower() == "next" or (
            after.tag in ("IN", "JJ", "VBG") and after.text.lower() not in ("as", "like")
        )
        if is_exact and is_whole:
            yield Rewording(without(caption, i, i), range(i, i + 1))


def drop_measure(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a group of people on a beach" -> "people on a beach"."""
    for phrase in caption.phrases:
        thing = caption.tokens[phrase.whole]
        is_plain = phrase.first + 1 == phrase.head and caption.tokens[phrase.first].text.lower() == "a"
        if phrase.name not in _MEASURES or thing.tag != "NNS" or not is_plain or phrase.head + 2 > phrase.whole:
            continue
        after = [caption.tokens[i] for i in (phrase.head + 2, phrase.whole + 1) if i < len(caption.tokens)]
        is_bare = after[0].tag in ("NNS", "JJ", "NN") and words.vocabulary.value_of(after[0].text.lower()) is None
        if is_bare and not any(t.tag == "VBZ" for t in caption.tokens):
            yield Rewording(without(caption, phrase.first, phrase.head + 1), range(phrase.first, phrase.head + 2))


def noun_phrase(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a man waits near a large red bus" -> "a large red bus"."""
    end = last_word(caption)
    for phrase in caption.phrases:
        if not (_is_told(caption, phrase, words) and _is_known(caption, phrase, words)):
            continue
        before = caption.tokens[: phrase.first]
        if any(token.tag in ("TO", "MD") or token.text.lower() in ("for", "about") for token in before):
            continue  # "to serve [a tennis ball]" needs none to be there
        following = caption.tokens[phrase.whole + 1] if phrase.whole < end else None
        if following is not None and (following.pos == "NOUN" or not caption.is_loose(phrase.first, phrase.whole)):
            continue
        cut = without(caption, 0, phrase.first - 1) if phrase.first else ()
        rest = without(caption, phrase.whole + 1, end) if phrase.whole < end else ()
        if cut or rest:
            yield Rewording((*cut, *rest), range(end + 1))


def _is_told(caption: Caption, phrase: Phrase, words: Words) -> bool:
    """Whether a phrase says something by itself: three words, of which the first is "a" or a number."""
    tokens, first = caption.tokens, caption.tokens[phrase.first]
    begins = first.text.lower() in ("a", "an") or (phrase.numeral == phrase.first and phrase.plural)
    if not begins or phrase.whole - phrase.first + 1 < FEWEST - 1:
        return False
    if phrase.whole > phrase.head:
        is_plain = phrase.first + 1 == phrase.head and phrase.head + 2 == phrase.whole
        return is_plain and phrase.name not in words.vocabulary.vague - _MEASURES and phrase.name not in _PICTURES
    inside = range(phrase.first + 1, phrase.unit)
    are_plain = all(tokens[i].tag in ("JJ", "VBN") or tokens[i].text == "and" for i in inside)
    return are_plain and (not inside or tokens[inside[-1]].text != "and") and tokens[phrase.head].tag in ("NN", "NNS")


def _is_known(caption: Caption, phrase: Phrase, words: Words) -> bool:
    """Whether a phrase names a thing or a place that captions know."""
    last = caption.tokens[phrase.whole].lemma
    known = words.vocabulary.things.union(words.vocabulary.nouns["plural"], ("people", "person"))
    return (last in ("people", "person") or last not in words.vocabulary.vague) and last in known


# --- what is left ----------------------------------------------------------------------------------------------------


def _cut(caption: Caption, first: int) -> Rewording:
    """A caption up to a token; its full stop stays."""
    end = last_word(caption)
    return Rewording(without(caption, first, end), range(first, end + 1))


def _begins_clause(caption: Caption, i: int) -> bool:
    """Whether "while" begins a clause, or "as" one with a subject and a verb."""
    word = caption.tokens[i].text.lower()
    subject = caption.tokens[i].head
    is_clause = caption.tokens[i].dep == "mark" and any(
        caption.tokens[c].dep in ("nsubj", "nsubjpass") and c > i for c in caption.children[subject]
    )
    return word == "while" or (word == "as" and is_clause and caption.tokens[subject].tag in ("VBZ", "VBP", "VBG"))


def _stands_alone(caption: Caption, phrase: Phrase, end: int, words: Words) -> bool:
    """Whether a caption may end in a phrase: it is the object of a verb, or of a preposition behind another phrase."""
    head = caption.tokens[phrase.head]
    if phrase.first == 0 and head.dep in ("ROOT", "nsubj"):
        return (
            end >= FEWEST and head.dep == "ROOT" and (_is_known(caption, phrase, words) or phrase.whole > phrase.head)
        )
    is_held = head.dep == "pobj" and caption.tokens[head.head].text.lower() == "with"
    if is_held and phrase.name.rsplit(" ", 1)[-1] in words.vocabulary.vague:
        return False  # "with one leg [in the air]"
    if head.dep not in ("pobj", "dobj", "conj") or phrase.name in _PLACES:
        return False
    return phrase.first >= 2


def _is_measure(phrase: Phrase, words: Words) -> bool:
    return phrase.name in words.vocabulary.measures


def _does(caption: Caption, subject: int, verb: str, words: Words) -> bool:
    """Whether it says something that a subject does this, without where: a man sits, a train moves."""
    noun = caption.tokens[caption.phrases[subject].whole].lemma
    is_alive = words.lexicon.broad_class(noun) in ("person", "animal")
    is_alive = is_alive and words.vocabulary.kind_of.get(noun) in (None, "animal")  # no game controller
    return verb in _MOVING or noun in ("people", "person") or is_alive


def _is_shade(caption: Caption, attribute: int, words: Words) -> bool:
    """Whether an attribute and a neighbour are one name: "light blue"."""
    neighbours = (caption.tokens[i].text.lower() for i in (attribute - 1, attribute, attribute + 1) if i >= 0)
    shades = words.vocabulary.dimensions["colour"].shades | {"light", "dark", "bright", "pale"}
    return any(word in shades for word in neighbours)
