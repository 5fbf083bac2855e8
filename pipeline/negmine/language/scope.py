"""Words of a caption whose exchange may leave it true: what is denied, counted with a bound, or left open.

"A man without a hat" is true with any other noun in the hat's place, "at least three dogs" with any smaller number, "a
cat or a dog" with any other animal beside the right one. Each operator has a reach: what hangs on it in the parse, and
also what follows it in the text, because parsers err most where captions are least like sentences. Too much is rather
reached than too little; the operators themselves are reached only where another has them in its reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from negmine.language.caption import NO, Caption, Phrase

Reach = Callable[[Caption, int, int], Iterable[int]]
"""The tokens in the reach of an operator, which is given by its first and last token."""

_SUBJECTS: Final = frozenset({"nsubj", "nsubjpass", "csubj", "csubjpass"})
_ARGUMENTS: Final = frozenset({"dobj", "attr", "dative", "oprd", "acomp", "npadvmod"})
_ASIDE: Final = frozenset({"parataxis", "appos", "punct"})
_CLOSED: Final = frozenset({"aux", "auxpass", "mark"})
_RELATIVE: Final = frozenset({"WDT", "WP", "WRB", "EX"})
_BE: Final = frozenset({"be"})
_BREAKS: Final = frozenset({",", ";", ":", ".", "!", "?", "--", "—", "but", "while", "whereas", "although", "because"})
_ALTERNATIVE: Final = frozenset({"or", "nor"})
_NOBODY: Final = frozenset({"nobody", "nothing", "none", "one"})
_SIGNS: Final = frozenset({"sign", "zone", "symbol", "notice", "signal"})
"""What "no parking" and the like are written on."""

_NUMBERS: Final = frozenset({"dozen", "dozens", "hundred", "hundreds", "couple", "half", "few", "several"})
_BEFORE_NUMBER: Final = frozenset({"a", "an", "the", "about", "around", "another"})
_WITH: Final = frozenset({"with", "of"})
_SHARED: Final = frozenset({"both", "either", "neither", "respectively"})
_PRONOMINAL: Final = frozenset({"one", "other", "others"})
_TELLING_APART: Final = _SHARED | _PRONOMINAL
_COUNTS: Final = frozenset({"several", "many", "couple", "pair", "trio"})
_TELLS_OF_LIST: Final = frozenset({"of", "the", "these", "those", "them", "his", "her", "its", "their", "all"})


def scopes(caption: Caption) -> frozenset[int]:
    """Tokens of a caption that no edit may touch, because it might stay true."""
    lowers = tuple(token.text.lower() for token in caption.tokens)
    found, end = set[int](), 0
    for i, word in enumerate(lowers):
        may_operate = word in _STARTS or caption.tokens[i].lemma in _VERBS or word.endswith(_PRIVATIVE)
        if i < end or not (may_operate or _is_undone(lowers, i)):
            continue
        size, reach = _operator(caption, lowers, i)
        end = i + size
        if reach is not None:
            reached = set(reach(caption, i, end - 1))
            found |= reached if reach in _WITH_THEMSELVES else reached.difference(range(i, end))
    if not _TELLING_APART.isdisjoint(lowers):
        found.update(_told_one_by_one(caption, lowers))
    return frozenset(found)


def _operator(caption: Caption, lowers: tuple[str, ...], i: int) -> tuple[int, Reach | None]:
    """Size and reach of the longest operator that starts at a token; 1 and nothing where none does."""
    if lowers[i] in _STARTS:
        for size in range(min(_LONGEST, len(lowers) - i), 0, -1):
            if lowers[i : i + size] in _OPERATORS:
                return size, _OPERATORS[lowers[i : i + size]]
    if caption.tokens[i].pos == "VERB" and caption.tokens[i].lemma in _VERBS:
        return 1, _VERBS[caption.tokens[i].lemma]
    if _is_undone(lowers, i):
        return 1, _complement
    return 1, _itself if _is_privative(lowers[i]) else None


# --- how far operators reach -----------------------------------------------------------------------------------------


def _noun(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "no", "few", "at most": the noun with all that hangs on it, and what is said of it."""
    noun = _noun_after(caption, first, last)
    yield from _following(caption, last, verbs=caption.starts_sentence(first), first_verb=True)
    if noun == NO:
        return
    yield from _below(caption, noun, since=first)
    for place in {first, noun}:
        role = caption.tokens[place]
        while role.dep == "conj" and role.head < place and not _is_apart(caption, role.head, place):
            place, role = role.head, caption.tokens[role.head]
        if role.dep in _SUBJECTS or (role.dep in _ARGUMENTS and caption.tokens[role.head].pos == "VERB"):
            yield role.head
            yield from _predicate(caption, role.head)
        elif role.dep == "pobj":
            yield role.head
            governor = caption.tokens[role.head].head
            is_bare = caption.tokens[noun].text.lower() in _NOBODY
            if caption.tokens[governor].pos == "VERB" and (is_bare or caption.tokens[role.head].lemma not in _WITH):
                yield governor


def _denied_noun(caption: Caption, first: int, last: int) -> Iterable[int]:
    """Of "no", which is no denial in "No. 5" and in "a no parking sign"."""
    following = caption.tokens[last + 1] if last + 1 < len(caption.tokens) else None
    if following is None or following.text[0] in ".0123456789":
        return ()
    if _is_on_sign(caption, first):
        return _sign(caption, first, last)
    return _noun(caption, first, last)


def _sign(caption: Caption, first: int, last: int) -> Iterable[int]:
    """Of "No parking sign" without an article: its name, for with another noun it would be a denial."""
    phrase = _phrase_after(caption, first, last)
    return range(last + 1, phrase.head + 1) if phrase and caption.starts_sentence(first) else ()


def _is_on_sign(caption: Caption, first: int) -> bool:
    phrase = next((p for p in caption.phrases if p.head > first and p.first <= first + 1), None)
    if phrase is None or caption.tokens[phrase.head].lemma not in _SIGNS:
        return False
    following, before = caption.tokens[first + 1], caption.tokens[first - 1] if first else None
    is_name = following.text[:1].isupper() or following.text.lower().endswith("ing") or following.text == "-"
    return is_name or (before is not None and before.tag in ("DT", "JJ", "CD", "HYPH"))


def _few(caption: Caption, first: int, last: int) -> Iterable[int]:
    """Of "few" without "a"."""
    before = caption.tokens[first - 1].text.lower() if first else ""
    return () if before in ("a", "the", "these", "last", "first") else _noun(caption, first, last)


def _only(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "only": the noun behind it or else what is said; a number is exact, and may change."""
    noun = _noun_after(caption, first, last)
    reached = _noun(caption, first, last) if noun != NO else _said(caption, first, last)
    numeral = _number_after(caption, first, last)
    return (i for i in reached if i != numeral)


def _number(caption: Caption, first: int, last: int) -> Iterable[int]:
    """Of "about": a number behind it."""
    numeral = _number_after(caption, first, last)
    if numeral == NO:
        return ()
    end = numeral + 1
    while end < len(caption.tokens) and _is_number(caption, end):
        end += 1
    return range(numeral if _is_place(caption, first, last) else first, end)


def _bound(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "at least" before a number: the number, and what is said of those counted, for there may be more."""
    numeral = _number_after(caption, first, last)
    yield from _number(caption, first, last)
    if numeral != NO:
        yield from _of_subject(caption, numeral)


def _upper_bound(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "at most" before a number: also the noun, for nothing needs to be there."""
    numeral = _number_after(caption, first, last)
    yield from _number(caption, first, last)
    if numeral != NO and not _is_place(caption, first, last):
        yield from _noun(caption, first, numeral)


def _exact(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "exactly" before a number: what is counted, for there may be as many of something else."""
    numeral = _number_after(caption, first, last)
    if numeral != NO:
        yield from (i for i in _noun(caption, first, numeral) if i > numeral)


def _exact_behind(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "and no more" behind what is counted: the same."""
    counted = next((phrase for phrase in caption.phrases if phrase.whole == first - 1), None)
    if counted is not None:
        reached = (*counted.attributes, *range(counted.unit, counted.whole + 1))
        yield from (i for i in reached if not _is_number(caption, i))


def _is_place(caption: Caption, first: int, last: int) -> bool:
    """Whether "under two trees" tells where."""
    return first == last and caption.tokens[first].dep == "prep"


def _bound_behind(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "or more" behind a number."""
    if first and _is_number(caption, first - 1):
        yield first - 1
        yield from _of_subject(caption, first - 1)


def _all(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "all": what is spoken of, but not what is said of it."""
    if caption.tokens[first].dep in ("det", "predet", "amod") or _is_partitive(caption, last):
        noun = _noun_after(caption, first, last)
        if noun != NO:
            yield from _below(caption, noun, since=first)


def _everyone(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "everyone": who is meant, but not what is said of them."""
    yield from _below(caption, first, since=first)
    yield from _following(caption, last)


def _some(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "some": what is said of it, for of the others something else may be true; "some twenty" is a number."""
    yield from _bound(caption, first, last)
    yield from _of_subject(caption, last)
    yield from _part(caption, first, last)


def _part(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "one of the" and "many of the": these, and what is said of them."""
    noun = _noun_after(caption, first, last)
    if _is_partitive(caption, last) and noun != NO:
        yield from _of_subject(caption, first)
        yield from _below(caption, noun, since=first)


def _said(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "not", "never" and "possibly": what is said, with the words that follow; all where it begins the sentence."""
    governor = caption.tokens[first].head
    yield from _following(caption, last, verbs=caption.starts_sentence(first), first_verb=True)
    if caption.starts_sentence(first):
        yield from (i for i in _below(caption, governor) if i > last)
    elif caption.tokens[governor].pos in ("VERB", "AUX"):
        if caption.tokens[governor].lemma not in _BE:
            yield governor
        yield from _predicate(caption, governor)
    elif governor > last:
        yield from _below(caption, governor, since=last + 1)


def _doubtful(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "a possible wolf": the noun with its modifiers."""
    phrase = _phrase_after(caption, first, last)
    if phrase is not None and phrase.first <= first:
        yield from range(phrase.first, phrase.head + 1)


def _modal(caption: Caption, first: int, last: int) -> Iterable[int]:
    return _said(caption, first, last) if caption.tokens[first].tag == "MD" else ()


def _complement(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "without", "instead of" and "lacking": what hangs on it and follows it."""
    yield from _following(caption, last, first_verb=True)
    for part in range(first, last + 1):
        if caption.tokens[part].pos != "NOUN":
            yield from (i for i in _below(caption, part) if i > last)


def _absent(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "missing": what is missed, which may be the subject."""
    yield from _complement(caption, first, last)
    for verb in {first, caption.tokens[first].head}:
        for child in caption.children[verb]:
            if caption.tokens[child].dep in _SUBJECTS and caption.tokens[verb].head in (verb, first):
                yield from _below(caption, child)


def _likeness(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "like", where it is no verb."""
    if caption.tokens[first].pos != "VERB":
        following = caption.tokens[last + 1 : last + 2]
        is_clause = caption.tokens[first].dep == "mark" or any(token.tag == "PRP" for token in following)
        yield from _following(caption, last, verbs=is_clause, prepositions=is_clause)
        yield from (i for i in _below(caption, first) if i > last)


def _seeming(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "seems" and "appears" with what they seem to be; a dog may also appear in a door."""
    kinds = {caption.tokens[child].dep for child in caption.children[first] if child > first}
    following = caption.tokens[last + 1].text.lower() if last + 1 < len(caption.tokens) else ""
    if not kinds.isdisjoint({"xcomp", "acomp", "oprd", "ccomp", "attr"}) or following in ("to", "as", "like", "that"):
        yield from _complement(caption, first, last)


def _supposed(caption: Caption, first: int, last: int) -> Iterable[int]:
    """Of "as if": the rest of the sentence."""
    return _following(caption, last, verbs=True)


def _choice(caption: Caption, first: int, last: int) -> Iterator[int]:
    """Of "or": all alternatives."""
    tokens, governor = caption.tokens, caption.tokens[first].head
    if numbers := _range(caption, first, last):
        yield from numbers
        yield from _of_subject(caption, last + 1)
        return
    while tokens[governor].dep == "conj" and tokens[governor].head < governor and not _is_and(caption, governor):
        governor = tokens[governor].head
    if tokens[governor].dep == "appos":  # "a cat, a dog or a bird"
        yield from next((range(p.first, p.head + 1) for p in caption.phrases if p.head == tokens[governor].head), ())
    yield from _following(caption, last, first_verb=True, prepositions=False)
    before = next((p for p in caption.phrases if p.head == first - 1), None)
    yield from range(max(0, first - 1) if before is None else before.first, first)
    for part in (governor, *(c for c in caption.children[governor] if tokens[c].dep == "conj")):
        if tokens[part].pos in ("VERB", "AUX"):
            yield part
            yield from _predicate(caption, part)
        elif part != first:
            yield from _below(caption, part)


def _range(caption: Caption, first: int, last: int) -> tuple[int, ...]:
    """Of "to" between two numbers: both."""
    ends = (first - 1, last + 1)
    is_range = first > 0 and ends[1] < len(caption.tokens) and all(_is_number(caption, end) for end in ends)
    return ends if is_range else ()


def _is_and(caption: Caption, conjunct: int) -> bool:
    """Whether "and" joins a conjunct to the one before."""
    siblings = caption.children[caption.tokens[conjunct].head]
    return any(caption.tokens[c].text.lower() == "and" and c < conjunct for c in siblings)


def _itself(caption: Caption, first: int, last: int) -> Iterable[int]:
    return range(first, last + 1)


def _told_one_by_one(caption: Caption, lowers: tuple[str, ...]) -> Iterator[int]:
    """Counts of things that the caption goes on to tell apart: "two dogs, one chasing the other"."""
    ones = sum(word == "one" and i > 0 and caption.tokens[i - 1].tag == "JJ" for i, word in enumerate(lowers))
    if ones > 1 or any(
        word in _SHARED or (word in _PRONOMINAL and _stands_for_thing(caption, i)) for i, word in enumerate(lowers)
    ):
        for i, token in enumerate(caption.tokens):
            if (token.tag == "CD" and not _stands_for_thing(caption, i)) or lowers[i] in _COUNTS:
                yield i


def _stands_for_thing(caption: Caption, i: int) -> bool:
    """Whether "one" or "other" stands for a thing told of before, not in "each other" and "the black one"."""
    token, before = caption.tokens[i], caption.tokens[i - 1] if i else None
    if token.dep in ("nummod", "amod", "det", "compound") or any(p.first <= i < p.head for p in caption.phrases):
        return False
    if before is None or token.lemma != "one":
        return before is None or before.text.lower() != "each"
    return before.tag not in ("DT", "JJ", "CD")


# --- what hangs on a word, and what follows it -----------------------------------------------------------------------


def _below(caption: Caption, top: int, since: int = 0) -> set[int]:
    """A token with all that hangs on it, from a token on; asides, and conjuncts with words of their own, are left."""
    found, waiting = {top}, [top]
    while waiting:
        token = waiting.pop()
        new = [c for c in caption.children[token] if c not in found and not _is_apart(caption, token, c)]
        found.update(new)
        waiting += new
    return {i for i in found if i >= since}


def _predicate(caption: Caption, verb: int) -> Iterator[int]:
    """What is said of a verb's subject, and of "there are" also what there is."""
    is_there = any(caption.tokens[child].dep == "expl" for child in caption.children[verb])
    for child in caption.children[verb]:
        dep = caption.tokens[child].dep
        if (dep in _SUBJECTS and not is_there) or dep in _CLOSED or _is_apart(caption, verb, child):
            continue
        yield from _below(caption, child)


def _is_apart(caption: Caption, above: int, child: int) -> bool:
    """Whether a dependent says something of its own: a clause with "while", a conjunct with a subject or "but"."""
    tokens, dep = caption.tokens, caption.tokens[child].dep
    if dep in _ASIDE:
        return True
    kinds = {tokens[c].dep for c in caption.children[child]}
    if dep == "advcl":
        return "mark" in kinds or not kinds.isdisjoint(_SUBJECTS)
    if dep != "conj":
        return False
    joined = {tokens[c].text.lower() for c in caption.children[above] if tokens[c].dep == "cc" and c < child}
    if not joined.isdisjoint(_ALTERNATIVE):
        return False
    if "but" in joined or not kinds.isdisjoint(_SUBJECTS | _CLOSED):
        return True
    articles = [
        {tokens[c].text.lower() for c in caption.children[i] if tokens[c].dep in ("det", "nummod", "poss")}
        for i in (above, child)
    ]
    return bool(articles[1]) and articles[0] != articles[1]


def _following(
    caption: Caption, last: int, *, verbs: bool = False, first_verb: bool = False, prepositions: bool = True
) -> Iterator[int]:
    """The words that follow: a phrase with its prepositions up to a pause, another statement or a verb.

    Args:
        verbs: whether the reach goes on behind verbs.
        first_verb: whether it begins with verbs ("not wearing a hat").
        prepositions: whether it goes on behind prepositions other than "of".
    """
    tokens, begun = caption.tokens, False
    for i in range(last + 1, len(tokens)):
        token, word = tokens[i], tokens[i].text.lower()
        if word in _BREAKS or token.tag in _RELATIVE:
            return
        if token.tag == "CC" and word not in _ALTERNATIVE and not (verbs and begun and _goes_on(caption, i)):
            return
        is_verb = token.pos in ("VERB", "AUX") and token.dep not in ("amod", "compound")
        if is_verb and not verbs and (begun or not first_verb):
            return
        if begun and not prepositions and token.tag == "IN" and word != "of":
            return
        begun = begun or not (is_verb or token.pos == "ADV" or token.tag == "TO")
        yield i


def _goes_on(caption: Caption, conjunction: int) -> bool:
    """Whether a conjunction only joins two nouns of one statement."""
    above = caption.tokens[conjunction].head
    return caption.tokens[above].pos in ("NOUN", "PROPN", "ADJ")


def _phrase_after(caption: Caption, first: int, last: int) -> Phrase | None:
    return next((p for p in caption.phrases if p.head >= first and p.first <= last + 1 and p.head > last - 1), None)


def _noun_after(caption: Caption, first: int, last: int) -> int:
    """The noun an operator belongs to: itself ("nobody"), or that of the phrase it begins or is followed by."""
    if _is_partitive(caption, last):
        last += 1
    phrase = _phrase_after(caption, first, last)
    return NO if phrase is None else phrase.head


def _is_partitive(caption: Caption, last: int) -> bool:
    following = [token.text.lower() for token in caption.tokens[last + 1 : last + 3]]
    return len(following) == 2 and following[0] == "of" and following[1] in _TELLS_OF_LIST


def _is_number(caption: Caption, i: int) -> bool:
    return caption.tokens[i].tag == "CD" or caption.tokens[i].text.lower() in _NUMBERS


def _number_after(caption: Caption, first: int, last: int) -> int:
    """The number that follows, maybe behind an article or "about"; "a" itself in "at least a", but not in "up to a"."""
    words = [token.text.lower() for token in caption.tokens[last : last + 3]]
    for offset in range(1, len(words)):
        if _is_number(caption, last + offset):
            return last + offset
        if words[offset] not in _BEFORE_NUMBER:
            break
    counts_article = last > first and words[0] != "to" and words[1:2] in (["a"], ["an"])
    return last + 1 if counts_article else NO


def _of_subject(caption: Caption, first: int) -> Iterator[int]:
    """What a finite verb says of the noun that a quantity belongs to, where it is the subject."""
    noun = _noun_after(caption, first, first)
    for i in {first, noun} - {NO}:
        token = caption.tokens[i]
        if token.dep in _SUBJECTS:
            if caption.tokens[token.head].lemma not in _BE:
                yield token.head
            yield from _predicate(caption, token.head)


# --- the operators ---------------------------------------------------------------------------------------------------


def _table(*rows: tuple[Reach | None, str]) -> Mapping[tuple[str, ...], Reach | None]:
    return {tuple(words.split(" ")): reach for reach, several in rows for words in several.split(", ")}


_OPERATORS: Final = _table(
    (None, "not only, not just, not to mention, without a doubt, without doubt, no doubt, no matter, nothing but"),
    (None, "none other than, all kinds, all sorts, all types, all over, all around, all the way, at all, each other"),
    (None, "one another, more or less, such as, if not, an all, some sort, some kind, some type, some one"),
    (_denied_noun, "no"),
    (_noun, "none, nobody, nothing, no one, neither, zero"),
    (_few, "few"),
    (_said, "not, n't, n’t, nt, never, hardly, barely, rarely, scarcely, seldom, nowhere, no longer"),
    (_complement, "without, w/o, nor, minus, sans, free of, free from, devoid of, void of, empty of, bare of"),
    (_complement, "clear of, instead of, rather than, except, except for, other than, unlike, unable"),
    (_absent, "absent, missing"),
    (_bound, "at least, atleast, more than, greater than, no fewer than, no less than, not fewer than, not less than"),
    (_bound, "over, well over, a minimum of, as many as, at the least, at the very least"),
    (_bound, "at minimum, at a minimum, upwards of"),
    (_number, "about, around, almost, nearly, approximately, roughly, close to"),
    (_upper_bound, "at the most, at most, atmost, fewer than, less than, no more than, not more than, a maximum of"),
    (_upper_bound, "up to, under"),
    (_exact, "exactly, precisely"),
    (_exact_behind, "and no more, and no others"),
    (_bound_behind, "or more, or so, +"),
    (_only, "only"),
    (_all, "all, every, each, any, most"),
    (_everyone, "everyone, everybody, everything, anyone, anybody, anything, whoever, whatever"),
    (_some, "some"),
    (_part, "many, several, half, part, one, two, three, four, five"),
    (_choice, "or, and/or"),
    (_range, "to, -, –, and"),
    (_said, "possibly, maybe, perhaps, probably, presumably, seemingly, apparently, supposedly, likely"),
    (_modal, "may, might, could, must"),
    (_likeness, "like"),
    (_supposed, "as if, as though"),
    (_doubtful, "possible, probable, apparent, supposed, alleged, potential, presumed, would-be"),
)
_WITH_THEMSELVES: Final = frozenset({_number, _bound, _upper_bound, _itself})
"""Reaches that hold the operator too; of the others the rule that negates may take it out."""

_STARTS: Final = frozenset(words[0] for words in _OPERATORS)
_LONGEST: Final = max(map(len, _OPERATORS))
_VERBS: Final[Mapping[str, Reach]] = {
    **dict.fromkeys(("lack", "miss", "avoid", "refuse", "fail", "exclude", "prevent", "forbid"), _complement),
    **dict.fromkeys(("seem", "appear", "pretend"), _seeming),
    "resemble": _complement,
}
"""Verbs by lemma that deny or leave open what hangs on them."""

_PRIVATIVE: Final = "less"
_NOT_PRIVATIVE: Final = frozenset(
    {"stainless", "wireless", "cordless", "seamless", "countless", "priceless", "endless", "timeless", "unless"}
)


def _is_privative(word: str) -> bool:
    """Whether a word says that something is lacking: "leafless", "shirtless"."""
    return len(word) > 6 and word.endswith(_PRIVATIVE) and word not in _NOT_PRIVATIVE


def _is_undone(words: Sequence[str], i: int) -> bool:
    """Whether a word denies what follows: "unaccompanied by a rider", "uncovered by snow"."""
    is_participle = words[i].startswith("un") and words[i].endswith("ed") and not words[i].startswith("under")
    return is_participle and tuple(words[i + 1 : i + 2]) in (("by",), ("with",))
