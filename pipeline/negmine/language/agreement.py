"""Which verbs agree with which nouns in a caption, and what must change when a noun's number does."""

from __future__ import annotations

from collections.abc import Iterator

from negmine.language.caption import Caption
from negmine.language.changes import Change
from negmine.language.inflect import agreeing, is_third_person
from negmine.language.mend import may_be_third_person, may_be_verb, sentences

_FINITE = ("VBZ", "VBP")
_PAST_OF_BE = ("was", "were")
_PLURAL = frozenset({"are", "were", "have", "do"})


def agreeing_verbs(caption: Caption, head: int) -> Iterator[int]:
    """Tokens whose form follows the number of the noun `head`."""
    tokens = caption.tokens
    token = tokens[head]
    if token.dep in ("nsubj", "nsubjpass") or _is_inverted(caption, head):
        yield from _finite_of(caption, token.head)
        for child in caption.children[token.head]:
            if tokens[child].dep == "conj" and not _has_subject(caption, child):
                yield from _finite_of(caption, child)
    for child in caption.children[head]:
        if tokens[child].dep == "relcl" and _has_relative_subject(caption, child):
            yield from _finite_of(caption, child)


def number_changes(caption: Caption, head: int, is_plural: bool) -> tuple[Change, ...]:
    """Verb changes that a new number of the noun `head` asks for; none for a conjunct, whose verb sees them all."""
    if any(head in pair for pair in caption.conjuncts):
        return ()
    changes = []
    for verb in dict.fromkeys(agreeing_verbs(caption, head)):
        text = caption.tokens[verb].text
        form = agreeing(text, is_plural)
        if form != text.lower():
            changes.append(Change(verb, verb, form if text[0].isalpha() else f" {form}"))
    return tuple(changes)


def is_sure(caption: Caption, head: int) -> bool:
    """Whether all verbs that follow the number of the noun `head` are known to be verbs.

    "A woman talking on the phone [looks] away" and "Two dogs run and [bark]" may hold one more, taken for a noun.
    """
    tokens = caption.tokens
    if "as well as" in caption.text.lower():
        return False  # what it joins, the verb does not see
    listed = [head, *(i for pair in caption.conjuncts if head in pair for i in pair)]
    if any(tokens[child].text.lower() in ("or", "nor") for i in listed for child in caption.children[i]):
        return False  # the verb follows the nearest
    if tokens[head].dep not in ("nsubj", "nsubjpass", "ROOT"):
        return True
    is_plural = tokens[head].tag in ("NNS", "NNPS")
    verbs = [tokens[verb] for verb in agreeing_verbs(caption, head)]
    if len(listed) > 1 and any(agreeing(verb.text, is_plural=True) != verb.text.lower() for verb in verbs):
        return False  # a verb of one, so the list is none: "a man in suit and tie is"
    if any(verb.tag == "VBZ" and agreeing(verb.text, is_plural=True) == verb.text.lower() for verb in verbs):
        return False  # a verb no dictionary knows
    rest = next(sentence[head - sentence[0] + 1 :] for sentence in sentences(tokens) if head in sentence)
    return not any(_may_follow(caption, i, is_plural) for i in rest)


def has_its_verb(caption: Caption, head: int) -> bool:
    """Whether a noun has the number of its verb; a plural one tells of a second subject that the parse has not joined.

    "A boy in a hat and a boy in a cap [sit]."
    """
    tokens, token = caption.tokens, caption.tokens[head]
    if token.dep not in ("nsubj", "nsubjpass") or token.tag in ("NNS", "NNPS") or token.head < head:
        return True
    verb = min((c for c in caption.children[token.head] if tokens[c].dep in ("aux", "auxpass")), default=token.head)
    is_plural = tokens[verb].text.lower() in _PLURAL or (verb == token.head and tokens[verb].tag in ("VB", "VBP"))
    return not is_plural or tokens[caption.phrases[caption.phrase_of[head]].whole].tag in ("NNS", "NNPS")


def _may_follow(caption: Caption, i: int, is_plural: bool) -> bool:
    """Whether a noun without a determiner of its own, behind "and" or another noun, may be a verb of that number."""
    token, before = caption.tokens[i], caption.tokens[i - 1]
    if token.pos != "NOUN" or i in caption.bound:
        return False
    is_form = token.tag == "NN" and may_be_verb(token) if is_plural else may_be_third_person(token)
    is_doubtful = not any(p.first <= i <= p.head for p in caption.phrases)  # "a woman in red talks"
    is_behind = before.tag == "CC" or (before.tag == ("NNS" if is_plural else "NN") and before.head == i)
    return is_form and (is_doubtful or is_behind)


def _is_inverted(caption: Caption, head: int) -> bool:
    """Whether a noun follows the verb that it is the subject of: "there is a dog", "On the left sits a woman"."""
    token, verb = caption.tokens[head], caption.tokens[head].head
    if token.dep == "attr" and any(caption.tokens[child].dep == "expl" for child in caption.children[verb]):
        return True
    is_main = caption.tokens[verb].dep == "ROOT" and not _has_subject(caption, verb)
    return token.dep in ("attr", "dobj") and is_main and verb < head


def _has_subject(caption: Caption, verb: int) -> bool:
    """Whether a verb has a subject of its own, "there" among them."""
    return any(caption.tokens[child].dep in ("nsubj", "nsubjpass", "expl") for child in caption.children[verb])


def _has_relative_subject(caption: Caption, verb: int) -> bool:
    return any(
        caption.tokens[child].dep in ("nsubj", "nsubjpass") and caption.tokens[child].tag in ("WDT", "WP", "DT")
        for child in caption.children[verb]
    )


def _finite_of(caption: Caption, verb: int) -> Iterator[int]:
    """The finite token of a verb: its first auxiliary, else itself."""
    tokens = caption.tokens
    auxiliaries = [child for child in caption.children[verb] if tokens[child].dep in ("aux", "auxpass")]
    first = min(auxiliaries, default=verb)
    text = tokens[first].text.lower()
    is_mistagged = tokens[first].pos == "VERB" and (
        is_third_person(text) or (tokens[first].tag == "VB" and tokens[first].dep in ("ROOT", "conj") and first == verb)
    )  # "butts", taken for a past; "giraffes eat", for an infinitive
    if tokens[first].tag in _FINITE or text in _PAST_OF_BE or is_mistagged:
        yield first
