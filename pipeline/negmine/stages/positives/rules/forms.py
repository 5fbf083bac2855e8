"""The same claim in another form: with a verb or without, with "there is" or without, active or passive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from negmine.language.caption import NO, Caption, Phrase
from negmine.language.changes import Change, moved, realise, without
from negmine.language.inflect import inflected
from negmine.stages.positives.rewording import Rewording, Words, ending_before, is_one_sentence, last_word

_BE: Final = ("is", "are")
_FINITE: Final = frozenset({"VBZ", "VBP", "VBD", "MD"})
_STATES: Final = frozenset(
    {"be", "have", "show", "display", "contain", "feature", "appear", "seem", "belong", "want", "need", "like", "love"}
    | {
        "know",
        "see",
        "mean",
        "say",
        "read",
        "depict",
        "include",
        "match",
        "fit",
        "consist",
        "resemble",
        "cover",
        "fill",
    }
    | {
        "surround",
        "look",
        "make",
        "hold",
        "do",
        "face",
        "come",
        "leave",
        "lead",
        "run",
        "show",
        "use",
        "begin",
        "start",
    }
    | {"let", "point", "border", "line", "taste", "smell", "feel", "sound", "own", "cost", "weigh", "lack", "remain"}
)
"""Verbs whose present says something else than that it is being done."""

_DONE: Final = frozenset(
    {
        "ride",
        "hold",
        "eat",
        "carry",
        "pull",
        "push",
        "kick",
        "hit",
        "feed",
        "fly",
        "drive",
        "lead",
        "chase",
        "pet",
        "read",
    }
    | {
        "hug",
        "wash",
        "cut",
        "catch",
        "cook",
        "prepare",
        "walk",
        "throw",
        "swing",
        "use",
        "serve",
        "drink",
        "lift",
        "wear",
    }
)
"""Verbs whose object is done something to, so that a passive sounds as well."""

_WHERE: Final = frozenset(
    {
        "on",
        "in",
        "at",
        "near",
        "next",
        "under",
        "behind",
        "beside",
        "by",
        "inside",
        "above",
        "below",
        "beneath",
        "between",
    }
    | {"outside", "underneath"}
)
_PUT: Final = frozenset(
    {
        "parked",
        "seated",
        "filled",
        "covered",
        "surrounded",
        "placed",
        "located",
        "displayed",
        "stacked",
        "perched",
        "topped",
    }
    | {"decorated", "shown", "dressed", "mounted", "piled", "attached", "loaded", "set", "lined", "arranged", "curled"}
    | {
        "served",
        "painted",
        "gathered",
        "made",
        "hung",
        "tied",
        "positioned",
        "stopped",
        "wrapped",
        "cooked",
        "lit",
        "seen",
    }
)

_PICTURES: Final = frozenset(
    {
        "photo",
        "picture",
        "photograph",
        "image",
        "view",
        "shot",
        "painting",
        "drawing",
        "scene",
        "close",
        "closeup",
        "close-up",
    }
    | {"portrait", "poster", "statue", "collage", "series", "selfie", "display", "sign"}
)
"""What a picture is called: a photo of a man riding is not riding."""

_DOINGS: Final = frozenset(
    {
        "sitting",
        "standing",
        "riding",
        "walking",
        "laying",
        "lying",
        "holding",
        "looking",
        "swimming",
        "running",
        "playing",
    }
    | {"eating", "grazing", "flying", "wearing", "drinking", "skiing", "surfing", "smiling", "talking", "waiting"}
)
"""Participles that parsers take for nouns: "a main [sitting]"."""

_COUNTS: Final = frozenset({"couple", "bunch", "lot", "number", "pair"})
"""Measures that are spoken of as of several: "there are a couple of dogs"."""

_WHO: Final = frozenset({"that", "who", "which"})
_BEGINNINGS: Final = frozenset({"a", "an", "the", "several", "some"})

_PLACES: Final = frozenset({"on", "in", "at", "down", "along", "through", "across"})


def finite(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "A man riding a wave." -> "A man is riding a wave.", "A man rides a wave."."""
    found = _participle_of_subject(caption)
    if found is None or _has_verb(caption):
        return
    subject, i = found
    is_plural, verb = _is_plural(caption, subject), caption.tokens[i]
    be, form = f"{_BE[is_plural]} {verb.text}", inflected(verb.lemma, "VBP" if is_plural else "VBZ")
    yield _put(caption, Change(i, i, be), (verb.text, be))
    if _may_be_simple(caption, i):
        yield _put(caption, Change(i, i, form), (verb.text, form))


def participle(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "A man is riding a wave." -> "A man riding a wave.", "A man rides a wave."."""
    tokens = caption.tokens
    for i in range(1, len(tokens) - 1):
        be, verb = tokens[i].text.lower(), tokens[i + 1]
        if be not in _BE or verb.tag != "VBG" or verb.lemma in _STATES | {"go"} or not _is_only_verb(caption, i):
            continue
        subject, told = _subject(caption, i + 1), f"{be} {verb.text}"
        if subject is None:
            continue
        if subject.whole == i - 1:
            yield _put(caption, Change(i, i + 1, verb.text), (told, verb.text))
        if _may_be_simple(caption, i + 1):
            form = inflected(verb.lemma, "VBP" if be == "are" else "VBZ")
            yield _put(caption, Change(i, i + 1, form), (told, form))


def progressive(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "A man rides a wave." -> "A man is riding a wave.", "A man riding a wave."."""
    tokens = caption.tokens
    for i in range(1, len(tokens) - 1):
        verb, subject = tokens[i], _subject(caption, i)
        is_one = verb.tag in ("VBZ", "VBP") and verb.dep == "ROOT" and verb.lemma not in _STATES
        if not is_one or subject is None or not _is_only_verb(caption, i) or tokens[i + 1].tag in ("VBG", "VBN", "VB"):
            continue
        if verb.lemma == "cross" and tokens[i + 1].text.lower() == "country":
            continue  # a way of skiing
        is_plural, form = verb.tag == "VBP", inflected(verb.lemma, "VBG")
        if is_plural != _is_plural(caption, subject) or verb.text.lower() not in inflections(verb.lemma):
            continue
        be = f"{_BE[is_plural]} {form}"
        yield _put(caption, Change(i, i, be), (verb.text, be))
        if subject.whole == i - 1:
            yield _put(caption, Change(i, i, form), (verb.text, form))


def copula(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "A cat on a bed" -> "A cat is on a bed"; "A bus parked at a curb" -> "A bus is parked at a curb"."""
    first = next((phrase for phrase in caption.phrases if _may_begin(caption, phrase)), None)
    if first is None or not is_one_sentence(caption) or any(t.tag in _FINITE for t in caption.tokens):
        return
    i = next((i for i in range(first.whole + 1, len(caption.tokens)) if caption.tokens[i].tag != "_SP"), NO)
    if i == NO or not _is_state(caption, i):
        return
    told = caption.tokens[i].text.lower()
    text = f"{_BE[_is_plural(caption, first)]} {told}"
    yield _put(caption, Change(i, i, text), (told, text))


def no_copula(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "A cat is on a bed" -> "A cat on a bed"; "A bus is parked at a curb" -> "A bus parked at a curb"."""
    for i in range(1, len(caption.tokens) - 2):
        be, subject = caption.tokens[i].text.lower(), ending_before(caption, i)
        is_first = subject is not None and _may_begin(caption, subject)
        if be in _BE and is_first and _is_only_verb(caption, i) and _is_state(caption, i + 1):
            told = caption.tokens[i + 1].text.lower()
            yield Rewording(without(caption, i, i), range(i, i + 1), (f"{be} {told}", told))


def _is_state(caption: Caption, i: int) -> bool:
    """Whether a word begins what a thing is, or where: a preposition with its object, or a participle."""
    token = caption.tokens[i]
    is_place = any(
        r.first == i and not r.verb and caption.tokens[r.first].text.lower() in _WHERE for r in caption.relations
    )
    return is_place or (token.tag == "VBN" and token.text.lower() in _PUT)


def there_is(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "A man riding a wave" -> "There is a man riding a wave"."""
    first = next((phrase for phrase in caption.phrases if _may_begin(caption, phrase)), None)
    is_named = first is not None and caption.tokens[0].text.lower() != "the"
    if first is None or not is_named or not is_one_sentence(caption) or any(t.tag in _FINITE for t in caption.tokens):
        return
    be = _BE[_is_plural(caption, first) and (first.whole == first.head or first.name in _COUNTS)]
    start = caption.tokens[0]
    there = "There" if start.text[:1].isupper() else "there"
    text = f"{there} {be} {moved(caption, 0, 0)}"
    yield Rewording(realise(caption, [Change(0, 0, text)]), range(1), ("", f"there {be}"))


def no_relative(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a bus that is driving through rain" -> "a bus driving through rain"."""
    for i in range(2, len(caption.tokens) - 2):
        who, be, verb = caption.tokens[i : i + 3]
        is_relative = (
            who.text.lower() in _WHO
            and be.text.lower() in _BE
            and verb.tag == "VBG"
            and verb.lemma not in ("be", "have")
        )
        is_last = not any(token.tag in _FINITE for token in caption.tokens[i + 2 :])
        if is_relative and is_last and ending_before(caption, i) is not None:
            told = f"{who.text} {be.text} {verb.text}".lower()
            yield Rewording(without(caption, i, i + 1), range(i, i + 1), (told, verb.text))


def relative(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a bus driving through rain" -> "a bus that is driving through rain"."""
    for i, verb in enumerate(caption.tokens):
        phrase = ending_before(caption, i)
        if verb.tag != "VBG" or verb.dep != "acl" or phrase is None or verb.lemma in ("be", "have"):
            continue
        is_bare = phrase.determiner == NO and phrase.numeral == NO and not phrase.plural
        if is_bare or any(phrase.head in pair for pair in caption.conjuncts):
            continue
        who = "who" if words.lexicon.broad_class(caption.tokens[phrase.whole].lemma) == "person" else "that"
        if caption.tokens[verb.head].head != i and verb.head in (phrase.head, phrase.whole):
            text = f"{who} {_BE[_is_plural(caption, phrase)]} {verb.text}"
            yield _put(caption, Change(i, i, text), (verb.text, text))


def no_there_is(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "There is a man riding a wave" -> "A man riding a wave"."""
    lowers = [token.text.lower() for token in caption.tokens[:3]]
    if len(lowers) < 3 or lowers[0] != "there" or lowers[1] not in _BE or not is_one_sentence(caption):
        return
    rest = caption.tokens[2:]
    is_plain = not any(t.tag in _FINITE or t.text.lower() in ("that", "who", "which", "not", "no") for t in rest)
    if is_plain and caption.tokens[2].tag in ("DT", "CD", "JJ", "NNS"):
        yield Rewording(without(caption, 0, 1), range(2), (" ".join(lowers[:2]), ""))


def passive(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "A man riding a horse" -> "A horse being ridden by a man"; "is riding" -> "is being ridden by"."""
    for relation in caption.relations:
        if not relation.verb or relation.subject == NO or relation.name not in _DONE:
            continue
        subject, item, verb = caption.phrases[relation.subject], caption.phrases[relation.object], relation.first
        between = caption.tokens[subject.whole + 1 : verb]
        is_finite = len(between) == 1 and between[0].text.lower() in _BE
        if caption.tokens[verb].tag != "VBG" or item.first != verb + 1 or (between and not is_finite):
            continue
        if not (
            _may_begin(caption, subject)
            and _is_named(caption, item, words)
            and _is_followed_by_place(caption, item, words)
        ):
            continue
        be = f"{_BE[_is_plural(caption, item)]} being" if is_finite else "being"
        doer, done_to = (moved(caption, phrase.first, phrase.whole) for phrase in (subject, item))
        text = f"{done_to} {be} {inflected(relation.name, 'VBN')} by {doer}"
        yield Rewording(
            realise(caption, [Change(subject.first, item.whole, text)]), range(subject.first, item.whole + 1)
        )


def active(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "A horse being ridden by a man" -> "A man riding a horse"."""
    tokens = caption.tokens
    for i in range(2, len(tokens) - 1):
        if (
            tokens[i].text.lower() != "by"
            or tokens[i - 1].tag not in ("VBN", "VBD")
            or tokens[i - 1].lemma not in _DONE
        ):
            continue
        agent = next((p for p in caption.phrases if p.first == i + 1), None)
        being = tokens[i - 2].text.lower() == "being"
        be = being and tokens[i - 3].text.lower() in _BE
        item = ending_before(caption, i - 1 - being - be)
        if item is None or agent is None or not being or not _may_begin(caption, item):
            continue
        if not (_is_named(caption, agent, words) and _is_followed_by_place(caption, agent, words)):
            continue
        verb = inflected(tokens[i - 1].lemma, "VBG")
        form = f"{_BE[_is_plural(caption, agent)]} {verb}" if be else verb
        text = f"{moved(caption, agent.first, agent.whole)} {form} {moved(caption, item.first, item.whole)}"
        yield Rewording(realise(caption, [Change(item.first, agent.whole, text)]), range(item.first, agent.whole + 1))


# --- which ones ------------------------------------------------------------------------------------------------------


def _may_begin(caption: Caption, phrase: Phrase) -> bool:
    """Whether a phrase begins the caption, with an article or a number."""
    first = caption.tokens[phrase.first]
    is_bare = phrase.plural and phrase.first == phrase.unit and first.tag == "NNS"
    if caption.tokens[phrase.head].text.lower() in _DOINGS:
        return False
    return (
        phrase.first == 0
        and phrase.name not in _PICTURES
        and (is_bare or first.text.lower() in _BEGINNINGS or first.tag == "CD")
    )


def _is_plural(caption: Caption, phrase: Phrase) -> bool:
    return any(caption.tokens[place].tag in ("NNS", "NNPS") for place in (phrase.head, phrase.whole))


def _participle_of_subject(caption: Caption) -> tuple[Phrase, int] | None:
    """The phrase that begins a caption and the participle right behind it."""
    for phrase in caption.phrases:
        i = phrase.whole + 1
        if _may_begin(caption, phrase) and i < len(caption.tokens) - 1 and is_one_sentence(caption):
            token = caption.tokens[i]
            if token.tag == "VBG" and token.dep in ("acl", "ROOT") and token.lemma not in ("be", "have"):
                return phrase, i
    return None


def _subject(caption: Caption, verb: int) -> Phrase | None:
    """The phrase that begins a caption, if it is the subject of a verb."""
    subject = caption.phrase_of.get(
        next((c for c in caption.children[verb] if caption.tokens[c].dep == "nsubj"), NO), NO
    )
    phrase = None if subject == NO else caption.phrases[subject]
    return phrase if phrase is not None and _may_begin(caption, phrase) else None


def _has_verb(caption: Caption) -> bool:
    return any(t.tag in _FINITE or (t.tag == "VBN" and t.dep == "ROOT") for t in caption.tokens)


def _is_only_verb(caption: Caption, verb: int) -> bool:
    """Whether no other word of a caption, which is one sentence, is a finite verb, or may be one."""
    others = (token for i, token in enumerate(caption.tokens) if i != verb)
    return is_one_sentence(caption) and not any(t.tag in _FINITE or t.dep in ("expl", "ccomp") for t in others)


def _may_be_simple(caption: Caption, verb: int) -> bool:
    """Whether a participle may become a present: it is none of a state, and none is joined to it."""
    token, joined = caption.tokens[verb], (caption.tokens[c] for c in caption.children[verb])
    is_joined = any(child.dep == "conj" for child in joined) or "and" in {
        t.text.lower()
        for t, after in zip(caption.tokens[verb:], caption.tokens[verb + 1 :], strict=False)
        if after.pos == "VERB"
    }
    return token.lemma not in _STATES and not is_joined


def inflections(lemma: str) -> tuple[str, str]:
    """The two forms of a verb's present."""
    return inflected(lemma, "VBZ"), inflected(lemma, "VBP")


def _put(caption: Caption, change: Change, flow: tuple[str, str]) -> Rewording:
    return Rewording(realise(caption, [change]), range(change.first, change.first + 1), flow)


def _is_named(caption: Caption, phrase: Phrase, words: Words) -> bool:
    """Whether a phrase has an article or a number of its own, and is not told by another."""
    first, vocabulary = caption.tokens[phrase.first], words.vocabulary
    if phrase.name in vocabulary.vague - {"person", "people"} or phrase.name == "ski" or phrase.whole != phrase.head:
        return False
    is_bare_plural = phrase.first == phrase.unit and phrase.plural
    return first.text.lower() in ("a", "an", "some", "several") or first.tag == "CD" or is_bare_plural


def _is_followed_by_place(caption: Caption, phrase: Phrase, words: Words) -> bool:
    """Whether nothing follows, or only where all of it is."""
    end = last_word(caption)
    if phrase.whole == end:
        return True
    following = phrase.whole + 1
    relation = next((r for r in caption.relations if r.first == following and not r.verb), None)
    if relation is None or relation.name not in _PLACES:
        return False
    place = caption.phrases[relation.object]
    return place.whole == end and place.name in words.vocabulary.scenes - {"air"}
